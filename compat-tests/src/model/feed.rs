//! A changefeed that is read, and what the documents must be by what it says.
//! Knows what a feed is of; not who changes it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Trouble, raw};
use super::source::{Bound, Place, Source};
use super::state::{Model, PRIMARY};
use super::value::{Key, primary_key, same};
use crate::random::Random;
use crate::wire::{Connection, Response, SUCCESS_PARTIAL, WireError, kind};

/// How long the last change may take to come.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long to look for what is there already.
const GLANCE: Duration = Duration::from_millis(1);

/// What is watched, and how.
#[derive(Clone, Debug)]
pub struct Watched {
    source: Source,
    is_squashed: bool,
    has_initial: bool,
    has_states: bool,
}

impl Watched {
    /// A table, a range of it, or a document, in one of the ways there are.
    pub fn any(random: &mut Random) -> Self {
        let source = match random.below(4) {
            0 => Source::One(primary_key(random)),
            1 => {
                let mut ends = [Key(primary_key(random)), Key(primary_key(random))];
                ends.sort();
                let [left, right] = ends.map(|end| end.0);
                Source::Range(PRIMARY.to_owned(), Bound::At(left, true), Bound::At(right, false))
            }
            _ => Source::All,
        };
        let mut maybe = || random.below(2) == 0;
        Self { source, is_squashed: maybe(), has_initial: maybe(), has_states: maybe() }
    }

    /// A whole table from what it has on, because others change it already.
    pub fn whole(random: &mut Random) -> Self {
        Self { source: Source::All, has_initial: true, ..Self::any(random) }
    }

    fn term(&self, place: &Place) -> Value {
        let options = json!({
            "squash": self.is_squashed,
            "include_initial": self.has_initial,
            "include_states": self.has_states,
        });
        json!([152, [self.source.of(&place.table())], options])
    }

    fn documents(&self, model: &Model) -> BTreeMap<Key, Value> {
        let entries = self.source.entries(model).into_iter();
        entries.map(|(_, key, document)| (key.clone(), document.clone())).collect()
    }
}

/// A feed under way, on a connection of its own.
pub struct Feed {
    watched: Watched,
    connection: Connection,
    token: u64,
    /// Whether the next batch has been asked for.
    is_asked: bool,
    documents: BTreeMap<Key, Value>,
}

impl Feed {
    /// Opens one where the model is what the table is.
    pub fn open(
        address: SocketAddr,
        place: &Place,
        watched: Watched,
        model: &Model,
    ) -> Result<Self, Trouble> {
        let mut connection = Connection::open(address, "admin", "")?;
        let (token, answer) = connection.start(&raw(&watched.term(place))?, &raw(&json!({}))?)?;
        let known = if watched.has_initial { Model::default() } else { model.clone() };
        let documents = watched.documents(&known);
        let mut feed = Self { watched, connection, token, is_asked: false, documents };
        feed.take(&answer)?;
        Ok(feed)
    }

    /// Reads what is there, and waits for nothing.
    pub fn glance(&mut self) -> Result<(), Trouble> {
        match self.next(GLANCE) {
            Ok(answer) => self.take(&answer),
            Err(error) if error.is_timeout() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads until what it has said makes the documents of the model.
    pub fn catch_up(&mut self, model: &Model) -> Result<(), Trouble> {
        let expected = self.watched.documents(model);
        let until = Instant::now() + PATIENCE;
        while !self.is(&expected) {
            let patience = until.saturating_duration_since(Instant::now()).max(GLANCE);
            let answer = match self.next(patience) {
                Err(error) if error.is_timeout() => return Err(self.wrong(&self.left(&expected))),
                answer => answer?,
            };
            self.take(&answer)?;
        }
        Ok(())
    }

    /// Reads until it ends because the table was dropped.
    pub fn end(mut self) -> Result<(), Trouble> {
        loop {
            let answer = self.next(PATIENCE)?;
            match (kind(&answer), answer.get("r")) {
                (Some(18), Some(why)) if why.to_string().contains("Changefeed aborted") => {
                    return Ok(());
                }
                _ => self.take(&answer)?,
            }
        }
    }

    fn next(&mut self, patience: Duration) -> Result<Response, WireError> {
        if !self.is_asked {
            self.connection.send_continue(self.token)?;
            self.is_asked = true;
        }
        let answer = self.connection.answer_within(self.token, patience)?;
        self.is_asked = false;
        Ok(answer)
    }

    fn take(&mut self, answer: &Response) -> Result<(), Trouble> {
        if kind(answer) != Some(SUCCESS_PARTIAL) {
            return Err(self.wrong(&format!("it answers {answer:?}")));
        }
        let rows = answer.get("r").and_then(Value::as_array).cloned().unwrap_or_default();
        rows.iter().try_for_each(|row| self.change(row))
    }

    /// One change: it must begin with what the changes before have led to.
    fn change(&mut self, row: &Value) -> Result<(), Trouble> {
        if row.get("state").is_some() {
            return Ok(());
        }
        let value = |name: &str| row.get(name).filter(|value| !value.is_null());
        let (old, new) = (value("old_val"), value("new_val"));
        let Some(key) = old.or(new).and_then(|document| document.get(PRIMARY)).cloned().map(Key)
        else {
            // The one document that is watched was not there at the beginning.
            return match (&self.watched.source, row.get("new_val")) {
                (Source::One(_), Some(Value::Null)) => Ok(()),
                _ => Err(self.wrong(&format!("it says {row}"))),
            };
        };
        let is_old = match (self.documents.get(&key), old) {
            (Some(is), Some(old)) => same(is, old),
            (is, old) => is.is_none() && old.is_none(),
        };
        if !is_old {
            let was = self.documents.get(&key);
            return Err(self.wrong(&format!("it says {row} where {was:?} was")));
        }
        match new {
            Some(new) => drop(self.documents.insert(key, new.clone())),
            None => drop(self.documents.remove(&key)),
        }
        Ok(())
    }

    fn is(&self, expected: &BTreeMap<Key, Value>) -> bool {
        let pairs = expected.iter().zip(&self.documents);
        expected.len() == self.documents.len()
            && pairs.into_iter().all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
    }

    fn left(&self, expected: &BTreeMap<Key, Value>) -> String {
        let keys = expected.keys().chain(self.documents.keys());
        let wrong =
            keys.into_iter().find(|key| match (expected.get(key), self.documents.get(key)) {
                (Some(a), Some(b)) => !same(a, b),
                (a, b) => a.is_some() != b.is_some(),
            });
        let values = wrong.map(|key| (&key.0, expected.get(key), self.documents.get(key)));
        format!("no more changes come; key, document, and what the changes lead to: {values:?}")
    }

    fn wrong(&self, problem: &str) -> Trouble {
        Trouble::Wrong(format!("feed {:?}: {problem}", self.watched))
    }
}
