//! Reading a table through one of its indexes, at one commit point.
//! Knows entries and documents; must not know terms or writers.
//!
//! Entries come in the order of their values, and with equal values in that of the primary keys. Of values that were
//! too long to be kept whole, the entries that begin alike are a group: it is read as a whole, and its documents say
//! which of them are in the range, and in which order.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::secondary::{EntryKey, IndexRange, cut_group, entry_key};
use super::{Document, Index, PrimaryKey, TableError, TableReader};
use crate::limits::SECONDARY_CUT_DOCUMENTS;
use crate::storage::{Direction, KeyRange, ReadMode, Scanner};

/// A document as an index leads to it.
#[derive(Debug, Clone)]
pub struct IndexedDocument {
    /// The document.
    pub document: Document,
    /// Its primary key.
    pub key: PrimaryKey,
    /// Which of its values led to it: see [`Index::value_of`].
    pub tag: u32,
}

/// The documents of a range of an index, one after another.
pub struct IndexScan {
    reader: TableReader,
    mode: ReadMode,
    index: Arc<Index>,
    range: IndexRange,
    direction: Direction,
    scanner: Scanner,
    /// What is left of a group.
    group: VecDeque<IndexedDocument>,
    /// An entry that was read and belongs behind the group.
    next: Option<Entry>,
    /// The renewals of the snapshot when that entry was read.
    renewals: u64,
}

/// An entry that owns its key.
struct Entry {
    value: Vec<u8>,
    is_cut: bool,
    primary: PrimaryKey,
    tag: u32,
}

impl Entry {
    fn key(&self) -> Bytes {
        entry_key(&self.value, self.is_cut, &self.primary, self.tag)
    }

    /// The keys of all entries whose value was cut to the same bytes.
    fn group(&self) -> KeyRange {
        cut_group(&self.value)
    }
}

impl IndexedDocument {
    /// Gives it bytes of its own, so that it can be kept.
    pub fn detach(&mut self) {
        self.document = self.document.detached();
    }
}

impl TableReader {
    /// The documents of a range of an index, in the order of their values or against it.
    pub fn scan_index(
        &self,
        index: &Arc<Index>,
        range: &IndexRange,
        direction: Direction,
        mode: ReadMode,
    ) -> Result<IndexScan, TableError> {
        let cursor = self.snapshot.cursor(index.tree(), range.keys(), direction)?;
        Ok(IndexScan {
            reader: self.clone(),
            index: Arc::clone(index),
            range: range.clone(),
            direction,
            scanner: Scanner::new(cursor, mode),
            mode,
            group: VecDeque::new(),
            next: None,
            renewals: self.snapshot.renewals(),
        })
    }

    /// The number of entries in a range of an index, without reading documents; `None` when only they can say it.
    pub fn count_index(
        &self,
        index: &Index,
        range: &IndexRange,
        mode: ReadMode,
    ) -> Result<Option<u64>, TableError> {
        if !range.is_exact() {
            return Ok(None);
        }
        Ok(Some(self.snapshot.count(index.tree(), range.keys(), mode)?))
    }
}

impl IndexScan {
    /// The next document, or `None` at the end. After `NotResident` the scan stands where it stood.
    #[expect(
        clippy::should_implement_trait,
        reason = "a Result of an Option reads better with `?`"
    )]
    pub fn next(&mut self) -> Result<Option<IndexedDocument>, TableError> {
        loop {
            if let Some(document) = self.group.pop_front() {
                return Ok(Some(document));
            }
            if self.next.is_none() {
                self.next = self.read_entry()?;
            }
            let Some(entry) = &self.next else { return Ok(None) };
            if entry.is_cut {
                self.read_group()?;
                continue;
            }
            // The entry stays in place until its document was found, should that not be in memory.
            let found = self.load(&entry.primary, entry.tag, || entry.key())?;
            self.next = None;
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Passes over up to `documents` documents, and returns how many there were to pass. Costs no more than finding
    /// the place, unless values are there that were cut.
    pub fn skip(&mut self, documents: u64) -> Result<u64, TableError> {
        let mut left = documents;
        while left > 0 && self.group.pop_front().is_some() {
            left -= 1;
        }
        if !self.range.is_exact() {
            while left > 0 && self.next()?.is_some() {
                left -= 1;
            }
            return Ok(documents - left);
        }
        if left > 0 && self.next.take().is_some() {
            left -= 1;
        }
        left -= self.scanner.skip(left)?;
        self.next = self.read_entry()?;
        if let Some(entry) = &self.next
            && entry.is_cut
        {
            let passed = self.entries_of_group_before(entry)?;
            self.read_group()?;
            // A group is no longer than a bound that is far below what a `usize` holds.
            self.group.drain(..(passed as usize).min(self.group.len()));
        }
        Ok(documents - left)
    }

    /// Changes how later reads behave.
    pub fn set_mode(&mut self, mode: ReadMode) {
        self.scanner.set_mode(mode);
        self.mode = mode;
    }

    /// Keeps nothing that the engine lent, once the snapshot was let go of: the scan goes on in the next one.
    pub fn let_go(&mut self) {
        self.group.iter_mut().for_each(IndexedDocument::detach);
        self.scanner.let_go();
    }

    fn read_entry(&mut self) -> Result<Option<Entry>, TableError> {
        self.renewals = self.reader.snapshot.renewals();
        let Some((key, _)) = self.scanner.next()? else { return Ok(None) };
        let Some(split) = EntryKey::split(key) else {
            let tree = self.index.tree();
            return Err(TableError::DamagedIndex { tree, problem: "a key that is no entry's" });
        };
        Ok(Some(Entry {
            value: split.value.to_vec(),
            is_cut: split.is_cut,
            primary: PrimaryKey::from_stored(split.primary),
            tag: split.tag,
        }))
    }

    /// The document of an entry; none when it has gone since the entry was read.
    fn load(
        &self,
        primary: &PrimaryKey,
        tag: u32,
        key: impl Fn() -> Bytes,
    ) -> Result<Option<IndexedDocument>, TableError> {
        let mut renewals = self.renewals;
        let mut is_there = true;
        loop {
            let found = if is_there { self.reader.get(primary, self.mode)? } else { None };
            let snapshot = &self.reader.snapshot;
            if renewals == snapshot.renewals() {
                return match found {
                    None if is_there => {
                        let (tree, problem) = (self.index.tree(), "an entry without document");
                        Err(TableError::DamagedIndex { tree, problem })
                    }
                    found => Ok(found.map(|document| IndexedDocument {
                        document,
                        key: primary.clone(),
                        tag,
                    })),
                };
            }
            // The snapshot was let go of in between: the document may have other values by now. Both are looked for in the
            // next one, which is held at least until there is a checkpoint.
            renewals = snapshot.renewals();
            is_there = snapshot.get(self.index.tree(), &key(), self.mode)?.is_some();
        }
    }

    /// Entries that begin like this one and come before it in the scan's direction.
    fn entries_of_group_before(&self, entry: &Entry) -> Result<u64, TableError> {
        let group = entry.group();
        let key = entry.key();
        let before = match self.direction {
            Direction::Forward => KeyRange::new(group.start, Bound::Excluded(key)),
            Direction::Backward => KeyRange::new(Bound::Excluded(key), group.end),
        };
        Ok(self.reader.snapshot.count(self.index.tree(), &before, self.mode)?)
    }

    /// Reads all entries that begin like the one that is next, puts those in the range in order, and goes on behind the
    /// group: behind a key and not behind so many entries, which may be others by the time that they were given.
    fn read_group(&mut self) -> Result<(), TableError> {
        let Some(first) = &self.next else { return Ok(()) };
        let keys = first.group();
        let (tree, all) = (self.index.tree(), self.range.keys().clone());
        let behind = match (self.direction, keys.start.clone(), keys.end.clone()) {
            (Direction::Forward, _, Bound::Excluded(end)) => {
                KeyRange::new(Bound::Included(end), all.end)
            }
            (Direction::Backward, Bound::Included(start), _) => {
                KeyRange::new(all.start, Bound::Excluded(start))
            }
            // No group has other bounds.
            _ => all,
        };
        let cursor = self.reader.snapshot.cursor(tree, &keys, self.direction)?;
        let mut scanner = Scanner::new(cursor, self.mode);
        let mut found = Vec::new();
        let mut entries = 0;
        while let Some((key, _)) = scanner.next()? {
            entries += 1;
            if entries > SECONDARY_CUT_DOCUMENTS {
                return Err(TableError::TooManyCut { limit: SECONDARY_CUT_DOCUMENTS });
            }
            let Some(split) = EntryKey::split(key) else { continue };
            let primary = PrimaryKey::from_stored(split.primary);
            let copy = || Bytes::copy_from_slice(key);
            let Some(loaded) = self.load(&primary, split.tag, copy)? else { continue };
            if let Some(value) = self.index.value_of(&loaded.document, loaded.tag)
                && self.range.contains(&value)
            {
                found.push((value, loaded));
            }
        }
        // Stable, so that equal values stay in the order of the primary keys.
        match self.direction {
            Direction::Forward => found.sort_by(|a, b| a.0.cmp(&b.0)),
            Direction::Backward => found.sort_by(|a, b| b.0.cmp(&a.0)),
        }
        let cursor = self.reader.snapshot.cursor(tree, &behind, self.direction)?;
        self.scanner = Scanner::new(cursor, self.mode);
        self.next = None;
        self.group = found.into_iter().map(|(_, document)| document).collect();
        Ok(())
    }
}
