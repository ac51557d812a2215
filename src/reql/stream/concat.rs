//! The sequences that rows of a stream stand for, one after the other: `concatMap` and the joins.
//!
//! Inner sequences are read as the batch asks, so that a row may stand for a whole table.

use std::fmt::Debug;

use std::vec::IntoIter;

use crate::datum::Datum;
use crate::limits;
use crate::reql::env::Env;
use crate::reql::error::{Error, NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::function::Func;
use crate::reql::selection::Selection;
use crate::reql::value::{Val, ValKind};

use super::{
    BatchSpec, BoxStream, Budget, Origin, Pick, Rows, Stream, Transform, Turns, for_each_batch,
};

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
    let mut source = match rows {
        Rows::Grouped(stream) => {
            let stream = stream.transformed(Box::new(Expanded { expand }), at);
            return args.val(ValKind::GroupedStream(stream));
        }
        Rows::Stream(stream) | Rows::Selection(Selection { stream, .. }) => stream,
    };
    source.blame(at);
    args.stream_value(Box::new(Concat { source, expand, at, open: Vec::new(), turns: None }))
}

/// A stream with each row replaced by a sequence.
#[derive(Debug)]
struct Concat {
    source: BoxStream,
    expand: Box<dyn Expand>,
    at: NodeId,
    /// Where reading is: of the whole source, or of each of its shards.
    open: Vec<(Pick, Open)>,
    turns: Option<Turns>,
}

/// What was read of the source and not given yet.
#[derive(Debug, Default)]
struct Open {
    /// Rows that were not replaced yet.
    rows: IntoIter<Datum>,
    /// The sequence of the last row.
    inner: Option<BoxStream>,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.inner.is_none() && self.rows.len() == 0
    }
}

impl Concat {
    /// The next rows, in the order of the source.
    fn read(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let pick = match batch.pick {
            Pick::Shard(_) => batch.pick,
            Pick::ByShard | Pick::InTurn => Pick::ByShard,
        };
        let known = self.open.iter().position(|(of, _)| *of == pick);
        let (_, mut open) = known.map_or((pick, Open::default()), |i| self.open.swap_remove(i));
        let mut out = Vec::new();
        let result = self.fill(env, batch, &mut open, &mut out);
        if !open.is_empty() {
            self.open.push((pick, open));
        }
        result.map_err(|error| error.at(self.at))?;
        Ok(out)
    }

    fn fill(
        &mut self,
        env: &Env,
        batch: &BatchSpec,
        open: &mut Open,
        out: &mut Vec<Datum>,
    ) -> Result<()> {
        let mut budget = Budget::new(batch);
        while !budget.is_spent() {
            if let Some(inner) = &mut open.inner {
                let rows = inner.next_batch(env, &budget.rest().in_turn())?;
                for row in &rows {
                    budget.take(row);
                }
                out.extend(rows);
                if inner.is_exhausted() {
                    open.inner = None;
                }
            } else if let Some(row) = open.rows.next() {
                let inner = self.expand.expand(env, row)?;
                open.inner = (!inner.is_exhausted()).then_some(inner);
            } else {
                let part = batch.at_most(limits::TRANSFORM_FIRST_ROWS).kept();
                let rows = self.source.next_batch(env, &part)?;
                // The end, or a changefeed that has no more for now.
                if rows.is_empty()
                    && (self.source.is_exhausted()
                        || self.source.feed().is_some()
                        || matches!(batch.pick, Pick::Shard(_)))
                {
                    break;
                }
                open.rows = rows.into_iter();
            }
            env.check_interrupt()?;
        }
        Ok(())
    }
}

impl Stream for Concat {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let turns = Turns::take(&mut self.turns, &mut *self.source, env, batch)?;
        let Some(mut turns) = turns else { return self.read(env, batch) };
        let rows = turns.next_batch(env, batch, |part| self.read(env, part));
        self.turns = Some(turns);
        rows
    }

    fn is_exhausted(&self) -> bool {
        let nothing_is_kept = self.turns.as_ref().is_none_or(Turns::is_empty);
        nothing_is_kept && self.open.is_empty() && self.source.is_exhausted()
    }

    fn let_go(&mut self) {
        for (_, open) in &mut self.open {
            if let Some(inner) = &mut open.inner {
                inner.let_go();
            }
        }
        self.source.let_go();
    }

    fn shards(&mut self, env: &Env) -> Result<usize> {
        if self.turns.is_some() { Ok(0) } else { self.source.shards(env) }
    }

    fn is_on_shards(&self) -> bool {
        self.source.is_on_shards()
    }

    fn blame(&mut self, at: NodeId) {
        self.source.blame(at);
    }

    fn source(&self) -> Option<&dyn Stream> {
        Some(&*self.source)
    }

    fn origin(self: Box<Self>) -> Result<Origin> {
        self.source.origin()?;
        Err(Error::logic("Cannot call `changes` after `concat_map`."))
    }
}

/// The rows of a group replaced by what they stand for.
#[derive(Debug)]
struct Expanded {
    expand: Box<dyn Expand>,
}

impl Transform for Expanded {
    fn apply(&self, env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        for_each_batch(self.expand.expand(env, row)?, env, &BatchSpec::TERMINAL.in_turn(), |rows| {
            out.extend(rows);
            Ok(())
        })
    }
}
