//! What a batch may still take: rows, bytes and time.

use std::time::Instant;

use crate::datum::Datum;

use super::batch::BatchSpec;

/// The rest of a batch that is being filled.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    rest: BatchSpec,
    bytes: usize,
    taken: usize,
}

impl Budget {
    /// The whole batch.
    pub fn new(batch: &BatchSpec) -> Self {
        Budget { rest: *batch, bytes: batch.max_bytes, taken: 0 }
    }

    /// Takes a row off.
    pub fn take(&mut self, row: &Datum) {
        self.take_sized(row.size_up_to(self.bytes));
    }

    /// Takes a row off that is known to be so many bytes as JSON.
    pub fn take_sized(&mut self, bytes: usize) {
        self.taken += 1;
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether the batch is full.
    pub fn is_spent(&self) -> bool {
        if self.taken >= self.rest.max_rows {
            return true;
        }
        if self.bytes == 0 && self.taken >= self.rest.min_rows {
            return true;
        }
        self.taken > 0 && self.rest.until.is_some_and(|until| Instant::now() >= until)
    }

    /// What is left, as a batch of its own.
    pub fn rest(&self) -> BatchSpec {
        BatchSpec {
            max_rows: self.rest.max_rows.saturating_sub(self.taken).max(1),
            max_bytes: self.bytes.max(1),
            min_rows: self.rest.min_rows.saturating_sub(self.taken).max(1),
            ..self.rest
        }
    }
}
