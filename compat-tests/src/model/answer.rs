//! What the model expects of an answer, and whether an answer is that.
//! Knows answers of the protocol; not which query they answer.

use serde_json::{Value, json};

use super::value::{compare, same};
use crate::wire::{Response, kind};

/// `SUCCESS_ATOM`
const ATOM: u64 = 1;
/// `SUCCESS_SEQUENCE`
const SEQUENCE: u64 = 2;
/// `RUNTIME_ERROR`
const RUNTIME_ERROR: u64 = 18;
/// Distances that differ by less, in radians, are the same.
const NEARLY: f64 = 1e-9;
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
    /// These rows in any order, but those that are the same side by side.
    Together(Vec<Value>),
    /// So many of these rows, or all if there are less.
    Few(Vec<Value>, usize),
    /// So many of these rows, the nearest first, each with its distance. Of those at the same distance any may be first.
    Nearest(Vec<(f64, Value)>, usize),
    /// One of these.
    OneOf(Vec<Expected>),
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
        if let Self::OneOf(outcomes) = self {
            let wrong = |outcome: &Expected| outcome.check(answer).err();
            return match outcomes.iter().map(wrong).collect::<Option<Vec<String>>>() {
                Some(all) => Err(format!("none of these:\n{}", all.join("\n"))),
                None => Ok(()),
            };
        }
        let Some(answered @ Value::Array(rows)) = answer.get("r") else {
            return Err(self.differs(&Value::Object(answer.clone())));
        };
        let found = match (kind(answer), rows.as_slice()) {
            (Some(ATOM), [value]) => value,
            (Some(SEQUENCE), _) => answered,
            (Some(RUNTIME_ERROR), [Value::String(message)]) => {
                return match self {
                    Self::Error(part) if message.contains(part) => Ok(()),
                    _ => Err(self.differs(&json!({ "error": message }))),
                };
            }
            _ => return Err(self.differs(&Value::Object(answer.clone()))),
        };
        let is_right = match (self, found) {
            (Self::Value(expected), found) => same(expected, found),
            (Self::Rows(expected), Value::Array(found)) => all_same(expected, found),
            (Self::Bag(expected), Value::Array(found)) => is_permutation(expected, found),
            (Self::Together(expected), Value::Array(found)) => {
                let mut rows: Vec<&Value> = found.iter().collect();
                rows.dedup_by(|a, b| same(a, b));
                let runs = rows.len();
                rows.sort_by(|a, b| compare(a, b));
                rows.dedup_by(|a, b| same(a, b));
                runs == rows.len() && is_permutation(expected, found)
            }
            (Self::Few(all, count), Value::Array(found)) => {
                found.len() == all.len().min(*count) && is_part(found, all)
            }
            (Self::Nearest(all, count), Value::Array(found)) => is_nearest(all, *count, found),
            (Self::Written(expected), found) => same(&summary(expected), &summary(found)),
            (Self::Done(expected), Value::Object(found)) => {
                let fields = expected.as_object().cloned().unwrap_or_default();
                fields.iter().all(|(name, value)| found.get(name) == Some(value))
            }
            _ => false,
        };
        if is_right { Ok(()) } else { Err(self.differs(found)) }
    }

    fn differs(&self, found: &Value) -> String {
        let expected = match (self, found) {
            (Self::Rows(rows), Value::Array(found)) => return first_difference(rows, found),
            (Self::Bag(rows) | Self::Together(rows), Value::Array(found)) => {
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
            (Self::Rows(rows) | Self::Bag(rows) | Self::Together(rows), _) => shown(&json!(rows)),
            (Self::Few(rows, count), _) => format!("{count} of {}", shown(&json!(rows))),
            (Self::Nearest(rows, count), _) => {
                let mut rows = rows.clone();
                rows.sort_by(|a, b| a.0.total_cmp(&b.0));
                format!("the first {count} of {}", shown(&json!(rows)))
            }
            (Self::OneOf(_), _) => String::new(),
            (Self::Value(value) | Self::Written(value) | Self::Done(value), _) => shown(value),
            (Self::Error(part), _) => format!("an error with `{part}`"),
        };
        format!("expected: {expected}\nfound: {}", shown(found))
    }
}

fn all_same(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn is_permutation(a: &[Value], b: &[Value]) -> bool {
    let (a, b) = (in_order(a), in_order(b));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn in_order(rows: &[Value]) -> Vec<&Value> {
    let mut rows: Vec<&Value> = rows.iter().collect();
    rows.sort_by(|a, b| compare(a, b));
    rows
}

/// Whether all rows are among others, none of them more often than there.
fn is_part(rows: &[Value], of: &[Value]) -> bool {
    let mut of = in_order(of).into_iter();
    in_order(rows).into_iter().all(|row| of.any(|other| same(row, other)))
}

/// Whether rows are the nearest, with their distances.
fn is_nearest(all: &[(f64, Value)], count: usize, found: &[Value]) -> bool {
    let is_close = |a: f64, b: f64| (a - b).abs() < NEARLY;
    let mut distances: Vec<f64> = all.iter().map(|(far, _)| *far).collect();
    distances.sort_by(f64::total_cmp);
    distances.truncate(count);
    let mut left: Vec<&(f64, Value)> = all.iter().collect();
    found.len() == distances.len()
        && found.iter().zip(distances).all(|(row, expected)| {
            let (Some(far), Some(document)) =
                (row.get("dist").and_then(Value::as_f64), row.get("doc"))
            else {
                return false;
            };
            let is_it = |other: &&(f64, Value)| is_close(other.0, far) && same(&other.1, document);
            let at = left.iter().position(is_it);
            is_close(far, expected) && at.map(|at| left.swap_remove(at)).is_some()
        })
}

fn sorted(rows: &[Value]) -> Vec<Value> {
    in_order(rows).into_iter().cloned().collect()
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
    fn some_rows_are_any_of_them_and_the_same_ones_come_together() {
        let rows = || vec![json!(1), json!(2), json!(1)];
        let sequence = |rows: Value| json!({ "t": 2, "r": rows });
        let together = Expected::Together(rows());
        assert!(is_right(&together, sequence(json!([2, 1, 1]))));
        assert!(!is_right(&together, sequence(json!([1, 2, 1]))));
        assert!(!is_right(&together, sequence(json!([1, 2, 2]))));
        let some = Expected::Few(rows(), 2);
        assert!(is_right(&some, sequence(json!([1, 1]))));
        assert!(
            !is_right(&some, sequence(json!([2, 2]))) && !is_right(&some, sequence(json!([1])))
        );
        let either = Expected::OneOf(vec![Expected::Error("no"), together, some]);
        assert!(is_right(&either, sequence(json!([2, 1, 1]))));
        assert!(is_right(&either, json!({ "t": 18, "r": ["no"] })));
        assert!(!is_right(&either, sequence(json!([1]))));
    }

    #[test]
    fn the_nearest_come_first_and_of_those_as_near_any() {
        let all = vec![(0.5, json!(1)), (0.25, json!(2)), (0.5, json!(3))];
        let row = |far: f64, document: u64| json!({ "dist": far, "doc": document });
        let nearest = Expected::Nearest(all, 2);
        let array = |rows: &[Value]| json!({ "t": 1, "r": [rows] });
        assert!(is_right(&nearest, array(&[row(0.25, 2), row(0.5, 3)])));
        assert!(is_right(&nearest, array(&[row(0.25, 2), row(0.5, 1)])));
        assert!(!is_right(&nearest, array(&[row(0.5, 1), row(0.5, 3)])));
        assert!(!is_right(&nearest, array(&[row(0.25, 2), row(0.25, 2)])));
        assert!(!is_right(&nearest, array(&[row(0.25, 2)])));
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
