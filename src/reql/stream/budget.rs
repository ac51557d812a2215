//! What a batch may still take: rows and bytes.

use crate::datum::Datum;

use super::BatchSpec;

/// The rest of a batch that is being filled.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    rows: usize,
    bytes: usize,
    terminal: bool,
}

impl Budget {
    /// The whole batch.
    pub fn new(batch: &BatchSpec) -> Self {
        Budget { rows: batch.max_rows, bytes: batch.max_bytes, terminal: batch.terminal }
    }

    /// Takes a row off.
    pub fn take(&mut self, row: &Datum) {
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(row.approximate_size());
    }

    /// Whether the batch is full.
    pub fn is_spent(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    /// What is left, as a batch of its own.
    pub fn rest(&self) -> BatchSpec {
        BatchSpec {
            max_rows: self.rows.max(1),
            max_bytes: self.bytes.max(1),
            terminal: self.terminal,
        }
    }
}
