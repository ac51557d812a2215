//! One table and the one who uses it: takes step after step, and compares every answer with the model's.
//! Knows connections; not when the server dies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::shown;
use super::generate;
use super::state::{Index, Model};
use super::value::{Key, same};
use crate::random::Random;
use crate::wire::{Connection, WireError};

/// A client and its table.
pub struct Client {
    /// Its number, which decides with the seed what it does.
    pub number: u64,
    /// Steps it has taken.
    pub steps: u64,
    random: Random,
    model: Model,
    /// What the model was before a step that was not answered.
    before: Option<Model>,
    may_be_killed: bool,
}

/// What was found to be wrong.
pub type Complaint = String;

impl Client {
    /// A client that has done nothing yet. With soft durability it writes only if the server is not killed.
    pub fn new(seed: u64, number: u64, may_be_killed: bool) -> Self {
        let random = Random::new(seed, 1 + number);
        Self { number, steps: 0, random, model: Model::default(), before: None, may_be_killed }
    }

    fn table(&self) -> String {
        format!("model_{}", self.number)
    }

    /// Takes steps until there have been so many, or until a moment, or until the server is gone, which is right only
    /// where it is killed.
    pub fn run(
        &mut self,
        address: SocketAddr,
        steps: u64,
        until: Option<Instant>,
    ) -> Result<(), Complaint> {
        let connection = Connection::open(address, "admin", "");
        let mut connection = match connection {
            Err(WireError::Io(_) | WireError::Closed) if self.may_be_killed => return Ok(()),
            connection => connection.map_err(|error| error.to_string())?,
        };
        while self.steps < steps && until.is_none_or(|until| Instant::now() < until) {
            let step = generate::next(&mut self.random, &self.model, !self.may_be_killed);
            self.steps += 1;
            let before = (self.may_be_killed && step.is_change()).then(|| self.model.clone());
            let expected = step.apply(&mut self.model);
            let term = step.term(&self.table());
            let told =
                |problem: String| format!("step {}: {}\n{problem}", self.steps, shown(&term));
            let answer = match run(&mut connection, &term) {
                Err(WireError::Io(_) | WireError::Closed) if self.may_be_killed => {
                    self.before = before;
                    return Ok(());
                }
                answer => answer.map_err(|error| told(error.to_string()))?,
            };
            expected.check(&answer).map_err(told)?;
        }
        Ok(())
    }

    /// Reads what a server has after it was killed: what was answered, and of what was not each document as it was
    /// before or as it should have become. The model goes on from there.
    pub fn settle(&mut self, address: SocketAddr) -> Result<(), Complaint> {
        let connection = Connection::open(address, "admin", "");
        let mut connection = connection.map_err(|error| error.to_string())?;
        let mut ask = |term: Value| -> Result<Vec<Value>, Complaint> {
            let answer = run(&mut connection, &term).map_err(|error| error.to_string())?;
            match answer.get("r") {
                Some(Value::Array(rows)) if !answer.contains_key("e") => Ok(rows.clone()),
                _ => Err(format!("{term}: {answer:?}")),
            }
        };
        let (name, after) = (self.table(), self.model.clone());
        let before = self.before.take().unwrap_or_else(|| after.clone());
        let tables = ask(json!([62, [[14, ["test"]]]]))?;
        let exists =
            tables.iter().filter_map(Value::as_array).flatten().any(|table| *table == *name);
        if exists != before.exists && exists != after.exists {
            return Err(format!("table {name}: it is there: {exists}"));
        }
        self.model = Model { exists, ..Model::default() };
        if !exists {
            return Ok(());
        }
        let table = json!([15, [[14, ["test"]], name]]);
        for row in ask(table.clone())? {
            self.model.set(&Key(row.get("id").cloned().unwrap_or_default()), Some(row));
        }
        let names = ask(json!([77, [table]]))?;
        let names: Vec<&str> =
            names.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
        for all in [&after.indexes, &before.indexes] {
            if all.keys().eq(names.iter()) {
                let built = |index: &Index| Index { is_ready: false, ..*index };
                self.model.indexes =
                    all.iter().map(|(name, index)| (name.clone(), built(index))).collect();
            }
        }
        if self.model.indexes.len() != names.len() {
            return Err(format!("table {name}: its indexes are {names:?}"));
        }
        self.compare(&before, &after)
    }

    fn compare(&self, before: &Model, after: &Model) -> Result<(), Complaint> {
        let found: &BTreeMap<Key, Value> = &self.model.documents;
        for key in before.documents.keys().chain(after.documents.keys()).chain(found.keys()) {
            let is = found.get(key);
            let may_be = [before, after].map(|model| model.documents.get(key));
            let right = may_be.iter().any(|other| match (is, other) {
                (Some(is), Some(other)) => same(is, other),
                (is, other) => is.is_none() && other.is_none(),
            });
            if !right {
                return Err(format!(
                    "after step {}, document {}: {may_be:?} expected, found {is:?}",
                    self.steps, key.0
                ));
            }
        }
        Ok(())
    }
}

fn run(connection: &mut Connection, term: &Value) -> Result<crate::wire::Response, WireError> {
    let raw = |value: &Value| RawValue::from_string(value.to_string());
    connection.run(&raw(term)?, &raw(&json!({}))?)
}
