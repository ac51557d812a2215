//! Cursors of a snapshot that can be let go of: each goes on behind the last entry that it gave, in the next snapshot.
//! Knows keys and places; not when a snapshot is let go of.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{RenewableSnapshot, Taken};
use crate::storage::{
    Cursor, Direction, EntryBatch, FillLimit, KeyRange, ReadMode, StorageError, TreeId,
};

/// Where a cursor stands: behind a key, and behind so many entries that were passed over since.
#[derive(Clone, Debug, Default)]
struct Place {
    behind: Option<Bytes>,
    passed: u64,
}

pub(super) struct RenewableCursor {
    of: RenewableSnapshot,
    /// Its number among the cursors of the snapshot, which no other one ever has.
    number: u64,
    /// The renewals when it was last read: those of the snapshot that its kept cursor belongs to.
    seen: u64,
    tree: TreeId,
    range: KeyRange,
    direction: Direction,
    place: Place,
    /// Where it stood before the last entries were read.
    before: Place,
}

impl RenewableCursor {
    /// A cursor before the first entry of the range.
    pub(super) fn open(
        of: &RenewableSnapshot,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Self, StorageError> {
        let Taken { snapshot, renewals } = of.current()?;
        let cursor = snapshot.cursor(tree, range, direction)?;
        let opened = Self {
            of: of.clone(),
            number: of.shared.next.fetch_add(1, Ordering::Relaxed),
            seen: renewals,
            tree,
            range: range.clone(),
            direction,
            place: Place::default(),
            before: Place::default(),
        };
        opened.keep(cursor);
        Ok(opened)
    }

    /// The cursor of the current snapshot, taken out of those that are kept.
    fn take(&mut self, mode: ReadMode) -> Result<Box<dyn Cursor>, StorageError> {
        let kept = self.of.shared.held.lock().cursors.remove(&self.number);
        if let Some(cursor) = kept {
            return Ok(cursor);
        }
        let Taken { snapshot, renewals } = self.of.current()?;
        let mut cursor = snapshot.cursor(self.tree, &self.rest(), self.direction)?;
        if self.place.passed > 0 {
            cursor.skip(self.place.passed, mode)?;
        }
        self.seen = renewals;
        Ok(cursor)
    }

    /// Keeps the cursor beside its snapshot, unless that was let go of meanwhile.
    fn keep(&self, cursor: Box<dyn Cursor>) {
        let mut held = self.of.shared.held.lock();
        if held.renewals == self.seen {
            held.cursors.insert(self.number, cursor);
            return;
        }
        // Pages are freed without the lock.
        drop(held);
        drop(cursor);
    }

    /// The part of the range behind the last key.
    fn rest(&self) -> KeyRange {
        match &self.place.behind {
            None => self.range.clone(),
            Some(key) => self.range.behind(key, self.direction),
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
        self.seen != self.of.shared.renewals()
    }

    fn rewind(&mut self, given: Option<&[u8]>) {
        self.place = match given {
            Some(key) => Place { behind: Some(Bytes::copy_from_slice(key)), passed: 0 },
            None => self.before.clone(),
        };
        // What is kept of this cursor stands behind what was read, not behind what was given.
        let kept = self.of.shared.held.lock().cursors.remove(&self.number);
        drop(kept);
        self.seen = self.of.shared.renewals();
    }
}

impl Drop for RenewableCursor {
    fn drop(&mut self) {
        let cursor = self.of.shared.held.lock().cursors.remove(&self.number);
        drop(cursor);
    }
}
