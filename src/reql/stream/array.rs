//! An array read as a stream.

use std::sync::Arc;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;

use super::{BatchSpec, Stream};

/// The elements of an array.
#[derive(Debug)]
pub struct ArrayStream {
    values: Arc<Vec<Datum>>,
    next: usize,
}

impl ArrayStream {
    /// Reads this array.
    pub fn new(values: Arc<Vec<Datum>>) -> Self {
        ArrayStream { values, next: 0 }
    }
}

impl Stream for ArrayStream {
    fn next_batch(&mut self, _env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let end = self.values.len().min(self.next.saturating_add(batch.max_rows));
        let rows = match Arc::get_mut(&mut self.values) {
            // The only owner: the rows can be moved out, since none is read twice.
            Some(values) => values
                .get_mut(self.next..end)
                .unwrap_or_default()
                .iter_mut()
                .map(|value| std::mem::replace(value, Datum::Null))
                .collect(),
            None => self.values.get(self.next..end).unwrap_or_default().to_vec(),
        };
        self.next = end;
        Ok(rows)
    }

    fn is_exhausted(&self) -> bool {
        self.next >= self.values.len()
    }

    fn is_array(&self) -> bool {
        true
    }
}
