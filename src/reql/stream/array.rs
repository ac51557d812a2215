//! An array read as a stream.

use std::sync::Arc;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;

use super::{BatchSpec, Budget, Stream};

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

    /// Where a batch that begins here ends.
    fn end(&self, batch: &BatchSpec) -> usize {
        if batch.terminal {
            // The whole array is in memory already: no need to measure it.
            return self.values.len().min(self.next.saturating_add(batch.max_rows));
        }
        let rest = self.values.get(self.next..).unwrap_or_default();
        let mut budget = Budget::new(batch);
        let mut end = self.next;
        for value in rest {
            if budget.is_spent() {
                break;
            }
            budget.take(value);
            end += 1;
        }
        end
    }
}

impl Stream for ArrayStream {
    fn next_batch(&mut self, _env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let end = self.end(batch);
        let start = std::mem::replace(&mut self.next, end);
        if start == 0
            && end == self.values.len()
            && let Some(values) = Arc::get_mut(&mut self.values)
        {
            self.next = 0;
            return Ok(std::mem::take(values));
        }
        let rows = match Arc::get_mut(&mut self.values) {
            // The only owner: the rows can be moved out, since none is read twice.
            Some(values) => values
                .get_mut(start..end)
                .unwrap_or_default()
                .iter_mut()
                .map(|value| std::mem::replace(value, Datum::Null))
                .collect(),
            None => self.values.get(start..end).unwrap_or_default().to_vec(),
        };
        Ok(rows)
    }

    fn is_exhausted(&self) -> bool {
        self.next >= self.values.len()
    }

    fn let_go(&mut self) {}

    fn is_array(&self) -> bool {
        true
    }

    fn advance(&mut self, _env: &Env, rows: u64) -> Result<u64> {
        let left = self.values.len().saturating_sub(self.next);
        let passed = usize::try_from(rows).unwrap_or(usize::MAX).min(left);
        self.next += passed;
        Ok(passed as u64)
    }

    fn remaining(&mut self, _env: &Env) -> Result<Option<u64>> {
        Ok(Some(self.values.len().saturating_sub(self.next) as u64))
    }
}
