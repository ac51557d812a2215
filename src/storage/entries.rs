//! Entries as they come out of a scan: a reusable batch of them, and an iterator that fills batch after batch.

use bytes::Bytes;

use super::crossed::crossed;
use super::{Cursor, ReadMode, StorageError};
use crate::limits::{SCAN_BATCH_BYTES, SCAN_BATCH_ENTRIES, SCAN_FIRST_ENTRIES, SCAN_GROWTH};

/// When a cursor stops filling a batch: at whichever comes first.
#[derive(Debug, Clone, Copy)]
pub struct FillLimit {
    /// Entries to have in the batch.
    pub entries: usize,
    /// Bytes of keys and values to have in the batch. The entry that reaches it is still added, so that any entry fits.
    pub bytes: usize,
}

/// Entries in the order of a scan. Keys lie one after another in one buffer, which is reused; values are shared with
/// the engine.
#[derive(Debug, Default)]
pub struct EntryBatch {
    keys: Vec<u8>,
    /// For each entry where its key ends in `keys`, and its value.
    entries: Vec<(usize, Bytes)>,
    value_bytes: usize,
}

impl EntryBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry behind the others. For engines.
    pub fn push(&mut self, key: &[u8], value: Bytes) {
        self.keys.extend_from_slice(key);
        self.value_bytes += value.len();
        self.entries.push((self.keys.len(), value));
    }

    /// Whether the limit is reached.
    pub fn is_full(&self, limit: FillLimit) -> bool {
        self.entries.len() >= limit.entries || self.keys.len() + self.value_bytes >= limit.bytes
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.entries.clear();
        self.value_bytes = 0;
    }

    /// The entry at `index`, in the order of the scan.
    pub fn get(&self, index: usize) -> Option<(&[u8], &Bytes)> {
        let (end, value) = self.entries.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => self.entries.get(before)?.0,
            None => 0,
        };
        Some((self.keys.get(start..*end)?, value))
    }

    /// All entries, in the order of the scan.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Bytes)> {
        (0..self.entries.len()).filter_map(|index| self.get(index))
    }
}

/// Reads a cursor entry by entry, over batches that grow from a small first one.
pub struct Scanner {
    cursor: Box<dyn Cursor>,
    mode: ReadMode,
    batch: EntryBatch,
    next: usize,
    fill: usize,
    more: bool,
}

impl Scanner {
    /// Starts at the cursor's position.
    pub fn new(cursor: Box<dyn Cursor>, mode: ReadMode) -> Self {
        let fill = SCAN_FIRST_ENTRIES;
        Self { cursor, mode, batch: EntryBatch::new(), next: 0, fill, more: true }
    }

    /// Changes how later reads behave: a stream that began inline goes on where it may wait.
    pub fn set_mode(&mut self, mode: ReadMode) {
        self.mode = mode;
    }

    /// The next entry, or `None` at the end. After [`StorageError::NotResident`] the scan stands where it stood.
    #[expect(clippy::should_implement_trait, reason = "entries are lent from the scanner's batch")]
    pub fn next(&mut self) -> Result<Option<(&[u8], &Bytes)>, StorageError> {
        self.let_go();
        if self.next >= self.batch.len() {
            if !self.more {
                return Ok(None);
            }
            self.refill()?;
        }
        let entry = self.batch.get(self.next);
        self.next += 1;
        Ok(entry)
    }

    /// Passes over up to `entries` entries and returns how many there were to pass.
    pub fn skip(&mut self, entries: u64) -> Result<u64, StorageError> {
        self.let_go();
        let held = (self.batch.len() - self.next.min(self.batch.len())) as u64;
        if entries <= held {
            self.next += usize::try_from(entries).unwrap_or(usize::MAX);
            return Ok(entries);
        }
        let beyond = if self.more { self.cursor.skip(entries - held, self.mode)? } else { 0 };
        self.batch.clear();
        self.next = 0;
        Ok(held + beyond)
    }

    /// Drops the entries of a snapshot that was let go of: the next one comes of the new snapshot. They are dropped when
    /// they are not asked for any more, too, so that a scan which is not read keeps none.
    pub fn let_go(&mut self) {
        if self.batch.is_empty() || !self.cursor.is_stale() {
            return;
        }
        let given = self.next.checked_sub(1).and_then(|last| self.batch.get(last));
        self.cursor.rewind(given.map(|(key, _)| key));
        self.batch.clear();
        self.next = 0;
        self.more = true;
    }

    fn refill(&mut self) -> Result<(), StorageError> {
        self.batch.clear();
        self.next = 0;
        let limit = FillLimit { entries: self.fill, bytes: SCAN_BATCH_BYTES };
        self.more = self.cursor.fill(&mut self.batch, limit, self.mode)?;
        match self.batch.len() {
            SCAN_FIRST_ENTRIES if self.more => crossed("SCAN_FIRST_ENTRIES"),
            SCAN_GROWTH if self.more => crossed("SCAN_GROWTH"),
            SCAN_BATCH_ENTRIES => crossed("SCAN_BATCH_ENTRIES"),
            entries if self.more && entries < self.fill => crossed("SCAN_BATCH_BYTES"),
            _ => {}
        }
        self.fill = (self.fill * SCAN_GROWTH).min(SCAN_BATCH_ENTRIES);
        Ok(())
    }
}
