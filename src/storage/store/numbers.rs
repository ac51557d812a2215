//! What a store can say of itself in numbers, for those who watch over it. Asking waits for no disk.
//! Must not know how the numbers are published.

use std::sync::atomic::{AtomicU64, Ordering};

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
}

/// What is counted here and nowhere else.
#[derive(Debug, Default)]
pub(super) struct Counters {
    checkpoints: AtomicU64,
    leaks: AtomicU64,
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

    pub(super) fn checkpoint_written(&self) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
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
            data_file_bytes: self.pages.slab.file_bytes(),
        }
    }
}
