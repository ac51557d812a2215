//! The integers of `r.range()`.

use crate::datum::{Datum, MAX_SAFE_INTEGER};
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};

use super::{BatchSpec, Stream};

/// Integers from one up to, but without, another.
#[derive(Debug)]
pub struct RangeStream {
    next: i64,
    /// `None` when there is no end.
    end: Option<i64>,
}

impl RangeStream {
    /// From `start` to before `end`; without an end it is infinite.
    pub fn new(start: i64, end: Option<i64>) -> Self {
        RangeStream { next: start, end }
    }

    /// The first integer that is no more in the stream; beyond 2^53 integers are no longer exact.
    fn bound(&self) -> i64 {
        self.end.unwrap_or(MAX_SAFE_INTEGER as i64)
    }
}

impl Stream for RangeStream {
    fn next_batch(&mut self, _env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        if self.end.is_none() && self.next >= self.bound() {
            return Err(Error::logic("`range` out of safe double bounds."));
        }
        let rows = i64::try_from(batch.max_rows).unwrap_or(i64::MAX);
        let end = self.bound().min(self.next.saturating_add(rows));
        let values = (self.next..end).map(|value| Datum::Number(value as f64)).collect();
        self.next = self.next.max(end);
        Ok(values)
    }

    fn is_exhausted(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    fn let_go(&mut self) {}

    fn is_infinite(&self) -> bool {
        self.end.is_none()
    }

    fn advance(&mut self, _env: &Env, rows: u64) -> Result<u64> {
        let left = u64::try_from(self.bound().saturating_sub(self.next)).unwrap_or(0);
        let passed = rows.min(left);
        self.next = self.next.saturating_add_unsigned(passed);
        Ok(passed)
    }

    fn remaining(&mut self, _env: &Env) -> Result<Option<u64>> {
        let left = |end: i64| u64::try_from(end.saturating_sub(self.next)).unwrap_or(0);
        Ok(self.end.map(left))
    }
}
