//! Row-by-row transformations of a stream: map, filter, pluck, ...

use std::fmt::Debug;

use crate::datum::Datum;
use crate::limits;
use crate::reql::env::Env;
use crate::reql::error::{Error, NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Varies;
use crate::reql::grouped::GroupedStream;
use crate::reql::selection::Selection;
use crate::reql::value::{Val, ValKind};

use super::{BatchSpec, BoxStream, Budget, Origin, Stream, Turns, no_origin};

/// Turns one row into none, one or several. Keeps nothing between rows.
pub trait Transform: Debug + Send {
    /// Appends what the row becomes.
    fn apply(&self, env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()>;

    /// Why a changefeed cannot do the same to documents as they change; nothing where it can.
    fn feed_problem(&self) -> Option<Error> {
        Some(no_origin(false))
    }

    /// What all these rows become. Worth its own code where rows can be changed or dropped in place.
    fn apply_all(&self, env: &Env, rows: Vec<Datum>) -> Result<Vec<Datum>> {
        let mut out = Vec::with_capacity(rows.len());
        for row in rows {
            self.apply(env, row, &mut out)?;
        }
        Ok(out)
    }
}

/// A stream with a transformation applied to its rows.
#[derive(Debug)]
pub struct Transformed {
    source: BoxStream,
    transform: Box<dyn Transform>,
    at: NodeId,
    turns: Option<Turns>,
}

impl Transformed {
    /// Transforms a stream; `at` is the term to blame for errors that name no other.
    pub fn new(mut source: BoxStream, transform: Box<dyn Transform>, at: NodeId) -> Self {
        source.blame(at);
        Transformed { source, transform, at, turns: None }
    }

    /// Reads some rows and transforms them. Also tells how many were read.
    fn read(&mut self, env: &Env, batch: &BatchSpec) -> Result<(usize, Vec<Datum>)> {
        let rows = self.source.next_batch(env, batch)?;
        let read = rows.len();
        let rows = self.transform.apply_all(env, rows).map_err(|error| error.at(self.at))?;
        Ok((read, rows))
    }

    /// The next rows, in the order of the source.
    fn fill(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let feed = self.source.feed().is_some();
        // What becomes an array at once need not be measured.
        let measured = !(self.source.is_array() && batch.terminal);
        let mut budget = Budget::new(batch);
        let mut out = Vec::new();
        // Rows are read in growing portions: those that become large fill a batch long before it has all its rows.
        let mut portion = if measured { limits::TRANSFORM_FIRST_ROWS } else { batch.max_rows };
        let mut left = batch.max_rows;
        loop {
            let (read, rows) = self.read(env, &batch.at_most(portion.min(left)))?;
            if measured {
                rows.iter().for_each(|row| budget.take(row));
            }
            if out.is_empty() {
                out = rows;
            } else {
                out.extend(rows);
            }
            let full = budget.is_spent() || left <= read || feed;
            if self.source.is_exhausted() || read == 0 || (full && !out.is_empty()) {
                return Ok(out);
            }
            // A batch that was filtered away says nothing about the end: go on.
            left = if left <= read { batch.max_rows } else { left - read };
            portion = portion.saturating_mul(2);
            env.check_interrupt()?;
        }
    }
}

impl Stream for Transformed {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let turns = Turns::take(&mut self.turns, &mut *self.source, env, batch)?;
        let Some(mut turns) = turns else { return self.fill(env, batch) };
        let rows = turns.next_batch(env, batch, |part| self.fill(env, part));
        self.turns = Some(turns);
        rows
    }

    fn is_exhausted(&self) -> bool {
        self.turns.as_ref().is_none_or(Turns::is_empty) && self.source.is_exhausted()
    }

    fn let_go(&mut self) {
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
        if let Some(problem) = self.transform.feed_problem() {
            return Err(problem);
        }
        let mut origin = self.source.origin()?;
        if origin.limit.is_some() {
            return Err(Error::logic(
                "Changefeeds are not supported on queries that have a transformation following a `limit` term.  \
                 Transformations include terms such as `filter`, `map`, `pluck`, etc.  Consider moving the transformation \
                 before the `limit` term.",
            )
            .at(self.at));
        }
        origin.transforms.push(self.transform);
        Ok(origin)
    }
}

/// Refuses a function or a term that a changefeed would have to trust; `at` is to blame.
pub fn undetermined(varies: Varies, at: NodeId) -> Option<Error> {
    let message = "Cannot call `changes` after a non-deterministic function.";
    (!varies.is_fixed_here()).then(|| Error::logic(message).at(at))
}

/// The first argument of a term that transforms rows.
#[derive(Debug)]
pub enum Rows {
    /// Of a sequence.
    Stream(BoxStream),
    /// Documents of a table.
    Selection(Selection),
    /// Of a grouped stream, to be transformed group by group.
    Grouped(GroupedStream),
}

impl Rows {
    /// The rows of a result; an error when it has none.
    pub fn of(val: Val, env: &Env) -> Result<Rows> {
        match val.kind {
            ValKind::GroupedStream(stream) => Ok(Rows::Grouped(stream)),
            ValKind::Selection(selection) => Ok(Rows::Selection(selection)),
            ValKind::Table(table) => Ok(Rows::Selection(table.into_selection(env)?)),
            _ => Ok(Rows::Stream(val.into_stream(env)?)),
        }
    }

    /// The term's answer: the rows transformed.
    pub fn transform(self, args: &Args<'_>, transform: Box<dyn Transform>) -> Result<Val> {
        let at = args.node.id;
        let source = match self {
            Rows::Grouped(stream) => {
                return args.val(ValKind::GroupedStream(stream.transformed(transform, at)));
            }
            Rows::Stream(source) | Rows::Selection(Selection { stream: source, .. }) => source,
        };
        args.stream_value(Box::new(Transformed::new(source, transform, at)))
    }

    /// As [`Rows::transform`], for a transformation that drops rows and changes none: a selection stays one.
    pub fn sift(self, args: &Args<'_>, sieve: Box<dyn Transform>) -> Result<Val> {
        match self {
            Rows::Selection(Selection { table, stream }) => {
                let stream = Box::new(Transformed::new(stream, sieve, args.node.id));
                args.val(ValKind::Selection(Selection { table, stream }))
            }
            _ => self.transform(args, sieve),
        }
    }

    /// The term's answer: another stream of the same rows. A selection stays one; a grouped stream is refused.
    pub fn restream(
        self,
        args: &Args<'_>,
        make: impl FnOnce(BoxStream) -> Result<BoxStream>,
    ) -> Result<Val> {
        match self {
            Rows::Selection(Selection { table, stream }) => {
                args.val(ValKind::Selection(Selection { table, stream: make(stream)? }))
            }
            Rows::Stream(stream) => args.stream_value(make(stream)?),
            Rows::Grouped(_) => Err(Error::internal("A grouped stream was not gathered.")),
        }
    }
}

/// Applies a transformation to a sequence, or to the rows of each group of a grouped stream.
pub fn transform(args: &Args<'_>, first: Val, transform: Box<dyn Transform>) -> Result<Val> {
    Rows::of(first, args.env)?.transform(args, transform)
}
