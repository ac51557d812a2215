//! What a store can say of itself in numbers, for those who watch over it. Asking waits for no device.
//! Must not know how the numbers are published.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Shared, SlabEngine};
use crate::storage::StorageError;

/// A store in numbers. Those that only grow begin at the opening of the store unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreNumbers {
    /// The number of the last commit: all commits since the store was made.
    pub commits: u64,
    /// The number of the last commit that is durable.
    pub durable_commits: u64,
    /// Groups of commits that were written to the log and synced. One serves all who wait.
    pub log_syncs: u64,
    /// Bytes written to the log.
    pub log_written_bytes: u64,
    /// Bytes that the log's files have now.
    pub log_bytes: u64,
    /// Checkpoints that were written.
    pub checkpoints: u64,
    /// Long values that were deleted without finding their room in the data file, because they are damaged.
    pub leaks: u64,
    /// 1 while commits are refused because the disk is full.
    pub disk_full: u64,
    /// 1 when nothing is written any more.
    pub poisoned: u64,
    /// Bytes of memory that pages take.
    pub cache_bytes: u64,
    /// Bytes of memory that changes take until a checkpoint has written them.
    pub dirty_bytes: u64,
    /// Bytes of memory that earlier changes take which snapshots keep.
    pub retained_bytes: u64,
    /// Bytes of memory that the maps of the data file take.
    pub map_bytes: u64,
    /// Bytes of memory that all of these together may take.
    pub cache_limit_bytes: u64,
    /// The length of the data file in bytes. Free extents within it take no room on the disk.
    pub data_file_bytes: u64,
    /// Bytes of the extents in it that are in use.
    pub data_bytes: u64,
    /// Bytes that the data file takes of the disk.
    pub data_allocated_bytes: u64,
    /// Bytes written to the data file.
    pub data_written_bytes: u64,
    /// Time since the last checkpoint was done, or since the opening.
    pub since_checkpoint: Duration,
    /// How long the last checkpoint took.
    pub checkpoint_took: Duration,
    /// How long the checkpoint has been going on that is being written; nothing when there is none.
    pub checkpoint_running: Duration,
    /// Time since the first checkpoint was done that a snapshot has outlived which is older.
    pub oldest_snapshot: Duration,
    /// Bytes that can be written before the disk is full.
    pub disk_available_bytes: u64,
    /// Reads that have met damage.
    pub damaged_reads: u64,
}

/// What is counted here and nowhere else.
#[derive(Debug)]
pub(super) struct Counters {
    checkpoints: AtomicU64,
    leaks: AtomicU64,
    times: Mutex<Times>,
}

/// When checkpoints were written.
#[derive(Debug)]
struct Times {
    running_since: Option<Instant>,
    done: Instant,
    took: Duration,
}

/// A checkpoint that is being written, for as long as the value lives.
pub(super) struct Running<'a>(&'a Counters);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.times().running_since = None;
    }
}

impl Default for Counters {
    fn default() -> Self {
        let times = Times { running_since: None, done: Instant::now(), took: Duration::ZERO };
        Self { checkpoints: AtomicU64::new(0), leaks: AtomicU64::new(0), times: Mutex::new(times) }
    }
}

impl Counters {
    /// Something damaged was replaced, and its room cannot be found.
    pub(super) fn leaked(&self, damage: &StorageError) {
        self.leaks.fetch_add(1, Ordering::Relaxed);
        tracing::warn!("room in the data file is lost, of a long value that was deleted: {damage}");
    }

    pub(super) fn has_leaks(&self) -> bool {
        self.leaks.load(Ordering::Relaxed) > 0
    }

    pub(super) fn checkpoint_begins(&self) -> Running<'_> {
        self.times().running_since = Some(Instant::now());
        Running(self)
    }

    pub(super) fn checkpoint_written(&self) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        let mut times = self.times();
        times.done = Instant::now();
        let took = times.running_since.map(|since| times.done.saturating_duration_since(since));
        times.took = took.unwrap_or_default();
    }

    // A panic while it is held leaves times that were true.
    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlabEngine {
    /// The store as it is now.
    pub fn numbers(&self) -> StoreNumbers {
        self.shared.numbers()
    }
}

impl Shared {
    fn numbers(&self) -> StoreNumbers {
        let (commits, changes, retained) = {
            let state = self.read_state();
            (state.view.sequence.0, state.view.account.bytes_of_all(), state.retained())
        };
        let log = self.log.numbers();
        let slab = &self.pages.slab;
        let (since_checkpoint, checkpoint_took, checkpoint_running) = {
            let times = self.counters.times();
            let running = times.running_since.map_or(Duration::ZERO, |since| since.elapsed());
            (times.done.elapsed(), times.took, running)
        };
        StoreNumbers {
            commits,
            durable_commits: self.log.durable().0,
            log_syncs: log.syncs,
            log_written_bytes: log.written_bytes,
            log_bytes: log.bytes,
            checkpoints: self.counters.checkpoints.load(Ordering::Relaxed),
            leaks: self.counters.leaks.load(Ordering::Relaxed),
            disk_full: u64::from(self.health.is_full()),
            poisoned: u64::from(self.health.cause().is_some()),
            cache_bytes: self.pages.cached_bytes() as u64,
            dirty_bytes: (changes - retained.min(changes)) as u64,
            retained_bytes: retained as u64,
            map_bytes: self.pages.map_bytes() as u64,
            cache_limit_bytes: self.cache_bytes() as u64,
            data_file_bytes: slab.file_bytes(),
            data_bytes: slab.used_bytes(),
            data_allocated_bytes: slab.allocated_bytes().unwrap_or(0),
            data_written_bytes: slab.written_bytes(),
            since_checkpoint,
            checkpoint_took,
            checkpoint_running,
            oldest_snapshot: slab.oldest_reader().map_or(Duration::ZERO, |since| since.elapsed()),
            disk_available_bytes: self.disk_room().available.unwrap_or(0),
            damaged_reads: self.pages.damages.reads(),
        }
    }
}
