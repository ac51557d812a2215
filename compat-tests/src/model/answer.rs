//! What the model expects of an answer, and whether an answer is that.
//! Knows answers of the protocol; not which query they answer.

use serde_json::{Value, json};

use super::value::{Key, same};
use crate::wire::{Response, kind};

/// `SUCCESS_ATOM`
const ATOM: u64 = 1;
/// `SUCCESS_SEQUENCE`
const SEQUENCE: u64 = 2;
/// `RUNTIME_ERROR`
const RUNTIME_ERROR: u64 = 18;
/// Most characters of a value in a message.
const SHOWN: usize = 2_000;
/// Most characters of a text in it.
const SHOWN_TEXT: usize = 40;

/// What is expected.
#[derive(Clone, Debug)]
pub enum Expected {
    /// This value.
    Value(Value),
    /// These rows in this order.
    Rows(Vec<Value>),
    /// These rows in any order.
    Bag(Vec<Value>),
    /// The summary of a write, whose changes may come in any order. Of its errors only the number is expected.
    Written(Value),
    /// The summary of a change of tables or indexes: at least these fields.
    Done(Value),
    /// An error whose message contains this.
    Error(&'static str),
}

impl Expected {
    /// Compares with an answer; the error says what is different.
    pub fn check(&self, answer: &Response) -> Result<(), String> {
        let rows = answer.get("r").and_then(Value::as_array).cloned().unwrap_or_default();
        let found = match (kind(answer), rows.as_slice()) {
            (Some(ATOM), [value]) => value.clone(),
            (Some(SEQUENCE), _) => Value::Array(rows),
            (Some(RUNTIME_ERROR), [Value::String(message)]) => {
                return match self {
                    Self::Error(part) if message.contains(part) => Ok(()),
                    _ => Err(self.differs(&json!({ "error": message }))),
                };
            }
            _ => return Err(self.differs(&Value::Object(answer.clone()))),
        };
        let is_right = match (self, &found) {
            (Self::Value(expected), found) => same(expected, found),
            (Self::Rows(expected), Value::Array(found)) => all_same(expected, found),
            (Self::Bag(expected), Value::Array(found)) => {
                all_same(&sorted(expected), &sorted(found))
            }
            (Self::Written(expected), found) => same(&summary(expected), &summary(found)),
            (Self::Done(expected), Value::Object(found)) => {
                let fields = expected.as_object().cloned().unwrap_or_default();
                fields.iter().all(|(name, value)| found.get(name) == Some(value))
            }
            _ => false,
        };
        if is_right { Ok(()) } else { Err(self.differs(&found)) }
    }

    fn differs(&self, found: &Value) -> String {
        let expected = match (self, found) {
            (Self::Rows(rows), Value::Array(found)) => return first_difference(rows, found),
            (Self::Bag(rows), Value::Array(found)) => {
                return first_difference(&sorted(rows), &sorted(found));
            }
            (Self::Written(expected), Value::Object(_)) => {
                let (expected, found) = (summary(expected), summary(found));
                let changes = |summary: &Value| {
                    summary.get("changes").and_then(Value::as_array).cloned().unwrap_or_default()
                };
                if !all_same(&changes(&expected), &changes(&found)) {
                    return first_difference(&changes(&expected), &changes(&found));
                }
                return format!("expected: {}\nfound: {}", shown(&expected), shown(&found));
            }
            (Self::Rows(rows) | Self::Bag(rows), _) => shown(&json!(rows)),
            (Self::Value(value) | Self::Written(value) | Self::Done(value), _) => shown(value),
            (Self::Error(part), _) => format!("an error with `{part}`"),
        };
        format!("expected: {expected}\nfound: {}", shown(found))
    }
}

fn all_same(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn sorted(rows: &[Value]) -> Vec<Value> {
    let mut keys: Vec<Key> = rows.iter().cloned().map(Key).collect();
    keys.sort();
    keys.into_iter().map(|key| key.0).collect()
}

/// A summary with its changes in order, without the texts of errors and without counts of zero.
fn summary(value: &Value) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let mut fields = fields.clone();
    fields.remove("first_error");
    fields.retain(|_, value| *value != 0);
    if let Some(Value::Array(changes)) = fields.get_mut("changes") {
        for change in changes.iter_mut().filter_map(Value::as_object_mut) {
            change.remove("error");
        }
        *changes = sorted(changes);
    }
    Value::Object(fields)
}

fn first_difference(expected: &[Value], found: &[Value]) -> String {
    let pairs = expected.iter().zip(found);
    let at = pairs.take_while(|(expected, found)| same(expected, found)).count();
    let there = |rows: &[Value]| rows.get(at).map_or_else(|| "none".to_owned(), shown);
    format!(
        "expected {} rows, found {}; row {at}:\nexpected: {}\nfound: {}",
        expected.len(),
        found.len(),
        there(expected),
        there(found)
    )
}

/// A value as text, not too long, and no part of it either.
pub fn shown(value: &Value) -> String {
    cut(&brief(value).to_string(), SHOWN)
}

fn brief(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(cut(text, SHOWN_TEXT)),
        Value::Array(elements) => elements.iter().map(brief).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), brief(value))).collect()
        }
        other => other.clone(),
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => {
            format!("{}... ({} bytes)", text.get(..end).unwrap_or_default(), text.len())
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_right(expected: &Expected, answer: Value) -> bool {
        expected.check(answer.as_object().unwrap()).is_ok()
    }

    #[test]
    fn order_counts_where_it_is_expected() {
        let rows = vec![json!(1), json!("b")];
        let (rows, bag) = (Expected::Rows(rows.clone()), Expected::Bag(rows));
        let turned = json!({ "t": 2, "r": ["b", 1.0] });
        assert!(is_right(&bag, turned.clone()) && !is_right(&rows, turned));
        let array = json!({ "t": 1, "r": [[1, "b"]] });
        assert!(is_right(&rows, array.clone()) && is_right(&bag, array));
        assert!(!is_right(&bag, json!({ "t": 2, "r": [1, "b", "b"] })));
        assert!(!is_right(&bag, json!({ "t": 18, "r": ["no"] })));
        assert!(is_right(&Expected::Error("no"), json!({ "t": 18, "r": ["oh no."] })));
        assert!(!is_right(&Expected::Error("no"), json!({ "t": 1, "r": ["no"] })));
    }

    #[test]
    fn a_summary_is_its_counts_and_its_changes() {
        let expected =
            Expected::Written(json!({ "inserted": 2, "changes": [{ "x": 1 }, { "x": 2 }] }));
        let answer = |count: u64, changes: Value| {
            let summary = json!({ "inserted": count, "errors": 0, "changes": changes });
            json!({ "t": 1, "r": [summary] })
        };
        assert!(is_right(&expected, answer(2, json!([{ "x": 2 }, { "x": 1, "error": "e" }]))));
        assert!(!is_right(&expected, answer(1, json!([{ "x": 2 }, { "x": 1 }]))));
        assert!(!is_right(&expected, answer(2, json!([{ "x": 2 }]))));
        let failed = json!({ "t": 1, "r": [{ "inserted": 2, "errors": 1, "changes": [] }] });
        assert!(!is_right(&expected, failed));
    }
}
