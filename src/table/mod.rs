//! Tables: where documents meet trees of bytes.
//! Knows values, documents, keys and the storage trait; must not know terms, sessions, or who listens to changes.
//!
//! An open [`Table`] is shared by every query that uses it. [`Table::reader`] gives a view of one commit point to read
//! from (`scan.rs`), [`Table::write`] replaces documents one by one, each under its lock (`write.rs`), and what was
//! committed goes, in order, to the [`ChangeSink`] the table was opened with (`change.rs`).

mod build;
pub mod change;
mod check;
mod fair_lock;
mod hash_shard;
pub mod index;
pub mod index_scan;
pub mod key;
mod locks;
mod progress;
pub mod scan;
mod secondary;
mod sort;
pub mod write;

#[cfg(test)]
mod index_tests;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, RwLock};

use uuid::Uuid;

pub use crate::datum::{StoredError as DocumentError, StoredObject as Document};
pub use change::{ChangeSink, CommittedChanges, DocumentChange, NoSink};
pub use check::{CheckError, Checked, check_table};
pub use hash_shard::HASH_SHARDS;
pub use index::{Index, IndexFunction, IndexKind, Ordered};
pub use index_scan::{IndexScan, IndexedDocument};
pub use key::{PrimaryKey, key_range};
pub use scan::{DocumentScan, TableReader};
pub use secondary::{IndexRange, IndexValue};
pub use write::{Decision, WriteError, Written, WrittenOne};

use self::change::ChangeOrder;
use self::locks::KeyLocks;
use crate::meter::Meter;
use crate::storage::{Engine, RenewableSnapshot, RenewalHandle, Snapshot, StorageError, TreeId};

/// The identity of a table, which outlives its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub Uuid);

/// What can go wrong with an open table besides what a caller's own closure reports.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TableError {
    /// The engine failed. [`StorageError::NoSuchTree`] means that the table was dropped meanwhile,
    /// [`StorageError::NotResident`] that the caller would not wait; nothing was done then.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A stored document cannot be read.
    #[error("the document with the primary key {key}: {error}")]
    Document {
        /// Its key.
        key: PrimaryKey,
        /// What is wrong with it.
        error: DocumentError,
    },
    /// The entries of an index do not go with the documents.
    #[error("the index in {tree}: {problem}")]
    DamagedIndex {
        /// The tree of the index.
        tree: TreeId,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Too many values of an index are too long to be kept whole and begin alike.
    #[error("more than {limit} rows have the same first bytes of a long key in an index")]
    TooManyCut {
        /// How many may.
        limit: usize,
    },
    /// Other writers changed the same documents each time the write was tried.
    #[error("a document was changed by other writers {attempts} times in a row")]
    Contended {
        /// How often it was tried.
        attempts: usize,
    },
}

/// An open table.
pub struct Table {
    id: TableId,
    primary_key: Arc<str>,
    tree: TreeId,
    engine: Arc<dyn Engine>,
    locks: KeyLocks,
    changes: ChangeOrder,
    indexes: RwLock<Arc<[Arc<Index>]>>,
    /// Held while an index is made, renamed or dropped: see [`Table::change_indexes`].
    index_change: Mutex<()>,
    counts: TableCounts,
}

/// What was done with the documents of a table since the server has run.
#[derive(Debug, Default)]
pub struct TableCounts {
    /// Documents read by queries. Those that were only counted or passed over were not read.
    pub read: Meter,
    /// Documents written or deleted.
    pub written: Meter,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Table").field("id", &self.id).field("tree", &self.tree).finish()
    }
}

impl Table {
    /// Opens the table that is kept in `tree`. There is one open value for each table: its locks are what keeps two
    /// writers of one document apart.
    pub fn new(
        id: TableId,
        primary_key: &str,
        tree: TreeId,
        engine: Arc<dyn Engine>,
        sink: Arc<dyn ChangeSink>,
    ) -> Self {
        let changes = ChangeOrder::new(sink);
        let (primary_key, locks) = (primary_key.into(), KeyLocks::new());
        let indexes = RwLock::new(Arc::from([]));
        let (index_change, counts) = (Mutex::new(()), TableCounts::default());
        Self { id, primary_key, tree, engine, locks, changes, indexes, index_change, counts }
    }

    /// The table's identity.
    pub fn id(&self) -> TableId {
        self.id
    }

    /// The tree that its documents are in.
    pub fn tree(&self) -> TreeId {
        self.tree
    }

    /// The name of the field that holds the primary key.
    pub fn primary_key(&self) -> &Arc<str> {
        &self.primary_key
    }

    /// The engine it is stored in.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// What was done with its documents. Whoever reads them for a query counts them.
    pub fn counts(&self) -> &TableCounts {
        &self.counts
    }

    /// Bytes of the disk that the documents and the indexes take as of the last checkpoint, where the engine knows.
    pub fn data_bytes(&self) -> Option<u64> {
        let indexes = self.indexes();
        let trees = indexes.iter().flat_map(|index| index.trees()).chain([self.tree]);
        trees.map(|tree| self.engine.tree_bytes(tree)).sum()
    }

    /// A view of the table at the last commit point.
    pub fn reader(&self) -> Result<TableReader, TableError> {
        Ok(self.reader_at(self.engine.snapshot()?))
    }

    /// As [`Table::reader`], with a commit point that can be let go of between two reads. The handle does that.
    pub fn renewable_reader(&self) -> Result<(TableReader, RenewalHandle), TableError> {
        let snapshot = RenewableSnapshot::take(&self.engine)?;
        let handle = snapshot.handle();
        Ok((self.reader_at(Arc::new(snapshot)), handle))
    }

    /// A view of the table at a commit point that was taken before, perhaps to read several tables at one.
    pub fn reader_at(&self, snapshot: Arc<dyn Snapshot>) -> TableReader {
        TableReader::new(self.tree, snapshot)
    }
}
