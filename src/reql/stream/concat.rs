//! The sequences that a function makes of a stream's rows, one after the other: `concatMap`.
//!
//! Inner sequences are read as the batch asks, so that a row may stand for a whole table.

use std::vec::IntoIter;

use crate::datum::Datum;
use crate::limits;
use crate::reql::env::Env;
use crate::reql::error::{NodeId, Result};
use crate::reql::function::Func;

use super::{BatchSpec, BoxStream, Budget, Feed, Stream};

/// A stream with each row replaced by a sequence.
#[derive(Debug)]
pub struct Concat {
    source: BoxStream,
    func: Func,
    at: NodeId,
    /// Rows read and not yet replaced.
    rows: IntoIter<Datum>,
    /// The sequence of the last row.
    inner: Option<BoxStream>,
}

impl Concat {
    /// Replaces the rows by what the function makes of them; `at` is the term to blame.
    pub fn new(source: BoxStream, func: Func, at: NodeId) -> Self {
        Concat { source, func, at, rows: Vec::new().into_iter(), inner: None }
    }

    fn fill(&mut self, env: &Env, batch: &BatchSpec, out: &mut Vec<Datum>) -> Result<()> {
        let mut budget = Budget::new(batch);
        while !budget.is_spent() && !self.is_exhausted() {
            if let Some(inner) = &mut self.inner {
                let rows = inner.next_batch(env, &budget.rest())?;
                for row in &rows {
                    budget.take(row);
                }
                out.extend(rows);
                if inner.is_exhausted() {
                    self.inner = None;
                }
            } else if let Some(row) = self.rows.next() {
                let inner = expand(&self.func, env, row)?;
                self.inner = (!inner.is_exhausted()).then_some(inner);
            } else {
                let part = batch.at_most(limits::TRANSFORM_FIRST_ROWS);
                let rows = self.source.next_batch(env, &part)?;
                // A changefeed that has no more for now.
                if rows.is_empty() && self.source.feed().is_some() {
                    break;
                }
                self.rows = rows.into_iter();
            }
            env.check_interrupt()?;
        }
        Ok(())
    }
}

impl Stream for Concat {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut out = Vec::new();
        self.fill(env, batch, &mut out).map_err(|error| error.at(self.at))?;
        Ok(out)
    }

    fn is_exhausted(&self) -> bool {
        self.inner.is_none() && self.rows.len() == 0 && self.source.is_exhausted()
    }

    fn is_array(&self) -> bool {
        self.source.is_array()
    }

    fn is_infinite(&self) -> bool {
        self.source.is_infinite()
    }

    fn feed(&self) -> Option<Feed> {
        self.source.feed()
    }
}

/// The sequence that stands for a row. What is no sequence blames the function.
pub fn expand(func: &Func, env: &Env, row: Datum) -> Result<BoxStream> {
    func.call(env, &[row])?.into_stream(env).map_err(|error| func.blame(error))
}
