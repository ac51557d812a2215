//! A feed under way: what there was at its beginning, then what has changed, as rows.
//!
//! A feed first answers with no rows, then with what it has. With `include_initial` it reads the table and goes on with the
//! changes that are not in what it has read, so that nothing is missed and nothing comes twice. What a row is made of waits
//! until the row is made: a query that must start over elsewhere loses nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use photondb_protocol::numbers::ResponseNote;

use crate::changefeed::{Change, Drained, Ended, Interest, Subscription};
use crate::datum::{Datum, ObjectBuilder};
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::stream::{BatchSpec, Budget, Feed, Origin, Stream, no_origin};
use crate::reql::table_ref::TableRef;
use crate::reql::watches::Watch;
use crate::storage::{CommitSequence, Direction, KeyRange, ReadMode, StorageError};
use crate::table::{Document, PrimaryKey, TableError, TableReader};

use super::changes::Options;
use super::initial::{Contained, Initial};

/// The feed.
pub(super) struct ChangeStream {
    table: TableRef,
    subscription: Subscription,
    options: Options,
    note: ResponseNote,
    /// What is done to documents before they are told.
    origin: Option<Origin>,
    /// Which changes are in what was read at the beginning.
    contained: Contained,
    initial: Option<Initial>,
    /// What tells of the rows of a system table as long as it is held.
    watch: Option<Arc<dyn Watch>>,
    /// What rows are to be made of.
    pending: VecDeque<Pending>,
    /// Rows that are ready to leave.
    rows: VecDeque<Datum>,
    ended: bool,
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
            contained: Contained::up_to(CommitSequence(0)),
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
    pub(super) fn watch(&mut self, watch: Arc<dyn Watch>, sequence: CommitSequence) {
        self.watch = Some(watch);
        self.contained = Contained::up_to(sequence);
    }

    /// Delivers what was there at a commit point first, if that is asked for. The point must be later than the beginning
    /// of the listening.
    pub(super) fn begin(&mut self, sequence: CommitSequence, initial: Initial) {
        if !self.options.include_initial {
            return;
        }
        self.contained = Contained::up_to(sequence);
        self.set_initial(initial);
    }

    /// Delivers the documents of a range first. Nothing of them is read before rows are asked for.
    pub(super) fn begin_range(&mut self, range: KeyRange, direction: Direction) {
        self.subscription.pass_over(Some(range.clone()));
        self.contained = Contained::nothing(direction);
        self.set_initial(Initial::Range(range, direction));
    }

    fn set_initial(&mut self, initial: Initial) {
        self.initial = Some(initial);
        if self.options.include_states {
            self.pending.push_back(Pending::State("initializing"));
        }
    }

    /// Reads documents of the beginning: up to `most`, and about so many bytes.
    fn read_initial(&mut self, env: &Env, most: usize, bytes: usize) -> Result<()> {
        match self.initial.take() {
            None => return Ok(()),
            Some(Initial::Point(document)) => self.pending.push_back(Pending::Initial(document)),
            Some(Initial::Rows(mut rows)) => {
                let read = rows.drain(..rows.len().min(most));
                self.pending.extend(read.map(|row| Pending::Initial(Some(row))));
                self.initial = (!rows.is_empty()).then_some(Initial::Rows(rows));
            }
            Some(Initial::Range(range, direction)) => {
                match self.read_portion(env.read_mode(), (&range, direction), (most, bytes)) {
                    Err(TableError::Storage(StorageError::NoSuchTree(_))) => {
                        self.initial = None;
                        self.ended = true;
                        return Ok(());
                    }
                    read => read.map_err(|error| env.table_error(&self.table, error))?,
                }
            }
        }
        if self.initial.is_none() && self.options.include_states {
            self.pending.push_back(Pending::State("ready"));
        }
        Ok(())
    }

    /// Reads documents of what is left of a range, up to `most` and about so many bytes, at a commit point that is held for
    /// no longer. After an error what was read is noted, too.
    fn read_portion(
        &mut self,
        mode: ReadMode,
        (range, direction): (&KeyRange, Direction),
        most: (usize, usize),
    ) -> std::result::Result<(), TableError> {
        // Of keys that are read now, later changes are to be told. Those so far of the others are read with them.
        self.subscription.pass_over(None);
        let mut last = None;
        let read = self.table.table.reader().and_then(|reader| {
            let is_done = self.read_documents((&reader, mode), (range, direction), most, &mut last);
            if let Some(last) = &last {
                self.contained.add(PrimaryKey::clone(last), reader.sequence());
            }
            if matches!(is_done, Ok(true)) {
                self.contained.add_rest(reader.sequence());
            }
            is_done
        });
        let rest = match &last {
            Some(last) => range.behind(last.as_bytes(), direction),
            None => range.clone(),
        };
        if !matches!(read, Ok(true)) {
            self.subscription.pass_over(Some(rest.clone()));
            self.initial = Some(Initial::Range(rest, direction));
        }
        read.map(drop)
    }

    /// Reads documents, up to `most` and about so many bytes; gives the key of the last of them, and whether these were all.
    fn read_documents(
        &mut self,
        (reader, mode): (&TableReader, ReadMode),
        (range, direction): (&KeyRange, Direction),
        (most, bytes): (usize, usize),
        last: &mut Option<PrimaryKey>,
    ) -> std::result::Result<bool, TableError> {
        let mut scan = reader.scan(range, direction, mode)?;
        let mut size = 0;
        for _ in 0..most {
            if size >= bytes {
                break;
            }
            let Some((key, document)) = scan.next_with_key()? else { return Ok(true) };
            size += document.as_bytes().len();
            self.pending.push_back(Pending::Initial(Some(document.detached())));
            *last = Some(key);
        }
        Ok(false)
    }

    /// Takes what has arrived.
    fn take_changes(&mut self, most: usize, bytes: usize) {
        let Drained { changes, skipped, ended } = self.subscription.drain(most, bytes);
        if skipped > 0 {
            self.pending.push_back(Pending::Skipped(skipped));
        }
        let newest = changes.back().map(|change| change.sequence);
        let has_told =
            |change: &Arc<Change>| self.contained.has(&change.document.key, change.sequence);
        let new: Vec<_> = changes.into_iter().filter(|change| !has_told(change)).collect();
        self.contained.forget_before(newest);
        let new = new.into_iter();
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

    /// Nothing is held between two reads, and what was read and not given is copied.
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
