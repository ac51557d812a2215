//! One who uses a table, alone or among others: takes step after step, and compares every answer with the model's.
//! Knows connections; not when the server dies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::{Expected, shown};
use super::feed::{Feed, Watched};
use super::generate;
use super::source::Place;
use super::state::{COUNTERS, Index, Model, PRIMARY};
use super::step::Step;
use super::value::{Key, same};
use crate::random::Random;
use crate::wire::{Connection, SUCCESS_SEQUENCE, WireError, kind};

/// Where the numbers of the sources of randomness begin that choose feeds.
const FEEDS: u64 = 1 << 32;
/// After so many steps the feed of a table must have led to its documents.
const FEED_EVERY: u64 = 100;

/// A client and its table.
pub struct Client {
    /// Steps it has taken.
    pub steps: u64,
    place: Place,
    random: Random,
    /// What the table is, or its part of a table that it shares.
    pub model: Model,
    /// What the model was before a step that was not answered.
    before: Option<Model>,
    may_be_killed: bool,
    /// Decides what feeds watch, so that they change none of the steps.
    feeds: Random,
}

/// What was found to be wrong.
pub type Complaint = String;

/// Why no more steps are taken.
#[derive(Debug)]
pub enum Trouble {
    /// The server is gone.
    Lost(WireError),
    /// Something is wrong.
    Wrong(Complaint),
}

impl From<WireError> for Trouble {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Io(_) | WireError::Closed => Self::Lost(error),
            error => Self::Wrong(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Self {
        Self::Wrong(error.to_string())
    }
}

impl Trouble {
    /// That a server that may be killed is gone is nothing to complain of.
    pub fn complaint(self, may_be_killed: bool) -> Result<(), Complaint> {
        match self {
            Self::Lost(_) if may_be_killed => Ok(()),
            Self::Lost(error) => Err(error.to_string()),
            Self::Wrong(complaint) => Err(complaint),
        }
    }
}

impl Client {
    /// A client that has done nothing yet. With soft durability it writes only if the server is not killed.
    pub fn new(seed: u64, number: u64, may_be_killed: bool) -> Self {
        let place = Place { name: format!("model_{number}"), owner: None };
        Self {
            steps: 0,
            place,
            random: Random::new(seed, 1 + number),
            model: Model::default(),
            before: None,
            may_be_killed,
            feeds: Random::new(seed, FEEDS + number),
        }
    }

    /// One of several who use a table, in which there are indexes already.
    pub fn among_others(place: Place, random: Random, indexes: Model, may_be_killed: bool) -> Self {
        let feeds = random.clone();
        let before = None;
        Self { steps: 0, place, random, model: indexes, before, may_be_killed, feeds }
    }

    /// Takes steps until there have been so many, or until a moment, or until the server is gone, which is right only
    /// where it is killed.
    pub fn run(
        &mut self,
        address: SocketAddr,
        steps: u64,
        until: Option<Instant>,
    ) -> Result<(), Complaint> {
        self.take_steps(address, steps, until)
            .or_else(|trouble| trouble.complaint(self.may_be_killed))
            .map_err(|problem| format!("step {}: {problem}", self.steps))
    }

    fn take_steps(
        &mut self,
        address: SocketAddr,
        steps: u64,
        until: Option<Instant>,
    ) -> Result<(), Trouble> {
        let mut connection = Connection::open(address, "admin", "")?;
        let mut feed = self.watch(address)?;
        while self.steps < steps && until.is_none_or(|until| Instant::now() < until) {
            let step = self.choose();
            self.steps += 1;
            self.before = (self.may_be_killed && step.is_change()).then(|| self.model.clone());
            let expected = step.apply(&mut self.model);
            ask(&mut connection, &step.term(&self.place), &expected)?;
            self.before = None;
            match (&step, &mut feed) {
                (Step::DropTable, _) => {
                    if let Some(feed) = feed.take() {
                        feed.end()?;
                    }
                }
                (Step::CreateTable, _) => feed = self.watch(address)?,
                (_, Some(watching)) if self.steps.is_multiple_of(FEED_EVERY) => {
                    watching.catch_up(&self.model)?;
                    if self.feeds.below(4) == 0 {
                        feed = self.watch(address)?;
                    }
                }
                _ => {}
            }
        }
        feed.map_or(Ok(()), |mut feed| feed.catch_up(&self.model))
    }

    fn choose(&mut self) -> Step {
        let may_be_soft = !self.may_be_killed;
        let (random, model) = (&mut self.random, &self.model);
        match self.place.owner {
            None => generate::next(random, model, &self.place, may_be_soft),
            Some(_) => generate::next_among_others(random, model, &self.place, may_be_soft),
        }
    }

    /// Watches the table, if it is there and nobody else's.
    fn watch(&mut self, address: SocketAddr) -> Result<Option<Feed>, Trouble> {
        if !self.model.exists || self.place.owner.is_some() {
            return Ok(None);
        }
        let watched = Watched::any(&mut self.feeds);
        Feed::open(address, &self.place, watched, &self.model).map(Some)
    }

    /// Reads what a server has after it was killed: what was answered, and of what was not each document as it was
    /// before or as it should have become. The model goes on from there.
    pub fn settle(&mut self, address: SocketAddr) -> Result<(), Complaint> {
        self.look(address).or_else(|trouble| trouble.complaint(false))
    }

    fn look(&mut self, address: SocketAddr) -> Result<(), Trouble> {
        let mut connection = Connection::open(address, "admin", "")?;
        let (table, after) = (self.place.table(), self.model.clone());
        let before = self.before.take().unwrap_or_else(|| after.clone());
        if self.place.owner.is_none() {
            let name = &self.place.name;
            let tables = rows(&mut connection, &json!([62, [[14, ["test"]]]]))?;
            let exists = tables.iter().any(|table| *table == **name);
            if exists != before.exists && exists != after.exists {
                return Err(Trouble::Wrong(format!("table {name}: it is there: {exists}")));
            }
            self.model = Model { exists, ..Model::default() };
            if !exists {
                return Ok(());
            }
            let names = rows(&mut connection, &json!([77, [table]]))?;
            self.model.indexes = indexes_left(&names, &before, &after).ok_or_else(|| {
                Trouble::Wrong(format!("table {name}: its indexes are {names:?}"))
            })?;
            // Which one was left is seen elsewhere.
            let hook = Step::SetHook(after.hook);
            ask(&mut connection, &hook.term(&self.place), &Expected::Done(json!({})))?;
            self.model.hook = after.hook;
        }
        self.model.documents.clear();
        for row in rows(&mut connection, &self.place.own(table))? {
            self.model.set(&Key(row.get(PRIMARY).cloned().unwrap_or_default()), Some(row));
        }
        self.compare(&before, &after)
    }

    /// The least and the greatest number of times that each counter may have been counted up by this one.
    pub fn counted(&self) -> [[u64; COUNTERS]; 2] {
        let after = self.model.counted;
        [self.before.as_ref().map_or(after, |before| before.counted), after]
    }

    fn compare(&self, before: &Model, after: &Model) -> Result<(), Trouble> {
        let found: &BTreeMap<Key, Value> = &self.model.documents;
        for key in before.documents.keys().chain(after.documents.keys()).chain(found.keys()) {
            let is = found.get(key);
            let may_be = [before, after].map(|model| model.documents.get(key));
            let right = may_be.iter().any(|other| match (is, other) {
                (Some(is), Some(other)) => same(is, other),
                (is, other) => is.is_none() && other.is_none(),
            });
            if !right {
                return Err(Trouble::Wrong(format!(
                    "after step {}, document {}: {may_be:?} expected, found {is:?}",
                    self.steps, key.0
                )));
            }
        }
        Ok(())
    }
}

/// The indexes that there are by their names, as one model or another has them.
pub fn indexes_left(
    names: &[Value],
    before: &Model,
    after: &Model,
) -> Option<BTreeMap<String, Index>> {
    let is_it = |model: &&Model| model.indexes.keys().eq(names.iter().filter_map(Value::as_str));
    let built =
        |(name, index): (&String, &Index)| (name.clone(), Index { is_ready: false, ..*index });
    [before, after].into_iter().find(is_it).map(|model| model.indexes.iter().map(built).collect())
}

/// Asks something that has an answer.
pub fn ask(connection: &mut Connection, term: &Value, expected: &Expected) -> Result<(), Trouble> {
    let told = |problem: String| Trouble::Wrong(format!("{}\n{problem}", shown(term)));
    let answer = match connection.run(&raw(term)?, &raw(&json!({}))?) {
        Err(error @ (WireError::Io(_) | WireError::Closed)) if !error.is_timeout() => {
            return Err(error.into());
        }
        answer => answer.map_err(|error| told(error.to_string()))?,
    };
    expected.check(&answer).map_err(told)
}

/// Asks for rows, or for an array of them.
pub fn rows(connection: &mut Connection, term: &Value) -> Result<Vec<Value>, Trouble> {
    let answer = connection.run(&raw(term)?, &raw(&json!({}))?)?;
    match (kind(&answer), answer.get("r").and_then(Value::as_array)) {
        (Some(SUCCESS_SEQUENCE), Some(rows)) => Ok(rows.clone()),
        (_, Some(rows)) if !answer.contains_key("e") => {
            Ok(rows.iter().filter_map(Value::as_array).flatten().cloned().collect())
        }
        _ => Err(Trouble::Wrong(format!("{term}: {answer:?}"))),
    }
}

/// A query as it is sent.
pub fn raw(value: &Value) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(value.to_string())
}
