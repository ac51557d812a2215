//! A snapshot that can be let go of between two reads, and is then taken anew: for streams whose client may ask for the
//! next batch in a minute, or never. A snapshot that is held keeps every page that was overwritten since, in memory and
//! on the disk.
//!
//! Its cursors go on behind the last entry that they gave, in the new snapshot: an entry that is there all the time is
//! given once. They are kept here and not by whoever reads, so that letting go of the snapshot lets go of all of it.
//! Knows snapshots and keys; not who reads and when.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use super::engine::{Cursor, Engine, Snapshot};
use super::{
    CommitSequence, Direction, EntryBatch, FillLimit, KeyRange, ReadMode, StorageError, TreeId,
};

/// The snapshot. Cloning shares it.
#[derive(Clone)]
pub struct RenewableSnapshot(Arc<Shared>);

/// Lets go of a [`RenewableSnapshot`] as long as somebody has it.
#[derive(Clone)]
pub struct RenewalHandle(Weak<Shared>);

struct Shared {
    engine: Arc<dyn Engine>,
    /// How often it was let go of.
    renewals: AtomicU64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    snapshot: Option<Arc<dyn Snapshot>>,
    /// Cursors of that snapshot by number; one that is being read is not among them.
    cursors: HashMap<u64, Box<dyn Cursor>>,
    next: u64,
}

impl RenewableSnapshot {
    /// The engine's state as it is now, until it is let go of.
    pub fn take(engine: &Arc<dyn Engine>) -> Result<Self, StorageError> {
        let snapshot = Some(engine.snapshot()?);
        let held = Mutex::new(Held { snapshot, ..Held::default() });
        Ok(Self(Arc::new(Shared { engine: engine.clone(), renewals: AtomicU64::new(0), held })))
    }

    /// Lets go of it while others read it.
    pub fn handle(&self) -> RenewalHandle {
        RenewalHandle(Arc::downgrade(&self.0))
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
        let held = std::mem::take(&mut *shared.held.lock());
        shared.renewals.fetch_add(1, Ordering::Relaxed);
        // Pages are freed without the lock.
        drop(held);
        true
    }
}

impl Shared {
    fn current(&self) -> Result<Arc<dyn Snapshot>, StorageError> {
        let mut held = self.held.lock();
        match &held.snapshot {
            Some(snapshot) => Ok(snapshot.clone()),
            None => {
                let snapshot = self.engine.snapshot()?;
                held.snapshot = Some(snapshot.clone());
                Ok(snapshot)
            }
        }
    }

    fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }
}

impl Snapshot for RenewableSnapshot {
    fn sequence(&self) -> CommitSequence {
        // One that was let go of sees everything that is there.
        let last = || self.0.engine.last_sequence();
        self.0.held.lock().snapshot.as_ref().map_or_else(last, |snapshot| snapshot.sequence())
    }

    fn renewals(&self) -> u64 {
        self.0.renewals()
    }

    fn has_tree(&self, tree: TreeId, mode: ReadMode) -> Result<bool, StorageError> {
        self.0.current()?.has_tree(tree, mode)
    }

    fn trees(&self, mode: ReadMode) -> Result<Vec<TreeId>, StorageError> {
        self.0.current()?.trees(mode)
    }

    fn get(&self, tree: TreeId, key: &[u8], mode: ReadMode) -> Result<Option<Bytes>, StorageError> {
        self.0.current()?.get(tree, key, mode)
    }

    fn read(
        &self,
        tree: TreeId,
        key: &[u8],
        mode: ReadMode,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, StorageError> {
        self.0.current()?.read(tree, key, mode, see)
    }

    fn cursor(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>, StorageError> {
        let cursor = self.0.current()?.cursor(tree, range, direction)?;
        let mut held = self.0.held.lock();
        let number = held.next;
        held.next += 1;
        held.cursors.insert(number, cursor);
        drop(held);
        let shared = self.0.clone();
        let (seen, range) = (shared.renewals(), range.clone());
        let (place, before) = (Place::default(), Place::default());
        Ok(Box::new(RenewableCursor {
            shared,
            number,
            seen,
            tree,
            range,
            direction,
            place,
            before,
        }))
    }

    fn count(&self, tree: TreeId, range: &KeyRange, mode: ReadMode) -> Result<u64, StorageError> {
        self.0.current()?.count(tree, range, mode)
    }

    fn nth(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
        rank: u64,
        mode: ReadMode,
    ) -> Result<Option<(Bytes, Bytes)>, StorageError> {
        self.0.current()?.nth(tree, range, direction, rank, mode)
    }
}

/// Where a cursor stands: behind a key, and behind so many entries that were passed over since.
#[derive(Clone, Debug, Default)]
struct Place {
    behind: Option<Bytes>,
    passed: u64,
}

struct RenewableCursor {
    shared: Arc<Shared>,
    /// Its number among the cursors of the snapshot.
    number: u64,
    /// The renewals when it was last read.
    seen: u64,
    tree: TreeId,
    range: KeyRange,
    direction: Direction,
    place: Place,
    /// Where it stood before the last entries were read.
    before: Place,
}

impl RenewableCursor {
    /// The cursor of the current snapshot, taken out of those that are kept.
    fn take(&mut self, mode: ReadMode) -> Result<Box<dyn Cursor>, StorageError> {
        let kept = self.shared.held.lock().cursors.remove(&self.number);
        if let Some(cursor) = kept {
            return Ok(cursor);
        }
        let renewals = self.shared.renewals();
        let snapshot = self.shared.current()?;
        let mut cursor = snapshot.cursor(self.tree, &self.rest(), self.direction)?;
        if self.place.passed > 0 {
            cursor.skip(self.place.passed, mode)?;
        }
        self.seen = renewals;
        Ok(cursor)
    }

    fn keep(&self, cursor: Box<dyn Cursor>) {
        self.shared.held.lock().cursors.insert(self.number, cursor);
    }

    /// The part of the range behind the last key.
    fn rest(&self) -> KeyRange {
        let KeyRange { start, end } = self.range.clone();
        match (&self.place.behind, self.direction) {
            (None, _) => self.range.clone(),
            (Some(key), Direction::Forward) => KeyRange::new(Bound::Excluded(key.clone()), end),
            (Some(key), Direction::Backward) => KeyRange::new(start, Bound::Excluded(key.clone())),
        }
    }
}

impl Cursor for RenewableCursor {
    fn fill(
        &mut self,
        batch: &mut EntryBatch,
        limit: FillLimit,
        mode: ReadMode,
    ) -> Result<bool, StorageError> {
        let held = batch.len();
        let mut cursor = self.take(mode)?;
        let filled = cursor.fill(batch, limit, mode);
        self.keep(cursor);
        let more = filled?;
        let last = batch.len().checked_sub(1).filter(|last| *last >= held);
        if let Some((key, _)) = last.and_then(|last| batch.get(last)) {
            let place = Place { behind: Some(Bytes::copy_from_slice(key)), passed: 0 };
            self.before = std::mem::replace(&mut self.place, place);
        }
        Ok(more)
    }

    fn skip(&mut self, entries: u64, mode: ReadMode) -> Result<u64, StorageError> {
        let mut cursor = self.take(mode)?;
        let skipped = cursor.skip(entries, mode);
        self.keep(cursor);
        let skipped = skipped?;
        self.place.passed += skipped;
        Ok(skipped)
    }

    fn is_stale(&self) -> bool {
        self.seen != self.shared.renewals()
    }

    fn rewind(&mut self, given: Option<&[u8]>) {
        self.place = match given {
            Some(key) => Place { behind: Some(Bytes::copy_from_slice(key)), passed: 0 },
            None => self.before.clone(),
        };
        // What is kept of this cursor stands behind what was read, not behind what was given.
        self.shared.held.lock().cursors.remove(&self.number);
        self.seen = self.shared.renewals();
    }
}

impl Drop for RenewableCursor {
    fn drop(&mut self) {
        let cursor = self.shared.held.lock().cursors.remove(&self.number);
        drop(cursor);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::storage::memory::MemoryEngine;
    use crate::storage::{Durability, Scanner, WriteBatch};
    use crate::testing::Random;

    const TREE: TreeId = TreeId(7);

    fn key(number: u64) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    fn apply(engine: &Arc<dyn Engine>, change: impl FnOnce(&mut WriteBatch)) {
        let mut batch = WriteBatch::new(Durability::Soft);
        change(&mut batch);
        engine.apply(batch).unwrap();
    }

    /// Entries 0 to 2,000, of which the odd ones come and go while the even ones stay.
    fn engine() -> Arc<dyn Engine> {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        apply(&engine, |batch| {
            batch.create_tree(TREE);
        });
        apply(&engine, |batch| {
            for number in 0..2_000 {
                batch.put(TREE, key(number), key(number));
            }
        });
        engine
    }

    fn disturb(engine: &Arc<dyn Engine>, random: &mut Random) {
        apply(engine, |batch| {
            for _ in 0..50 {
                let odd = key(random.below(1_000) * 2 + 1);
                match random.below(2) {
                    0 => batch.delete(TREE, odd),
                    _ => batch.put(TREE, odd.clone(), odd),
                };
            }
        });
    }

    #[test]
    fn what_is_there_all_the_time_is_given_once_however_often_it_is_let_go() {
        let mut random = Random::from_environment();
        for direction in [Direction::Forward, Direction::Backward] {
            let engine = engine();
            let snapshot = RenewableSnapshot::take(&engine).unwrap();
            let handle = snapshot.handle();
            let cursor = snapshot.cursor(TREE, &KeyRange::ALL, direction).unwrap();
            let mut scanner = Scanner::new(cursor, ReadMode::MayBlock);
            let mut given = Vec::new();
            while let Some((key, _)) = scanner.next().unwrap() {
                given.push(u64::from_be_bytes(key.try_into().unwrap()));
                if random.below(20) == 0 {
                    assert!(handle.release());
                    disturb(&engine, &mut random);
                }
            }
            let all: BTreeSet<u64> = given.iter().copied().collect();
            assert_eq!(all.len(), given.len(), "an entry was given twice");
            assert!((0..1_000).all(|even| all.contains(&(even * 2))), "an entry was passed over");
            let is_sorted = match direction {
                Direction::Forward => given.is_sorted(),
                Direction::Backward => given.iter().rev().is_sorted(),
            };
            assert!(is_sorted);
        }
    }

    #[test]
    fn entries_passed_over_stay_passed_over() {
        let engine = engine();
        let snapshot = RenewableSnapshot::take(&engine).unwrap();
        let cursor = snapshot.cursor(TREE, &KeyRange::ALL, Direction::Forward).unwrap();
        let mut scanner = Scanner::new(cursor, ReadMode::MayBlock);
        assert!(scanner.next().unwrap().is_some());
        assert_eq!(scanner.skip(99).unwrap(), 99);
        snapshot.handle().release();
        let (found, _) = scanner.next().unwrap().unwrap();
        assert_eq!(found, key(100));
    }

    #[test]
    fn nothing_is_held_of_a_snapshot_that_was_let_go() {
        let engine = engine();
        let snapshot = RenewableSnapshot::take(&engine).unwrap();
        let held = Arc::downgrade(&snapshot.0.held.lock().snapshot.clone().unwrap());
        let mut cursor = snapshot.cursor(TREE, &KeyRange::ALL, Direction::Forward).unwrap();
        let mut batch = EntryBatch::new();
        let limit = FillLimit { entries: 3, bytes: usize::MAX };
        cursor.fill(&mut batch, limit, ReadMode::MayBlock).unwrap();
        let handle = snapshot.handle();
        assert!(handle.release());
        assert!(held.upgrade().is_none(), "the cursor holds the snapshot");
        batch.clear();
        cursor.fill(&mut batch, limit, ReadMode::MayBlock).unwrap();
        assert_eq!(batch.get(0).unwrap().0, key(3));
        drop((cursor, snapshot));
        assert!(!handle.release());
    }
}
