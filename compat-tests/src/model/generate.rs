//! Chooses the next step: from the seed and the model alone, so that a run can be repeated.
//! Knows what can be asked and written; not what is right.

use serde_json::{Value, json};

use super::read::{Part, Read};
use super::shape::Shape;
use super::source::{Bound, Place, Source};
use super::state::{COUNTERS, DEFINITIONS, Hook, Model, PRIMARY};
use super::step::Step;
use super::value::{Key, any, indexable, primary_key};
use super::write::{Change, Changes, Conflict, What, Write};
use crate::random::Random;

/// Names that indexes have.
const NAMES: [&str; 5] = ["i0", "i1", "i2", "i3", "i4"];
/// Names of indexes that one makes and drops while others use them.
const UNCERTAIN: [&str; 3] = ["u0", "u1", "u2"];
/// Documents of the largest insert.
const BATCH: usize = 30;
/// Documents above which more is removed than added.
const MANY: usize = 300;

/// The next step of one who has a table alone. Soft durability is asked for only where nothing is killed.
pub fn next(random: &mut Random, model: &Model, place: &Place, may_be_soft: bool) -> Step {
    if !model.exists {
        return Step::CreateTable;
    }
    match random.below(1_000) {
        0 => Step::DropTable,
        1..40 => definition(random, &NAMES),
        40..48 => Step::SetHook(match random.below(8) {
            0 => Some(Hook::Stamp),
            1 => Some(Hook::Mark),
            2 => Some(Hook::Keep),
            3 => Some(Hook::Refuse),
            _ => None,
        }),
        48..500 => Step::Write(write(random, model, place, may_be_soft)),
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

/// The next step of one who shares a table: it writes its own documents, and reads them among those of others.
pub fn next_among_others(
    random: &mut Random,
    model: &Model,
    place: &Place,
    may_be_soft: bool,
) -> Step {
    match random.below(20) {
        0..3 => {
            let mut chosen = [false; COUNTERS];
            for counter in &mut chosen {
                *counter = random.below(2) == 0;
            }
            if let Some(counter) = chosen.get_mut(random.below(COUNTERS)) {
                *counter = true;
            }
            Step::Count(chosen)
        }
        3..11 => Step::Write(write(random, model, place, may_be_soft)),
        11..13 => {
            let name = random.pick(&UNCERTAIN).to_owned();
            let like = index(random, model);
            let values = |random: &mut Random| value_of(random, model, &like);
            Step::ReadUncertain(match random.below(5) {
                0 => Read::Rows(Source::Keys(name, vec![values(random), values(random)])),
                1 => Read::Count(Source::Range(
                    name,
                    Bound::At(values(random), true),
                    Bound::At(values(random), false),
                )),
                2 => Read::Intersecting(name, Shape::asked(random)),
                _ => {
                    let part = part(random, model.documents.len());
                    Read::Ordered(Source::All, name, random.below(2) == 0, part)
                }
            })
        }
        _ => Step::Read(read_among_others(random, model)),
    }
}

/// The next step of the one who makes and drops the indexes of a shared table.
pub fn next_definition(random: &mut Random) -> Step {
    definition(random, &UNCERTAIN)
}

fn definition(random: &mut Random, names: &[&'static str]) -> Step {
    let name = |random: &mut Random| random.pick(names).to_owned();
    match random.below(40) {
        0..15 => Step::CreateIndex(name(random), random.below(DEFINITIONS.len())),
        15..22 => Step::DropIndex(name(random)),
        22..30 => {
            let old = random.below(names.len());
            let new = (old + 1 + random.below(names.len() - 1)) % names.len();
            let name = |at: usize| names.get(at).copied().unwrap_or_default().to_owned();
            Step::RenameIndex(name(old), name(new), random.below(2) == 0)
        }
        _ => Step::WaitIndex(name(random)),
    }
}

fn write(random: &mut Random, model: &Model, place: &Place, may_be_soft: bool) -> Write {
    Write {
        what: what(random, model, place),
        changes: match random.below(4) {
            0 => Changes::Some,
            1 => Changes::Always,
            _ => Changes::None,
        },
        soft: may_be_soft && random.below(3) > 0,
        ignores_hook: model.hook.is_some() && random.below(4) == 0,
    }
}

fn what(random: &mut Random, model: &Model, place: &Place) -> What {
    let is_full = model.documents.len() > MANY;
    match random.below(20) {
        0..7 if !is_full => {
            let count = if random.below(2) == 0 { 1 } else { 1 + random.below(BATCH) };
            let mut documents: Vec<Value> =
                (0..count).map(|_| document(random, model, place)).collect();
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
            let key = key(random, model, place);
            let change = change(random, &key, place);
            What::Change(Source::One(key), change)
        }
        15 if random.below(40) == 0 => What::Change(Source::All, Change::Delete),
        15 if random.below(4) == 0 => What::Change(Source::All, Change::Add),
        _ => {
            let source = written_source(random, model);
            let key = key(random, model, place);
            What::Change(source, change(random, &key, place))
        }
    }
}

/// Rows in which no document is twice.
fn written_source(random: &mut Random, model: &Model) -> Source {
    let is_good = |name: &String| !model.is_multi(name) && !model.is_geo(name);
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

fn change(random: &mut Random, key: &Value, place: &Place) -> Change {
    match random.below(12) {
        0..4 => {
            let mut fields = json!({});
            for name in ["a", "b", "m", "g", "s"] {
                if random.below(2) == 0 {
                    fields[name] = field(random, name);
                }
            }
            if random.below(15) == 0 {
                fields[PRIMARY] = new_key(random, place);
            }
            Change::Merge(fields)
        }
        4..7 => Change::Add,
        7..9 => {
            let mut new = new_document(random, place);
            let other = random.below(8) == 0;
            new[PRIMARY] = if other { new_key(random, place) } else { key.clone() };
            Change::Replace(new)
        }
        9 => Change::Without,
        10 => Change::Null,
        _ => Change::Delete,
    }
}

fn document(random: &mut Random, model: &Model, place: &Place) -> Value {
    let mut new = new_document(random, place);
    new[PRIMARY] = key(random, model, place);
    new
}

fn new_document(random: &mut Random, place: &Place) -> Value {
    let mut new = json!({});
    if let Some(owner) = place.owner {
        new["w"] = json!(owner);
    }
    for (name, of_ten) in [("a", 8), ("b", 7), ("m", 6), ("n", 7), ("g", 4), ("s", 3)] {
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
        "g" if random.below(8) > 0 => Shape::stored(random).json(),
        // No object, which would be merged with a shape to nothing good.
        "g" => indexable(random),
        "s" if random.below(6) > 0 => {
            json!((0..random.below(4)).map(|_| field(random, "g")).collect::<Vec<_>>())
        }
        "s" => field(random, "g"),
        _ => json!(random.below(40)),
    }
}

/// A primary key, of a document or not.
fn key(random: &mut Random, model: &Model, place: &Place) -> Value {
    known_key(random, model).unwrap_or_else(|| new_key(random, place))
}

/// The primary key of a document, half of the time.
fn known_key(random: &mut Random, model: &Model) -> Option<Value> {
    let known = model.documents.keys().nth(random.below(model.documents.len() * 2));
    known.map(|key| key.0.clone())
}

/// A primary key, and one that nobody else has.
fn new_key(random: &mut Random, place: &Place) -> Value {
    let key = primary_key(random);
    match place.owner {
        Some(owner) => json!([key, owner]),
        None => key,
    }
}

/// A value that an index may have.
fn value_of(random: &mut Random, model: &Model, index: &str) -> Value {
    if index == PRIMARY {
        return known_key(random, model).unwrap_or_else(|| primary_key(random));
    }
    if model.is_geo(index) {
        return indexable(random);
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

/// An index of shapes is mostly asked for shapes, and other ones mostly are not.
fn fits(random: &mut Random, model: &Model, read: Read) -> Read {
    match read.index() {
        Some(index) if model.is_geo(index) && random.below(20) > 0 => {
            let index = index.to_owned();
            match random.below(3) {
                0 => Read::Intersecting(index, Shape::asked(random)),
                1 => Read::Intersecting(index, Shape::point(random)),
                _ => {
                    let radians = (1 + random.below(2_000)) as f64 / 8_191.0;
                    Read::Nearest(index, Shape::point(random), radians, 1 + random.below(40))
                }
            }
        }
        _ => read,
    }
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
            let mut values: Vec<Value> =
                (0..count).map(|_| value_of(random, model, &index)).collect();
            // Now and then one of them twice.
            if random.below(4) == 0
                && let Some(again) = values.first().cloned()
            {
                values.push(again);
            }
            Source::Keys(index, values)
        }
        _ => range(random, model, &index),
    }
}

fn read(random: &mut Random, model: &Model) -> Read {
    let index = index(random, model);
    let read = match random.below(21) {
        0..4 => Read::Get(value_of(random, model, PRIMARY)),
        4 => Read::Rows(source(random, model)),
        5 => Read::Gathered(source(random, model)),
        6 => Read::Few(source(random, model), random.below(20)),
        7..12 => ordered(random, model, index),
        12..14 => Read::Count(source(random, model)),
        14 => Read::IsEmpty(source(random, model)),
        15 => Read::Distinct(index),
        16 => Read::Extreme(index, random.below(2) == 0),
        17 if !model.is_multi(&index) => Read::Groups(index),
        18 if index != PRIMARY => Read::Join(index),
        17 | 18 => Read::Indexes,
        19 if index != PRIMARY => Read::Intersecting(index, Shape::asked(random)),
        _ => Read::Filter(indexable(random)),
    };
    fits(random, model, read)
}

/// What can be read of one's own among the documents of others.
fn read_among_others(random: &mut Random, model: &Model) -> Read {
    let index = index(random, model);
    let read = match random.below(9) {
        0..2 => Read::Get(value_of(random, model, PRIMARY)),
        2 if random.below(2) == 0 => Read::Gathered(source(random, model)),
        2 => Read::Rows(source(random, model)),
        3 => Read::Few(source(random, model), random.below(20)),
        4..6 => ordered(random, model, index),
        6 => Read::Count(source(random, model)),
        7 => Read::IsEmpty(source(random, model)),
        _ => Read::Filter(indexable(random)),
    };
    match fits(random, model, read) {
        Read::Nearest(index, point, _, _) => Read::Intersecting(index, point),
        read => read,
    }
}

fn ordered(random: &mut Random, model: &Model, index: String) -> Read {
    let rows = if random.below(2) == 0 { Source::All } else { range(random, model, &index) };
    let part = part(random, model.documents.len());
    Read::Ordered(rows, index, random.below(2) == 0, part)
}

fn part(random: &mut Random, rows: usize) -> Part {
    let at = random.below(rows + 3);
    match random.below(10) {
        0 => Part::All,
        1 => Part::Limit(random.below(20)),
        2 => Part::Skip(at),
        3 => Part::Slice(at, at + random.below(20)),
        4 => Part::Nth(at),
        5 => Part::Last,
        6 => Part::Page(at, random.below(20)),
        7 => Part::FilterLimit(random.below(20)),
        8 => Part::CountSlice(at, at + random.below(20)),
        _ => Part::CountFrom(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_decides_every_step_and_every_kind_of_step_comes() {
        let place = Place { name: "t".to_owned(), owner: None };
        let run = || {
            let (mut random, mut model) = (Random::new(7, 0), Model::default());
            let steps: Vec<String> = (0..3_000)
                .map(|_| {
                    let step = next(&mut random, &model, &place, true);
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
        assert!(kinds.len() > 20, "{kinds:?}");
    }
}
