//! A lock that comes to those who wait for it in the order in which they came. Knows threads; not what is locked.
//!
//! It is handed on: whoever lets go gives it to the first in line, so nobody who comes later can take it in between. A
//! waiting thread looks once in a while whether it may go on waiting. When the look unwinds, the thread leaves the line,
//! and the others keep their places.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::limits::LOCK_WAIT_LOOK;
use crate::turns;

/// The lock. Takes sixteen bytes while nobody waits for it.
#[derive(Default)]
pub(super) struct FairLock(Mutex<State>);

#[derive(Default)]
struct State {
    is_held: bool,
    /// Who waits; nothing while nobody does.
    line: Option<Box<Line>>,
}

#[derive(Default)]
struct Line(VecDeque<Arc<Turn>>);

/// Of one waiting thread.
#[derive(Default)]
struct Turn {
    has_come: Mutex<bool>,
    comes: Condvar,
}

/// Has the lock until it is dropped.
pub(super) struct FairGuard<'a>(&'a FairLock);

impl FairLock {
    /// Takes the lock if nobody has it. Nobody waits then.
    pub(super) fn try_lock(&self) -> Option<FairGuard<'_>> {
        let mut state = self.0.lock();
        if state.is_held {
            return None;
        }
        state.is_held = true;
        Some(FairGuard(self))
    }

    /// Waits until everyone who came before has had the lock, and takes it. Calls `look` now and then, which may unwind.
    pub(super) fn lock(&self, look: impl Fn()) -> FairGuard<'_> {
        let mut state = self.0.lock();
        if !state.is_held {
            state.is_held = true;
            return FairGuard(self);
        }
        let turn = Arc::new(Turn::default());
        state.line.get_or_insert_default().0.push_back(turn.clone());
        drop(state);
        let _pause = turns::pause();
        // From here on the lock may be this thread's at any time: should it unwind, the place has to be given up.
        let mut place = Place { lock: self, turn, is_taken: false };
        while !place.turn.wait() {
            look();
        }
        place.is_taken = true;
        FairGuard(self)
    }

    /// Gives the lock to the first in line.
    fn hand_on(&self) {
        let mut state = self.0.lock();
        let next = state.line.as_mut().and_then(|line| line.0.pop_front());
        match next {
            Some(turn) => {
                state.leave_empty_line();
                drop(state);
                *turn.has_come.lock() = true;
                turn.comes.notify_one();
            }
            None => state.is_held = false,
        }
    }
}

impl State {
    fn leave_empty_line(&mut self) {
        if self.line.as_ref().is_some_and(|line| line.0.is_empty()) {
            self.line = None;
        }
    }
}

impl Turn {
    /// Waits for some time. Whether the turn has come.
    fn wait(&self) -> bool {
        let mut has_come = self.has_come.lock();
        if !*has_come {
            self.comes.wait_for(&mut has_come, LOCK_WAIT_LOOK);
        }
        *has_come
    }
}

/// A place in the line, given up when it is dropped, unless the lock was taken.
struct Place<'a> {
    lock: &'a FairLock,
    turn: Arc<Turn>,
    is_taken: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.is_taken {
            return;
        }
        let mut state = self.lock.0.lock();
        let line = state.line.as_mut().map(|line| &mut line.0);
        let at = line.and_then(|line| {
            let at = line.iter().position(|turn| Arc::ptr_eq(turn, &self.turn))?;
            line.remove(at)
        });
        state.leave_empty_line();
        drop(state);
        // Who is not in line any more has got the lock.
        if at.is_none() {
            self.lock.hand_on();
        }
    }
}

impl Drop for FairGuard<'_> {
    fn drop(&mut self) {
        self.0.hand_on();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::cancel::CancelFlag;
    use crate::turns::{Turns, Whose};

    fn waiting(lock: &FairLock) -> usize {
        lock.0.lock().line.as_ref().map_or(0, |line| line.0.len())
    }

    fn until_waiting(lock: &FairLock, count: usize) {
        while waiting(lock) < count {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn it_comes_to_those_who_wait_in_the_order_in_which_they_came() {
        let (lock, order) = (FairLock::default(), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            let first = lock.lock(|| {});
            for number in 0..8 {
                let (lock, order) = (&lock, &order);
                scope.spawn(move || {
                    let _guard = lock.lock(|| {});
                    order.lock().push(number);
                });
                until_waiting(lock, number + 1);
            }
            // Longer than a thread waits between two looks: nobody has lost its turn by looking.
            thread::sleep(LOCK_WAIT_LOOK * 2);
            assert!(lock.try_lock().is_none());
            drop(first);
        });
        assert_eq!(order.into_inner(), (0..8).collect::<Vec<_>>());
        assert!(lock.try_lock().is_some());
    }

    #[test]
    fn who_gives_up_waiting_leaves_the_line_and_the_others_go_on() {
        let lock = FairLock::default();
        let gives_up = || {
            let looks = || resume_unwind(Box::new("stopped"));
            let began = Instant::now();
            let ended = catch_unwind(AssertUnwindSafe(|| drop(lock.lock(looks))));
            assert!(ended.is_err());
            assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
        };
        let first = lock.lock(|| {});
        thread::scope(|scope| {
            scope.spawn(gives_up);
            until_waiting(&lock, 1);
            let last = scope.spawn(|| drop(lock.lock(|| {})));
            until_waiting(&lock, 2);
            while waiting(&lock) > 1 {
                thread::sleep(Duration::from_millis(1));
            }
            drop(first);
            last.join().unwrap();
        });
        assert!(lock.0.lock().line.is_none() && lock.try_lock().is_some());
    }

    #[test]
    fn who_waits_for_the_lock_has_no_turn_and_who_has_it_asks_for_one() {
        let (lock, turns) = (FairLock::default(), Turns::strict(1));
        let (user, cancel) = (Whose::at("bob", 1), CancelFlag::default());
        let first = lock.lock(|| {});
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                turns.seat(&user, || {
                    turns::look(&cancel, None);
                    assert_eq!(turns.running(), 1);
                    let _guard = lock.lock(|| turns::look(&cancel, None));
                    assert_eq!(turns.running(), 0);
                    turns::look(&cancel, None);
                    assert_eq!(turns.running(), 1);
                });
            });
            until_waiting(&lock, 1);
            thread::sleep(LOCK_WAIT_LOOK * 2);
            assert_eq!(turns.running(), 0);
            drop(first);
            waiting.join().unwrap();
        });
    }

    #[test]
    fn one_holder_at_a_time() {
        let (lock, count) = (FairLock::default(), Mutex::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let _guard = lock.lock(|| {});
                        *count.try_lock().unwrap() += 1;
                    }
                });
            }
        });
        assert_eq!(*count.lock(), 2_000);
    }
}
