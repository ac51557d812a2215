//! `changes`: a feed of what happens to a document, or to the documents of a table or of a range of it.
//!
//! A feed first answers with no rows, then with what it has. With `include_initial` it reads a commit point of the table
//! and goes on with the changes after it, so that nothing is missed and nothing comes twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use photondb_protocol::numbers::{ResponseNote, TermType};

use crate::changefeed::{Change, Drained, Ended, Interest, Subscription};
use crate::datum::{Datum, ObjectBuilder};
use crate::limits::FEED_QUEUE_CHANGES;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::selection::{SingleSelection, TableIndex, TableRef, TableVal};
use crate::reql::spec::{Arity, Chapter, Cost, Effect, Grouping, Status, TermSpec};
use crate::reql::stream::{BatchSpec, Feed, Stream};
use crate::reql::system::{self, Watch};
use crate::reql::value::{Val, ValKind};
use crate::storage::{CommitSequence, Direction};
use crate::table::{Document, DocumentScan, PrimaryKey};

pub static CHANGES: TermSpec = TermSpec {
    options: &[
        "squash",
        "changefeed_queue_size",
        "include_initial",
        "include_offsets",
        "include_states",
        "include_types",
    ],
    grouping: Grouping::Whole,
    // What reads a feed may wait for it.
    cost: Cost::Heavy,
    status: Status::Without(
        "feeds of filtered, transformed, ordered or limited streams; offsets; squashing with a delay",
    ),
    ..TermSpec::on_tables(
        Effect::Read,
        TermType::Changes,
        "CHANGES",
        Chapter::ManipulatingTables,
        Arity::exactly(1),
        changes,
    )
};

fn changes(args: &Args<'_>) -> Result<Val> {
    let target = args.arg(0)?;
    let options = Options::read(args, &target)?;
    let env = args.env;
    let stream = match target.kind {
        ValKind::Table(TableVal { index: Some(TableIndex::Secondary { .. }), .. }) => {
            return Err(not_supported());
        }
        ValKind::Table(slice) if slice.table.is_system() => {
            let range = slice.key_range()?;
            system_feed(env, slice.table, Interest::Range(range), options)?
        }
        ValKind::SingleSelection(single) if single.table.is_system() => {
            system_feed(env, single.table, Interest::Point(single.key), options)?
        }
        ValKind::Table(slice) => {
            let range = slice.key_range()?;
            let interest = Interest::Range(range.clone());
            let mut feed = ChangeStream::open(env, slice.table, interest, options);
            if options.include_initial {
                let reader = env.reader(&feed.table)?;
                let direction = slice.order.unwrap_or(Direction::Forward);
                let scan = reader
                    .scan(&range, direction)
                    .map_err(|error| env.table_error(&feed.table, error))?;
                feed.begin(reader.sequence(), Initial::Range(scan));
            }
            feed
        }
        ValKind::SingleSelection(single) => point_feed(env, single, options)?,
        ValKind::Selection(_) | ValKind::GroupedStream(_) => return Err(not_supported()),
        ValKind::Sequence(stream) if stream.is_array() => return Err(eager().at(target.at)),
        ValKind::Sequence(_) => return Err(not_supported()),
        ValKind::Datum(Datum::Array(_)) => return Err(eager().at(target.at)),
        kind => {
            // Not a sequence at all: the error says so.
            Val::new(kind, target.at).into_stream(env)?;
            return Err(eager());
        }
    };
    args.stream_value(Box::new(stream))
}

fn point_feed(env: &Env, single: SingleSelection, options: Options) -> Result<ChangeStream> {
    let interest = Interest::Point(single.key.clone());
    let mut feed = ChangeStream::open(env, single.table, interest, options);
    if options.include_initial {
        let reader = env.reader(&feed.table)?;
        let found = reader.get(&single.key).map_err(|error| env.table_error(&feed.table, error))?;
        feed.begin(reader.sequence(), Initial::Point(found));
    }
    Ok(feed)
}

/// A feed of the rows of a system table. They are compared at some moments, and nothing is squashed.
fn system_feed(
    env: &Env,
    table: TableRef,
    interest: Interest,
    options: Options,
) -> Result<ChangeStream> {
    let options = Options { squash: false, ..options };
    let watch = system::watch(env, &table)?;
    let mut feed = ChangeStream::open(env, table, interest.clone(), options);
    let moment = watch.moment(&env.context)?;
    feed.after = moment.sequence;
    feed.watch = Some(watch);
    if options.include_initial {
        let initial = match interest {
            Interest::Point(key) => Initial::Point(moment.rows.get(&key).cloned()),
            Interest::Range(range) => {
                let rows = moment.rows.into_iter();
                let rows = rows.filter(|(key, _)| range.contains(key.as_bytes()));
                Initial::Rows(rows.map(|(_, row)| row).collect())
            }
        };
        feed.begin(moment.sequence, initial);
    }
    Ok(feed)
}

fn eager() -> Error {
    Error::logic("Cannot call `changes` on an eager stream.")
}

fn not_supported() -> Error {
    Error::logic(
        "`changes` on a filtered, transformed or limited stream is not supported by this server yet.",
    )
}

#[derive(Clone, Copy, Debug)]
struct Options {
    squash: bool,
    queue: usize,
    include_initial: bool,
    include_states: bool,
    include_types: bool,
}

impl Options {
    fn read(args: &Args<'_>, target: &Val) -> Result<Options> {
        let (is_system, what) = match &target.kind {
            ValKind::Table(slice) => (slice.table.is_system(), "range"),
            ValKind::SingleSelection(single) => (single.table.is_system(), "point"),
            _ => (false, "range"),
        };
        let squash = match args.optarg("squash")? {
            None => false,
            Some(val) => read_squash(val, args.env, is_system)?,
        };
        let queue = match args.optarg("changefeed_queue_size")? {
            None => FEED_QUEUE_CHANGES,
            Some(val) => {
                let at = val.at;
                let size = val.integer(args.env)?;
                usize::try_from(size).ok().filter(|size| *size >= 1).ok_or_else(|| {
                    Error::logic(format!(
                        "Illegal changefeed queue size `{size}`.  (Must be >= 1.)"
                    ))
                    .at(at)
                })?
            }
        };
        if args.optarg_bool("include_offsets", false)? {
            let message = format!("Cannot include offsets for {what} subs.");
            return Err(if is_system { Error::op_failed(message) } else { Error::logic(message) });
        }
        Ok(Options {
            squash,
            queue,
            include_initial: args.optarg_bool("include_initial", false)?,
            include_states: args.optarg_bool("include_states", false)?,
            include_types: args.optarg_bool("include_types", false)?,
        })
    }
}

/// Feeds of system tables take every form and squash nothing.
fn read_squash(val: Val, env: &Env, is_system: bool) -> Result<bool> {
    let at = val.at;
    match val.into_datum(env)? {
        Datum::Bool(squash) => Ok(squash),
        Datum::Number(seconds) if seconds < 0.0 => {
            Err(Error::logic("Expected BOOL or a positive NUMBER but found a negative NUMBER.")
                .at(at))
        }
        Datum::Number(_) if is_system => Ok(false),
        Datum::Number(_) => {
            Err(Error::logic("`squash` with a delay is not supported by this server yet.").at(at))
        }
        other => {
            Err(Error::logic(format!("Expected BOOL or NUMBER but found {}.", other.type_name()))
                .at(at))
        }
    }
}

/// A feed under way.
struct ChangeStream {
    table: TableRef,
    subscription: Subscription,
    options: Options,
    note: ResponseNote,
    /// Changes up to this commit are in what was read at the beginning.
    after: CommitSequence,
    initial: Option<Initial>,
    /// What tells of the rows of a system table as long as it is held.
    watch: Option<Arc<Watch>>,
    /// Rows that are ready to leave.
    rows: VecDeque<Datum>,
    ended: bool,
}

/// What is still to be read of the beginning.
enum Initial {
    Point(Option<Document>),
    Range(DocumentScan),
    Rows(VecDeque<Document>),
}

impl std::fmt::Debug for ChangeStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeStream").field("table", &self.table).finish_non_exhaustive()
    }
}

impl ChangeStream {
    /// Listens from now on.
    fn open(env: &Env, table: TableRef, interest: Interest, options: Options) -> Self {
        let note = match &interest {
            Interest::Point(_) => ResponseNote::AtomFeed,
            Interest::Range(_) => ResponseNote::SequenceFeed,
        };
        let subscription = env.context.hub.subscribe(table.table.id(), interest, options.queue);
        let mut feed = ChangeStream {
            table,
            subscription,
            options,
            note,
            after: CommitSequence(0),
            initial: None,
            watch: None,
            rows: VecDeque::new(),
            ended: false,
        };
        if options.include_states && !options.include_initial {
            feed.push_state("ready");
        }
        feed
    }

    /// Delivers what was there at a commit point first. The point must be later than the beginning of the listening.
    fn begin(&mut self, sequence: CommitSequence, initial: Initial) {
        self.after = sequence;
        self.initial = Some(initial);
        if self.options.include_states {
            self.push_state("initializing");
        }
    }

    fn push_state(&mut self, state: &str) {
        let row = row([("state", state.into())], self.options, "state");
        self.rows.push_back(row);
    }

    /// Reads up to `most` documents of the beginning.
    fn read_initial(&mut self, env: &Env, most: usize) -> Result<()> {
        let Some(mut initial) = self.initial.take() else { return Ok(()) };
        let options = self.options;
        let done = match &mut initial {
            Initial::Point(document) => {
                let value = value(document.as_ref());
                self.rows.push_back(row([("new_val", value)], options, "initial"));
                true
            }
            Initial::Rows(rows) => {
                let read = rows.len().min(most);
                for document in rows.drain(..read) {
                    self.rows.push_back(row([("new_val", document.value())], options, "initial"));
                }
                rows.is_empty()
            }
            Initial::Range(scan) => {
                scan.set_mode(env.read_mode());
                let mut read = 0;
                loop {
                    if read >= most {
                        break false;
                    }
                    let document =
                        scan.next().map_err(|error| env.table_error(&self.table, error))?;
                    let Some(document) = document else { break true };
                    let value = document.value();
                    self.rows.push_back(row([("new_val", value)], options, "initial"));
                    read += 1;
                }
            }
        };
        if !done {
            self.initial = Some(initial);
        } else if options.include_states {
            self.push_state("ready");
        }
        Ok(())
    }

    /// Takes what has arrived.
    fn take_changes(&mut self, most: usize) {
        let Drained { changes, skipped, ended } = self.subscription.drain(most);
        if skipped > 0 {
            let message =
                format!("Changefeed cache over array size limit, skipped {skipped} elements.");
            self.rows.push_back(row([("error", message.into())], self.options, "error"));
        }
        let new = changes.into_iter().filter(|change| change.sequence > self.after);
        let pairs = if self.options.squash { squash(new) } else { new.map(Pair::of).collect() };
        for pair in pairs {
            let old = value(pair.before());
            let new = value(pair.after());
            let kind = match (&old, &new) {
                (Datum::Null, _) => "add",
                (_, Datum::Null) => "remove",
                _ => "change",
            };
            self.rows.push_back(row([("new_val", new), ("old_val", old)], self.options, kind));
        }
        if ended == Some(Ended::TableDropped) {
            self.ended = true;
        }
    }
}

impl Stream for ChangeStream {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        while self.rows.len() < batch.max_rows && self.initial.is_some() {
            self.read_initial(env, batch.max_rows)?;
        }
        if self.initial.is_none() && self.rows.len() < batch.max_rows {
            self.take_changes(batch.max_rows);
        }
        if self.rows.is_empty() && self.ended {
            return Err(Error::op_failed("Changefeed aborted (unavailable)."));
        }
        let rows = self.rows.len().min(batch.max_rows);
        Ok(self.rows.drain(..rows).collect())
    }

    fn is_exhausted(&self) -> bool {
        false
    }

    fn is_infinite(&self) -> bool {
        true
    }

    fn feed(&self) -> Option<Feed> {
        Some(Feed {
            note: self.note,
            includes_states: self.options.include_states,
            ready: self.subscription.ready().clone(),
        })
    }
}

/// A document before and after one or several changes.
struct Pair {
    first: Arc<Change>,
    last: Arc<Change>,
}

impl Pair {
    fn of(change: Arc<Change>) -> Pair {
        Pair { first: change.clone(), last: change }
    }

    fn before(&self) -> Option<&Document> {
        self.first.document.old.as_ref()
    }

    fn after(&self) -> Option<&Document> {
        self.last.document.new.as_ref()
    }
}

/// One pair for each document, in the order of their first changes; none for what is as it was.
fn squash(changes: impl Iterator<Item = Arc<Change>>) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    let mut places: HashMap<PrimaryKey, usize> = HashMap::new();
    for change in changes {
        let place = *places.entry(change.document.key.clone()).or_insert(pairs.len());
        match pairs.get_mut(place) {
            Some(pair) => pair.last = change,
            None => pairs.push(Pair::of(change)),
        }
    }
    pairs.retain(|pair| pair.before() != pair.after());
    pairs
}

fn value(document: Option<&Document>) -> Datum {
    document.map_or(Datum::Null, Document::value)
}

fn row<const N: usize>(fields: [(&str, Datum); N], options: Options, kind: &str) -> Datum {
    let mut row = ObjectBuilder::with_capacity(N + 1);
    for (name, value) in fields {
        row.insert(Arc::from(name), value);
    }
    if options.include_types {
        row.insert(Arc::from("type"), kind.into());
    }
    Datum::Object(row.build())
}
