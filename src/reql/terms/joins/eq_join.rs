//! `eqJoin`: elements paired with the documents of a table whose key they hold.
//!
//! An element without the key, or whose key no document has, is left out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;
use std::vec::IntoIter;

use photondb_protocol::numbers::TermType;

use crate::catalog::IndexEntry;
use crate::datum::Datum;
use crate::limits::{self, HASH_ORDER_BYTES, HASH_ORDER_ROWS};
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::facts::{Cost, Effect};
use crate::reql::function::{Func, Shortcut};
use crate::reql::selection::Selection;
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::stream::{
    BatchSpec, BoxStream, Budget, Rows, Shards, Stream, Transform, Turns, no_origin,
};
use crate::reql::table_ref::{TableIndex, TableRef};
use crate::reql::terms::selecting_data::named_index;
use crate::reql::value::Val;
use crate::storage::Direction;
use crate::table::{Document, IndexRange, PrimaryKey, TableReader};

use super::pair;

pub static EQ_JOIN: TermSpec = TermSpec {
    is_rewritten: true,
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    effect: Effect::Read,
    forbids_writes: true,
    options: &["index", "ordered"],
    ..TermSpec::pure(TermType::EqJoin, "EQ_JOIN", Chapter::Joins, Arity::exactly(3), eq_join)
};

fn eq_join(args: &Args<'_>) -> Result<Val> {
    let rows = Rows::of(args.arg(0)?, args.env)?;
    let func = args.func(1, Shortcut::GetField)?;
    let table = args.arg(2)?.into_table(args.env)?;
    let index = named_index(args, &table)?;
    let ordered = args.optarg_bool("ordered", false)?;
    let reader = args.env.stream_reader(&table)?;
    let pairs = Pairs { func, table, index, entry: OnceLock::new(), reader };
    match rows {
        Rows::Stream(left) | Rows::Selection(Selection { stream: left, .. })
            if !ordered && left.feed().is_none() =>
        {
            args.stream_value(Box::new(EqJoin { left, pairs, at: args.node.id, state: State::New }))
        }
        rows => rows.transform(args, Box::new(pairs)),
    }
}

/// What an element is paired with.
struct Pairs {
    func: Func,
    table: TableRef,
    index: TableIndex,
    /// The secondary index, once a key was looked up in it.
    entry: OnceLock<IndexEntry>,
    reader: TableReader,
}

impl std::fmt::Debug for Pairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pairs").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Pairs {
    /// The key that an element holds, if it holds one.
    fn key(&self, env: &Env, row: &Datum) -> Result<Option<Datum>> {
        match self.func.call_datum(env, std::slice::from_ref(row)) {
            Ok(Datum::Null) => Ok(None),
            Ok(key) => Ok(Some(key)),
            Err(error) if error.kind() == ErrorKind::NonExistence => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The secondary index of this name, looked up with the first key.
    fn entry(&self, name: &str) -> Result<&IndexEntry> {
        if let Some(entry) = self.entry.get() {
            return Ok(entry);
        }
        let entry = self.table.ordered_index(name).map_err(on_shard)?;
        Ok(self.entry.get_or_init(|| entry.clone()))
    }

    /// Whether a value can be a key of the index.
    fn check_key(&self, key: &Datum) -> Result<()> {
        match &self.index {
            TableIndex::Primary => drop(PrimaryKey::encode(key)?),
            TableIndex::Secondary(name) => {
                self.entry(name)?;
                IndexRange::value(key).map_err(on_shard)?;
            }
        }
        Ok(())
    }

    /// Calls a function with the documents of a key, as they lie in their order, until it answers `false`.
    fn each(
        &self,
        env: &Env,
        key: &Datum,
        mut take: impl FnMut(&PrimaryKey, &Document) -> bool,
    ) -> Result<()> {
        let failed = |error| env.table_error(&self.table, error);
        match &self.index {
            TableIndex::Primary => {
                let key = PrimaryKey::encode(key)?;
                if let Some(document) = self.reader.get(&key, env.read_mode()).map_err(failed)? {
                    self.table.note_read(1);
                    take(&key, &document);
                }
            }
            TableIndex::Secondary(name) => {
                let entry = self.entry(name)?;
                let range = IndexRange::value(key).map_err(on_shard)?;
                let scan = self.reader.scan_index(
                    &entry.index,
                    &range,
                    Direction::Forward,
                    env.read_mode(),
                );
                let mut scan = scan.map_err(failed)?;
                while let Some(found) = scan.next().map_err(failed)? {
                    self.table.note_read(1);
                    if !take(&found.key, &found.document) {
                        break;
                    }
                    env.check_interrupt()?;
                }
            }
        }
        Ok(())
    }
}

/// RethinkDB looks for keys of an index where the documents lie, which know no term to blame.
fn on_shard(error: impl Into<Error>) -> Error {
    error.into().at(NodeId::ROOT)
}

impl Transform for Pairs {
    fn feed_problem(&self) -> Option<Error> {
        Some(no_origin(true))
    }

    fn apply(&self, env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        let Some(key) = self.key(env, &row)? else { return Ok(()) };
        self.each(env, &key, |_, document| {
            out.push(pair(row.clone(), Some(document.value())));
            true
        })
    }
}

/// The pairs of a stream of elements. Those of many elements come in the elements' order. Those of a few come as RethinkDB
/// gives them: docs/decisions/0009-the-order-of-unordered-rows.md
#[derive(Debug)]
struct EqJoin {
    left: BoxStream,
    pairs: Pairs,
    at: NodeId,
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    /// So many elements that they are paired one by one; these were read.
    Many(IntoIter<Datum>),
    /// The elements that were not paired yet, as they are looked up together, and those that are being paired.
    Few(IntoIter<Vec<Datum>>, Batch),
}

/// Elements that are looked up together.
#[derive(Debug, Default)]
struct Batch {
    elements: Vec<Datum>,
    /// The elements of each key.
    keys: Vec<Vec<usize>>,
    /// Documents, each with its key, as they are taken from the shards: the last one is the first to be paired.
    documents: Shards<Found>,
    round: VecDeque<Found>,
    /// The document that is being paired, and with how many it was.
    current: Option<(usize, Datum, usize)>,
}

type Found = (usize, Document);

impl Batch {
    /// The next pair; `None` at the end.
    fn next(&mut self, at_a_time: usize) -> Option<Datum> {
        if self.current.is_none() {
            if self.round.is_empty() {
                self.round = self.documents.round(at_a_time);
            }
            let (key, document) = self.round.pop_back()?;
            self.current = Some((key, document.value(), 0));
        }
        let (key, document, paired) = self.current.as_mut()?;
        let elements = self.keys.get(*key)?;
        let element = self.elements.get(*elements.get(*paired)?)?;
        let pair = pair(element.clone(), Some(document.clone()));
        *paired += 1;
        if *paired == elements.len() {
            self.current = None;
        }
        Some(pair)
    }

    fn is_empty(&self) -> bool {
        self.current.is_none() && self.round.is_empty() && self.documents.is_empty()
    }
}

impl EqJoin {
    /// Reads the elements, unless they are many.
    fn open(&mut self, env: &Env) -> Result<()> {
        let few = usize::try_from(HASH_ORDER_ROWS).unwrap_or(usize::MAX);
        let all = BatchSpec::TERMINAL.in_turn();
        let mut batches = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        let shards = self.left.shards(env)?;
        let mut turns = (shards > 0).then(|| Turns::new(shards));
        while !self.left.is_exhausted() && rows <= few && bytes <= HASH_ORDER_BYTES {
            // What was read of the shards at a time is looked up together, too.
            let batch = match &mut turns {
                Some(turns) => {
                    turns.round(env, &all, |part| self.left.next_batch(env, part))?.into()
                }
                None => self.left.next_batch(env, &all.at_most(env.batch_rows().min(few + 1)))?,
            };
            rows += batch.len();
            bytes += batch.iter().map(Datum::approximate_size).sum::<usize>();
            batches.push(batch);
            env.check_interrupt()?;
        }
        self.state = if self.left.is_exhausted() && rows <= few {
            State::Few(batches.into_iter(), Batch::default())
        } else {
            State::Many(batches.concat().into_iter())
        };
        Ok(())
    }

    /// The documents of some elements; `None` when they are many.
    fn look_up(&self, env: &Env, elements: &[Datum]) -> Result<Option<Batch>> {
        let mut keys: BTreeMap<Datum, Vec<usize>> = BTreeMap::new();
        for (i, element) in elements.iter().enumerate() {
            if let Some(key) = self.pairs.key(env, element)? {
                keys.entry(key).or_default().push(i);
            }
        }
        // RethinkDB makes one range of all keys first, of which the ends must be keys.
        for key in [keys.keys().next(), keys.keys().next_back()].into_iter().flatten() {
            self.pairs.check_key(key)?;
        }
        let (mut found, mut bytes, mut is_few) = (Vec::new(), 0, true);
        for (i, key) in keys.keys().enumerate() {
            self.pairs.each(env, key, |key, document| {
                bytes += document.json().len();
                is_few = bytes <= HASH_ORDER_BYTES && (found.len() as u64) < HASH_ORDER_ROWS;
                found.push((key.hash_shard(), (i, document.detached())));
                is_few
            })?;
            if !is_few {
                return Ok(None);
            }
        }
        let documents = Shards::new(found);
        let keys = keys.into_values().collect();
        Ok(Some(Batch { elements: elements.to_vec(), keys, documents, ..Batch::default() }))
    }

    fn fill(&mut self, env: &Env, batch: &BatchSpec, out: &mut Vec<Datum>) -> Result<()> {
        let mut budget = Budget::new(batch);
        if matches!(self.state, State::New) {
            self.open(env)?;
        }
        while !budget.is_spent() && !self.is_exhausted() {
            env.check_interrupt()?;
            match &mut self.state {
                State::New => {}
                State::Few(batches, current) => {
                    if let Some(pair) = current.next(env.batch_rows()) {
                        budget.take(&pair);
                        out.push(pair);
                        continue;
                    }
                    let elements = batches.next().unwrap_or_default();
                    match self.look_up(env, &elements)? {
                        Some(found) => self.set_batch(found),
                        None => self.put_back(elements),
                    }
                }
                State::Many(rows) => {
                    if let Some(row) = rows.next() {
                        let before = out.len();
                        self.pairs.apply(env, row, out)?;
                        out.iter().skip(before).for_each(|pair| budget.take(pair));
                    } else {
                        let part = batch.in_turn().at_most(limits::TRANSFORM_FIRST_ROWS).kept();
                        *rows = self.left.next_batch(env, &part)?.into_iter();
                    }
                }
            }
        }
        Ok(())
    }

    fn set_batch(&mut self, found: Batch) {
        if let State::Few(_, current) = &mut self.state {
            *current = found;
        }
    }

    /// So many documents that they are better paired one by one.
    fn put_back(&mut self, elements: Vec<Datum>) {
        if let State::Few(batches, _) = &mut self.state {
            let all: Vec<_> = elements.into_iter().chain(batches.flatten()).collect();
            self.state = State::Many(all.into_iter());
        }
    }
}

impl Stream for EqJoin {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut out = Vec::new();
        self.fill(env, batch, &mut out).map_err(|error| error.at(self.at))?;
        Ok(out)
    }

    fn is_exhausted(&self) -> bool {
        self.left.is_exhausted()
            && match &self.state {
                State::New => true,
                State::Many(rows) => rows.len() == 0,
                State::Few(batches, batch) => batches.len() == 0 && batch.is_empty(),
            }
    }

    fn let_go(&mut self) {
        self.left.let_go();
    }

    fn is_array(&self) -> bool {
        self.left.is_array()
    }

    fn asks_tables(&self) -> bool {
        true
    }

    fn blame(&mut self, at: NodeId) {
        self.at = at;
    }

    fn is_infinite(&self) -> bool {
        self.left.is_infinite()
    }
}
