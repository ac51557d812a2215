//! Who runs and who waits for a turn. Knows users and moments; not threads that look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::line::{FairLine, Whose};
use crate::limits::{TURN_FIRST, TURN_LOST, TURN_QUANTUM, TURNS_IN_A_ROW};

/// Which turn; they are counted from 1.
pub(super) type Number = u64;

#[derive(Debug, Default)]
pub(super) struct State {
    last: Number,
    running: Vec<Running>,
    /// Those who wait, by their levels.
    lines: [FairLine<Arc<Place>>; 3],
    /// Turns that went to the first of the lines while somebody waited in another.
    in_a_row: usize,
    /// The line that had a turn last although there was somebody before it.
    last_behind: usize,
    /// Since when somebody has always been waiting.
    crowded_since: Option<Instant>,
}

#[derive(Debug)]
struct Running {
    number: Number,
    since: Instant,
}

/// How much an evaluation has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Level {
    /// It has not had its first turn, or not all of it.
    #[default]
    New,
    /// It has, and not much more; or it waits for other things before its turns are over.
    Brief,
    Long,
}

impl Level {
    /// How long its turns are.
    pub(super) fn quantum(self) -> Duration {
        match self {
            Level::New => TURN_FIRST,
            Level::Brief | Level::Long => TURN_QUANTUM,
        }
    }

    /// That of an evaluation whose turn is over.
    pub(super) fn next(self) -> Level {
        match self {
            Level::New => Level::Brief,
            Level::Brief | Level::Long => Level::Long,
        }
    }

    /// That of the line where an evaluation waits whose turn was not over.
    pub(super) fn with_time_left(self) -> Level {
        match self {
            Level::New => Level::New,
            Level::Brief | Level::Long => Level::Brief,
        }
    }
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
        self.lines.iter().map(FairLine::len).sum()
    }

    /// How many run.
    #[cfg(test)]
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// How many wait in one of the lines.
    #[cfg(test)]
    pub(super) fn waiting_at(&mut self, level: Level) -> usize {
        self.line(level).len()
    }

    fn line(&mut self, level: Level) -> &mut FairLine<Arc<Place>> {
        let [new, brief, long] = &mut self.lines;
        match level {
            Level::New => new,
            Level::Brief => brief,
            Level::Long => long,
        }
    }

    /// A turn that begins at once, or a place in line.
    pub(super) fn begin_or_wait(
        &mut self,
        most: usize,
        now: Instant,
        level: Level,
        whose: &Whose,
    ) -> Result<Number, Arc<Place>> {
        if self.waiting() == 0 && self.running.len() < most {
            return Ok(self.begin(now));
        }
        let thread = std::thread::current();
        let place = Arc::new(Place { thread, turn: AtomicU64::new(0) });
        self.line(level).push(whose, place.clone());
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
    pub(super) fn leave(&mut self, whose: &Whose, place: &Arc<Place>) {
        let is_it = |other: &Arc<Place>| Arc::ptr_eq(other, place);
        self.lines.iter_mut().find_map(|line| line.remove(whose, is_it));
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

    /// Those that have run least come first, but the others come too, in turn.
    fn next(&mut self) -> Option<Arc<Place>> {
        let first = self.lines.iter().position(|line| !line.is_empty())?;
        let mut at = first;
        let behind = |line: &usize| *line > first && !self.lines[*line].is_empty();
        match [self.last_behind + 1, 1, 2].into_iter().filter(|at| *at < 3).find(behind) {
            None => self.in_a_row = 0,
            Some(_) if self.in_a_row < TURNS_IN_A_ROW => self.in_a_row += 1,
            Some(behind) => {
                (self.in_a_row, self.last_behind) = (0, behind);
                at = behind;
            }
        }
        let next = self.lines.get_mut(at)?.pop(|_| true);
        next.map(|(_, place)| place)
    }
}
