//! A stream that is opened when its first row is asked for, one that cannot be opened, and the one that has no rows.
//!
//! RethinkDB looks up a secondary index when it reads the rows, not when it meets the term: a query that reads none
//! succeeds though the index does not exist. A query that reads some fails, and the error blames no term: its
//! backtrace is empty.

use std::fmt;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, NodeId, Result};

use super::{BatchSpec, BoxStream, Origin, Stream, no_origin};

type Open = dyn Fn(&Env) -> Result<BoxStream> + Send;

/// A stream of rows of a table that was not opened yet, or that was.
pub struct OnFirstRead {
    open: Box<Open>,
    opened: Option<BoxStream>,
}

impl OnFirstRead {
    /// The function opens the stream; it is called again only if it failed.
    pub fn new(open: impl Fn(&Env) -> Result<BoxStream> + Send + 'static) -> Self {
        OnFirstRead { open: Box::new(open), opened: None }
    }

    fn stream(&mut self, env: &Env) -> Result<&mut BoxStream> {
        match &mut self.opened {
            Some(stream) => Ok(stream),
            none => {
                let opened = (self.open)(env).map_err(|error| error.at(NodeId::ROOT))?;
                Ok(none.insert(opened))
            }
        }
    }
}

impl fmt::Debug for OnFirstRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnFirstRead").field("opened", &self.opened).finish_non_exhaustive()
    }
}

impl Stream for OnFirstRead {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        self.stream(env)?.next_batch(env, batch)
    }

    fn is_exhausted(&self) -> bool {
        self.opened.as_ref().is_some_and(|stream| stream.is_exhausted())
    }

    fn let_go(&mut self) {
        if let Some(stream) = &mut self.opened {
            stream.let_go();
        }
    }

    fn is_on_shards(&self) -> bool {
        true
    }

    fn origin(self: Box<Self>) -> Result<Origin> {
        Err(no_origin(false))
    }

    fn asks_tables(&self) -> bool {
        true
    }

    fn advance(&mut self, env: &Env, rows: u64) -> Result<u64> {
        self.stream(env)?.advance(env, rows)
    }

    fn shards(&mut self, env: &Env) -> Result<usize> {
        self.stream(env)?.shards(env)
    }

    fn remaining(&mut self, env: &Env) -> Result<Option<u64>> {
        self.stream(env)?.remaining(env)
    }
}

/// Rows that were asked for by a value that can be no key: only who reads them is told.
#[derive(Debug)]
pub struct Unreadable {
    error: Error,
    at: NodeId,
}

impl Unreadable {
    /// What is wrong; `at` is the term to blame.
    pub fn new(error: impl Into<Error>, at: NodeId) -> Self {
        Unreadable { error: error.into(), at }
    }
}

impl Stream for Unreadable {
    fn next_batch(&mut self, _env: &Env, _batch: &BatchSpec) -> Result<Vec<Datum>> {
        Err(self.error.clone().at(self.at))
    }

    fn is_exhausted(&self) -> bool {
        false
    }

    fn let_go(&mut self) {}

    fn is_on_shards(&self) -> bool {
        true
    }

    fn asks_tables(&self) -> bool {
        true
    }

    fn blame(&mut self, at: NodeId) {
        self.at = at;
    }
}

/// The rows of a range that no value lies in.
#[derive(Debug)]
pub struct NoRows;

impl Stream for NoRows {
    fn next_batch(&mut self, _env: &Env, _batch: &BatchSpec) -> Result<Vec<Datum>> {
        Ok(Vec::new())
    }

    fn is_exhausted(&self) -> bool {
        true
    }

    fn let_go(&mut self) {}

    fn is_on_shards(&self) -> bool {
        true
    }

    fn origin(self: Box<Self>) -> Result<Origin> {
        Err(no_origin(false))
    }

    fn asks_tables(&self) -> bool {
        true
    }

    fn remaining(&mut self, _env: &Env) -> Result<Option<u64>> {
        Ok(Some(0))
    }
}
