//! How many script threads a server has at once, those included that no query waits for any more.
//! Knows nothing of what runs on them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::ScriptError;
use crate::limits;
use crate::reql::env::CancelFlag;

/// The script threads of a server.
#[derive(Debug, Default)]
pub struct ScriptHost {
    off: AtomicBool,
    used: Arc<Used>,
}

#[derive(Debug, Default)]
struct Used {
    threads: Mutex<usize>,
    freed: Condvar,
}

/// The right to one thread, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Used>);

impl ScriptHost {
    /// From now on no script runs.
    pub fn switch_off(&self) {
        self.off.store(true, Ordering::Relaxed);
    }

    /// Whether no script may run.
    pub fn are_off(&self) -> bool {
        self.off.load(Ordering::Relaxed)
    }

    /// How many threads there are now.
    pub fn threads(&self) -> usize {
        *self.used.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a thread to be free.
    pub(super) fn acquire(
        &self,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
    ) -> Result<Slot, ScriptError> {
        let mut threads = self.used.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while *threads >= limits::SCRIPT_THREADS {
            if cancel.is_cancelled() {
                return Err(ScriptError::Interrupted);
            }
            if deadline.is_some_and(|end| Instant::now() >= end) {
                return Err(ScriptError::Busy);
            }
            let waited = self.used.freed.wait_timeout(threads, limits::SCRIPT_GRACE);
            threads = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *threads += 1;
        Ok(Slot(self.used.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut threads = self.0.threads.lock().unwrap_or_else(PoisonError::into_inner);
        *threads = threads.saturating_sub(1);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn slots_are_bounded_and_come_back() {
        let host = ScriptHost::default();
        let cancel = CancelFlag::default();
        let held: Vec<Slot> = (0..limits::SCRIPT_THREADS)
            .map(|_| host.acquire(&cancel, None).expect("there is room"))
            .collect();
        let soon = Some(Instant::now() + Duration::from_millis(1));
        assert_eq!(host.acquire(&cancel, soon).err(), Some(ScriptError::Busy));
        drop(held);
        assert_eq!(host.threads(), 0);
        assert!(host.acquire(&cancel, soon).is_ok());
    }

    #[test]
    fn a_stopped_query_does_not_wait() {
        let host = ScriptHost::default();
        let cancel = CancelFlag::default();
        let _held: Vec<_> =
            (0..limits::SCRIPT_THREADS).map(|_| host.acquire(&cancel, None)).collect();
        cancel.cancel();
        assert_eq!(host.acquire(&cancel, None).err(), Some(ScriptError::Interrupted));
    }
}
