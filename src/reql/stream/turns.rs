//! Rows of shards that are transformed where they lie: each shard is asked alone, and its rows are given in turn.

use std::collections::VecDeque;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;

use super::shards::in_turn;
use super::{BatchSpec, Budget, Pick, Stream};

/// The rows that a stream makes of those of each shard, taken in turn.
#[derive(Debug)]
pub struct Turns {
    /// The shards that may have more.
    shards: Vec<usize>,
    rows: VecDeque<Datum>,
}

impl Turns {
    /// Begins with so many shards.
    pub fn new(shards: usize) -> Self {
        Turns { shards: (0..shards).collect(), rows: VecDeque::new() }
    }

    /// Those of a stream that transforms the rows of each shard and takes turns afterwards, as RethinkDB does, begun with
    /// the first batch that asks for it; they are to be put back. `None` when the source has no shards, or is past them.
    pub fn take(
        kept: &mut Option<Self>,
        source: &mut dyn Stream,
        env: &Env,
        batch: &BatchSpec,
    ) -> Result<Option<Self>> {
        if kept.is_none() && batch.pick == Pick::InTurn {
            let shards = source.shards(env)?;
            *kept = (shards > 0).then(|| Turns::new(shards));
        }
        Ok(kept.take())
    }

    /// The next rows; the function reads those that are made of one shard's, and none at its end.
    pub fn next_batch(
        &mut self,
        env: &Env,
        batch: &BatchSpec,
        mut read: impl FnMut(&BatchSpec) -> Result<Vec<Datum>>,
    ) -> Result<Vec<Datum>> {
        let mut out = Vec::new();
        let mut budget = Budget::new(batch);
        while !budget.is_spent() {
            if self.rows.is_empty() {
                self.rows = self.round(env, batch, &mut read)?;
            }
            let Some(row) = self.rows.pop_front() else { break };
            budget.take(&row);
            out.push(row);
        }
        Ok(out)
    }

    /// What comes of reading the query's number of rows of each shard and taking them in turn; nothing at the end.
    pub fn round(
        &mut self,
        env: &Env,
        batch: &BatchSpec,
        mut read: impl FnMut(&BatchSpec) -> Result<Vec<Datum>>,
    ) -> Result<VecDeque<Datum>> {
        // What is kept for a later batch must not be lent.
        let part = BatchSpec { max_rows: env.batch_rows(), lent: false, ..*batch };
        let mut parts = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let part = BatchSpec { pick: Pick::Shard(*shard), ..part };
            parts.push(fill(&part, &mut read)?);
        }
        let mut left = parts.iter();
        self.shards.retain(|_| left.next().is_some_and(|part| !part.is_empty()));
        Ok(in_turn(parts.into_iter().map(VecDeque::from)))
    }

    /// Whether all rows that were read were given.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Reads until the batch is full, or nothing is left.
fn fill(
    batch: &BatchSpec,
    mut read: impl FnMut(&BatchSpec) -> Result<Vec<Datum>>,
) -> Result<Vec<Datum>> {
    let mut budget = Budget::new(batch);
    let mut out = Vec::new();
    while !budget.is_spent() {
        let rows = read(&budget.rest())?;
        if rows.is_empty() {
            break;
        }
        rows.iter().for_each(|row| budget.take(row));
        out.extend(rows);
    }
    Ok(out)
}
