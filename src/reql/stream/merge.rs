//! Sorted streams read as one sorted stream: `union` with an order.

use std::cmp::Ordering;
use std::vec::IntoIter;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, NodeId, Result};
use crate::reql::sort::{Keys, SortKey};

use super::{BatchSpec, BoxStream, Budget, Stream};

/// Streams that are sorted alike.
#[derive(Debug)]
pub struct Merge {
    streams: Vec<Side>,
    order: Vec<SortKey>,
    at: NodeId,
}

#[derive(Debug)]
struct Side {
    stream: BoxStream,
    rows: IntoIter<Datum>,
    /// The next row and what it sorts by.
    head: Option<(Keys, Datum)>,
}

impl Side {
    fn is_exhausted(&self) -> bool {
        self.head.is_none() && self.rows.len() == 0 && self.stream.is_exhausted()
    }

    /// Sees to it that the next row is there, if there is one.
    fn load(&mut self, env: &Env, order: &[SortKey], batch: &BatchSpec) -> Result<()> {
        while self.head.is_none() && !self.is_exhausted() {
            if self.rows.len() == 0 {
                self.rows = self.stream.next_batch(env, batch)?.into_iter();
            }
            if let Some(row) = self.rows.next() {
                self.head = Some((Keys::of(env, order, &row)?, row));
            }
            env.check_interrupt()?;
        }
        Ok(())
    }
}

impl Merge {
    /// Merges these streams by this order; `at` is the term to blame.
    pub fn new(streams: Vec<BoxStream>, order: Vec<SortKey>, at: NodeId) -> Self {
        let side = |stream| Side { stream, rows: Vec::new().into_iter(), head: None };
        Merge { streams: streams.into_iter().map(side).collect(), order, at }
    }

    /// The stream with the least next row; of equals the first.
    fn least(&self) -> Option<usize> {
        let mut least: Option<(usize, &Keys)> = None;
        for (i, side) in self.streams.iter().enumerate() {
            let Some((keys, _)) = &side.head else { continue };
            if least.is_none_or(|(_, other)| keys.compare(other, &self.order) == Ordering::Less) {
                least = Some((i, keys));
            }
        }
        least.map(|(i, _)| i)
    }

    fn fill(&mut self, env: &Env, batch: &BatchSpec, out: &mut Vec<Datum>) -> Result<()> {
        let mut budget = Budget::new(batch);
        for side in &mut self.streams {
            side.load(env, &self.order, batch)?;
        }
        while !budget.is_spent()
            && let Some(least) = self.least()
        {
            let Some(side) = self.streams.get_mut(least) else { break };
            let Some((keys, row)) = side.head.take() else { break };
            budget.take(&row);
            out.push(row);
            side.load(env, &self.order, batch)?;
            if let Some((next, _)) = &side.head
                && next.compare(&keys, &self.order) == Ordering::Less
            {
                let message = "The streams given as arguments are not ordered by given ordering.";
                return Err(Error::logic(message));
            }
        }
        Ok(())
    }
}

impl Stream for Merge {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut out = Vec::new();
        self.fill(env, batch, &mut out).map_err(|error| error.at(self.at))?;
        Ok(out)
    }

    fn is_exhausted(&self) -> bool {
        self.streams.iter().all(Side::is_exhausted)
    }

    fn is_array(&self) -> bool {
        self.streams.iter().all(|side| side.stream.is_array())
    }

    fn is_infinite(&self) -> bool {
        self.streams.iter().any(|side| side.stream.is_infinite())
    }
}
