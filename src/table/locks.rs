//! Locks of documents: a fixed number of them, over which the keys of a table are spread by hash.
//! Knows keys; must not know what is done under a lock.
//!
//! Each is a [`FairLock`], so they come to everyone in turn: a write of many documents takes most of them, and the next
//! one would otherwise take them again before whoever waits for one has woken up.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::PrimaryKey;
use super::fair_lock::{FairGuard, FairLock};
use crate::datum::work;
use crate::limits::KEY_LOCKS;

pub(super) struct KeyLocks {
    locks: Vec<FairLock>,
}

/// Keeps the documents of some keys to itself until it is dropped.
pub(super) enum KeyGuard<'a> {
    One(#[expect(dead_code, reason = "held, not looked at")] FairGuard<'a>),
    Some(#[expect(dead_code, reason = "held, not looked at")] Vec<FairGuard<'a>>),
}

impl KeyLocks {
    pub(super) fn new() -> Self {
        Self { locks: (0..KEY_LOCKS).map(|_| FairLock::default()).collect() }
    }

    /// Takes the locks of all these keys. They are taken in one order everywhere, so that no two writers wait for each
    /// other. A lock guards no data of its own, so one whose holder panicked is as good as new.
    ///
    /// Unwinds when the thread's query is stopped while it waits: see [`work::look`].
    pub(super) fn lock(&self, keys: &[PrimaryKey]) -> KeyGuard<'_> {
        if let Some(lock) = self.only_lock_of(keys) {
            return KeyGuard::One(lock.lock(work::look));
        }
        KeyGuard::Some(self.locks_of(keys).map(|lock| lock.lock(work::look)).collect())
    }

    /// As [`KeyLocks::lock`], but gives up when one of them is held: whoever holds it may be waiting for the disk.
    pub(super) fn try_lock(&self, keys: &[PrimaryKey]) -> Option<KeyGuard<'_>> {
        if let Some(lock) = self.only_lock_of(keys) {
            return lock.try_lock().map(KeyGuard::One);
        }
        self.locks_of(keys).map(FairLock::try_lock).collect::<Option<_>>().map(KeyGuard::Some)
    }

    fn only_lock_of(&self, keys: &[PrimaryKey]) -> Option<&FairLock> {
        match keys {
            [key] => self.locks.get(self.number(key)),
            _ => None,
        }
    }

    /// The locks of these keys, each once, in one order everywhere.
    fn locks_of(&self, keys: &[PrimaryKey]) -> impl Iterator<Item = &FairLock> {
        let mut numbers: Vec<_> = keys.iter().map(|key| self.number(key)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(|number| self.locks.get(number))
    }

    /// Returns once everyone has let go who holds a lock now.
    pub(super) fn wait_for_holders(&self) {
        for lock in &self.locks {
            drop(lock.lock(|| {}));
        }
    }

    fn number(&self, key: &PrimaryKey) -> usize {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        // The remainder is below a small number of locks.
        (hasher.finish() % self.locks.len() as u64) as usize
    }
}
