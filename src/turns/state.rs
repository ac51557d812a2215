//! Who runs and who waits for a turn. Knows users and moments; not threads that look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Instant;

use super::line::FairLine;
use crate::limits::{TURN_LOST, TURNS_IN_A_ROW};

/// Which turn; they are counted from 1.
pub(super) type Number = u64;

#[derive(Debug, Default)]
pub(super) struct State {
    last: Number,
    running: Vec<Running>,
    /// Those that have time left: they are new, or waited for something else before their time was over.
    brief: FairLine<Arc<str>, Arc<Place>>,
    /// Those that have had their time.
    long: FairLine<Arc<str>, Arc<Place>>,
    /// Turns that went to the former while the latter waited.
    in_a_row: usize,
    /// Since when somebody has always been waiting.
    crowded_since: Option<Instant>,
}

#[derive(Debug)]
struct Running {
    number: Number,
    since: Instant,
}

/// A thread that waits for its turn.
#[derive(Debug)]
pub(super) struct Place {
    thread: Thread,
    /// Zero until the turn has come.
    turn: AtomicU64,
}

impl Place {
    /// The turn that has come.
    pub(super) fn turn(&self) -> Option<Number> {
        Some(self.turn.load(Ordering::Acquire)).filter(|turn| *turn > 0)
    }
}

impl State {
    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.brief.len() + self.long.len()
    }

    /// How many run.
    #[cfg(test)]
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// A turn that begins at once, or a place in line.
    pub(super) fn begin_or_wait(
        &mut self,
        most: usize,
        now: Instant,
        has_time: bool,
        user: &Arc<str>,
    ) -> Result<Number, Arc<Place>> {
        if self.waiting() == 0 && self.running.len() < most {
            return Ok(self.begin(now));
        }
        let thread = std::thread::current();
        let place = Arc::new(Place { thread, turn: AtomicU64::new(0) });
        let line = if has_time { &mut self.brief } else { &mut self.long };
        line.push(user, place.clone());
        self.crowded_since.get_or_insert(now);
        Err(place)
    }

    fn begin(&mut self, now: Instant) -> Number {
        self.last += 1;
        self.running.push(Running { number: self.last, since: now });
        self.last
    }

    /// A turn is over, if it was not taken away before.
    pub(super) fn end(&mut self, number: Option<Number>) {
        self.running.retain(|running| Some(running.number) != number);
    }

    /// Somebody no longer waits.
    pub(super) fn leave(&mut self, user: &Arc<str>, place: &Arc<Place>) {
        let is_it = |other: &Arc<Place>| Arc::ptr_eq(other, place);
        if self.brief.remove(user, is_it).is_none() {
            self.long.remove(user, is_it);
        }
    }

    /// Takes turns away from those who have not looked for long although others waited.
    fn take_lost(&mut self, now: Instant) {
        let Some(crowded) = self.crowded_since else { return };
        self.running.retain(|running| {
            now.saturating_duration_since(running.since.max(crowded)) < TURN_LOST
        });
    }

    /// Gives the turns that are free to those who come next.
    pub(super) fn hand_over(&mut self, most: usize, now: Instant) {
        self.take_lost(now);
        while self.running.len() < most
            && let Some(place) = self.next()
        {
            let number = self.begin(now);
            place.turn.store(number, Ordering::Release);
            place.thread.unpark();
        }
        if self.waiting() == 0 {
            self.crowded_since = None;
        }
    }

    /// New ones come first, but those that go on for long come too.
    fn next(&mut self) -> Option<Arc<Place>> {
        if self.long.is_empty() {
            self.in_a_row = 0;
        }
        if self.in_a_row < TURNS_IN_A_ROW
            && let Some((_, place)) = self.brief.pop(|_| true)
        {
            self.in_a_row += usize::from(!self.long.is_empty());
            return Some(place);
        }
        self.in_a_row = 0;
        let next = self.long.pop(|_| true).or_else(|| self.brief.pop(|_| true));
        next.map(|(_, place)| place)
    }
}
