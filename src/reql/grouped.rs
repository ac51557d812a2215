//! Grouped values: what `group` makes, and how terms apply to each group.
//!
//! A grouped stream stays a stream while transformations and aggregations follow (they work row by row, keeping one
//! accumulator a group); any other term first gathers the groups into arrays.

use std::collections::BTreeMap;

use crate::datum::Datum;

use super::env::Env;
use super::error::Result;
use super::eval::Args;
use super::spec::Grouping;
use super::stream::{BatchSpec, BoxStream, Transform};
use super::value::{Val, ValKind};

/// Values by group, in order of the groups.
#[derive(Clone, Debug, Default)]
pub struct Grouped {
    /// Group to value.
    pub groups: BTreeMap<Datum, Datum>,
}

impl Grouped {
    /// The wire's form: `{"$reql_type$": "GROUPED_DATA", "data": [[group, value], ...]}`.
    pub fn into_wire(self) -> Datum {
        let pairs = self.groups.into_iter().map(|(group, value)| Datum::array(vec![group, value]));
        Datum::object([
            (crate::datum::REQL_TYPE, Datum::string("GROUPED_DATA")),
            ("data", Datum::array(pairs.collect())),
        ])
    }
}

/// Tells the groups of a row.
pub trait GroupKeys: std::fmt::Debug + Send {
    /// Appends the groups the row belongs to; none when it belongs nowhere.
    fn keys(&self, env: &Env, row: &Datum, out: &mut Vec<Datum>) -> Result<()>;
}

/// A stream whose rows carry groups, with the transformations to apply to each row.
#[derive(Debug)]
pub struct GroupedStream {
    source: BoxStream,
    keys: Box<dyn GroupKeys>,
    transforms: Vec<Box<dyn Transform>>,
}

/// Gathers the rows of one group into one value.
pub trait Accumulator {
    /// Takes a row.
    fn add(&mut self, env: &Env, row: Datum) -> Result<()>;
    /// The value of all rows taken.
    fn finish(self: Box<Self>, env: &Env) -> Result<Datum>;
}

impl GroupedStream {
    /// Groups a stream.
    pub fn new(source: BoxStream, keys: Box<dyn GroupKeys>) -> Self {
        GroupedStream { source, keys, transforms: Vec::new() }
    }

    /// Applies a transformation to the rows of each group.
    #[must_use]
    pub fn transformed(mut self, transform: Box<dyn Transform>) -> Self {
        self.transforms.push(transform);
        self
    }

    /// Reads the stream to its end with one accumulator a group. Groups without rows do not appear.
    pub fn aggregate(
        mut self,
        env: &Env,
        start: &dyn Fn() -> Box<dyn Accumulator>,
    ) -> Result<Grouped> {
        let mut states: BTreeMap<Datum, Box<dyn Accumulator>> = BTreeMap::new();
        let mut keys = Vec::new();
        while !self.source.is_exhausted() {
            for row in self.source.next_batch(env, &BatchSpec::TERMINAL)? {
                keys.clear();
                self.keys.keys(env, &row, &mut keys)?;
                for key in keys.drain(..) {
                    let rows = self.transform(env, row.clone())?;
                    if rows.is_empty() {
                        continue;
                    }
                    let state = states.entry(key).or_insert_with(start);
                    for row in rows {
                        state.add(env, row)?;
                    }
                }
            }
        }
        let mut grouped = Grouped::default();
        for (key, state) in states {
            grouped.groups.insert(key, state.finish(env)?);
        }
        Ok(grouped)
    }

    /// Gathers the rows of each group into an array, within the array limit.
    pub fn gather(self, env: &Env) -> Result<Grouped> {
        self.aggregate(env, &|| Box::new(Gather::default()))
    }

    fn transform(&self, env: &Env, row: Datum) -> Result<Vec<Datum>> {
        let mut rows = vec![row];
        for transform in &self.transforms {
            let mut out = Vec::with_capacity(rows.len());
            for row in rows {
                transform.apply(env, row, &mut out)?;
            }
            rows = out;
        }
        Ok(rows)
    }
}

#[derive(Default)]
struct Gather {
    rows: Vec<Datum>,
}

impl Accumulator for Gather {
    fn add(&mut self, env: &Env, row: Datum) -> Result<()> {
        self.rows.push(row);
        env.check_array_size(self.rows.len())
    }

    fn finish(self: Box<Self>, _env: &Env) -> Result<Datum> {
        Ok(Datum::array(self.rows))
    }
}

/// What became of a term whose first argument may be grouped.
pub(super) enum Applied {
    /// It was grouped: this is the answer for all groups.
    Done(Val),
    /// It was not, or the term deals with grouped streams itself.
    NotGrouped(Val),
}

/// Applies the term to each group when its first argument is grouped.
pub(super) fn apply(args: &Args<'_>, first: Val) -> Result<Applied> {
    let at = first.at;
    let grouped = match first.kind {
        ValKind::Grouped(grouped) => grouped,
        ValKind::GroupedStream(stream) if args.spec().grouping == Grouping::Each => {
            stream.gather(args.env)?
        }
        kind => return Ok(Applied::NotGrouped(Val { kind, at })),
    };
    let mut out = Grouped::default();
    for (group, value) in grouped.groups {
        let value = args.with_first(Val::datum(value, at))?.eval_term()?.into_datum(args.env)?;
        out.groups.insert(group, value);
    }
    Ok(Applied::Done(Val::new(ValKind::Grouped(out), args.node.id)))
}

/// Reads a sequence to its end with an accumulator, or each group of a grouped stream with one of its own.
pub fn aggregate(
    args: &Args<'_>,
    first: Val,
    start: &dyn Fn() -> Box<dyn Accumulator>,
) -> Result<Val> {
    if let ValKind::GroupedStream(stream) = first.kind {
        let grouped = stream.aggregate(args.env, start)?;
        return args.val(ValKind::Grouped(grouped));
    }
    let mut stream = first.into_stream(args.env)?;
    let mut state = start();
    while !stream.is_exhausted() {
        for row in stream.next_batch(args.env, &BatchSpec::TERMINAL)? {
            state.add(args.env, row)?;
        }
    }
    let value = state.finish(args.env)?;
    args.value(value)
}
