//! The answer of a write: how many documents met which fate, and what changed.

use std::sync::Arc;

use crate::datum::{Datum, ObjectBuilder};
use crate::reql::env::Env;
use crate::reql::error::Error;

use super::options::ReturnChanges;

/// What became of one document.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It was not there and is now.
    Inserted,
    /// It is another now.
    Replaced,
    /// It is gone.
    Deleted,
    /// It is what it was.
    Unchanged,
    /// It was not there and is not now.
    Skipped,
    /// It could not be written.
    Failed(Error),
    /// What was to be written could not be made, apart from the table: no change tells of it.
    Unmade(Error),
}

/// Counts the fates of documents.
#[derive(Debug)]
pub struct Summary {
    return_changes: ReturnChanges,
    deleted: u64,
    errors: u64,
    inserted: u64,
    replaced: u64,
    skipped: u64,
    unchanged: u64,
    first_error: Option<String>,
    generated_keys: Vec<Datum>,
    /// How many more keys were made than are listed.
    unlisted_keys: usize,
    changes: Vec<Datum>,
    truncated: bool,
}

impl Summary {
    /// No documents yet.
    pub fn new(return_changes: ReturnChanges) -> Self {
        Summary {
            return_changes,
            deleted: 0,
            errors: 0,
            inserted: 0,
            replaced: 0,
            skipped: 0,
            unchanged: 0,
            first_error: None,
            generated_keys: Vec::new(),
            unlisted_keys: 0,
            changes: Vec::new(),
            truncated: false,
        }
    }

    /// Whether documents before and after are wanted at all.
    pub fn wants_changes(&self) -> bool {
        self.return_changes != ReturnChanges::No
    }

    /// Counts a document that was at its place in the table: before and after.
    pub fn add(&mut self, env: &Env, fate: Fate, old: Datum, new: Datum) {
        let is_change = !matches!(fate, Fate::Unmade(_));
        let changed = matches!(fate, Fate::Inserted | Fate::Replaced | Fate::Deleted);
        let error = self.count(fate);
        let wanted = match self.return_changes {
            ReturnChanges::No => false,
            ReturnChanges::Changed => changed,
            ReturnChanges::Always => is_change,
        };
        if wanted {
            self.add_change(env, error, old, new);
        }
    }

    /// Counts a document that has no place in the table, because it has no usable key. As in RethinkDB, only the first
    /// of those that come together is shown among the changes.
    pub fn add_unplaced(&mut self, env: &Env, error: Error, is_first: bool) {
        let error = self.count(Fate::Failed(error));
        if is_first && self.wants_changes() {
            self.add_change(env, error, Datum::Null, Datum::Null);
        }
    }

    /// Notes a key the server made.
    pub fn add_generated_key(&mut self, env: &Env, key: Datum) {
        if self.generated_keys.len() < env.array_limit() {
            self.generated_keys.push(key);
        } else {
            self.unlisted_keys += 1;
        }
    }

    fn count(&mut self, fate: Fate) -> Option<String> {
        match fate {
            Fate::Inserted => self.inserted += 1,
            Fate::Replaced => self.replaced += 1,
            Fate::Deleted => self.deleted += 1,
            Fate::Unchanged => self.unchanged += 1,
            Fate::Skipped => self.skipped += 1,
            Fate::Failed(error) | Fate::Unmade(error) => {
                self.errors += 1;
                let message = error.message().to_owned();
                self.first_error.get_or_insert_with(|| message.clone());
                return Some(message);
            }
        }
        None
    }

    fn add_change(&mut self, env: &Env, error: Option<String>, old: Datum, new: Datum) {
        if self.changes.len() >= env.array_limit() {
            self.truncated = true;
            return;
        }
        let mut change = ObjectBuilder::with_capacity(3);
        if let Some(error) = error {
            change.insert(Arc::from("error"), error.into());
        }
        change.insert(Arc::from("new_val"), new);
        change.insert(Arc::from("old_val"), old);
        self.changes.push(Datum::Object(change.build()));
    }

    /// The answer.
    pub fn into_datum(self, env: &Env) -> Datum {
        let mut answer = ObjectBuilder::with_capacity(10);
        let mut field = |name: &str, value: Datum| drop(answer.insert(Arc::from(name), value));
        let any = [self.deleted, self.errors, self.inserted, self.replaced, self.skipped]
            .iter()
            .any(|fate| *fate > 0);
        // A write that met no document says nothing of changes, not even that there are none.
        if self.return_changes != ReturnChanges::No && (any || self.unchanged > 0) {
            field("changes", Datum::array(self.changes));
        }
        field("deleted", count(self.deleted));
        field("errors", count(self.errors));
        if let Some(error) = self.first_error {
            field("first_error", error.into());
        }
        let mut warnings: Vec<Datum> = Vec::new();
        if self.truncated {
            let limit = env.array_limit();
            warnings.push(format!("Too many changes, array truncated to {limit}.").into());
        }
        let listed = self.generated_keys.len();
        if self.unlisted_keys > 0 {
            let made = listed + self.unlisted_keys;
            let warning = format!("Too many generated keys ({made}), array truncated to {listed}.");
            warnings.push(warning.into());
        }
        if listed > 0 {
            field("generated_keys", Datum::array(self.generated_keys));
        }
        field("inserted", count(self.inserted));
        field("replaced", count(self.replaced));
        field("skipped", count(self.skipped));
        field("unchanged", count(self.unchanged));
        if !warnings.is_empty() {
            field("warnings", Datum::array(warnings));
        }
        Datum::Object(answer.build())
    }
}

/// Exact below 2^53 documents.
fn count(number: u64) -> Datum {
    Datum::Number(number as f64)
}
