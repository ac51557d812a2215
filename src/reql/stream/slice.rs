//! A part of a stream: some rows skipped, then so many taken.

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{NodeId, Result};

use super::{BatchSpec, BoxStream, Feed, Origin, Stream, no_origin};

/// The rows of a stream from one position to another.
#[derive(Debug)]
pub struct Slice {
    source: BoxStream,
    /// The term that gave the source, to blame where a changefeed is not possible.
    source_at: NodeId,
    skip: u64,
    /// Rows still to give; `None` for all.
    left: Option<u64>,
}

impl Slice {
    /// Skips `skip` rows of what a term gave, and gives at most `take`.
    pub fn new(source: BoxStream, source_at: NodeId, skip: u64, take: Option<u64>) -> Self {
        Slice { source, source_at, skip, left: take }
    }
}

impl Stream for Slice {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        if self.is_exhausted() {
            return Ok(Vec::new());
        }
        while self.skip > 0 {
            let passed = self.source.advance(env, self.skip)?;
            self.skip = self.skip.saturating_sub(passed);
            // A changefeed may have no more for now.
            if self.source.is_exhausted() || passed == 0 {
                return Ok(Vec::new());
            }
        }
        let batch = &batch.in_turn();
        let Some(left) = self.left else { return self.source.next_batch(env, batch) };
        let batch = batch.at_most(usize::try_from(left).unwrap_or(usize::MAX));
        let mut rows = self.source.next_batch(env, &batch)?;
        rows.truncate(batch.max_rows);
        self.left = Some(left.saturating_sub(rows.len() as u64));
        Ok(rows)
    }

    fn is_exhausted(&self) -> bool {
        self.left == Some(0) || self.source.is_exhausted()
    }

    fn let_go(&mut self) {
        self.source.let_go();
    }

    fn is_array(&self) -> bool {
        self.source.is_array()
    }

    fn is_infinite(&self) -> bool {
        self.left.is_none() && self.source.is_infinite()
    }

    fn feed(&self) -> Option<Feed> {
        self.source.feed()
    }

    fn origin(self: Box<Self>) -> Result<Origin> {
        let at = self.source_at;
        let mut origin = self.source.origin().map_err(|error| error.at(at))?;
        if self.skip > 0 || self.left.is_none() {
            return Err(no_origin(true).at(at));
        }
        if origin.limit.is_some() {
            return Err(no_origin(false));
        }
        origin.limit = self.left;
        Ok(origin)
    }

    fn advance(&mut self, env: &Env, rows: u64) -> Result<u64> {
        let rows = self.left.map_or(rows, |left| rows.min(left));
        let wanted = self.skip.saturating_add(rows);
        let passed = self.source.advance(env, wanted)?;
        let skipped = passed.min(self.skip);
        self.skip -= skipped;
        let passed = passed - skipped;
        self.left = self.left.map(|left| left.saturating_sub(passed));
        Ok(passed)
    }

    fn asks_tables(&self) -> bool {
        self.source.asks_tables()
    }

    fn remaining(&mut self, env: &Env) -> Result<Option<u64>> {
        let rest = self.source.remaining(env)?.map(|rest| rest.saturating_sub(self.skip));
        Ok(rest.map(|rest| self.left.map_or(rest, |left| rest.min(left))))
    }
}
