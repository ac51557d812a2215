//! The rows of shards brought together: what follows is done with all of them in one place.

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{NodeId, Result};

use super::{BatchSpec, BoxStream, Origin, Stream};

/// A stream of the same rows as another one, which is no longer read shard by shard.
#[derive(Debug)]
pub struct Gathered(pub BoxStream);

impl Stream for Gathered {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        self.0.next_batch(env, batch)
    }

    fn is_exhausted(&self) -> bool {
        self.0.is_exhausted()
    }

    fn let_go(&mut self) {
        self.0.let_go();
    }

    fn source(&self) -> Option<&dyn Stream> {
        Some(&*self.0)
    }

    fn blame(&mut self, at: NodeId) {
        self.0.blame(at);
    }

    fn origin(self: Box<Self>) -> Result<Origin> {
        self.0.origin()
    }

    fn advance(&mut self, env: &Env, rows: u64) -> Result<u64> {
        self.0.advance(env, rows)
    }

    fn shards(&mut self, env: &Env) -> Result<usize> {
        self.0.shards(env)
    }

    fn remaining(&mut self, env: &Env) -> Result<Option<u64>> {
        self.0.remaining(env)
    }
}
