//! Secondary indexes: what a document's entries are, and how they follow the document.
//! Knows documents, entries and batches; must not know terms (a function is a trait), names, or the catalog.
//!
//! An index is a tree whose keys lead from a value to primary keys (`secondary.rs`). Whoever writes a document changes
//! the entries in the same batch. A new index is first put into the table's list, so that every writer from then on
//! keeps it up, and then [`Table::build_index`] goes through the documents that are there, some at a time under their
//! locks. Writers look at the list only after they have the locks, and the building waits for those that had theirs
//! before: so no document is missed between the two.

use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::secondary::IndexValue;
use super::{Document, PrimaryKey, Table, TableError};
use crate::datum::Datum;
use crate::limits::{INDEX_BUILD_DOCUMENTS, INDEX_BUILD_LOCKED, WRITE_COMMIT_BYTES};
use crate::storage::{
    Direction, Durability, KeyRange, ReadMode, Scanner, StorageError, TreeId, WriteBatch,
};

/// What an index is computed from.
pub trait IndexFunction: Send + Sync + fmt::Debug {
    /// The value of a document, or `None` when it has none: then it is not in the index.
    fn value(&self, document: &Document) -> Option<Datum>;

    /// Whether two documents certainly have the same value, as far as that can be told without computing it.
    fn is_unchanged(&self, _old: &Document, _new: &Document) -> bool {
        false
    }
}

/// How a value becomes entries. A kind of index that is not ordered by its values implements this anew.
pub trait IndexKind: Send + Sync + fmt::Debug {
    /// Adds what the index keeps of one value; nothing when the value cannot be in it.
    fn entries(&self, value: &Datum, entries: &mut Vec<IndexValue>);
}

/// The kind that is ordered by its values. Null, objects, minval, maxval and whatever else cannot be a key are
/// left out.
#[derive(Debug, Clone, Copy)]
pub struct Ordered;

impl IndexKind for Ordered {
    fn entries(&self, value: &Datum, entries: &mut Vec<IndexValue>) {
        entries.extend(IndexValue::of_document(value));
    }
}

/// A secondary index of an open table. There is one open value for each.
pub struct Index {
    id: Uuid,
    tree: TreeId,
    is_multi: bool,
    kind: Box<dyn IndexKind>,
    function: Arc<dyn IndexFunction>,
    is_ready: AtomicBool,
    is_dropped: AtomicBool,
    /// Documents that the building has looked at, and those that there were when it began.
    done: AtomicU64,
    total: AtomicU64,
    /// When the building began, of an index that this server has built.
    began: OnceLock<Instant>,
}

impl fmt::Debug for Index {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Index").field("id", &self.id).field("tree", &self.tree).finish()
    }
}

impl Index {
    /// An index kept in `tree`. Of a multi index every element of an array is a value of its own.
    pub fn new(
        id: Uuid,
        tree: TreeId,
        is_multi: bool,
        kind: Box<dyn IndexKind>,
        function: Arc<dyn IndexFunction>,
        is_ready: bool,
    ) -> Self {
        let (is_ready, is_dropped) = (AtomicBool::new(is_ready), AtomicBool::new(false));
        let (done, total, began) = (AtomicU64::new(0), AtomicU64::new(0), OnceLock::new());
        Self { id, tree, is_multi, kind, function, is_ready, is_dropped, done, total, began }
    }

    /// Its identity, which outlives its name.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The tree of its entries.
    pub fn tree(&self) -> TreeId {
        self.tree
    }

    /// Whether it can be read: it has all documents.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// How much of the building is done, from 0 to 1.
    pub fn progress(&self) -> f64 {
        let total = self.total.load(Ordering::Relaxed);
        if self.is_ready() {
            return 1.0;
        }
        if total == 0 {
            return 0.0;
        }
        (self.done.load(Ordering::Relaxed) as f64 / total as f64).min(1.0)
    }

    /// Whether it is being built, or waits for its turn.
    pub fn is_being_built(&self) -> bool {
        !self.is_ready() && !self.is_dropped()
    }

    /// How long the building has been going on, if it has begun.
    pub fn building_for(&self) -> Option<Duration> {
        self.began.get().map(Instant::elapsed)
    }

    /// It is complete.
    pub fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }

    /// Whether it was dropped.
    pub fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Relaxed)
    }

    /// The building, if it is under way, ends.
    pub fn set_dropped(&self) {
        self.is_dropped.store(true, Ordering::Relaxed);
    }

    /// The value of a document; of a multi index perhaps an array of values.
    pub(super) fn value(&self, document: &Document) -> Option<Datum> {
        self.function.value(document)
    }

    /// The value of a document that the entry with this tag stands for.
    pub fn value_of(&self, document: &Document, tag: u32) -> Option<Datum> {
        let value = self.function.value(document)?;
        match &value {
            Datum::Array(elements) if self.is_multi => elements.get(tag as usize).cloned(),
            _ => Some(value),
        }
    }

    /// The keys of a document's entries, sorted.
    pub(super) fn entries(&self, primary: &PrimaryKey, document: Option<&Document>) -> Vec<Bytes> {
        let Some(value) = document.and_then(|document| self.function.value(document)) else {
            return Vec::new();
        };
        let mut keys = Vec::new();
        let mut values = Vec::new();
        let mut add = |value: &Datum, tag: usize| {
            self.kind.entries(value, &mut values);
            // An array that long is over every limit of arrays.
            let tag = u32::try_from(tag).unwrap_or(u32::MAX);
            keys.extend(values.drain(..).map(|value| value.entry(primary, tag)));
        };
        match &value {
            Datum::Array(elements) if self.is_multi => {
                elements.iter().enumerate().for_each(|(tag, element)| add(element, tag));
            }
            _ => add(&value, 0),
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Puts into the batch what a document's change means for the index.
    pub(super) fn follow(
        &self,
        batch: &mut WriteBatch,
        primary: &PrimaryKey,
        old: Option<&Document>,
        new: Option<&Document>,
    ) {
        if let (Some(old), Some(new)) = (old, new)
            && self.function.is_unchanged(old, new)
        {
            return;
        }
        let before = self.entries(primary, old);
        let after = self.entries(primary, new);
        for key in &before {
            if after.binary_search(key).is_err() {
                batch.delete(self.tree, key.clone());
            }
        }
        for key in after {
            if before.binary_search(&key).is_err() {
                batch.put(self.tree, key, Bytes::new());
            }
        }
    }
}

impl Table {
    /// The indexes that writers keep up.
    pub(super) fn indexes(&self) -> Arc<[Arc<Index>]> {
        // The lock is held only while the pointer is cloned or exchanged, so it cannot be left in between.
        Arc::clone(&self.indexes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps others from changing the indexes of this table. To be held from before the commit that makes or drops one
    /// until [`Table::set_indexes`] has told the writers: a writer whose index is gone waits for that, and of two such
    /// changes the later one is told last.
    pub fn change_indexes(&self) -> MutexGuard<'_, ()> {
        self.index_change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody is between the commit of such a change and telling of it.
    pub(super) fn knows_its_indexes(&self) -> bool {
        !matches!(self.index_change.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Has writers keep up these indexes and no others from now on.
    pub fn set_indexes(&self, indexes: Vec<Arc<Index>>) {
        let mut held = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        *held = indexes.into();
    }

    /// Gives an index the entries of all documents that are there. It must be among those that writers keep up. False
    /// when it was dropped meanwhile. Making it ready is left to the caller, who notes it durably first.
    pub fn build_index(&self, index: &Index) -> Result<bool, TableError> {
        const WAIT: ReadMode = ReadMode::MayBlock;
        index.began.get_or_init(Instant::now);
        // Writers that do not know of the index yet may be inserting documents that the snapshot would not have.
        self.locks.wait_for_holders();
        let first = self.engine.snapshot()?;
        index.total.store(first.count(self.tree, &KeyRange::ALL, WAIT)?, Ordering::Relaxed);
        index.done.store(0, Ordering::Relaxed);
        // Documents that come from now on are put into the index by those who write them.
        let backward = first.cursor(self.tree, &KeyRange::ALL, Direction::Backward)?;
        let mut rest = match Scanner::new(backward, WAIT).next()? {
            Some((last, _)) => {
                let last = Bytes::copy_from_slice(last);
                KeyRange::new(Bound::Unbounded, Bound::Included(last))
            }
            None => return Ok(true),
        };
        drop(first);
        loop {
            let keys = self.next_keys(&rest)?;
            let Some(last) = keys.last() else { return Ok(true) };
            rest.start = Bound::Excluded(last.as_bytes().clone());
            let mut left = keys.as_slice();
            while !left.is_empty() {
                if index.is_dropped() {
                    return Ok(false);
                }
                let indexed = match self.index_some(index, left) {
                    Err(TableError::Storage(StorageError::NoSuchTree(tree)))
                        if tree == index.tree =>
                    {
                        return Ok(false);
                    }
                    indexed => indexed?,
                };
                left = left.get(indexed..).unwrap_or_default();
                index.done.fetch_add(indexed as u64, Ordering::Relaxed);
            }
        }
    }

    /// Keys of documents at the beginning of a range, to be read under their locks. Each time from another snapshot: one
    /// for the whole building would for so long keep everything that checkpoints and writers replace.
    fn next_keys(&self, range: &KeyRange) -> Result<Vec<PrimaryKey>, TableError> {
        let cursor = self.engine.snapshot()?.cursor(self.tree, range, Direction::Forward)?;
        let mut scanner = Scanner::new(cursor, ReadMode::MayBlock);
        let mut keys = Vec::with_capacity(INDEX_BUILD_DOCUMENTS);
        while keys.len() < INDEX_BUILD_DOCUMENTS
            && let Some((key, _)) = scanner.next()?
        {
            keys.push(PrimaryKey::from_stored(key));
        }
        Ok(keys)
    }

    /// Gives an index the entries of some documents, and tells of how many: at least one, and no more than a commit holds
    /// and writers may be kept waiting for.
    fn index_some(&self, index: &Index, keys: &[PrimaryKey]) -> Result<usize, TableError> {
        let began = Instant::now();
        let _guard = self.locks.lock(keys);
        let reader = self.reader(ReadMode::MayBlock)?;
        let mut batch = WriteBatch::new(Durability::Soft);
        let mut indexed = 0;
        for key in keys {
            if let Some(document) = reader.get(key)? {
                for entry in index.entries(key, Some(&document)) {
                    batch.put(index.tree, entry, Bytes::new());
                }
            }
            indexed += 1;
            if batch.bytes() >= WRITE_COMMIT_BYTES || began.elapsed() >= INDEX_BUILD_LOCKED {
                break;
            }
        }
        if !batch.is_empty() {
            self.engine.apply(batch)?;
        }
        Ok(indexed)
    }
}
