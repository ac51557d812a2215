//! Room in memory: how much changes may take, when that calls for a checkpoint, and who waits for it.
//! Must not know how a checkpoint is written.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Shared, Wanted};
use crate::limits::{FREEING_PART, FREEING_WAIT_SECONDS, LOG_GROUP_BYTES, LOG_WAIT_FACTOR};
use crate::storage::StorageError;
use crate::storage::crossed::crossed;
#[cfg(doc)]
use crate::storage::health::Health;
use crate::turns;

/// Parts of the memory of a store: a checkpoint begins when changes take one of these, and a writer waits when they
/// take three, those of the checkpoint that is being written included. Pages have what is left.
const MEMORY_PARTS: usize = 8;
const BEGIN_PARTS: usize = 1;
const WAIT_PARTS: usize = 3;

/// Pages keep one part of the memory in so many, whatever else is there.
const PAGE_PART_MIN: usize = 16;
/// Changes do, too.
const CHANGE_PART_MIN: usize = 16;
/// The budget of pages is not changed for less than one part of the memory in so many.
const RESIZE_PART: usize = 64;

/// The log has a buffer for a group, and what is written takes its time; with a small cache it is one part in so many.
const LOG_PART: usize = 8;

/// What pages may take of the engine's memory, beside so much of changes and of maps.
pub(super) fn page_bytes(cache_bytes: usize, changes: usize, maps: usize) -> usize {
    let changes = changes.max(cache_bytes / MEMORY_PARTS * WAIT_PARTS);
    let rest = cache_bytes.saturating_sub(changes.saturating_add(maps) + log_bytes(cache_bytes));
    rest.max(cache_bytes / PAGE_PART_MIN)
}

/// What a commit means for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// There is more on it afterwards.
    Adds,
    /// There is less on it afterwards, once a checkpoint has been written.
    Frees,
}

impl Wanted {
    /// Joins those who wait for room, behind all others.
    fn enter(&mut self, count: &AtomicUsize) -> u64 {
        let turn = self.next_waiting;
        self.next_waiting += 1;
        self.waiting.insert(turn);
        count.store(self.waiting.len(), Ordering::Relaxed);
        turn
    }

    fn leave(&mut self, turn: u64, count: &AtomicUsize) {
        self.waiting.remove(&turn);
        count.store(self.waiting.len(), Ordering::Relaxed);
    }
}

/// What changes may take before writers wait, beside so much that snapshots keep of earlier ones and of maps. However much
/// that is, some changes can be made: whoever keeps a snapshot may be the one who writes.
pub(super) fn change_bytes(cache_bytes: usize, retained: usize, maps: usize) -> usize {
    let others = retained.saturating_add(maps) + log_bytes(cache_bytes);
    let rest = cache_bytes.saturating_sub(others.saturating_add(cache_bytes / PAGE_PART_MIN));
    let most = cache_bytes / MEMORY_PARTS * WAIT_PARTS;
    rest.clamp(most.min(cache_bytes / CHANGE_PART_MIN), most)
}

fn log_bytes(cache_bytes: usize) -> usize {
    LOG_GROUP_BYTES.min(cache_bytes / LOG_PART)
}

impl Shared {
    /// Waits while changes take more memory than they may, behind those who have waited longer. To be called with no
    /// lock held.
    pub(super) fn wait_for_room(&self, growth: Growth) -> Result<(), StorageError> {
        self.check_room_on_disk(growth)?;
        self.log.wait_for_room()?;
        if !self.is_full() && !self.is_waited() {
            return Ok(());
        }
        if !self.has_threads() {
            return self.checkpoint_if_idle();
        }
        let _pause = turns::pause();
        let mut wanted = self.wanted();
        let turn = wanted.enter(&self.waiting);
        let outcome = loop {
            let checked = self.log.check().and_then(|()| self.check_disk(growth));
            let is_next = wanted.waiting.first() == Some(&turn);
            if checked.is_err() || (is_next && !self.is_full()) {
                break checked;
            }
            if self.is_full() {
                wanted.checkpoint = true;
                self.wake.notify_one();
            }
            wanted = self.done.wait(wanted).unwrap_or_else(PoisonError::into_inner);
        };
        // Its own turn: those before it, who did not meet the error, go on waiting for theirs.
        wanted.leave(turn, &self.waiting);
        self.done.notify_all();
        outcome
    }

    /// Refuses new commits while there is no room on the disk, after some seconds those that give room. The thread of the
    /// checkpoints finds out when there is again; without threads whoever asks does. To be called with no lock held.
    pub(super) fn check_room_on_disk(&self, growth: Growth) -> Result<(), StorageError> {
        if !self.health.is_full() {
            return self.health.check();
        }
        if !self.has_threads() {
            self.make_room()?;
            return self.check_disk(growth);
        }
        let until = Instant::now() + Duration::from_secs(FREEING_WAIT_SECONDS);
        let _pause = turns::pause();
        let mut wanted = self.wanted();
        loop {
            let checked = self.check_disk(growth);
            let rest = until.saturating_duration_since(Instant::now());
            if checked.is_ok() || growth == Growth::Adds || rest.is_zero() {
                return checked;
            }
            self.log.check()?;
            wanted = self.done.wait_timeout(wanted, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// While there is no room on the disk, what gives room may use the reserve, so much at a time that the log and the
    /// next checkpoint find room in it.
    fn check_disk(&self, growth: Growth) -> Result<(), StorageError> {
        match self.health.check_writable() {
            Err(StorageError::DiskFull { .. }) if growth == Growth::Frees && self.may_free() => {
                crossed("FREEING_PART");
                Ok(())
            }
            checked => checked,
        }
    }

    /// What such commits may add is counted from the least that there was to be written since the disk became full:
    /// what was there before may find no room at all until something of it is dropped.
    fn may_free(&self) -> bool {
        let unsaved = {
            let state = self.read_state();
            state.logged.saturating_add(state.dirty() + state.frozen())
        };
        let least = self.unsaved_least.fetch_min(unsaved, Ordering::Relaxed).min(unsaved);
        ((unsaved - least) as u64) < self.options.reserve_bytes / FREEING_PART
    }

    /// What is done as long as the disk is full: what was applied is made safe, what is not needed any more is given
    /// back, and then the reserve is taken again, if there is room for it by now.
    pub(super) fn make_room(&self) -> Result<(), StorageError> {
        self.unless_full(self.log.flush())?;
        self.unless_full(self.checkpoint_if_idle())?;
        self.disk.take_reserve();
        if !self.health.is_full() {
            self.unsaved_least.store(usize::MAX, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Success also when there was no room on the disk: whoever writes is told by [`Health::check_writable`].
    pub(super) fn unless_full(
        &self,
        outcome: Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        match outcome {
            Err(StorageError::DiskFull { .. }) => {
                self.health.set_full(true);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Whether changes may take more memory, and the log more commits.
    pub(super) fn has_room(&self) -> bool {
        self.log.has_room() && !self.is_full() && !self.is_waited() && !self.health.is_full()
    }

    /// Whether somebody waits for room. Otherwise those with small changes would take it from those with large ones, and
    /// who is always quick from who is not.
    fn is_waited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    fn is_full(&self) -> bool {
        let (cache, maps) = (self.cache_bytes(), self.pages.map_bytes());
        let state = self.read_state();
        let most = change_bytes(cache, state.retained(), maps);
        let is_long = state.logged / LOG_WAIT_FACTOR > self.options.checkpoint_log_bytes;
        if is_long {
            crossed("LOG_WAIT_FACTOR");
        }
        !state.closed && (is_long || state.dirty() + state.frozen() > most)
    }

    pub(super) fn cache_bytes(&self) -> usize {
        self.cache_bytes.load(Ordering::Relaxed)
    }

    /// Changes what pages and changes may take. Pages above it go at once, changes with the next checkpoint.
    pub(super) fn set_cache_bytes(&self, bytes: usize) {
        self.cache_bytes.store(bytes, Ordering::Relaxed);
        self.balance();
        self.want_checkpoint_if_due();
        // Whoever waits for room may have it now.
        let _wanted = self.wanted();
        self.done.notify_all();
    }

    /// To be called after every commit, with no lock held.
    pub(super) fn want_checkpoint_if_due(&self) {
        self.balance();
        let is_due = {
            let (cache, maps) = (self.cache_bytes(), self.pages.map_bytes());
            let state = self.read_state();
            let most = change_bytes(cache, state.retained(), maps);
            state.dirty() > most / WAIT_PARTS * BEGIN_PARTS
                || state.logged > self.options.checkpoint_log_bytes
        };
        if !is_due {
            return;
        }
        if self.has_threads() {
            self.wanted().checkpoint = true;
            self.wake.notify_one();
        } else {
            // The batch has been applied. What comes after it is told of the error by the log.
            drop(self.checkpoint_if_idle());
        }
    }

    /// A part of a checkpoint has been written and is not in memory any more, or a checkpoint has begun or ended.
    pub(super) fn relieve(&self) {
        self.balance();
        let _wanted = self.wanted();
        self.done.notify_all();
    }

    /// Lets pages have what the rest leaves them: changes, as soon as they take more than their parts because snapshots
    /// keep them, and the maps of the data file.
    pub(super) fn balance(&self) {
        let cache = self.cache_bytes();
        let changes = self.read_state().view.account.bytes_of_all();
        let pages = page_bytes(cache, changes, self.pages.map_bytes());
        self.pages.resize_cache(pages, cache / RESIZE_PART);
    }
}
