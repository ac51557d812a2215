//! Row-by-row transformations of a stream: map, filter, concatMap, pluck, ...

use std::fmt::Debug;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::value::{Val, ValKind};

use super::{BatchSpec, BoxStream, Feed, Stream};

/// Turns one row into none, one or several. Keeps nothing between rows.
pub trait Transform: Debug + Send {
    /// Appends what the row becomes.
    fn apply(&self, env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()>;
}

/// A stream with transformations applied to its rows.
#[derive(Debug)]
pub struct Transformed {
    source: BoxStream,
    transform: Box<dyn Transform>,
}

impl Transformed {
    /// Transforms a stream.
    pub fn new(source: BoxStream, transform: Box<dyn Transform>) -> Self {
        Transformed { source, transform }
    }
}

impl Stream for Transformed {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        loop {
            let rows = self.source.next_batch(env, batch)?;
            let waiting = rows.is_empty();
            let mut out = Vec::with_capacity(rows.len());
            for row in rows {
                self.transform.apply(env, row, &mut out)?;
            }
            // A batch that was filtered away says nothing about the end: go on.
            if !out.is_empty() || self.source.is_exhausted() || waiting {
                return Ok(out);
            }
            env.check_interrupt()?;
        }
    }

    fn is_exhausted(&self) -> bool {
        self.source.is_exhausted()
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

/// Applies a transformation to a sequence, or to the rows of each group of a grouped stream.
pub fn transform(args: &Args<'_>, first: Val, transform: Box<dyn Transform>) -> Result<Val> {
    match first.kind {
        ValKind::GroupedStream(stream) => {
            args.val(ValKind::GroupedStream(stream.transformed(transform)))
        }
        _ => {
            let source = first.into_stream(args.env)?;
            args.stream_value(Box::new(Transformed::new(source, transform)))
        }
    }
}
