//! How many script helpers a server has at once, and those that are kept for the next query.
//! Knows nothing of what runs in them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::ScriptError;
use super::helper::Helper;
use crate::cancel::CancelFlag;
use crate::limits;

/// The script helpers of a server.
#[derive(Debug, Default)]
pub struct ScriptHost {
    off: AtomicBool,
    used: Arc<Used>,
}

#[derive(Debug, Default)]
struct Used {
    helpers: Mutex<usize>,
    /// Helpers that nobody uses now.
    kept: Mutex<Vec<Helper>>,
    freed: Condvar,
}

/// The right to one helper, given back when dropped.
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

    /// How many helpers are used now.
    pub fn helpers(&self) -> usize {
        *self.used.helpers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there may be another helper.
    pub(super) fn acquire(
        &self,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
    ) -> Result<Slot, ScriptError> {
        let mut helpers = self.used.helpers.lock().unwrap_or_else(PoisonError::into_inner);
        while *helpers >= limits::SCRIPT_HELPERS {
            if cancel.is_cancelled() {
                return Err(ScriptError::Interrupted);
            }
            if deadline.is_some_and(|end| Instant::now() >= end) {
                return Err(ScriptError::Busy);
            }
            let waited = self.used.freed.wait_timeout(helpers, limits::SCRIPT_GRACE);
            helpers = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *helpers += 1;
        Ok(Slot(self.used.clone()))
    }
}

impl Slot {
    /// A helper that another query has left, if there is one.
    pub(super) fn kept(&self) -> Option<Helper> {
        self.kept_helpers().pop()
    }

    /// Leaves a helper to another query. A few are kept, which saves the time to start them.
    pub(super) fn keep(&self, helper: Helper) {
        let mut kept = self.kept_helpers();
        if kept.len() < limits::SCRIPT_HELPERS_KEPT {
            kept.push(helper);
        }
    }

    fn kept_helpers(&self) -> MutexGuard<'_, Vec<Helper>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut helpers = self.0.helpers.lock().unwrap_or_else(PoisonError::into_inner);
        *helpers = helpers.saturating_sub(1);
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
impl ScriptHost {
    /// The processes of the helpers that are kept.
    pub(super) fn kept_ids(&self) -> Vec<u32> {
        self.used.kept.lock().unwrap().iter().map(Helper::id).collect()
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
        let held: Vec<Slot> = (0..limits::SCRIPT_HELPERS)
            .map(|_| host.acquire(&cancel, None).expect("there is room"))
            .collect();
        let soon = Some(Instant::now() + Duration::from_millis(1));
        assert_eq!(host.acquire(&cancel, soon).err(), Some(ScriptError::Busy));
        drop(held);
        assert_eq!(host.helpers(), 0);
        assert!(host.acquire(&cancel, soon).is_ok());
    }

    #[test]
    fn a_stopped_query_does_not_wait() {
        let host = ScriptHost::default();
        let cancel = CancelFlag::default();
        let _held: Vec<_> =
            (0..limits::SCRIPT_HELPERS).map(|_| host.acquire(&cancel, None)).collect();
        cancel.cancel();
        assert_eq!(host.acquire(&cancel, None).err(), Some(ScriptError::Interrupted));
    }
}
