//! Chooses the next step: from the seed and the model alone, so that a run can be repeated.
//! Knows what can be asked and written; not what is right.

use serde_json::{Value, json};

use super::read::{Part, Read};
use super::source::{Bound, Source};
use super::state::{DEFINITIONS, Model, PRIMARY};
use super::step::Step;
use super::value::{Key, any, indexable, primary_key};
use super::write::{Change, Changes, Conflict, What, Write};
use crate::random::Random;

/// Names that indexes have.
const NAMES: [&str; 5] = ["i0", "i1", "i2", "i3", "i4"];
/// Documents of the largest insert.
const BATCH: usize = 30;
/// Documents above which more is removed than added.
const MANY: usize = 300;

/// The next step. Soft durability is asked for only where nothing is killed.
pub fn next(random: &mut Random, model: &Model, may_be_soft: bool) -> Step {
    if !model.exists {
        return Step::CreateTable;
    }
    match random.below(1_000) {
        0 => Step::DropTable,
        1..15 => Step::CreateIndex(name(random), random.below(DEFINITIONS.len())),
        15..22 => Step::DropIndex(name(random)),
        22..30 => {
            let old = random.below(NAMES.len());
            let new = (old + 1 + random.below(NAMES.len() - 1)) % NAMES.len();
            let name = |at: usize| NAMES.get(at).copied().unwrap_or_default().to_owned();
            Step::RenameIndex(name(old), name(new), random.below(2) == 0)
        }
        30..40 => Step::WaitIndex(name(random)),
        40..500 => Step::Write(Write {
            what: write(random, model),
            changes: match random.below(4) {
                0 => Changes::Some,
                1 => Changes::Always,
                _ => Changes::None,
            },
            soft: may_be_soft && random.below(3) > 0,
        }),
        _ => {
            let read = read(random, model);
            match read.index() {
                Some(index) if !model.indexes.get(index).is_some_and(|index| index.is_ready) => {
                    Step::WaitIndex(index.to_owned())
                }
                _ => Step::Read(read),
            }
        }
    }
}

fn name(random: &mut Random) -> String {
    random.pick(&NAMES).to_owned()
}

fn write(random: &mut Random, model: &Model) -> What {
    let is_full = model.documents.len() > MANY;
    match random.below(20) {
        0..7 if !is_full => {
            let count = if random.below(2) == 0 { 1 } else { 1 + random.below(BATCH) };
            let mut documents: Vec<Value> = (0..count).map(|_| document(random, model)).collect();
            if random.below(30) == 0
                && let Some(document) = documents.first_mut()
            {
                document[PRIMARY] = json!({});
            }
            let kinds = [Conflict::Error, Conflict::Replace, Conflict::Update, Conflict::Function];
            let conflict = kinds.get(random.below(4)).copied().unwrap_or(Conflict::Error);
            What::Insert(documents, conflict)
        }
        0..15 => {
            let key = key(random, model);
            let change = change(random, &key);
            What::Change(Source::One(key), change)
        }
        15 if random.below(40) == 0 => What::Change(Source::All, Change::Delete),
        15 if random.below(4) == 0 => What::Change(Source::All, Change::Add),
        _ => {
            let source = written_source(random, model);
            let key = key(random, model);
            What::Change(source, change(random, &key))
        }
    }
}

/// Rows in which no document is twice.
fn written_source(random: &mut Random, model: &Model) -> Source {
    let is_good = |name: &String| !model.is_multi(name);
    let ready = model.indexes.iter().filter(|(_, index)| index.is_ready).map(|(name, _)| name);
    let names: Vec<&String> = ready.filter(|name| is_good(name)).collect();
    let index = match names.get(random.below(names.len() + 1)) {
        Some(name) => (*name).clone(),
        None => PRIMARY.to_owned(),
    };
    match random.below(2) {
        0 => {
            let mut values: Vec<Key> =
                (0..1 + random.below(3)).map(|_| Key(value_of(random, model, &index))).collect();
            values.sort();
            values.dedup();
            Source::Keys(index, values.into_iter().map(|key| key.0).collect())
        }
        _ => {
            let left = value_of(random, model, &index);
            // Narrow, so that not everything is changed.
            let right = value_of(random, model, &index);
            let (left, right) =
                if Key(left.clone()) <= Key(right.clone()) { (left, right) } else { (right, left) };
            Source::Range(index, Bound::At(left, true), Bound::At(right, random.below(2) == 0))
        }
    }
}

fn change(random: &mut Random, key: &Value) -> Change {
    match random.below(12) {
        0..4 => {
            let mut fields = json!({});
            for name in ["a", "b", "m"] {
                if random.below(2) == 0 {
                    fields[name] = field(random, name);
                }
            }
            if random.below(15) == 0 {
                fields[PRIMARY] = primary_key(random);
            }
            Change::Merge(fields)
        }
        4..7 => Change::Add,
        7..9 => {
            let mut new = new_document(random);
            let other = random.below(8) == 0;
            new[PRIMARY] = if other { primary_key(random) } else { key.clone() };
            Change::Replace(new)
        }
        9 => Change::Without,
        10 => Change::Null,
        _ => Change::Delete,
    }
}

fn document(random: &mut Random, model: &Model) -> Value {
    let mut new = new_document(random);
    new[PRIMARY] = key(random, model);
    new
}

fn new_document(random: &mut Random) -> Value {
    let mut new = json!({});
    for (name, of_ten) in [("a", 8), ("b", 7), ("m", 6), ("n", 7)] {
        if random.below(10) < of_ten {
            new[name] = field(random, name);
        }
    }
    let length = match random.below(100) {
        0 => 20_000,
        1..8 => 2_500,
        _ => random.below(60),
    };
    new["t"] = json!("text ".repeat(length / 5));
    new
}

fn field(random: &mut Random, name: &str) -> Value {
    match name {
        "a" => any(random),
        "b" => indexable(random),
        "m" if random.below(5) > 0 => {
            json!((0..random.below(5)).map(|_| any(random)).collect::<Vec<_>>())
        }
        "m" => any(random),
        _ => json!(random.below(40)),
    }
}

/// A primary key, of a document or not.
fn key(random: &mut Random, model: &Model) -> Value {
    let known = model.documents.keys().nth(random.below(model.documents.len() * 2));
    known.map_or_else(|| primary_key(random), |key| key.0.clone())
}

/// A value that an index may have.
fn value_of(random: &mut Random, model: &Model, index: &str) -> Value {
    if index == PRIMARY {
        return key(random, model);
    }
    let document = model.documents.iter().nth(random.below(model.documents.len()));
    let values = document.map(|(key, document)| model.values(index, key, document));
    let values = values.unwrap_or_default();
    match values.get(random.below(values.len() * 3 / 2)) {
        Some(value) => value.clone(),
        None if random.below(2) == 0 => json!([indexable(random)]),
        None => indexable(random),
    }
}

/// The primary key, or an index that is there.
fn index(random: &mut Random, model: &Model) -> String {
    let known = model.indexes.keys().nth(random.below(model.indexes.len() + 1));
    known.cloned().unwrap_or_else(|| PRIMARY.to_owned())
}

fn range(random: &mut Random, model: &Model, index: &str) -> Source {
    let mut bound = || match random.below(4) {
        0 => Bound::Open,
        kind => Bound::At(value_of(random, model, index), kind == 1),
    };
    let (left, right) = (bound(), bound());
    Source::Range(index.to_owned(), left, right)
}

fn source(random: &mut Random, model: &Model) -> Source {
    let index = index(random, model);
    match random.below(5) {
        0 => Source::All,
        1 | 2 => {
            let count = 1 + random.below(4);
            let values = (0..count).map(|_| value_of(random, model, &index)).collect();
            Source::Keys(index, values)
        }
        _ => range(random, model, &index),
    }
}

fn read(random: &mut Random, model: &Model) -> Read {
    let index = index(random, model);
    match random.below(20) {
        0..4 => Read::Get(key(random, model)),
        4..7 => Read::Rows(source(random, model)),
        7..12 => {
            let rows =
                if random.below(2) == 0 { Source::All } else { range(random, model, &index) };
            let part = part(random, model.documents.len());
            Read::Ordered(rows, index, random.below(2) == 0, part)
        }
        12..14 => Read::Count(source(random, model)),
        14 => Read::IsEmpty(source(random, model)),
        15 => Read::Distinct(index),
        16 => Read::Extreme(index, random.below(2) == 0),
        17 if !model.is_multi(&index) => Read::Groups(index),
        18 if index != PRIMARY => Read::Join(index),
        17 | 18 => Read::Indexes,
        _ => Read::Filter(indexable(random)),
    }
}

fn part(random: &mut Random, rows: usize) -> Part {
    let at = random.below(rows + 3);
    match random.below(6) {
        0 => Part::All,
        1 => Part::Limit(random.below(20)),
        2 => Part::Skip(at),
        3 => Part::Slice(at, at + random.below(20)),
        4 => Part::Nth(at),
        _ => Part::CountFrom(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_decides_every_step_and_every_kind_of_step_comes() {
        let run = || {
            let (mut random, mut model) = (Random::new(7, 0), Model::default());
            let steps: Vec<String> = (0..3_000)
                .map(|_| {
                    let step = next(&mut random, &model, true);
                    step.apply(&mut model);
                    format!("{step:?}")
                })
                .collect();
            steps
        };
        let steps = run();
        assert!(steps == run());
        let kinds: BTreeSet<String> = steps
            .iter()
            .map(|step| step.chars().filter(|c| !c.is_ascii_digit()).take(13).collect())
            .collect();
        assert!(kinds.len() > 15, "{kinds:?}");
    }
}
