//! Wakes threads that wait for something to change. Knows threads; not what changes, nor what they do then.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Rung when something has changed. To ring one that nobody listens to costs a lock that nobody else holds.
#[derive(Debug, Default)]
pub struct Bell {
    listeners: Mutex<Vec<Weak<Listener>>>,
}

/// A thread that waits for one or several bells.
#[derive(Debug, Default)]
pub struct Listener {
    state: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    rung: bool,
    ended: bool,
}

/// Why a listener no longer waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// A bell was rung, once or several times.
    Rung,
    /// The time is over.
    TimedOut,
    /// Nobody needs the listener any more.
    Ended,
}

impl Bell {
    /// Wakes all listeners, and those that are not waiting just now as soon as they do.
    pub fn ring(&self) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| {
            let listener = listener.upgrade();
            if let Some(listener) = &listener {
                listener.tell(|heard| heard.rung = true);
            }
            listener.is_some()
        });
    }

    /// Lets a listener hear the bell as long as it lives.
    pub fn add(&self, listener: &Arc<Listener>) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are gone would otherwise stay until the bell is rung.
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(listener));
    }
}

impl Listener {
    /// Waits until a bell is rung, but no longer than that when a time is given.
    pub fn wait(&self, most: Option<Duration>) -> Woken {
        let until = most.map(|most| Instant::now() + most);
        let mut heard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if heard.ended {
                return Woken::Ended;
            }
            if std::mem::take(&mut heard.rung) {
                return Woken::Rung;
            }
            heard = match until {
                None => self.changed.wait(heard).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Woken::TimedOut;
                    }
                    let waited = self.changed.wait_timeout(heard, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Pauses for this time, whatever is rung; what is rung meanwhile is heard afterwards. False when the listener is no
    /// longer needed.
    pub fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut heard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !heard.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let waited = self.changed.wait_timeout(heard, left);
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// Ends the waiting for good.
    pub fn end(&self) {
        self.tell(|heard| heard.ended = true);
    }

    fn tell(&self, what: impl FnOnce(&mut Heard)) {
        what(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn several_rings_wake_once_and_none_is_missed() {
        let (one, other, listener) = (Bell::default(), Bell::default(), Arc::default());
        one.add(&listener);
        other.add(&listener);
        one.ring();
        other.ring();
        assert_eq!(listener.wait(Some(LONG)), Woken::Rung);
        assert_eq!(listener.wait(Some(Duration::ZERO)), Woken::TimedOut);
        let waiting = std::thread::spawn({
            let listener = Arc::clone(&listener);
            move || listener.wait(None)
        });
        other.ring();
        assert_eq!(waiting.join().unwrap(), Woken::Rung);
    }

    #[test]
    fn what_is_rung_in_a_pause_is_heard_after_it() {
        let (bell, listener) = (Bell::default(), Arc::default());
        bell.add(&listener);
        bell.ring();
        assert!(listener.pause(Duration::from_millis(1)));
        assert_eq!(listener.wait(None), Woken::Rung);
    }

    #[test]
    fn an_end_ends_whatever_the_listener_is_at() {
        let listener = Arc::new(Listener::default());
        let thread = |wait: fn(&Listener) -> bool| {
            let listener = Arc::clone(&listener);
            std::thread::spawn(move || wait(&listener))
        };
        let waiting = thread(|listener| listener.wait(None) == Woken::Ended);
        let pausing = thread(|listener| !listener.pause(LONG));
        listener.end();
        assert!(waiting.join().unwrap());
        assert!(pausing.join().unwrap());
    }

    #[test]
    fn a_bell_forgets_listeners_that_are_gone() {
        let bell = Bell::default();
        for _ in 0..10 {
            bell.add(&Arc::default());
        }
        assert!(bell.listeners.lock().unwrap().len() <= 1);
        bell.ring();
        assert!(bell.listeners.lock().unwrap().is_empty());
    }
}
