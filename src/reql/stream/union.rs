//! Several streams, one after the other.

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;

use super::{BatchSpec, BoxStream, Origin, Stream, no_origin};

/// The rows of several streams, none of them a changefeed.
#[derive(Debug)]
pub struct Union {
    streams: Vec<BoxStream>,
    /// The stream that is being read.
    current: usize,
}

impl Union {
    /// The rows of all these streams, in their order.
    pub fn ordered(streams: Vec<BoxStream>) -> Self {
        Union { streams, current: 0 }
    }

    /// The rows of all these streams, those that are there at once before those that tables have to be asked for: so
    /// they come in RethinkDB, which reads all streams at the same time.
    pub fn new(mut streams: Vec<BoxStream>) -> Self {
        streams.sort_by_key(|stream| stream.asks_tables());
        Union::ordered(streams)
    }

    fn rest(&self) -> impl Iterator<Item = &BoxStream> {
        self.streams.iter().skip(self.current)
    }
}

impl Stream for Union {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        while let Some(stream) = self.streams.get_mut(self.current) {
            if stream.is_exhausted() {
                self.current += 1;
                continue;
            }
            let rows = stream.next_batch(env, &batch.in_turn())?;
            if !rows.is_empty() {
                return Ok(rows);
            }
            env.check_interrupt()?;
        }
        Ok(Vec::new())
    }

    fn is_exhausted(&self) -> bool {
        self.rest().all(|stream| stream.is_exhausted())
    }

    fn let_go(&mut self) {
        self.streams.iter_mut().skip(self.current).for_each(|stream| stream.let_go());
    }

    fn asks_tables(&self) -> bool {
        self.rest().any(|stream| stream.asks_tables())
    }

    fn is_array(&self) -> bool {
        self.streams.iter().all(|stream| stream.is_array())
    }

    fn origin(self: Box<Self>) -> Result<Origin> {
        // What one of them has against it is the reason.
        for stream in self.streams {
            stream.origin()?;
        }
        Err(no_origin(false))
    }

    fn is_infinite(&self) -> bool {
        self.rest().any(|stream| stream.is_infinite())
    }

    fn remaining(&mut self, env: &Env) -> Result<Option<u64>> {
        let rest = self.streams.iter_mut().skip(self.current);
        rest.map(|stream| stream.remaining(env)).sum()
    }
}
