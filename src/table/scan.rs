//! Reading a table at one commit point: one document, a range both ways, counts and positions.
//! Knows documents and snapshots; must not know values' meaning, terms, or writers.

use std::sync::Arc;

use bytes::Bytes;

use super::{Document, PrimaryKey, TableError};
use crate::storage::{CommitSequence, Direction, KeyRange, ReadMode, Scanner, Snapshot, TreeId};

/// A table at one commit point. Cheap to clone. Each read says whether it may wait: that can change between two reads, when
/// a query has written and cannot start over elsewhere any more.
#[derive(Clone)]
pub struct TableReader {
    tree: TreeId,
    pub(super) snapshot: Arc<dyn Snapshot>,
}

impl TableReader {
    /// A view of the table that is kept in `tree`.
    pub fn new(tree: TreeId, snapshot: Arc<dyn Snapshot>) -> Self {
        Self { tree, snapshot }
    }

    /// The last commit it sees. A change with a greater sequence is not in what it reads; every other one is.
    pub fn sequence(&self) -> CommitSequence {
        self.snapshot.sequence()
    }

    /// The document with this key.
    pub fn get(&self, key: &PrimaryKey, mode: ReadMode) -> Result<Option<Document>, TableError> {
        let stored = self.snapshot.get(self.tree, key.as_bytes(), mode)?;
        stored.map(|bytes| document(key.as_bytes(), bytes)).transpose()
    }

    /// The documents of a range of keys, in their order or against it. Holds the commit point, and no lock.
    pub fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        mode: ReadMode,
    ) -> Result<DocumentScan, TableError> {
        let cursor = self.snapshot.cursor(self.tree, range, direction)?;
        Ok(DocumentScan { scanner: Scanner::new(cursor, mode) })
    }

    /// The number of documents in a range, without reading them.
    pub fn count(&self, range: &KeyRange, mode: ReadMode) -> Result<u64, TableError> {
        Ok(self.snapshot.count(self.tree, range, mode)?)
    }

    /// The document that has `rank` documents of the range before it in that direction, without reading those.
    pub fn nth(
        &self,
        range: &KeyRange,
        direction: Direction,
        rank: u64,
        mode: ReadMode,
    ) -> Result<Option<Document>, TableError> {
        let found = self.snapshot.nth(self.tree, range, direction, rank, mode)?;
        found.map(|(key, bytes)| document(&key, bytes)).transpose()
    }
}

/// The documents of a range, one after another.
pub struct DocumentScan {
    scanner: Scanner,
}

impl DocumentScan {
    /// The next document, or `None` at the end. After `NotResident` the scan stands where it stood.
    #[expect(
        clippy::should_implement_trait,
        reason = "a Result of an Option reads better with `?`"
    )]
    pub fn next(&mut self) -> Result<Option<Document>, TableError> {
        match self.scanner.next()? {
            Some((key, bytes)) => document(key, bytes.clone()).map(Some),
            None => Ok(None),
        }
    }

    /// As [`DocumentScan::next`], with the document's key.
    pub fn next_with_key(&mut self) -> Result<Option<(PrimaryKey, Document)>, TableError> {
        match self.scanner.next()? {
            Some((key, bytes)) => {
                let document = document(key, bytes.clone())?;
                Ok(Some((PrimaryKey::from_stored(key), document)))
            }
            None => Ok(None),
        }
    }

    /// Passes over up to `documents` documents without reading them, and returns how many there were to pass.
    pub fn skip(&mut self, documents: u64) -> Result<u64, TableError> {
        Ok(self.scanner.skip(documents)?)
    }

    /// Keeps nothing that the engine lent, once the snapshot was let go of: the scan goes on in the next one.
    pub fn let_go(&mut self) {
        self.scanner.let_go();
    }

    /// Changes how later reads behave: a stream that began inline goes on where it may wait.
    pub fn set_mode(&mut self, mode: ReadMode) {
        self.scanner.set_mode(mode);
    }
}

/// The document that is stored under a key.
pub(super) fn document(key: &[u8], bytes: Bytes) -> Result<Document, TableError> {
    let damaged = |error| TableError::Document { key: PrimaryKey::from_stored(key), error };
    Document::from_stored(bytes).map_err(damaged)
}
