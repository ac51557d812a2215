//! Grouped values: what `group` makes, and how terms apply to each group.
//!
//! A grouped stream stays a stream while transformations and aggregations follow (they work row by row, keeping one
//! accumulator a group); any other term first gathers the groups into arrays.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::datum::Datum;

use super::env::Env;
use super::error::{Error, NodeId, Result};
use super::eval::Args;
use super::spec::Grouping;
use super::stream::{BatchSpec, BoxStream, Stream, Transform, for_each_batch};
use super::value::{Val, ValKind};

/// Values by group, in order of the groups.
#[derive(Clone, Debug, Default)]
pub struct Grouped {
    /// Group to value.
    pub groups: BTreeMap<Datum, Datum>,
}

impl Grouped {
    /// What a function makes of each group's value.
    pub fn map(self, env: &Env, mut each: impl FnMut(Datum) -> Result<Val>) -> Result<Grouped> {
        let mut out = Grouped::default();
        for (group, value) in self.groups {
            out.groups.insert(group, each(value)?.into_datum(env)?);
        }
        Ok(out)
    }

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

    /// What is grouped of a row: all of it, unless it carries something for [`GroupKeys::keys`] alone.
    fn row(&self, row: Datum) -> Datum {
        row
    }
}

/// A stream whose rows carry groups, with the transformations to apply to each row.
#[derive(Debug)]
pub struct GroupedStream {
    source: BoxStream,
    keys: Box<dyn GroupKeys>,
    at: NodeId,
    transforms: Vec<(Box<dyn Transform>, NodeId)>,
}

/// Gathers the rows of one group into one value.
pub trait Accumulator {
    /// Whether it keeps nothing of a row, or keeps it [detached](Datum::detached).
    fn lets_go(&self) -> bool {
        false
    }
    /// Takes a row, and tells whether it counts: a group none of whose rows counts does not appear.
    fn add(&mut self, env: &Env, row: Datum) -> Result<bool>;
    /// The value of all rows taken.
    fn finish(self: Box<Self>, env: &Env) -> Result<Datum>;
}

impl GroupedStream {
    /// Groups a stream; `at` is the term that groups.
    pub fn new(mut source: BoxStream, keys: Box<dyn GroupKeys>, at: NodeId) -> Self {
        source.blame(at);
        GroupedStream { source, keys, at, transforms: Vec::new() }
    }

    /// Applies a transformation to the rows of each group; `at` is the term to blame for its errors.
    #[must_use]
    pub fn transformed(mut self, transform: Box<dyn Transform>, at: NodeId) -> Self {
        self.transforms.push((transform, at));
        self
    }

    /// Reads the stream to its end with one accumulator a group. Groups without rows do not appear.
    pub fn aggregate(self, env: &Env, start: &dyn Fn() -> Box<dyn Accumulator>) -> Result<Grouped> {
        let at = self.at;
        let blamed = blame_of_rows(self.source.as_ref());
        let mut states: BTreeMap<Datum, Box<dyn Accumulator>> = BTreeMap::new();
        let batch = batch_for(&*start());
        self.for_each_batch(env, &batch, |groups| {
            for (group, rows) in groups {
                match states.entry(group.detached()) {
                    Entry::Occupied(mut state) => {
                        for row in rows {
                            state.get_mut().add(env, row).map_err(blamed)?;
                        }
                    }
                    Entry::Vacant(place) => {
                        let mut state = start();
                        let mut counts = false;
                        for row in rows {
                            counts |= state.add(env, row).map_err(blamed)?;
                        }
                        if counts {
                            place.insert(state);
                        }
                    }
                }
            }
            check_groups(env, states.len(), at)
        })?;
        let mut grouped = Grouped::default();
        for (group, state) in states {
            grouped.groups.insert(group, state.finish(env)?);
        }
        Ok(grouped)
    }

    /// Gathers the rows of each group into an array. All groups together may hold as many rows as an array.
    pub fn gather(self, env: &Env) -> Result<Grouped> {
        let mut gathered: BTreeMap<Datum, Vec<Datum>> = BTreeMap::new();
        let mut size = 0;
        self.for_each_batch(env, &BatchSpec::TERMINAL, |groups| {
            for (group, rows) in groups {
                size += rows.len();
                gathered.entry(group).or_default().extend(rows);
            }
            if size > env.array_limit() {
                let message = format!(
                    "Grouped data over size limit `{}`.  Try putting a reduction (like `.reduce` or `.count`) on the \
                     end.",
                    env.array_limit()
                );
                return Err(Error::resource_limit(message).at(NodeId::ROOT));
            }
            Ok(())
        })?;
        let groups = gathered.into_iter().map(|(group, rows)| (group, Datum::array(rows)));
        Ok(Grouped { groups: groups.collect() })
    }

    /// Reads the stream to its end; hands out the transformed rows of each batch by group, none of them empty.
    fn for_each_batch(
        self,
        env: &Env,
        batch: &BatchSpec,
        mut take: impl FnMut(BTreeMap<Datum, Vec<Datum>>) -> Result<()>,
    ) -> Result<()> {
        let GroupedStream { source, keys, at, transforms } = self;
        for_each_batch(source, env, batch, |rows| {
            let mut groups = split(env, keys.as_ref(), rows, at)?;
            for (transform, at) in &transforms {
                for rows in groups.values_mut() {
                    *rows = transform
                        .apply_all(env, std::mem::take(rows))
                        .map_err(|error| error.at(*at))?;
                }
                groups.retain(|_, rows| !rows.is_empty());
            }
            take(groups)
        })
    }
}

/// How the rows are read that an accumulator takes.
fn batch_for(accumulator: &dyn Accumulator) -> BatchSpec {
    if accumulator.lets_go() { BatchSpec::PASSING } else { BatchSpec::TERMINAL }
}

/// The rows of a batch by group.
fn split(
    env: &Env,
    keys: &dyn GroupKeys,
    rows: Vec<Datum>,
    at: NodeId,
) -> Result<BTreeMap<Datum, Vec<Datum>>> {
    let mut groups: BTreeMap<Datum, Vec<Datum>> = BTreeMap::new();
    let mut of_row = Vec::new();
    for row in rows {
        keys.keys(env, &row, &mut of_row).map_err(|error| error.at(at))?;
        let row = keys.row(row);
        let last = of_row.pop();
        for group in of_row.drain(..) {
            groups.entry(group).or_default().push(row.clone());
        }
        if let Some(group) = last {
            groups.entry(group).or_default().push(row);
        }
        // The rows that are not grouped yet count as one group more.
        check_groups(env, groups.len() + 1, at)?;
        env.check_interrupt()?;
    }
    Ok(groups)
}

fn check_groups(env: &Env, groups: usize, at: NodeId) -> Result<()> {
    if groups <= env.array_limit() {
        return Ok(());
    }
    let message = format!("Too many groups (> {}).", env.array_limit());
    Err(Error::resource_limit(message).at(at))
}

/// Of a stream that is read where the documents lie, an error of a row blames the whole query: no term is known there.
fn blame_of_rows(stream: &dyn Stream) -> impl Fn(Error) -> Error + Copy + use<> {
    let on_shards = stream.is_on_shards();
    move |error| if on_shards { error.at(NodeId::ROOT) } else { error }
}

/// What became of a term whose first argument may be grouped.
pub(super) enum Applied {
    /// It was grouped: this is the answer for all groups.
    Done(Val),
    /// It was not, or the term deals with grouped streams itself.
    NotGrouped(Val),
}

/// Applies the term to each group when its first argument is grouped. The value of a group blames the term itself for a
/// wrong type, as in RethinkDB: no term of the query gave that one value.
pub(super) fn apply(args: &Args<'_>, first: Val) -> Result<Applied> {
    let first = match first.kind {
        ValKind::GroupedStream(_) if args.spec().grouping != Grouping::Each => {
            return Ok(Applied::NotGrouped(first));
        }
        _ => first,
    };
    match gathered(args.env, first)? {
        Gathered::Groups(grouped) => {
            let at = args.node.id;
            let each = |value| args.with_first(Val::datum(value, at))?.eval_term();
            Ok(Applied::Done(Val::new(ValKind::Grouped(grouped.map(args.env, each)?), at)))
        }
        Gathered::NotGrouped(first) => Ok(Applied::NotGrouped(first)),
    }
}

/// A result, told apart by whether it is grouped.
pub enum Gathered {
    /// The values by group; what was a grouped stream is read to its end.
    Groups(Grouped),
    /// Anything else.
    NotGrouped(Val),
}

/// Gathers the groups of a grouped result.
pub fn gathered(env: &Env, val: Val) -> Result<Gathered> {
    match val.kind {
        ValKind::Grouped(grouped) => Ok(Gathered::Groups(grouped)),
        ValKind::GroupedStream(stream) => Ok(Gathered::Groups(stream.gather(env)?)),
        kind => Ok(Gathered::NotGrouped(Val { kind, at: val.at })),
    }
}

/// Reads a sequence to its end with an accumulator, or each group of a grouped stream with one of its own. If the result
/// is of a wrong type for what follows, the term that gave the sequence is to blame, as in RethinkDB.
pub fn aggregate(
    args: &Args<'_>,
    first: Val,
    start: &dyn Fn() -> Box<dyn Accumulator>,
) -> Result<Val> {
    let at = first.at;
    if let ValKind::GroupedStream(stream) = first.kind {
        let grouped = stream.aggregate(args.env, start)?;
        return Ok(Val::new(ValKind::Grouped(grouped), at));
    }
    // What is gathered of a sequence counts as that sequence's: its term is blamed for a wrong type.
    let at = first.at;
    let mut state = start();
    let batch = batch_for(&*state);
    let stream = first.into_finite_stream(args.env)?;
    let blamed = blame_of_rows(stream.as_ref());
    for_each_batch(stream, args.env, &batch, |rows| {
        for row in rows {
            state.add(args.env, row).map_err(blamed)?;
        }
        Ok(())
    })?;
    Ok(Val::datum(state.finish(args.env)?, at))
}
