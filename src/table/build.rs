//! Building an index of the documents that are there, while others write.
//! Knows documents, entries and trees; must not know who wants the index, nor note durably that it is complete.
//!
//! The entries are sorted outside memory and the tree is made of them in one go, which is much quicker than putting them
//! where they belong one by one. Three stages, between which every writer that is under way is waited for:
//!
//! 1. **Collecting.** Writers note what they change of the index in a second tree: which entries are there now, and which
//!    are not any more. Meanwhile the documents are read, a portion from each commit point, and their entries loaded.
//!    A document may be read before or after a write of that time, which makes no difference: an entry that a write
//!    changed is what the last note says, and any other has been all the time what it is in the document that was read.
//! 2. **Catching up.** Writers change the index itself and take away older notes of the same entries. What is left of the
//!    notes is carried over, some at a time under the locks of their documents.
//! 3. **Direct.** There are no notes any more. The caller makes the index ready and drops their tree in one commit.
//!
//! A stop before that commit leaves two trees that are dropped and made anew when the building begins again.

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use bytes::Bytes;

use super::index::Stage;
use super::progress::Step;
use super::secondary::EntryKey;
use super::sort::{Merged, Sorter};
use super::{Index, PrimaryKey, Table, TableError};
use crate::limits::{
    INDEX_BUILD_BATCH_BYTES, INDEX_BUILD_DOCUMENTS, INDEX_BUILD_LOOK, INDEX_BUILD_PORTION,
    INDEX_BUILD_THREAD_DOCUMENTS, INDEX_BUILD_THREADS, INDEX_SORT_BYTES, INDEX_SORT_BYTES_MIN,
    INDEX_SORT_CACHE_PART,
};
use crate::storage::{
    Direction, Durability, KeyRange, ReadMode, Scanner, Snapshot, StorageError, TreeId, WriteBatch,
};

const WAIT: ReadMode = ReadMode::MayBlock;

/// Why a part of the building came to nothing.
enum Ended {
    /// The index was dropped, or another part has failed.
    Told,
    Failed(TableError),
}

impl From<TableError> for Ended {
    fn from(error: TableError) -> Self {
        Self::Failed(error)
    }
}

impl From<StorageError> for Ended {
    fn from(error: StorageError) -> Self {
        Self::Failed(error.into())
    }
}

impl Table {
    /// Gives an index the entries of all documents that are there. It must be new, and among those that writers keep up.
    /// False when it was dropped meanwhile. Making it ready is left to the caller, who notes it durably first.
    pub fn build_index(&self, index: &Index) -> Result<bool, TableError> {
        match self.build(index) {
            Ok(()) => Ok(true),
            Err(Ended::Told) => Ok(false),
            Err(Ended::Failed(TableError::Storage(StorageError::NoSuchTree(tree))))
                if tree == self.tree || index.trees().any(|own| own == tree) =>
            {
                Ok(false)
            }
            Err(Ended::Failed(error)) => Err(error),
        }
    }

    fn build(&self, index: &Index) -> Result<(), Ended> {
        index.begin();
        let Some(notes) = index.notes() else {
            let (tree, problem) = (index.tree(), "its building has begun");
            return Err(TableError::DamagedIndex { tree, problem }.into());
        };
        // Writers that do not know of the index yet may be inserting documents that the snapshots would not have.
        self.locks.wait_for_holders();
        let sorted = self.sort_entries(index)?;
        self.load_entries(index, sorted)?;
        index.set_stage(Stage::CatchingUp);
        self.locks.wait_for_holders();
        self.carry_over(index, notes)?;
        index.set_stage(Stage::Direct);
        self.locks.wait_for_holders();
        Ok(())
    }

    /// The entries of all documents, by several threads if there are many.
    fn sort_entries(&self, index: &Index) -> Result<Vec<Sorter<'_>>, Ended> {
        let snapshot = self.engine.snapshot()?;
        let total = snapshot.count(self.tree, &KeyRange::ALL, WAIT)?;
        index.begin_step(Step::Reading, total);
        let parts = self.parts(&*snapshot, total)?;
        drop(snapshot);
        let memory = self.engine.memory_bytes().map_or(INDEX_SORT_BYTES, |bytes| {
            let part = usize::try_from(bytes).unwrap_or(usize::MAX) / INDEX_SORT_CACHE_PART;
            part.clamp(INDEX_SORT_BYTES_MIN, INDEX_SORT_BYTES)
        });
        let each = memory / parts.len().max(1);
        let gives_up = AtomicBool::new(false);
        let sort = |part: KeyRange| {
            let ends = GivesUp(&gives_up);
            let mut sorter = Sorter::new(&*self.engine, each);
            self.sort_part(index, part, &mut sorter, &gives_up)?;
            // It has not ended early.
            std::mem::forget(ends);
            Ok(sorter)
        };
        std::thread::scope(|scope| {
            let sort = &sort;
            let threads: Vec<_> =
                parts.into_iter().map(|part| scope.spawn(move || sort(part))).collect();
            let outcomes: Vec<_> = threads.into_iter().map(joined).collect();
            let mut sorters = Vec::new();
            let mut ended = None;
            for outcome in outcomes {
                match outcome {
                    Ok(sorter) => sorters.push(sorter),
                    // Of several the one that says why.
                    Err(Ended::Told) => drop(ended.get_or_insert(Ended::Told)),
                    Err(failed) => ended = Some(failed),
                }
            }
            ended.map_or(Ok(sorters), Err)
        })
    }

    /// The documents that are there, cut into a range for each thread. Those that come later have been noted by whoever
    /// wrote them, so the last range ends.
    fn parts(&self, snapshot: &dyn Snapshot, total: u64) -> Result<Vec<KeyRange>, TableError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(INDEX_BUILD_THREADS) as u64;
        let count = (total / INDEX_BUILD_THREAD_DOCUMENTS).clamp(1, threads);
        let mut parts = Vec::new();
        let mut start = Bound::Unbounded;
        for number in 1..=count {
            let last = (total * number / count).checked_sub(1);
            let Some(last) = last else { break };
            let found = snapshot.nth(self.tree, &KeyRange::ALL, Direction::Forward, last, WAIT)?;
            let Some((last, _)) = found else { break };
            parts.push(KeyRange::new(start, Bound::Included(last.clone())));
            start = Bound::Excluded(last);
        }
        Ok(parts)
    }

    /// The entries of the documents of a range. A portion from each commit point: one for all would for so long keep
    /// everything that checkpoints and writers replace.
    fn sort_part(
        &self,
        index: &Index,
        mut rest: KeyRange,
        sorter: &mut Sorter<'_>,
        gives_up: &AtomicBool,
    ) -> Result<(), Ended> {
        loop {
            let mut scan = self.reader()?.scan(&rest, Direction::Forward, WAIT)?;
            let until = Instant::now() + INDEX_BUILD_PORTION;
            let mut last = None;
            while let Some((key, document)) = scan.next_with_key()? {
                for entry in index.entries(&key, Some(&document)) {
                    sorter.push(&entry)?;
                }
                last = Some(key);
                index.add_done(1);
                // After each, since what an index function does for one may take long.
                if index.is_dropped() || gives_up.load(Ordering::Relaxed) {
                    return Err(Ended::Told);
                }
                if Instant::now() >= until {
                    break;
                }
            }
            let Some(last) = last else { return Ok(()) };
            rest.start = Bound::Excluded(last.as_bytes().clone());
        }
    }

    /// Makes the tree of sorted entries.
    fn load_entries(&self, index: &Index, sorted: Vec<Sorter<'_>>) -> Result<(), Ended> {
        index.begin_step(Step::Loading, sorted.iter().map(Sorter::len).sum());
        let bytes = sorted.iter().map(Sorter::held_bytes).sum::<Option<usize>>();
        let mut merged = Merged::new(sorted)?;
        if bytes.is_some_and(|bytes| bytes <= INDEX_BUILD_BATCH_BYTES) {
            // So few are not worth an extent of their own.
            let mut batch = WriteBatch::new(Durability::Soft);
            while let Some(entry) = merged.next()? {
                batch.put(index.tree(), Bytes::copy_from_slice(entry), Bytes::new());
            }
            if !batch.is_empty() {
                self.engine.apply(batch)?;
            }
            return Ok(());
        }
        let mut load = self.engine.bulk_load(index.tree())?;
        let mut pushed: u64 = 0;
        while let Some(entry) = merged.next()? {
            load.push(entry, &[])?;
            pushed += 1;
            if pushed.is_multiple_of(INDEX_BUILD_LOOK) {
                index.add_done(INDEX_BUILD_LOOK);
                if index.is_dropped() {
                    return Err(Ended::Told);
                }
            }
        }
        load.finish(Durability::Soft)?;
        Ok(())
    }

    /// Does to the index what writers have noted.
    fn carry_over(&self, index: &Index, notes: TreeId) -> Result<(), Ended> {
        let noted = self.engine.snapshot()?.count(notes, &KeyRange::ALL, WAIT)?;
        index.begin_step(Step::CatchingUp, noted);
        let mut rest = KeyRange::ALL;
        loop {
            if index.is_dropped() {
                return Err(Ended::Told);
            }
            let entries = self.next_notes(notes, &rest)?;
            let Some(last) = entries.last() else { return Ok(()) };
            rest.start = Bound::Excluded(last.clone());
            let carried = entries.len() as u64;
            self.carry_some(index, notes, entries)?;
            index.add_done(carried);
        }
    }

    fn next_notes(&self, notes: TreeId, range: &KeyRange) -> Result<Vec<Bytes>, TableError> {
        let cursor = self.engine.snapshot()?.cursor(notes, range, Direction::Forward)?;
        let mut scanner = Scanner::new(cursor, WAIT);
        let mut entries = Vec::new();
        while entries.len() < INDEX_BUILD_DOCUMENTS
            && let Some((entry, _)) = scanner.next()?
        {
            entries.push(Bytes::copy_from_slice(entry));
        }
        Ok(entries)
    }

    fn carry_some(
        &self,
        index: &Index,
        notes: TreeId,
        entries: Vec<Bytes>,
    ) -> Result<(), TableError> {
        let primary = |entry: &Bytes| {
            let split = EntryKey::split(entry).ok_or_else(|| TableError::DamagedIndex {
                tree: index.tree(),
                problem: "a key that is no entry's",
            })?;
            Ok(PrimaryKey::from_stored(split.primary))
        };
        let keys = entries.iter().map(primary).collect::<Result<Vec<_>, TableError>>()?;
        self.warm_up(index, &entries)?;
        let _guard = self.locks.lock(&keys);
        let snapshot = self.engine.snapshot()?;
        let mut batch = WriteBatch::new(Durability::Soft);
        for entry in entries {
            // One that is gone by now was taken away by a writer who knew better.
            let Some(note) = snapshot.get(notes, &entry, WAIT)? else { continue };
            batch.delete(notes, entry.clone());
            match Note::decode(&note) {
                Note::IsThere => batch.put(index.tree(), entry, Bytes::new()),
                Note::IsGone => batch.delete(index.tree(), entry),
            };
        }
        if !batch.is_empty() {
            self.engine.apply(batch)?;
        }
        Ok(())
    }

    /// Reads the pages that entries belong to, so that the disk is not waited for while their documents are locked.
    fn warm_up(&self, index: &Index, entries: &[Bytes]) -> Result<(), TableError> {
        let snapshot = self.engine.snapshot()?;
        for entry in entries {
            snapshot.read(index.tree(), entry, WAIT, &mut |_| ())?;
        }
        Ok(())
    }
}

/// What a writer notes of an entry while an index is being built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    IsThere,
    IsGone,
}

impl Note {
    pub(super) fn encode(self) -> Bytes {
        Bytes::from_static(if self == Note::IsThere { &[1] } else { &[0] })
    }

    fn decode(bytes: &[u8]) -> Self {
        if bytes == [1] { Note::IsThere } else { Note::IsGone }
    }
}

/// Tells the other parts of a building that one has ended early, by an error or a panic: when it is dropped.
struct GivesUp<'a>(&'a AtomicBool);

impl Drop for GivesUp<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, Ended>>) -> Result<T, Ended> {
    thread.join().unwrap_or_else(|_| {
        let error = std::io::Error::other("its thread has panicked");
        Err(StorageError::io("the building of an index", error).into())
    })
}
