//! One step: a query, what it does to the model, and what it must answer.
//! Knows tables and indexes by name; not how steps are chosen.

use serde_json::{Value, json};

use super::answer::Expected;
use super::read::Read;
use super::source::Place;
use super::state::{COUNTERS, DEFINITIONS, Hook, Index, Model};
use super::write::Write;

/// One query.
#[derive(Clone, Debug)]
pub enum Step {
    /// Asks for something.
    Read(Read),
    /// Asks an index for something that others make and drop meanwhile: it may be any of the definitions, or none.
    ReadUncertain(Read),
    /// Writes documents.
    Write(Write),
    /// Makes an index of a definition, and does not wait until it is built.
    CreateIndex(String, usize),
    /// Drops an index, there or not.
    DropIndex(String),
    /// Gives an index another name, perhaps that of another one, which may or may not be overwritten.
    RenameIndex(String, String, bool),
    /// Waits until an index is built.
    WaitIndex(String),
    /// Counts the counters up that are chosen; their documents belong to nobody.
    Count([bool; COUNTERS]),
    /// Sets the write hook, or takes it away.
    SetHook(Option<Hook>),
    /// Makes the table.
    CreateTable,
    /// Drops it with all that it has.
    DropTable,
}

impl Step {
    /// The query.
    pub fn term(&self, place: &Place) -> Value {
        let (rows, table) = (place.table(), &place.name);
        match self {
            Self::Read(read) | Self::ReadUncertain(read) => read.term(place),
            Self::Write(write) => write.term(place),
            Self::CreateIndex(name, definition) => {
                let definition = DEFINITIONS.get(*definition);
                let body = definition.map_or(Value::Null, |definition| (definition.body)());
                let multi = definition.is_some_and(|definition| definition.is_multi);
                let geo = definition.is_some_and(|definition| definition.is_geo);
                json!([75, [rows, name, [69, [[2, [1]], body]]], { "multi": multi, "geo": geo }])
            }
            Self::DropIndex(name) => json!([76, [rows, name]]),
            Self::RenameIndex(old, new, overwrite) => {
                json!([156, [rows, old, new], { "overwrite": overwrite }])
            }
            Self::WaitIndex(name) => {
                json!([33, [[140, [rows, name]], "index", "ready", "multi", "geo"]])
            }
            Self::Count(chosen) => {
                let mut keys = vec![rows];
                keys.extend(chosen_counters(chosen).map(|at| json!(counter(at))));
                let sum = json!([24, [[170, [[10, [1]], "n"]], 1]]);
                json!([53, [[78, keys], [69, [[2, [1]], { "n": sum }]]]])
            }
            Self::SetHook(hook) => {
                json!([189, [rows, hook.map_or(Value::Null, Hook::term)]])
            }
            Self::CreateTable => json!([60, [[14, ["test"]], table]]),
            Self::DropTable => json!([61, [[14, ["test"]], table]]),
        }
    }

    /// Whether it may change anything.
    pub fn is_change(&self) -> bool {
        !matches!(self, Self::Read(_) | Self::ReadUncertain(_) | Self::WaitIndex(_))
    }

    /// Does it to the model, and gives the answer.
    pub fn apply(&self, model: &mut Model) -> Expected {
        match self {
            Self::Read(read) => read.expected(model),
            Self::ReadUncertain(read) => {
                let mut outcomes = vec![
                    Expected::Error("was not found on table"),
                    Expected::Error("was accessed before its construction was finished"),
                ];
                let name = read.index().unwrap_or_default().to_owned();
                for definition in 0..DEFINITIONS.len() {
                    model.indexes.insert(name.clone(), Index { definition, is_ready: true });
                    outcomes.push(read.expected(model));
                }
                model.indexes.remove(&name);
                Expected::OneOf(outcomes)
            }
            Self::Write(write) => write.apply(model),
            Self::CreateIndex(name, _) if model.indexes.contains_key(name) => {
                Expected::Error("already exists on table")
            }
            Self::CreateIndex(name, definition) => {
                let index = Index { definition: *definition, is_ready: false };
                model.indexes.insert(name.clone(), index);
                Expected::Done(json!({ "created": 1 }))
            }
            Self::DropIndex(name) => match model.indexes.remove(name) {
                Some(_) => Expected::Done(json!({ "dropped": 1 })),
                None => Expected::Error("does not exist on table"),
            },
            Self::RenameIndex(old, new, overwrite) => {
                let is_free = *overwrite || !model.indexes.contains_key(new);
                match model.indexes.get(old).copied().filter(|_| is_free) {
                    Some(index) => {
                        model.indexes.remove(old);
                        model.indexes.insert(new.clone(), index);
                        Expected::Done(json!({ "renamed": 1 }))
                    }
                    None => Expected::Error("Index `"),
                }
            }
            Self::WaitIndex(name) => {
                let (multi, geo) = (model.is_multi(name), model.is_geo(name));
                match model.indexes.get_mut(name) {
                    Some(index) => {
                        index.is_ready = true;
                        let status =
                            json!({ "index": name, "ready": true, "multi": multi, "geo": geo });
                        Expected::Rows(vec![status])
                    }
                    None => Expected::Error("was not found on table"),
                }
            }
            Self::Count(chosen) => {
                let count = chosen_counters(chosen).count();
                for at in chosen_counters(chosen) {
                    if let Some(counted) = model.counted.get_mut(at) {
                        *counted += 1;
                    }
                }
                Expected::Done(json!({ "replaced": count, "errors": 0, "unchanged": 0 }))
            }
            Self::SetHook(hook) => {
                let done = match (model.hook, hook) {
                    (None, Some(_)) => "created",
                    (Some(_), Some(_)) => "replaced",
                    (_, None) => "deleted",
                };
                model.hook = *hook;
                Expected::Done(json!({ done: 1 }))
            }
            Self::CreateTable => {
                *model = Model { exists: true, ..Model::default() };
                Expected::Done(json!({ "tables_created": 1 }))
            }
            Self::DropTable => {
                *model = Model::default();
                Expected::Done(json!({ "tables_dropped": 1 }))
            }
        }
    }
}

/// The key of a counter.
pub fn counter(at: usize) -> String {
    format!("counter {at}")
}

fn chosen_counters(chosen: &[bool; COUNTERS]) -> impl Iterator<Item = usize> {
    chosen.iter().enumerate().filter(|(_, chosen)| **chosen).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_come_go_and_change_their_names() {
        let mut model = Model::default();
        let mut done = |step: Step| !matches!(step.apply(&mut model), Expected::Error(_));
        let (a, b) = (|| "a".to_owned(), || "b".to_owned());
        assert!(done(Step::CreateTable) && done(Step::CreateIndex(a(), 0)));
        assert!(!done(Step::CreateIndex(a(), 1)) && done(Step::CreateIndex(b(), 1)));
        assert!(!done(Step::RenameIndex(a(), b(), false)) && done(Step::WaitIndex(a())));
        assert!(done(Step::RenameIndex(a(), b(), true)) && !done(Step::DropIndex(a())));
        assert_eq!(model.indexes["b"], Index { definition: 0, is_ready: true });
        assert_eq!(model.indexes.len(), 1);
        Step::DropTable.apply(&mut model);
        assert!(!model.exists && model.indexes.is_empty());
    }
}
