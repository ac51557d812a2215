//! Reads: as a query, and what the model answers.
//! Knows the model; nothing of servers.

use serde_json::{Value, json};

use super::answer::Expected;
use super::source::Source;
use super::state::{Entry, Model, PRIMARY};
use super::value::{Key, same, term};

/// Something that is asked.
#[derive(Clone, Debug)]
pub enum Read {
    /// One document, or null.
    Get(Value),
    /// Rows of a source, all of them.
    Rows(Source),
    /// Rows of a table or a range in the order of an index, or against it, and a part of them.
    Ordered(Source, String, bool, Part),
    /// How many there are.
    Count(Source),
    /// Whether there is none.
    IsEmpty(Source),
    /// The values of an index.
    Distinct(String),
    /// The document with the least or, if that is asked, the greatest value of an index.
    Extreme(String, bool),
    /// How many documents there are with each value of an index.
    Groups(String),
    /// How many pairs the field `b` of all documents and an index make.
    Join(String),
    /// How many documents have this value in field `b`.
    Filter(Value),
    /// The names of the indexes.
    Indexes,
}

/// Which of some rows.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// All.
    All,
    /// The first so many.
    Limit(usize),
    /// All behind the first so many.
    Skip(usize),
    /// Those from the first position to, and without, the second.
    Slice(usize, usize),
    /// The one at a position.
    Nth(usize),
    /// How many there are behind the first so many.
    CountFrom(usize),
}

impl Read {
    /// The query.
    pub fn term(&self, table: &Value) -> Value {
        let by = |index: &str| json!({ "index": index });
        match self {
            Self::Get(key) => json!([16, [table, term(key)]]),
            Self::Rows(source) => source.term(table),
            Self::Ordered(source, index, is_descending, part) => {
                let index = json!(index);
                let order = if *is_descending { json!([74, [index]]) } else { index };
                part.term(json!([41, [source.term(table)], { "index": order }]))
            }
            Self::Count(source) => json!([43, [source.term(table)]]),
            Self::IsEmpty(source) => json!([86, [source.term(table)]]),
            Self::Distinct(index) => json!([42, [table], by(index)]),
            Self::Extreme(index, false) => json!([147, [table], by(index)]),
            Self::Extreme(index, true) => json!([148, [table], by(index)]),
            Self::Groups(index) => json!([150, [[43, [[144, [table], by(index)]]]]]),
            Self::Join(index) => json!([43, [[50, [table, "b", table], by(index)]]]),
            Self::Filter(value) => json!([43, [[39, [table, { "b": term(value) }]]]]),
            Self::Indexes => json!([77, [table]]),
        }
    }

    /// The answer.
    pub fn expected(&self, model: &Model) -> Expected {
        match self {
            Self::Get(key) => {
                let document = model.documents.get(&Key(key.clone())).cloned();
                Expected::Value(document.unwrap_or(Value::Null))
            }
            Self::Rows(source) => Expected::Bag(documents(source.entries(model))),
            Self::Ordered(source, index, is_descending, part) => {
                let mut entries = match source {
                    Source::All => model.entries(index),
                    other => other.entries(model),
                };
                if *is_descending {
                    entries.reverse();
                }
                part.expected(documents(entries))
            }
            Self::Count(source) => Expected::Value(json!(source.entries(model).len())),
            Self::IsEmpty(source) => Expected::Value(json!(source.entries(model).is_empty())),
            Self::Distinct(index) => {
                Expected::Rows(groups(model, index).into_iter().map(|(value, _)| value).collect())
            }
            Self::Extreme(index, is_max) => {
                let entries = model.entries(index);
                match if *is_max { entries.last() } else { entries.first() } {
                    Some((_, _, document)) => Expected::Value(Value::clone(document)),
                    None => Expected::Error("found no entries in the specified index"),
                }
            }
            Self::Groups(index) => {
                let row = |(group, count)| json!({ "group": group, "reduction": count });
                Expected::Rows(groups(model, index).into_iter().map(row).collect())
            }
            Self::Join(index) => {
                let right = model.entries(index);
                let pairs = |b: &Value| right.iter().filter(|entry| same(&entry.0.0, b)).count();
                let left = model.documents.values().filter_map(|document| document.get("b"));
                Expected::Value(json!(left.map(pairs).sum::<usize>()))
            }
            Self::Filter(value) => {
                let has = |document: &&Value| document.get("b").is_some_and(|b| same(b, value));
                Expected::Value(json!(model.documents.values().filter(has).count()))
            }
            Self::Indexes => Expected::Rows(model.indexes.keys().map(|name| json!(name)).collect()),
        }
    }

    /// The index that must be built first, if there is one.
    pub fn index(&self) -> Option<&str> {
        let of_source = |source| match source {
            &Source::Keys(ref index, _) | &Source::Range(ref index, _, _) => Some(index.as_str()),
            Source::All | Source::One(_) => None,
        };
        let index = match self {
            Self::Rows(source) | Self::Count(source) | Self::IsEmpty(source) => of_source(source),
            Self::Ordered(_, index, _, _)
            | Self::Distinct(index)
            | Self::Extreme(index, _)
            | Self::Groups(index)
            | Self::Join(index) => Some(index.as_str()),
            Self::Get(_) | Self::Filter(_) | Self::Indexes => None,
        };
        index.filter(|index| *index != PRIMARY)
    }
}

impl Part {
    fn term(self, rows: Value) -> Value {
        match self {
            Self::All => rows,
            Self::Limit(count) => json!([71, [rows, count]]),
            Self::Skip(count) => json!([70, [rows, count]]),
            Self::Slice(from, to) => json!([30, [rows, from, to]]),
            Self::Nth(at) => json!([45, [rows, at]]),
            Self::CountFrom(count) => json!([43, [[70, [rows, count]]]]),
        }
    }

    fn expected(self, mut rows: Vec<Value>) -> Expected {
        let length = rows.len();
        let mut part = |from: usize, to: usize| -> Vec<Value> {
            let to = to.min(length);
            rows.drain(from.min(to)..to).collect()
        };
        Expected::Rows(match self {
            Self::All => part(0, length),
            Self::Limit(count) => part(0, count),
            Self::Skip(count) => part(count, length),
            Self::Slice(from, to) => part(from, to),
            Self::Nth(at) => {
                let found = part(at, at + 1).pop();
                return found.map_or(Expected::Error("Index out of bounds"), Expected::Value);
            }
            Self::CountFrom(count) => {
                return Expected::Value(json!(length.saturating_sub(count)));
            }
        })
    }
}

fn documents(entries: Vec<Entry<'_>>) -> Vec<Value> {
    entries.into_iter().map(|(_, _, document)| document.clone()).collect()
}

/// The values of an index and how often each is there, in order.
fn groups(model: &Model, index: &str) -> Vec<(Value, usize)> {
    let mut groups: Vec<(Value, usize)> = Vec::new();
    for (Key(value), _, _) in model.entries(index) {
        match groups.last_mut() {
            Some((last, count)) if same(last, &value) => *count += 1,
            _ => groups.push((value, 1)),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_rows() {
        let rows = || (0..5).map(|n| json!(n)).collect::<Vec<_>>();
        let found = |part: Part| match part.expected(rows()) {
            Expected::Rows(rows) => json!(rows),
            Expected::Value(value) => value,
            other => json!(format!("{other:?}")),
        };
        assert_eq!(found(Part::Limit(9)), json!([0, 1, 2, 3, 4]));
        assert_eq!(found(Part::Skip(3)), json!([3, 4]));
        assert_eq!(found(Part::Skip(7)), json!([]));
        assert_eq!(found(Part::Slice(1, 3)), json!([1, 2]));
        assert_eq!(found(Part::Nth(4)), json!(4));
        assert!(found(Part::Nth(5)).as_str().is_some_and(|text| text.contains("out of bounds")));
        assert_eq!(found(Part::CountFrom(2)), json!(3));
    }

    #[test]
    fn an_index_that_must_be_built_is_named() {
        let index = |read: Read| read.index().map(str::to_owned);
        assert_eq!(index(Read::Count(Source::Keys("a".into(), vec![]))), Some("a".into()));
        assert_eq!(index(Read::Count(Source::Keys(PRIMARY.into(), vec![]))), None);
        assert_eq!(
            index(Read::Ordered(Source::All, "a".into(), true, Part::All)),
            Some("a".into())
        );
        assert_eq!(index(Read::Indexes), None);
    }
}
