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
    head: Option<Head>,
}

/// The next row of a stream, and what it sorts by, once it has been compared.
#[derive(Debug)]
struct Head {
    row: Datum,
    keys: Option<Keys>,
}

impl Head {
    fn keys(&mut self, env: &Env, order: &[SortKey]) -> Result<&Keys> {
        match &mut self.keys {
            Some(keys) => Ok(keys),
            none => Ok(none.insert(Keys::of(env, order, &self.row)?)),
        }
    }
}

impl Side {
    fn is_exhausted(&self) -> bool {
        self.head.is_none() && self.rows.len() == 0 && self.stream.is_exhausted()
    }

    /// Sees to it that the next row is there, if there is one.
    fn load(&mut self, env: &Env, batch: &BatchSpec) -> Result<()> {
        while self.head.is_none() && !self.is_exhausted() {
            if self.rows.len() == 0 {
                self.rows = self.stream.next_batch(env, batch)?.into_iter();
            }
            self.head = self.rows.next().map(|row| Head { row, keys: None });
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

    /// The stream with the least next row; of equals the first. Where only one has rows left nothing is compared.
    fn least(&mut self, env: &Env) -> Result<Option<usize>> {
        let mut heads = self.streams.iter().enumerate().filter(|(_, side)| side.head.is_some());
        let first = heads.next().map(|(i, _)| i);
        if heads.next().is_none() {
            return Ok(first);
        }
        let mut least: Option<(usize, &Keys)> = None;
        for (i, side) in self.streams.iter_mut().enumerate() {
            let Some(head) = &mut side.head else { continue };
            let keys = head.keys(env, &self.order)?;
            if least.is_none_or(|(_, other)| keys.compare(other, &self.order) == Ordering::Less) {
                least = Some((i, keys));
            }
        }
        Ok(least.map(|(i, _)| i))
    }

    fn fill(&mut self, env: &Env, batch: &BatchSpec, out: &mut Vec<Datum>) -> Result<()> {
        let mut budget = Budget::new(batch);
        let batch = &batch.in_turn().kept();
        for side in &mut self.streams {
            side.load(env, batch)?;
        }
        while !budget.is_spent()
            && let Some(least) = self.least(env)?
        {
            let Some(side) = self.streams.get_mut(least) else { break };
            let Some(mut head) = side.head.take() else { break };
            side.load(env, batch)?;
            if let Some(next) = &mut side.head {
                let next = next.keys(env, &self.order)?;
                let keys = head.keys(env, &self.order)?;
                if next.compare(keys, &self.order) == Ordering::Less {
                    let message =
                        "The streams given as arguments are not ordered by given ordering.";
                    return Err(Error::logic(message));
                }
            }
            budget.take(&head.row);
            out.push(head.row);
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

    fn let_go(&mut self) {
        for side in &mut self.streams {
            side.stream.let_go();
        }
    }

    fn asks_tables(&self) -> bool {
        self.streams.iter().any(|side| side.stream.asks_tables())
    }

    fn blame(&mut self, at: NodeId) {
        self.at = at;
    }

    fn is_array(&self) -> bool {
        self.streams.iter().all(|side| side.stream.is_array())
    }

    fn is_infinite(&self) -> bool {
        self.streams.iter().any(|side| side.stream.is_infinite())
    }
}
