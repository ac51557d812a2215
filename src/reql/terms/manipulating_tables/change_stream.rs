//! A feed under way: what there was at its beginning, then what has changed, as rows.
//!
//! A feed first answers with no rows, then with what it has. With `include_initial` it reads a commit point of the table
//! and goes on with the changes after it, so that nothing is missed and nothing comes twice. What a row is made of waits
//! until the row is made: a query that must start over elsewhere loses nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use photondb_protocol::numbers::ResponseNote;

use crate::changefeed::{Change, Drained, Ended, Interest, Subscription};
use crate::datum::{Datum, ObjectBuilder};
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::selection::TableRef;
use crate::reql::stream::{BatchSpec, Budget, Feed, Origin, Stream, no_origin};
use crate::reql::system::Watch;
use crate::storage::CommitSequence;
use crate::table::{Document, DocumentScan, PrimaryKey};

use super::changes::Options;

/// The feed.
pub(super) struct ChangeStream {
    table: TableRef,
    subscription: Subscription,
    options: Options,
    note: ResponseNote,
    /// What is done to documents before they are told.
    origin: Option<Origin>,
    /// Changes up to this commit are in what was read at the beginning.
    after: CommitSequence,
    initial: Option<Initial>,
    /// What tells of the rows of a system table as long as it is held.
    watch: Option<Arc<Watch>>,
    /// What rows are to be made of.
    pending: VecDeque<Pending>,
    /// Rows that are ready to leave.
    rows: VecDeque<Datum>,
    ended: bool,
}

/// What is still to be read of the beginning.
pub(super) enum Initial {
    /// One document, there or not.
    Point(Option<Document>),
    /// The documents of a range.
    Range(DocumentScan),
    /// The rows of a system table.
    Rows(VecDeque<Document>),
}

/// What becomes a row, or none.
enum Pending {
    State(&'static str),
    /// A document that was there at the beginning; none only of a feed of one.
    Initial(Option<Document>),
    /// So many changes were lost.
    Skipped(u64),
    Change(Pair),
}

impl std::fmt::Debug for ChangeStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeStream").field("table", &self.table).finish_non_exhaustive()
    }
}

impl ChangeStream {
    /// Listens from now on.
    pub(super) fn open(
        env: &Env,
        table: &TableRef,
        interest: Interest,
        options: Options,
    ) -> ChangeStream {
        let note = match &interest {
            Interest::Point(_) => ResponseNote::AtomFeed,
            Interest::Range(_) => ResponseNote::SequenceFeed,
        };
        let subscription = env.context.hub.subscribe(table.table.id(), interest, options.queue);
        let mut pending = VecDeque::new();
        if options.include_states && !options.include_initial {
            pending.push_back(Pending::State("ready"));
        }
        ChangeStream {
            table: table.clone(),
            subscription,
            options,
            note,
            origin: None,
            after: CommitSequence(0),
            initial: None,
            watch: None,
            pending,
            rows: VecDeque::new(),
            ended: false,
        }
    }

    /// The same of what an origin makes of the documents.
    pub(super) fn of(mut self, origin: Origin) -> ChangeStream {
        self.origin = (!origin.transforms.is_empty()).then_some(origin);
        self
    }

    /// Holds the watch over a system table, which has told of changes up to this one before.
    pub(super) fn watch(&mut self, watch: Arc<Watch>, sequence: CommitSequence) {
        self.watch = Some(watch);
        self.after = sequence;
    }

    /// Delivers what was there at a commit point first, if that is asked for. The point must be later than the beginning
    /// of the listening.
    pub(super) fn begin(&mut self, sequence: CommitSequence, initial: Initial) {
        if !self.options.include_initial {
            return;
        }
        self.after = sequence;
        self.initial = Some(initial);
        if self.options.include_states {
            self.pending.push_back(Pending::State("initializing"));
        }
    }

    /// Reads documents of the beginning: up to `most`, and about so many bytes.
    fn read_initial(&mut self, env: &Env, most: usize, bytes: usize) -> Result<()> {
        let Some(mut initial) = self.initial.take() else { return Ok(()) };
        let done = match &mut initial {
            Initial::Point(document) => {
                self.pending.push_back(Pending::Initial(document.take()));
                true
            }
            Initial::Rows(rows) => {
                let read = rows.drain(..rows.len().min(most));
                self.pending.extend(read.map(|row| Pending::Initial(Some(row))));
                rows.is_empty()
            }
            Initial::Range(scan) => {
                scan.set_mode(env.read_mode());
                let (mut read, mut size) = (0, 0);
                loop {
                    if read >= most || size >= bytes {
                        break false;
                    }
                    let document =
                        scan.next().map_err(|error| env.table_error(&self.table, error))?;
                    let Some(document) = document else { break true };
                    size += document.as_bytes().len();
                    self.pending.push_back(Pending::Initial(Some(document.detached())));
                    read += 1;
                }
            }
        };
        if !done {
            self.initial = Some(initial);
        } else if self.options.include_states {
            self.pending.push_back(Pending::State("ready"));
        }
        Ok(())
    }

    /// Takes what has arrived.
    fn take_changes(&mut self, most: usize, bytes: usize) {
        let Drained { changes, skipped, ended } = self.subscription.drain(most, bytes);
        if skipped > 0 {
            self.pending.push_back(Pending::Skipped(skipped));
        }
        let new = changes.into_iter().filter(|change| change.sequence > self.after);
        if self.options.squash {
            self.pending.extend(squash(new).into_iter().map(Pending::Change));
        } else {
            self.pending.extend(new.map(|change| Pending::Change(Pair::of(change))));
        }
        if ended == Some(Ended::TableDropped) {
            self.ended = true;
        }
    }

    /// Makes rows of what waits, until the batch is full.
    fn make_rows(&mut self, env: &Env, budget: &mut Budget) -> Result<()> {
        while !budget.is_spent()
            && let Some(next) = self.pending.front()
        {
            let row = self.row(env, next)?;
            row.iter().for_each(|row| budget.take(row));
            self.rows.extend(row);
            self.pending.pop_front();
        }
        Ok(())
    }

    fn row(&self, env: &Env, pending: &Pending) -> Result<Option<Datum>> {
        let options = self.options;
        Ok(match pending {
            Pending::State(state) => Some(row([("state", (*state).into())], options, "state")),
            Pending::Skipped(skipped) => {
                let message =
                    format!("Changefeed cache over array size limit, skipped {skipped} elements.");
                Some(row([("error", message.into())], options, "error"))
            }
            Pending::Initial(None) => Some(row([("new_val", Datum::Null)], options, "initial")),
            Pending::Initial(document) => {
                let told = self.told(env, document.as_ref())?;
                told.map(|value| row([("new_val", value)], options, "initial"))
            }
            Pending::Change(pair) => {
                let old = self.told(env, pair.before())?;
                let new = self.told(env, pair.after())?;
                // What is left of a document may be the same after the change as before.
                if self.origin.is_some() && old == new {
                    return Ok(None);
                }
                let kind = match (&old, &new) {
                    (None, _) => "add",
                    (_, None) => "remove",
                    _ => "change",
                };
                let (old, new) = (old.unwrap_or(Datum::Null), new.unwrap_or(Datum::Null));
                Some(row([("new_val", new), ("old_val", old)], options, kind))
            }
        })
    }

    /// What the feed tells of a document. One that became null is told of as one that is not there.
    fn told(&self, env: &Env, document: Option<&Document>) -> Result<Option<Datum>> {
        let value = document.map(Document::value);
        match (&self.origin, value) {
            (Some(origin), Some(value)) => {
                Ok(origin.row(env, value)?.filter(|row| !matches!(row, Datum::Null)))
            }
            (_, value) => Ok(value),
        }
    }
}

impl Stream for ChangeStream {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let (most, bytes) = (batch.max_rows, batch.max_bytes);
        let mut budget = Budget::new(batch);
        self.rows.iter().for_each(|row| budget.take(row));
        loop {
            self.make_rows(env, &mut budget)?;
            if budget.is_spent() {
                break;
            }
            if self.initial.is_some() {
                self.read_initial(env, most, bytes)?;
            } else {
                self.take_changes(most, bytes);
            }
            if self.pending.is_empty() && self.initial.is_none() {
                break;
            }
            env.check_interrupt()?;
        }
        if self.rows.is_empty() && self.ended {
            return Err(Error::op_failed("Changefeed aborted (unavailable)."));
        }
        let rows = self.rows.len().min(most);
        Ok(self.rows.drain(..rows).collect())
    }

    fn is_exhausted(&self) -> bool {
        false
    }

    /// What was there at the beginning is read at one commit point, which is held until the client has asked for all of it.
    fn let_go(&mut self) {}

    fn is_infinite(&self) -> bool {
        true
    }

    fn origin(self: Box<Self>) -> Result<Origin> {
        Err(no_origin(true))
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
