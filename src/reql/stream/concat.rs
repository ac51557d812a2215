//! The sequences that rows of a stream stand for, one after the other: `concatMap` and the joins.
//!
//! Inner sequences are read as the batch asks, so that a row may stand for a whole table.

use std::fmt::Debug;

use std::vec::IntoIter;

use crate::datum::Datum;
use crate::limits;
use crate::reql::env::Env;
use crate::reql::error::{NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::function::Func;
use crate::reql::selection::Selection;
use crate::reql::value::{Val, ValKind};

use super::{BatchSpec, BoxStream, Budget, Feed, Rows, Stream, Transform, for_each_batch};

/// Tells the sequence that a row stands for.
pub trait Expand: Debug + Send {
    /// The sequence. An error that blames no term is the whole term's.
    fn expand(&self, env: &Env, row: Datum) -> Result<BoxStream>;
}

impl Expand for Func {
    fn expand(&self, env: &Env, row: Datum) -> Result<BoxStream> {
        self.call(env, &[row])?.into_stream(env).map_err(|error| self.blame(error))
    }
}

/// The term's answer: each row of a sequence, or of each group of a grouped stream, replaced by what it stands for.
pub fn concat(args: &Args<'_>, rows: Rows, expand: Box<dyn Expand>) -> Result<Val> {
    let at = args.node.id;
    let source = match rows {
        Rows::Grouped(stream) => {
            let stream = stream.transformed(Box::new(Expanded { expand }), at);
            return args.val(ValKind::GroupedStream(stream));
        }
        Rows::Stream(stream) | Rows::Selection(Selection { stream, .. }) => stream,
    };
    let rows = Vec::new().into_iter();
    args.stream_value(Box::new(Concat { source, expand, at, rows, inner: None }))
}

/// A stream with each row replaced by a sequence.
#[derive(Debug)]
struct Concat {
    source: BoxStream,
    expand: Box<dyn Expand>,
    at: NodeId,
    /// Rows read and not yet replaced.
    rows: IntoIter<Datum>,
    /// The sequence of the last row.
    inner: Option<BoxStream>,
}

impl Concat {
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
                let inner = self.expand.expand(env, row)?;
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

/// The rows of a group replaced by what they stand for.
#[derive(Debug)]
struct Expanded {
    expand: Box<dyn Expand>,
}

impl Transform for Expanded {
    fn apply(&self, env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        for_each_batch(self.expand.expand(env, row)?, env, &BatchSpec::TERMINAL, |rows| {
            out.extend(rows);
            Ok(())
        })
    }
}
