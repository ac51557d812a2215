//! Values as the model sees them: JSON in ReQL's order, the terms that stand for them, and random ones.
//! Knows no documents and no queries.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use crate::random::Random;

/// Longer than what an index keeps of a value.
const LONG: usize = 300;

/// A value that sorts as ReQL sorts it.
#[derive(Clone, Debug)]
pub struct Key(pub Value);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

/// ReQL's order of values.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            let pairs = a.iter().zip(b).map(|(a, b)| compare(a, b));
            pairs.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => {
            let number = |n: &serde_json::Number| n.as_f64().unwrap_or_default();
            number(a).total_cmp(&number(b))
        }
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Object(a), Value::Object(b)) => compare_objects(a, b),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn compare_objects<'a>(a: &'a Map<String, Value>, b: &'a Map<String, Value>) -> Ordering {
    let sorted = |mut names: Vec<&'a String>| {
        names.sort();
        names
    };
    let (a_names, b_names) = (sorted(a.keys().collect()), sorted(b.keys().collect()));
    let pairs = a_names.iter().zip(&b_names).map(|(a_name, b_name)| {
        a_name.cmp(b_name).then_with(|| match (a.get(*a_name), b.get(*b_name)) {
            (Some(a), Some(b)) => compare(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        })
    });
    pairs
        .into_iter()
        .find(|order| order.is_ne())
        .unwrap_or_else(|| a_names.len().cmp(&b_names.len()))
}

/// Types sort by their names.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Array(_) => 0,
        Value::Bool(_) => 1,
        Value::Null => 2,
        Value::Number(_) => 3,
        Value::Object(_) => 4,
        Value::String(_) => 5,
    }
}

/// Whether two values are the same to ReQL, for which 1 is 1.0.
pub fn same(a: &Value, b: &Value) -> bool {
    compare(a, b).is_eq()
}

/// Whether a value can be in an index.
pub fn is_indexable(value: &Value) -> bool {
    match value {
        Value::Null | Value::Object(_) => false,
        Value::Array(elements) => elements.iter().all(is_indexable),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// One object put onto another, as `merge` and `update` do it.
pub fn merge(old: &Value, new: &Value) -> Value {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut merged = old.clone();
            for (name, value) in new {
                let before = merged.get(name).unwrap_or(&Value::Null);
                let value = merge(before, value);
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        _ => new.clone(),
    }
}

/// The term of a value: arrays are made by a term.
pub fn term(value: &Value) -> Value {
    match value {
        Value::Array(elements) => json!([2, elements.iter().map(term).collect::<Vec<_>>()]),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), term(value))).collect()
        }
        other => other.clone(),
    }
}

/// A primary key: one of a few hundred of several types.
pub fn primary_key(random: &mut Random) -> Value {
    match random.below(10) {
        0..6 => json!(random.below(200)),
        6 => json!(random.below(20) as f64 - 10.5),
        7 => json!([random.below(10), "x"]),
        8 => json!(random.below(2) == 0),
        _ => json!(format!("key {}", random.below(100))),
    }
}

/// A value that can be in an index.
pub fn indexable(random: &mut Random) -> Value {
    match random.below(12) {
        0..5 => json!(random.below(12)),
        5 => json!(random.below(20) as f64 / 4.0 - 2.0),
        6 => json!(["", "a", "ab", "b", "\u{e9}", "\u{1}"].get(random.below(6))),
        7 => json!(format!("{}{}", "long ".repeat(LONG / 5), random.below(3))),
        8 => json!("l".repeat(LONG - random.below(LONG))),
        9 => json!(random.below(2) == 0),
        10 => json!((0..random.below(3)).map(|_| random.below(3)).collect::<Vec<_>>()),
        _ => json!(["a", random.below(3)]),
    }
}

/// Any value of a field.
pub fn any(random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!({ "x": random.below(2), "y": { "z": random.below(3) } }),
        2 => json!([random.below(3), null]),
        _ => indexable(random),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_sort_by_type_and_then_by_value() {
        let ascending = [
            json!([]),
            json!([1]),
            json!([1, 0]),
            json!([2]),
            json!(false),
            json!(true),
            json!(null),
            json!(-3.5),
            json!(2),
            json!(10),
            json!({ "a": 1 }),
            json!({ "a": 1, "b": 0 }),
            json!({ "b": 0 }),
            json!(""),
            json!("A"),
            json!("a"),
        ];
        assert!(ascending.is_sorted_by(|a, b| compare(a, b).is_lt()));
        assert!(same(&json!(1), &json!(1.0)) && !same(&json!(1), &json!("1")));
    }

    #[test]
    fn objects_are_merged_field_by_field() {
        let merged =
            merge(&json!({ "a": { "b": 1 }, "c": 1 }), &json!({ "a": { "d": 2 }, "c": {} }));
        assert_eq!(merged, json!({ "a": { "b": 1, "d": 2 }, "c": {} }));
        assert_eq!(term(&json!({ "a": [1, []] })), json!({ "a": [2, [1, [2, []]]] }));
    }
}
