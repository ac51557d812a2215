//! Writing documents: each is read, decided upon and replaced under its lock, and many share a commit.
//! Knows keys, documents and batches; must not know why a document is written, or what is answered.

use std::collections::HashMap;
use std::sync::Arc;

use super::change::{CommittedChanges, DocumentChange};
use super::scan::document;
use super::{Document, Index, PrimaryKey, Table, TableError};
use crate::limits::{
    INLINE_WRITE_BYTES, WRITE_ATTEMPTS, WRITE_COMMIT_BYTES, WRITE_COMMIT_DOCUMENTS,
};
use crate::storage::{Commit, Durability, Operation, ReadMode, Snapshot, StorageError, WriteBatch};

/// What becomes of a document.
#[derive(Debug, Clone)]
pub enum Decision {
    /// It stays as it is, there or not.
    Keep,
    /// It is replaced, or inserted.
    Put(Document),
    /// It is removed, if it is there.
    Delete,
}

/// Why a write ended early: an error of its own, or of the one who decides.
#[derive(Debug)]
pub enum WriteError<E> {
    /// The table failed. What was committed before stays.
    Table(TableError),
    /// The one who decides gave up. What was committed before stays, the rest was not written.
    Decide(E),
}

impl<E> From<TableError> for WriteError<E> {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

impl<E> From<StorageError> for WriteError<E> {
    fn from(error: StorageError) -> Self {
        Self::Table(TableError::Storage(error))
    }
}

/// A write that was done.
#[derive(Debug, Clone)]
pub struct Written {
    /// The last commit, if anything was written. When it is durable, so are those before it.
    pub commit: Option<Commit>,
    /// The documents before and after, in the order of the keys.
    pub documents: Vec<(Option<Document>, Option<Document>)>,
}

/// A write of one document that was done.
#[derive(Debug, Clone)]
pub struct WrittenOne {
    /// What it was; `None` if it was not there.
    pub old: Option<Document>,
    /// What it is; `None` if it is gone.
    pub new: Option<Document>,
    /// The commit, if it was written.
    pub commit: Option<Commit>,
}

impl Table {
    /// Replaces the document of each key by what `decide` makes of it, given the number of the key and the document
    /// as it is. Each document is read and replaced as one step that no other writer comes between; up to
    /// `limits::WRITE_COMMIT_DOCUMENTS` of them are committed together. A key that comes twice is decided upon twice,
    /// the second time with the outcome of the first.
    ///
    /// `decide` runs under the locks of the documents: it must not write to this table. It may be asked again for the
    /// same key, when another writer's commit got in between; the last answer counts.
    ///
    /// With [`ReadMode::CachedOnly`], `NotResident` comes before anything is committed; before anything is decided when
    /// it is a document that is not in memory, when there are more keys than share one commit, when the engine has too
    /// much to write already, and when somebody else is at one of the documents, who may be waiting for the disk; after
    /// some decisions when the documents are too long for one commit, or for a thread that has others to serve.
    pub fn write<E>(
        &self,
        keys: &[PrimaryKey],
        durability: Durability,
        mode: ReadMode,
        mut decide: impl FnMut(usize, Option<&Document>) -> Result<Decision, E>,
    ) -> Result<Written, WriteError<E>> {
        let may_wait = mode == ReadMode::MayBlock;
        if !may_wait && (keys.len() > WRITE_COMMIT_DOCUMENTS || !self.engine.has_room()) {
            return Err(StorageError::NotResident.into());
        }
        let mut written = Written { commit: None, documents: Vec::with_capacity(keys.len()) };
        for part in keys.chunks(WRITE_COMMIT_DOCUMENTS) {
            let offset = written.documents.len();
            let _guard = if may_wait {
                self.locks.lock(part)
            } else {
                self.locks.try_lock(part).ok_or(StorageError::NotResident)?
            };
            let mut job = Job::new(self, part, durability, mode);
            job.run(&mut |at, old| decide(offset + at, old))?;
            written.documents.append(&mut job.done);
            written.commit = job.commit.or(written.commit);
        }
        Ok(written)
    }

    /// As [`Table::write`] for one document.
    pub fn write_one<E>(
        &self,
        key: &PrimaryKey,
        durability: Durability,
        mode: ReadMode,
        mut decide: impl FnMut(Option<&Document>) -> Result<Decision, E>,
    ) -> Result<WrittenOne, WriteError<E>> {
        let keys = std::slice::from_ref(key);
        let mut written = self.write(keys, durability, mode, |_, old| decide(old))?;
        let (old, new) = written.documents.pop().unwrap_or_default();
        Ok(WrittenOne { old, new, commit: written.commit })
    }
}

type Decide<'a, E> = &'a mut dyn FnMut(usize, Option<&Document>) -> Result<Decision, E>;

/// The writing of keys whose locks are held.
struct Job<'a> {
    table: &'a Table,
    keys: &'a [PrimaryKey],
    durability: Durability,
    mode: ReadMode,
    /// Looked at only once the locks are held: see [`super::index`].
    indexes: Arc<[Arc<Index>]>,
    /// What was written under keys that come more than once.
    repeated: HashMap<&'a PrimaryKey, Option<Document>>,
    done: Vec<(Option<Document>, Option<Document>)>,
    commit: Option<Commit>,
}

impl<'a> Job<'a> {
    fn new(
        table: &'a Table,
        keys: &'a [PrimaryKey],
        durability: Durability,
        mode: ReadMode,
    ) -> Self {
        let done = Vec::with_capacity(keys.len());
        let (indexes, repeated) = (table.indexes(), HashMap::new());
        Self { table, keys, durability, mode, indexes, repeated, done, commit: None }
    }

    /// Commits until all keys are done: once, unless the documents are very long.
    fn run<E>(&mut self, decide: Decide<'_, E>) -> Result<(), WriteError<E>> {
        let twice = self.keys_that_repeat();
        let mut attempts = 0;
        let mut snapshot = self.table.engine.snapshot()?;
        let mut read = self.read_ahead(&*snapshot)?;
        while self.done.len() < self.keys.len() {
            let before = (self.done.len(), self.repeated.clone());
            let batch = self.decide_some(&*snapshot, &read, &twice, decide)?;
            // Whoever may not wait starts over elsewhere when something is in the way, and must not have written then: all
            // of it is one commit.
            if self.mode == ReadMode::CachedOnly
                && (self.done.len() < self.keys.len() || batch.bytes() > INLINE_WRITE_BYTES)
            {
                return Err(StorageError::NotResident.into());
            }
            match self.apply(batch, before.0) {
                Ok(()) => attempts = 0,
                Err(error) if self.is_to_be_repeated(&error) && attempts + 1 < WRITE_ATTEMPTS => {
                    attempts += 1;
                    self.look_at_indexes()?;
                    self.done.truncate(before.0);
                    self.repeated = before.1;
                    snapshot = self.table.engine.snapshot()?;
                    read = self.read_ahead(&*snapshot)?;
                }
                Err(StorageError::Conflict) => {
                    return Err(TableError::Contended { attempts: WRITE_ATTEMPTS }.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Which indexes there are now, once nobody is about to tell.
    fn look_at_indexes(&mut self) -> Result<(), StorageError> {
        let may_wait = self.mode == ReadMode::MayBlock || self.commit.is_some();
        if !may_wait && !self.table.knows_its_indexes() {
            return Err(StorageError::NotResident);
        }
        drop(self.table.change_indexes());
        self.indexes = self.table.indexes();
        Ok(())
    }

    /// Another writer changed what was read, or an index was dropped that the batch keeps up.
    fn is_to_be_repeated(&self, error: &StorageError) -> bool {
        match error {
            StorageError::Conflict => true,
            StorageError::NoSuchTree(tree) => *tree != self.table.tree,
            _ => false,
        }
    }

    fn keys_that_repeat(&self) -> Vec<&'a PrimaryKey> {
        if self.keys.len() < 2 {
            return Vec::new();
        }
        let mut sorted: Vec<_> = self.keys.iter().collect();
        sorted.sort_unstable();
        let pairs = sorted.iter().zip(sorted.iter().skip(1));
        let mut twice: Vec<_> = pairs.filter(|(a, b)| a == b).map(|(a, _)| *a).collect();
        twice.dedup();
        twice
    }

    /// What must not be found missing later is read before anything is decided.
    fn read_ahead(&self, snapshot: &dyn Snapshot) -> Result<Vec<Option<Document>>, TableError> {
        match self.mode {
            ReadMode::MayBlock => Ok(Vec::new()),
            ReadMode::CachedOnly => {
                let read = self.keys.iter().map(|key| self.read(snapshot, key));
                let documents: Vec<Option<Document>> = read.collect::<Result<_, _>>()?;
                let bytes = documents.iter().flatten().map(|document| document.as_bytes().len());
                if bytes.sum::<usize>() > INLINE_WRITE_BYTES {
                    return Err(StorageError::NotResident.into());
                }
                Ok(documents)
            }
        }
    }

    fn read(
        &self,
        snapshot: &dyn Snapshot,
        key: &PrimaryKey,
    ) -> Result<Option<Document>, TableError> {
        let stored = snapshot.get(self.table.tree, key.as_bytes(), self.mode)?;
        stored.map(|bytes| document(key.as_bytes(), bytes)).transpose()
    }

    /// Decides upon the keys that are left, until the batch is large enough.
    fn decide_some<E>(
        &mut self,
        snapshot: &dyn Snapshot,
        read: &[Option<Document>],
        twice: &[&'a PrimaryKey],
        decide: Decide<'_, E>,
    ) -> Result<WriteBatch, WriteError<E>> {
        let mut batch = WriteBatch::new(self.durability);
        let conditional = !self.table.engine.is_sole_writer();
        let tree = self.table.tree;
        while let Some(key) = self.keys.get(self.done.len())
            && batch.bytes() < WRITE_COMMIT_BYTES
        {
            let at = self.done.len();
            let repeated = self.repeated.get(key);
            let old = match (repeated, read.get(at)) {
                (Some(written), _) => written.clone(),
                (None, Some(read)) => read.clone(),
                (None, None) => self.read(snapshot, key)?,
            };
            if conditional && repeated.is_none() {
                let expected = old.as_ref().map(|old| old.as_bytes().clone());
                batch.expect_value(tree, key.as_bytes().clone(), expected);
            }
            let new = match decide(at, old.as_ref()).map_err(WriteError::Decide)? {
                Decision::Keep => old.clone(),
                Decision::Put(new) => {
                    batch.put(tree, key.as_bytes().clone(), new.as_bytes().clone());
                    Some(new)
                }
                Decision::Delete => {
                    if old.is_some() {
                        batch.delete(tree, key.as_bytes().clone());
                    }
                    None
                }
            };
            if old != new {
                for index in self.indexes.iter() {
                    index.follow(&mut batch, key, old.as_ref(), new.as_ref());
                }
            }
            if twice.binary_search(&key).is_ok() {
                self.repeated.insert(key, new.clone());
            }
            self.done.push((old, new));
        }
        Ok(batch)
    }

    /// Commits the batch, which is what was decided from `first` on, and hands on what it changed.
    fn apply(&mut self, batch: WriteBatch, first: usize) -> Result<(), StorageError> {
        if batch.is_empty() {
            return Ok(());
        }
        let table = self.table;
        if self.mode == ReadMode::CachedOnly {
            self.check_resident(&batch)?;
        }
        let documents = batch.operations().iter().filter(|operation| {
            matches!(operation, Operation::Put { tree, .. } | Operation::Delete { tree, .. } if *tree == table.tree)
        });
        let documents = documents.count() as u64;
        let writer = table.changes.announce(&*table.engine);
        let commit = table.engine.apply(batch)?;
        table.counts.written.add(documents);
        self.commit = Some(commit);
        if writer.listens(table.id) {
            let decided = self.keys.iter().zip(&self.done).skip(first);
            let changed = decided.filter(|(_, (old, new))| old != new);
            let documents: Vec<_> = changed
                .map(|(key, (old, new))| DocumentChange {
                    key: key.clone(),
                    // It may wait for long, and not for a whole page.
                    old: old.as_ref().map(Document::detached),
                    new: new.clone(),
                })
                .collect();
            if !documents.is_empty() {
                let sequence = commit.sequence;
                writer.committed(CommittedChanges { table: table.id, sequence, documents });
            }
        }
        Ok(())
    }

    /// Whether what the batch changes of indexes is in memory, so that applying it waits for nothing. The documents were
    /// just read.
    fn check_resident(&self, batch: &WriteBatch) -> Result<(), StorageError> {
        let mut snapshot = None;
        for operation in batch.operations() {
            if let Operation::Put { tree, key, .. } | Operation::Delete { tree, key } = operation
                && *tree != self.table.tree
            {
                let snapshot = match &mut snapshot {
                    Some(snapshot) => snapshot,
                    None => snapshot.insert(self.table.engine.snapshot()?),
                };
                snapshot.get(*tree, key, ReadMode::CachedOnly)?;
            }
        }
        Ok(())
    }
}
