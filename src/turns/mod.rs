//! Turns on the processors for evaluations that may take long. Only so many of them run at a time, about as many as there
//! are processors; the others wait on their threads. Knows users, their addresses, threads and time; not what
//! is evaluated.
//!
//! An evaluation [`look`]s for its turn where it looks whether it was stopped, and nowhere else: it waits there when it
//! has none and goes on for more than a moment, and gives it up there when it has had its time and others wait. Before it waits for anything else it
//! [`pause`]s: the turn goes to another, and is asked for again at the next look after the wait.
//!
//! A turn is a matter of manners, not a lock. Whoever holds one and does not look, because it waits for something that
//! only somebody without a turn can give, loses it to the next in line after [`TURN_LOST`]. So nobody waits for ever,
//! whatever locks the evaluations hold among themselves.

mod line;
mod state;
#[cfg(test)]
mod tests;

pub use line::{FairLine, Whose};

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cancel::CancelFlag;
use crate::limits::{TURN_FREE_LOOKS, TURN_LOST};
use state::{Level, Number, Place, State};

/// The turns of one pool.
#[derive(Debug)]
pub struct Turns {
    /// Evaluations that may run at a time.
    most: usize,
    /// Looks of an evaluation before it needs a turn.
    free_looks: u32,
    /// How many wait: what a look reads of all this while nobody does.
    wanted: AtomicUsize,
    state: Mutex<State>,
}

thread_local! {
    /// The seat of this thread, while it does something that needs turns.
    static SEAT: RefCell<Option<Seat>> = const { RefCell::new(None) };
}

/// An evaluation on its thread.
struct Seat {
    turns: Arc<Turns>,
    whose: Whose,
    /// The turn that it has.
    turn: Option<Number>,
    /// When that began.
    since: Instant,
    /// What it has run before that.
    ran: Ran,
    /// While there are any, it takes no turn.
    pauses: u32,
    /// Looks before it needs its first turn.
    free_looks: u32,
}

/// How much an evaluation has run, for when it goes on at another time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ran {
    /// How much in its turns that are over.
    level: Level,
    /// What it used of the one that is not.
    used: Duration,
}

/// Until it is dropped, this thread takes no turn.
#[derive(Debug)]
#[must_use]
pub struct Pause(PhantomData<*const ()>);

/// Takes the seat of a thread away when the work is done, or unwinds.
struct Seated;

impl Turns {
    /// Turns of which so many run at a time.
    pub fn new(most: usize) -> Arc<Turns> {
        Turns::after(TURN_FREE_LOOKS, most)
    }

    /// Turns that are needed after so many looks.
    fn after(free_looks: u32, most: usize) -> Arc<Turns> {
        let (wanted, state) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Turns { most: most.max(1), free_looks, wanted, state })
    }

    /// Turns that are needed from the first look on.
    #[cfg(test)]
    pub fn strict(most: usize) -> Arc<Turns> {
        Turns::after(0, most)
    }

    /// Does something on this thread that takes turns when it looks. It begins without one, and is over without one when it
    /// does not take long: most evaluations are, and would only wait for each other.
    pub fn seat<T>(self: &Arc<Self>, whose: &Whose, work: impl FnOnce() -> T) -> T {
        let (turns, whose, since) = (self.clone(), whose.clone(), Instant::now());
        let seat = Seat {
            turns,
            whose,
            turn: None,
            since,
            ran: Ran::default(),
            pauses: 0,
            free_looks: self.free_looks,
        };
        SEAT.set(Some(seat));
        let _seated = Seated;
        work()
    }

    /// Evaluations that have a turn.
    #[cfg(test)]
    pub fn running(&self) -> usize {
        self.state().running()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something and hands over the turns that are free then.
    fn change<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = Instant::now();
        let mut state = self.state();
        let changed = change(&mut state, now);
        state.hand_over(self.most, now);
        self.wanted.store(state.waiting(), Ordering::Relaxed);
        changed
    }

    /// Waits in line until the turn comes. None when the query is to end before.
    fn wait(
        &self,
        whose: &Whose,
        place: &Arc<Place>,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
    ) -> Option<Number> {
        let _waking = cancel.wake_this_thread();
        loop {
            if let Some(turn) = place.turn() {
                return Some(turn);
            }
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if cancel.is_cancelled() || left.is_some_and(|left| left.is_zero()) {
                self.change(|state, _| state.leave(whose, place));
                // It may have come in the meantime.
                return place.turn();
            }
            let most = left.map_or(TURN_LOST, |left| left.min(TURN_LOST));
            let parked = Instant::now();
            std::thread::park_timeout(most);
            if parked.elapsed() >= TURN_LOST {
                // Perhaps nobody looks.
                self.change(|_, _| ());
            }
        }
    }
}

impl Seat {
    /// Whether it has to do something about its turn.
    fn is_due(&mut self) -> bool {
        if self.pauses > 0 {
            return false;
        }
        if self.turn.is_none() {
            let is_free = self.free_looks > 0;
            self.free_looks = self.free_looks.saturating_sub(1);
            return !is_free;
        }
        self.turns.wanted.load(Ordering::Relaxed) > 0
            && self.ran.used + self.since.elapsed() >= self.ran.level.quantum()
    }

    /// Gives up the turn, if it has one, and waits for another.
    fn take(&mut self, cancel: &CancelFlag, deadline: Option<Instant>) {
        let ended = self.turn.take();
        let Ran { level, used } = self.ran;
        let line = if ended.is_none() && used < level.quantum() {
            level.with_time_left()
        } else {
            self.ran = Ran { level: level.next(), used: Duration::ZERO };
            self.ran.level
        };
        let whose = &self.whose;
        let place = self.turns.change(|state, now| {
            state.end(ended);
            state.begin_or_wait(self.turns.most, now, line, whose)
        });
        self.turn = match place {
            Ok(turn) => Some(turn),
            Err(place) => self.turns.wait(whose, &place, cancel, deadline),
        };
        self.since = Instant::now();
    }

    /// Gives up the turn, if it has one.
    fn let_go(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.ran.used += self.since.elapsed();
            self.turns.change(|state, _| state.end(Some(turn)));
        }
    }
}

/// Takes a turn if this thread needs one, or hands over its own if that is over and others wait; waits then until the
/// next one comes, or the query is asked to stop, or its time is over. To be called before the query looks at these, where
/// it holds no lock but those of documents.
pub fn look(cancel: &CancelFlag, deadline: Option<Instant>) {
    SEAT.with_borrow_mut(|seat| {
        if let Some(seat) = seat
            && seat.is_due()
            && !cancel.is_cancelled()
        {
            seat.take(cancel, deadline);
        }
    });
}

/// Gives up the turn of this thread, which is about to wait for something, or to hold a lock that threads without turns
/// take too. It asks for another at its next look after the result is dropped.
pub fn pause() -> Pause {
    SEAT.with_borrow_mut(|seat| {
        if let Some(seat) = seat {
            seat.let_go();
            seat.pauses += 1;
        }
    });
    Pause(PhantomData)
}

/// An evaluation goes on that has run before, on this thread or on another. What it did in those looks that need no turn is
/// not counted, so that a feed that gives a change now and then remains brief.
pub fn go_on(ran: Ran) {
    SEAT.with_borrow_mut(|seat| {
        if let Some(seat) = seat {
            seat.ran = ran;
        }
    });
}

/// How much the evaluation of this thread has run; it gives up its turn.
pub fn rest() -> Ran {
    SEAT.with_borrow_mut(|seat| {
        seat.as_mut().map_or_else(Ran::default, |seat| {
            seat.let_go();
            seat.ran
        })
    })
}

/// Whether this thread has a turn that others wait for.
pub fn is_wanted() -> bool {
    SEAT.with_borrow(|seat| {
        let having = seat.as_ref().filter(|seat| seat.turn.is_some());
        having.is_some_and(|seat| seat.turns.wanted.load(Ordering::Relaxed) > 0)
    })
}

impl Drop for Pause {
    fn drop(&mut self) {
        SEAT.with_borrow_mut(|seat| {
            if let Some(seat) = seat {
                seat.pauses = seat.pauses.saturating_sub(1);
            }
        });
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        if let Some(mut seat) = SEAT.take() {
            seat.let_go();
        }
    }
}
