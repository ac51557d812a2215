//! Reads: as a query, and what the model answers.
//! Knows the model; nothing of servers.

use serde_json::{Value, json};

use super::answer::Expected;
use super::shape::Shape;
use super::source::{Place, Source};
use super::state::{Entry, Model, PRIMARY};
use super::value::{Key, same, term};

/// Something that is asked.
#[derive(Clone, Debug)]
pub enum Read {
    /// One document, or null.
    Get(Value),
    /// Rows of a source, all of them.
    Rows(Source),
    /// Rows of a source as an array: those that come twice come side by side.
    Gathered(Source),
    /// So many rows of a source, whichever they are.
    Few(Source, usize),
    /// Rows of a table or a range in the order of an index, or against it, and a part of them.
    Ordered(Source, String, bool, Part),
    /// The rows whose shapes meet a shape.
    Intersecting(String, Shape),
    /// The nearest rows to a point, at most so far away in radians and at most so many.
    Nearest(String, Shape, f64, usize),
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
    /// The last one.
    Last,
    /// Behind the first so many at most so many.
    Page(usize, usize),
    /// The first so many of those that have field `m`.
    FilterLimit(usize),
    /// How many there are behind the first so many.
    CountFrom(usize),
    /// How many there are from the first position to, and with, the second.
    CountSlice(usize, usize),
}

impl Part {
    fn is_nothing(self) -> bool {
        match self {
            Self::Limit(0) | Self::Page(_, 0) | Self::FilterLimit(0) => true,
            Self::Slice(from, to) => from >= to,
            Self::CountSlice(from, to) => from > to,
            _ => false,
        }
    }
}

impl Read {
    /// The query.
    pub fn term(&self, place: &Place) -> Value {
        let table = &place.table();
        let by = |index: &str| json!({ "index": index });
        match self {
            Self::Get(key) => json!([16, [table, term(key)]]),
            Self::Rows(source) => source.term(place),
            Self::Gathered(source) => json!([51, [source.term(place), "array"]]),
            Self::Few(source, count) => json!([71, [source.term(place), count]]),
            Self::Ordered(source, index, is_descending, part) => {
                let index = json!(index);
                let order = if *is_descending { json!([74, [index]]) } else { index };
                part.term(place.own(json!([41, [source.of(table)], { "index": order }])))
            }
            Self::Intersecting(index, shape) => {
                place.own(json!([166, [table, term(&shape.json())], by(index)]))
            }
            Self::Nearest(index, point, radians, count) => {
                let options = json!({
                    "index": index, "geo_system": "unit_sphere", "max_dist": radians,
                    "max_results": count,
                });
                json!([168, [table, term(&point.json())], options])
            }
            Self::Count(source) => json!([43, [source.term(place)]]),
            Self::IsEmpty(source) => json!([86, [source.term(place)]]),
            Self::Distinct(index) => json!([42, [table], by(index)]),
            Self::Extreme(index, false) => json!([147, [table], by(index)]),
            Self::Extreme(index, true) => json!([148, [table], by(index)]),
            Self::Groups(index) => json!([150, [[43, [[144, [table], by(index)]]]]]),
            Self::Join(index) => json!([43, [[50, [table, "b", table], by(index)]]]),
            Self::Filter(value) => {
                json!([43, [[39, [place.own(table.clone()), { "b": term(value) }]]]])
            }
            Self::Indexes => json!([77, [table]]),
        }
    }

    /// The answer.
    pub fn expected(&self, model: &Model) -> Expected {
        let wants_shapes = matches!(self, Self::Intersecting(..) | Self::Nearest(..));
        // As in RethinkDB, no row asks no index, so that none can be of the wrong kind.
        if !self.reads_no_row()
            && self.index().is_some_and(|index| model.is_geo(index) != wants_shapes)
        {
            return Expected::Error("geospatial index");
        }
        match self {
            Self::Get(key) => {
                let document = model.documents.get(&Key(key.clone())).cloned();
                Expected::Value(document.unwrap_or(Value::Null))
            }
            Self::Gathered(source @ Source::Keys(index, _)) if !model.is_multi(index) => {
                Expected::Together(documents(source.entries(model)))
            }
            Self::Rows(source) | Self::Gathered(source) => {
                Expected::Bag(documents(source.entries(model)))
            }
            Self::Few(source, count) => Expected::Few(documents(source.entries(model)), *count),
            Self::Intersecting(index, shape) => {
                let mut entries = model.entries(index);
                entries.retain(|(value, _, _)| {
                    Shape::of_json(&value.0).is_some_and(|found| found.intersects(shape))
                });
                Expected::Bag(documents(entries))
            }
            Self::Nearest(index, point, radians, count) => {
                let mut rows = Vec::new();
                for (value, _, document) in model.entries(index) {
                    let far = Shape::of_json(&value.0).map(|found| found.distance(point));
                    rows.extend(far.map(|far| (far, document.clone())));
                }
                rows.retain(|(far, _)| far <= radians);
                Expected::Nearest(rows, *count)
            }
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

    /// Whether it is known to have no rows before any is read: an index is looked up with the first row.
    fn reads_no_row(&self) -> bool {
        match self {
            Self::Few(_, 0) => true,
            Self::Ordered(source, _, _, part) => part.is_nothing() || source.is_unachievable(),
            Self::Rows(source)
            | Self::Gathered(source)
            | Self::Few(source, _)
            | Self::Count(source)
            | Self::IsEmpty(source) => source.is_unachievable(),
            _ => false,
        }
    }

    /// The index that must be built first, if there is one.
    pub fn index(&self) -> Option<&str> {
        let of_source = |source| match source {
            &Source::Keys(ref index, _) | &Source::Range(ref index, _, _) => Some(index.as_str()),
            Source::All | Source::One(_) => None,
        };
        let index = match self {
            Self::Rows(source)
            | Self::Gathered(source)
            | Self::Few(source, _)
            | Self::Count(source)
            | Self::IsEmpty(source) => of_source(source),
            Self::Ordered(_, index, _, _)
            | Self::Intersecting(index, _)
            | Self::Nearest(index, _, _, _)
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
            Self::Last => json!([45, [rows, -1]]),
            Self::Page(from, count) => json!([71, [[70, [rows, from]], count]]),
            Self::FilterLimit(count) => {
                let has = json!([69, [[2, [1]], [32, [[10, [1]], "m"]]]]);
                json!([71, [[39, [rows, has]], count]])
            }
            Self::CountFrom(count) => json!([43, [[70, [rows, count]]]]),
            Self::CountSlice(from, to) => {
                json!([43, [[30, [rows, from, to], { "right_bound": "closed" }]]])
            }
        }
    }

    fn expected(self, mut rows: Vec<Value>) -> Expected {
        if let Self::FilterLimit(_) = self {
            rows.retain(|row| row.get("m").is_some_and(|m| !m.is_null()));
        }
        let length = rows.len();
        let mut part = |from: usize, to: usize| -> Vec<Value> {
            let to = to.min(length);
            rows.drain(from.min(to)..to).collect()
        };
        Expected::Rows(match self {
            Self::All => part(0, length),
            Self::Limit(count) | Self::FilterLimit(count) => part(0, count),
            Self::Skip(count) => part(count, length),
            Self::Slice(from, to) => part(from, to),
            Self::Nth(at) => {
                let found = part(at, at + 1).pop();
                return found.map_or(Expected::Error("Index out of bounds"), Expected::Value);
            }
            Self::Last => {
                let last = rows.pop();
                return last.map_or(Expected::Error("Index out of bounds"), Expected::Value);
            }
            Self::Page(from, count) => part(from, from + count),
            Self::CountSlice(from, to) => {
                return Expected::Value(json!(part(from, to + 1).len()));
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
        assert_eq!(found(Part::CountSlice(1, 3)), json!(3));
        assert_eq!(found(Part::Page(3, 9)), json!([3, 4]));
        assert_eq!(found(Part::Last), json!(4));
        assert_eq!(found(Part::FilterLimit(2)), json!([]));
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
