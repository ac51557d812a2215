//! A snapshot that can be let go of between two reads, and is then taken anew: for streams, whose client may ask for the
//! next batch in a minute, or never, and which may read for minutes. A snapshot that is held keeps every page that was
//! overwritten since, in memory and on the disk.
//!
//! Its cursors go on behind the last entry that they gave, in the new snapshot: an entry that is there all the time is
//! given once. They are kept here and not by whoever reads, so that letting go of the snapshot lets go of all of it.
//! It is let go of by whoever reads it, once the client has its batch, and at any moment by the engine, which has a list of
//! those that are held ([`Readers`]). Knows snapshots and keys; not who reads and when.

mod cursor;
mod readers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

pub use self::readers::Readers;

use self::cursor::RenewableCursor;
use self::readers::Place;
use super::engine::{Cursor, Engine, Snapshot};
use super::{CommitSequence, Direction, KeyRange, ReadMode, StorageError, TreeId};

/// The snapshot. Cloning shares it.
#[derive(Clone)]
pub struct RenewableSnapshot {
    engine: Arc<dyn Engine>,
    /// Without the engine: whoever lets go of it for the engine must not be the last one who has that.
    shared: Arc<Shared>,
}

/// Lets go of a [`RenewableSnapshot`] as long as somebody has it.
#[derive(Clone)]
pub struct RenewalHandle(Weak<Shared>);

struct Shared {
    /// [`Held::renewals`], for those who only look.
    renewals: AtomicU64,
    /// The number of the next cursor. No number is given again, whatever is let go of: its cursor may still be there.
    next: AtomicU64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// How often it was let go of.
    renewals: u64,
    snapshot: Option<Arc<dyn Snapshot>>,
    /// Its place among those that are held.
    place: Option<Place>,
    /// Cursors of that snapshot by number; one that is being read is not among them.
    cursors: HashMap<u64, Box<dyn Cursor>>,
}

/// A snapshot for one read, and the renewals when it was taken.
struct Taken {
    snapshot: Arc<dyn Snapshot>,
    renewals: u64,
}

impl RenewableSnapshot {
    /// The engine's state as it is now, until it is let go of.
    pub fn take(engine: &Arc<dyn Engine>) -> Result<Self, StorageError> {
        let (renewals, next) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { renewals, next, held: Mutex::default() });
        let taken = Self { engine: engine.clone(), shared };
        taken.current()?;
        Ok(taken)
    }

    /// Lets go of it while others read it.
    pub fn handle(&self) -> RenewalHandle {
        RenewalHandle(Arc::downgrade(&self.shared))
    }

    fn current(&self) -> Result<Taken, StorageError> {
        let mut held = self.shared.held.lock();
        let renewals = held.renewals;
        if let Some(snapshot) = &held.snapshot {
            return Ok(Taken { snapshot: snapshot.clone(), renewals });
        }
        let snapshot = self.engine.snapshot()?;
        let list = |readers: &Arc<Readers>| readers.list(snapshot.sequence(), &self.shared);
        held.place = self.engine.readers().map(list);
        held.snapshot = Some(snapshot.clone());
        Ok(Taken { snapshot, renewals })
    }

    fn now(&self) -> Result<Arc<dyn Snapshot>, StorageError> {
        Ok(self.current()?.snapshot)
    }
}

impl RenewalHandle {
    /// Whether anybody has the snapshot.
    pub fn is_held(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Lets go of what the snapshot holds. False when nobody has the snapshot any more.
    pub fn release(&self) -> bool {
        let Some(shared) = self.0.upgrade() else { return false };
        shared.release();
        true
    }
}

impl Shared {
    /// Lets go of the snapshot and of everything that was made of it.
    fn release(&self) {
        let mut held = self.held.lock();
        let renewals = held.renewals + 1;
        let old = std::mem::replace(&mut *held, Held { renewals, ..Held::default() });
        // Under the lock: whoever gets the next snapshot must not take it for the last one.
        self.renewals.store(renewals, Ordering::Release);
        drop(held);
        // Pages are freed without the lock.
        drop(old);
    }

    fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Acquire)
    }
}

impl Snapshot for RenewableSnapshot {
    fn sequence(&self) -> CommitSequence {
        // One that was let go of sees everything that is there.
        let last = || self.engine.last_sequence();
        self.shared.held.lock().snapshot.as_ref().map_or_else(last, |snapshot| snapshot.sequence())
    }

    fn renewals(&self) -> u64 {
        self.shared.renewals()
    }

    fn has_tree(&self, tree: TreeId, mode: ReadMode) -> Result<bool, StorageError> {
        self.now()?.has_tree(tree, mode)
    }

    fn trees(&self, mode: ReadMode) -> Result<Vec<TreeId>, StorageError> {
        self.now()?.trees(mode)
    }

    fn get(&self, tree: TreeId, key: &[u8], mode: ReadMode) -> Result<Option<Bytes>, StorageError> {
        self.now()?.get(tree, key, mode)
    }

    fn read(
        &self,
        tree: TreeId,
        key: &[u8],
        mode: ReadMode,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, StorageError> {
        self.now()?.read(tree, key, mode, see)
    }

    fn cursor(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>, StorageError> {
        Ok(Box::new(RenewableCursor::open(self, tree, range, direction)?))
    }

    fn count(&self, tree: TreeId, range: &KeyRange, mode: ReadMode) -> Result<u64, StorageError> {
        self.now()?.count(tree, range, mode)
    }

    fn nth(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
        rank: u64,
        mode: ReadMode,
    ) -> Result<Option<(Bytes, Bytes)>, StorageError> {
        self.now()?.nth(tree, range, direction, rank, mode)
    }
}
