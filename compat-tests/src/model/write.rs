//! Writes: as a query, and what the model makes of them, document by document.
//! Knows the model; nothing of servers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answer::Expected;
use super::source::{Place, Source};
use super::state::{Model, PRIMARY, Refused};
use super::value::{Key, is_indexable, merge, same, term};

/// Something that is written, and how.
#[derive(Clone, Debug)]
pub struct Write {
    /// What.
    pub what: What,
    /// Which changes are asked for.
    pub changes: Changes,
    /// Whether soft durability will do.
    pub soft: bool,
    /// Whether the write hook is left out.
    pub ignores_hook: bool,
}

/// Something that is written.
#[derive(Clone, Debug)]
pub enum What {
    /// New documents, and what becomes of those that are there.
    Insert(Vec<Value>, Conflict),
    /// A change of every row of a source. No document is in it twice.
    Change(Source, Change),
}

/// What becomes of a document that is there already.
#[derive(Clone, Copy, Debug)]
pub enum Conflict {
    /// It stays, and that is an error.
    Error,
    /// It is replaced.
    Replace,
    /// The new one is merged into it.
    Update,
    /// A function merges the two and counts in field `n`.
    Function,
}

/// What is done with a document.
#[derive(Clone, Debug)]
pub enum Change {
    /// `update` with an object.
    Merge(Value),
    /// `update` that adds one to field `n`.
    Add,
    /// `replace` with a document.
    Replace(Value),
    /// `replace` that takes field `a` away.
    Without,
    /// `replace` with null.
    Null,
    /// `delete`
    Delete,
}

/// `return_changes`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Not given.
    None,
    /// `true`
    Some,
    /// `"always"`
    Always,
}

impl Write {
    /// The query.
    pub fn term(&self, place: &Place) -> Value {
        let mut options = json!({});
        match self.changes {
            Changes::None => {}
            Changes::Some => options["return_changes"] = json!(true),
            Changes::Always => options["return_changes"] = json!("always"),
        }
        if self.soft {
            options["durability"] = json!("soft");
        }
        if self.ignores_hook {
            options["ignore_write_hook"] = json!(true);
        }
        match &self.what {
            What::Insert(documents, conflict) => {
                match conflict {
                    Conflict::Error => {}
                    Conflict::Replace => options["conflict"] = json!("replace"),
                    Conflict::Update => options["conflict"] = json!("update"),
                    Conflict::Function => options["conflict"] = counting(),
                }
                let given = match documents.as_slice() {
                    [document] => term(document),
                    documents => term(&json!(documents)),
                };
                json!([56, [place.table(), given], options])
            }
            What::Change(source, change) => {
                let rows = source.term(place);
                let row = json!([10, [1]]);
                let function = |body: Value| json!([69, [[2, [1]], body]]);
                match change {
                    Change::Merge(new) => json!([53, [rows, term(new)], options]),
                    Change::Add => {
                        let sum = json!([24, [[170, [row, "n"]], 1]]);
                        json!([53, [rows, function(json!({ "n": sum }))], options])
                    }
                    Change::Replace(new) => json!([55, [rows, term(new)], options]),
                    Change::Without => {
                        json!([55, [rows, function(json!([34, [row, "a"]]))], options])
                    }
                    Change::Null => json!([55, [rows, null], options]),
                    Change::Delete => json!([54, [rows], options]),
                }
            }
        }
    }

    /// Does it, and gives the summary.
    pub fn apply(&self, model: &mut Model) -> Expected {
        let mut tally = Tally {
            asked: self.changes,
            ignores_hook: self.ignores_hook,
            counts: BTreeMap::new(),
            changes: Vec::new(),
        };
        match &self.what {
            What::Insert(documents, conflict) => {
                for document in documents {
                    insert(model, document, *conflict, &mut tally);
                }
            }
            What::Change(source, change) => {
                let mut keys: Vec<Key> =
                    source.entries(model).into_iter().map(|(_, key, _)| key.clone()).collect();
                if let (Source::One(key), true) = (source, keys.is_empty()) {
                    keys.push(Key(key.clone()));
                }
                for key in keys {
                    let old = model.documents.get(&key).cloned();
                    match change.outcome(&key, old.as_ref()) {
                        Ok(new) => tally.write(model, &key, old, new),
                        Err(Refused) => tally.refuse(old.clone(), old),
                    }
                }
            }
        }
        tally.summary()
    }
}

/// The conflict function: `(id, old, new) => old.merge(new).merge({ n: old("n").default(0).add(1) })`.
fn counting() -> Value {
    let (old, new) = (json!([10, [2]]), json!([10, [3]]));
    let count = json!([24, [[92, [[170, [old, "n"]], 0]], 1]]);
    json!([69, [[2, [1, 2, 3]], [35, [[35, [old, new]], { "n": count }]]]])
}

impl Change {
    fn outcome(&self, key: &Key, old: Option<&Value>) -> Result<Option<Value>, Refused> {
        let keeps_key = |new: Value| match new.get(PRIMARY) {
            Some(id) if same(id, &key.0) => Ok(Some(new)),
            _ => Err(Refused),
        };
        match (self, old) {
            (Self::Merge(new), Some(old)) => keeps_key(merge(old, new)),
            (Self::Add, Some(old)) => {
                let n = old.get("n").and_then(Value::as_u64).ok_or(Refused)?;
                Ok(Some(merge(old, &json!({ "n": n + 1 }))))
            }
            (Self::Merge(_) | Self::Add, None) => Ok(None),
            (Self::Replace(new), _) => keeps_key(new.clone()),
            (Self::Without, Some(old)) => {
                let mut new = old.clone();
                if let Some(fields) = new.as_object_mut() {
                    fields.remove("a");
                }
                Ok(Some(new))
            }
            (Self::Without, None) => Err(Refused),
            (Self::Null | Self::Delete, _) => Ok(None),
        }
    }
}

fn insert(model: &mut Model, document: &Value, conflict: Conflict, tally: &mut Tally) {
    let id = document.get(PRIMARY).cloned().unwrap_or(Value::Null);
    if !is_indexable(&id) {
        // It has no place in the table, which is told to whoever asks for changes at all.
        return tally.note("errors", true, None, None);
    }
    let key = Key(id);
    let old = model.documents.get(&key).cloned();
    let new = match (&old, conflict) {
        (None, _) | (Some(_), Conflict::Replace) => document.clone(),
        (Some(old), Conflict::Error) => return tally.refuse(Some(old.clone()), Some(old.clone())),
        (Some(old), Conflict::Update) => merge(old, document),
        (Some(old), Conflict::Function) => {
            let count = old.get("n").and_then(Value::as_u64).unwrap_or(0) + 1;
            merge(&merge(old, document), &json!({ "n": count }))
        }
    };
    tally.write(model, &key, old, Some(new));
}

/// What a write has done so far.
struct Tally {
    asked: Changes,
    ignores_hook: bool,
    counts: BTreeMap<&'static str, u64>,
    changes: Vec<Value>,
}

impl Tally {
    fn write(&mut self, model: &mut Model, key: &Key, old: Option<Value>, new: Option<Value>) {
        let hook = model.hook.filter(|_| !self.ignores_hook);
        let hooked = match hook {
            Some(hook) => hook.apply(key, old.as_ref(), new),
            None => Ok(new),
        };
        let Ok(new) = hooked else { return self.refuse(old.clone(), old) };
        let name = match (&old, &new) {
            (None, None) => "skipped",
            (None, Some(_)) => "inserted",
            (Some(_), None) => "deleted",
            (Some(old), Some(new)) if same(old, new) => "unchanged",
            (Some(_), Some(_)) => "replaced",
        };
        model.set(key, new.clone());
        let is_change = !matches!(name, "skipped" | "unchanged");
        self.note(name, is_change, old, new);
    }

    fn refuse(&mut self, old: Option<Value>, new: Option<Value>) {
        self.note("errors", false, old, new);
    }

    fn note(
        &mut self,
        name: &'static str,
        is_change: bool,
        old: Option<Value>,
        new: Option<Value>,
    ) {
        *self.counts.entry(name).or_default() += 1;
        if self.asked == Changes::Always || (self.asked == Changes::Some && is_change) {
            self.changes.push(json!({ "old_val": old, "new_val": new }));
        }
    }

    fn summary(self) -> Expected {
        let mut summary = json!(self.counts);
        // Where there was no document there is no list of changes either.
        if self.asked != Changes::None && !self.counts.is_empty() {
            summary["changes"] = json!(self.changes);
        }
        Expected::Written(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Hook;
    use super::*;

    fn done(model: &mut Model, what: What) -> Value {
        let write = Write { what, changes: Changes::Some, soft: false, ignores_hook: false };
        match write.apply(model) {
            Expected::Written(summary) => summary,
            other => json!(format!("{other:?}")),
        }
    }

    #[test]
    fn documents_become_what_the_write_says() {
        let mut model = Model::default();
        let row = |n: u64| json!({ "id": 1, "n": n });
        let two = vec![row(1), json!({ "id": null }), row(2)];
        let summary = done(&mut model, What::Insert(two, Conflict::Error));
        let change = |new: Value| json!({ "old_val": null, "new_val": new });
        let changes = [change(row(1)), change(Value::Null)];
        assert_eq!(summary, json!({ "inserted": 1, "errors": 2, "changes": changes }));
        done(&mut model, What::Insert(vec![json!({ "id": 1, "a": 0 })], Conflict::Function));
        let one = || Source::One(json!(1));
        assert_eq!(done(&mut model, What::Change(one(), Change::Add))["replaced"], 1);
        assert_eq!(model.documents[&Key(json!(1))], json!({ "id": 1, "a": 0, "n": 3 }));
        let merged = done(&mut model, What::Change(Source::All, Change::Merge(json!({ "a": 0 }))));
        assert_eq!(merged, json!({ "unchanged": 1, "changes": [] }));
        let moved = done(&mut model, What::Change(one(), Change::Merge(json!({ "id": 2 }))));
        assert_eq!(moved["errors"], 1);
        assert_eq!(done(&mut model, What::Change(one(), Change::Null))["deleted"], 1);
        assert_eq!(done(&mut model, What::Change(one(), Change::Delete))["skipped"], 1);
        assert_eq!(done(&mut model, What::Change(one(), Change::Replace(row(5))))["inserted"], 1);
    }

    #[test]
    fn a_hook_has_the_last_word() {
        let mut model = Model { hook: Some(Hook::Stamp), ..Model::default() };
        let row = |n: u64| json!({ "id": 1, "n": n });
        let one = || Source::One(json!(1));
        done(&mut model, What::Insert(vec![row(3)], Conflict::Error));
        assert_eq!(done(&mut model, What::Change(one(), Change::Merge(row(3))))["replaced"], 1);
        let stamped = json!({ "id": 1, "n": 3, "h": 2, "p": 1 });
        assert_eq!(model.documents[&Key(json!(1))], stamped);
        for (hook, change, outcome) in [
            (Hook::Refuse, Change::Add, "errors"),
            (Hook::Keep, Change::Delete, "errors"),
            (Hook::Mark, Change::Null, "errors"),
            (Hook::Stamp, Change::Delete, "deleted"),
            (Hook::Keep, Change::Delete, "skipped"),
            (Hook::Mark, Change::Add, "errors"),
        ] {
            model.hook = Some(hook);
            assert_eq!(done(&mut model, What::Change(one(), change))[outcome], 1, "{hook:?}");
        }
    }
}
