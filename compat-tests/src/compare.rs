//! When a response is the recorded one: type, error type, rows, notes, backtrace.
//! Pure functions over JSON; must not know sockets or files.

use serde_json::{Map, Value};

use crate::properties::{Place, holds, may_stand_together};
use crate::script::Step;
use crate::wire::Response;

/// Numbers that differ by less than this part of the larger one are equal: the last digit of a
/// trigonometric result is the C library's affair.
const TOLERANCE: f64 = 1e-12;
/// Response type of a runtime error.
const RUNTIME_ERROR: u64 = 18;
/// Error types an error met on some row can have: a query error, or its non-existence kind.
const ROW_ERRORS: [u64; 2] = [3_000_000, 3_100_000];

/// What differs first between the recorded answer of `step` and `got`; `None` when nothing does.
pub fn difference(step: &Step, got: &Response) -> Option<String> {
    let want = step.want.as_ref()?;
    let query = step.describe();
    let place = Place { query: &query, kind: got.get("t").and_then(Value::as_u64), field: "" };
    if is_any(want) {
        let got = Value::Object(got.clone());
        return (!holds(place, &got)).then(|| "what must hold does not".into());
    }
    let want = want.as_object()?;
    if !equal_field(want, got, "t") {
        return Some(format!("type {}, not {}", show(got, "t"), show(want, "t")));
    }
    if step.any_row && want.get("t").and_then(Value::as_u64) == Some(RUNTIME_ERROR) {
        let error = got.get("e").and_then(Value::as_u64);
        return if error.is_some_and(|error| ROW_ERRORS.contains(&error)) {
            None
        } else {
            Some(format!("error type {}, not a query error", show(got, "e")))
        };
    }
    if !equal_field(want, got, "e") {
        return Some(format!("error type {}, not {}", show(got, "e"), show(want, "e")));
    }
    let (want_rows, got_rows) = (list(want, "r"), list(got, "r"));
    let rows = Place { field: "r", ..place };
    let rows_agree = if step.bag {
        same_bag(rows, want_rows, got_rows)
    } else {
        same_list(rows, want_rows, got_rows)
    };
    if !rows_agree {
        return Some("result".into());
    }
    if list(want, "n") != list(got, "n") {
        return Some(format!("notes {}, not {}", show(got, "n"), show(want, "n")));
    }
    match want.get("b") {
        Some(backtrace) if !got.get("b").is_some_and(|b| same(place, backtrace, b)) => {
            Some("backtrace".into())
        }
        _ => None,
    }
}

/// True when `got` stands for the same value as the recorded `want`, at this place of the answer.
fn same(place: Place<'_>, want: &Value, got: &Value) -> bool {
    if is_any(want) {
        return holds(place, got);
    }
    match (want, got) {
        (Value::Number(want), Value::Number(got)) => {
            want == got || same_number(want.as_f64(), got.as_f64())
        }
        (Value::Object(want), Value::Object(got)) => same_object(place, want, got),
        (Value::Array(want), Value::Array(got)) => same_list(place, want, got),
        _ => want == got,
    }
}

/// True when both lists hold the same values in some order.
fn same_bag(place: Place<'_>, want: &[Value], got: &[Value]) -> bool {
    if want.len() != got.len() {
        return false;
    }
    let mut left: Vec<&Value> = got.iter().collect();
    want.iter().all(|want| match left.iter().position(|got| same(place, want, got)) {
        Some(found) => {
            left.remove(found);
            true
        }
        None => false,
    })
}

fn same_list(place: Place<'_>, want: &[Value], got: &[Value]) -> bool {
    want.len() == got.len()
        && want.iter().zip(got).all(|(want, got)| same(place, want, got))
        && may_stand_together(place.field, got)
}

fn same_object(place: Place<'_>, want: &Map<String, Value>, got: &Map<String, Value>) -> bool {
    // the changes of a write arrive in the order in which its documents were reached
    let write = want.contains_key("inserted") && want.contains_key("changes");
    want.len() == got.len()
        && want.iter().all(|(key, want)| match (got.get(key), want) {
            (Some(Value::Array(got)), Value::Array(want)) if write && key == "changes" => {
                same_bag(Place { field: key, ..place }, want, got)
            }
            (Some(got), want) => same(Place { field: key, ..place }, want, got),
            (None, _) => false,
        })
}

fn same_number(want: Option<f64>, got: Option<f64>) -> bool {
    match (want, got) {
        (Some(want), Some(got)) => {
            want == got || (want - got).abs() <= TOLERANCE * want.abs().max(got.abs())
        }
        _ => false,
    }
}

/// `{"$any$": 1}` stands for a value that differs from run to run.
fn is_any(want: &Value) -> bool {
    want.as_object().is_some_and(|object| {
        object.len() == 1 && object.get("$any$").and_then(Value::as_u64) == Some(1)
    })
}

fn equal_field(want: &Response, got: &Response, key: &str) -> bool {
    want.get(key).unwrap_or(&Value::Null) == got.get(key).unwrap_or(&Value::Null)
}

fn list<'a>(answer: &'a Response, key: &str) -> &'a [Value] {
    answer.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn show(answer: &Response, key: &str) -> String {
    answer.get(key).unwrap_or(&Value::Null).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn same(want: &Value, got: &Value) -> bool {
        super::same(Place::default(), want, got)
    }

    fn same_bag(want: &[Value], got: &[Value]) -> bool {
        super::same_bag(Place::default(), want, got)
    }

    fn check(step: Value, got: Value) -> Option<String> {
        let step: Step = serde_json::from_str(&step.to_string()).unwrap();
        difference(&step, got.as_object().unwrap())
    }

    fn answer(want: Value, got: Value) -> Option<String> {
        check(json!({"q": 1, "x": want}), got)
    }

    #[test]
    fn numbers_agree_to_one_part_in_a_trillion() {
        assert!(same(&json!(1), &json!(1.0)));
        assert!(same(&json!(0.1), &json!(0.100_000_000_000_01)));
        assert!(same(&json!(1e300), &json!(1.000_000_000_000_1e300)));
        assert!(!same(&json!(1e-20), &json!(1.1e-20)));
        assert!(!same(&json!(0), &json!(1e-13)));
        assert!(!same(&json!(1), &json!(true)));
        assert!(!same(&json!("1"), &json!(1)));
    }

    #[test]
    fn objects_need_the_same_keys() {
        assert!(same(&json!({"a": 1, "b": [null]}), &json!({"b": [null], "a": 1})));
        assert!(!same(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
        assert!(!same(&json!({"a": 1}), &json!({"b": 1})));
    }

    #[test]
    fn any_stands_for_what_must_hold_but_not_for_its_absence() {
        let id = json!({"id": "5fc17e65-05e7-567e-84ec-9abbc9b59964"});
        assert!(same(&json!({"id": {"$any$": 1}}), &id));
        assert!(!same(&json!({"id": {"$any$": 1}}), &json!({})));
        assert!(!same(&json!({"$any$": 2}), &json!(5)));
    }

    #[test]
    fn bags_count_equal_rows() {
        assert!(same_bag(&[json!(1), json!(2), json!(1)], &[json!(1), json!(1), json!(2)]));
        assert!(!same_bag(&[json!(1), json!(2)], &[json!(1), json!(1)]));
        assert!(!same_bag(&[json!(1)], &[json!(1), json!(1)]));
    }

    #[test]
    fn only_the_changes_of_a_write_may_come_in_any_order() {
        let write = |changes: Value| json!({"inserted": 2, "changes": changes});
        assert!(same(&write(json!([1, 2])), &write(json!([2, 1]))));
        assert!(!same(&json!({"changes": [1, 2]}), &json!({"changes": [2, 1]})));
        assert!(!same(&write(json!([[1, 2]])), &write(json!([[2, 1]]))));
    }

    #[test]
    fn the_first_difference_is_named() {
        let error = json!({"t": 18, "e": 3_000_000, "r": ["no"], "b": [0]});
        assert_eq!(answer(error.clone(), error.clone()), None);
        let got = |key: &str, value: Value| {
            let mut got = error.clone();
            got[key] = value;
            answer(error.clone(), got).unwrap()
        };
        assert_eq!(got("t", json!(17)), "type 17, not 18");
        assert_eq!(got("e", json!(3_100_000)), "error type 3100000, not 3000000");
        assert_eq!(got("r", json!(["yes"])), "result");
        assert_eq!(got("b", json!([])), "backtrace");
        assert_eq!(got("n", json!([1])), "notes [1], not null");
    }

    #[test]
    fn a_backtrace_counts_only_where_one_is_recorded() {
        assert_eq!(answer(json!({"t": 1, "r": []}), json!({"t": 1, "r": [], "b": [1]})), None);
        let missing = answer(json!({"t": 18, "r": [], "b": []}), json!({"t": 18, "r": []}));
        assert_eq!(missing.as_deref(), Some("backtrace"));
    }

    #[test]
    fn with_any_row_only_the_kind_of_error_counts() {
        let step = json!({"q": 1, "anyrow": true, "x": {"t": 18, "e": 3_000_000, "r": ["a"]}});
        let got = |e: u64| json!({"t": 18, "e": e, "r": ["b"]});
        assert_eq!(check(step.clone(), got(3_100_000)), None);
        assert!(check(step.clone(), got(4_100_000)).is_some());
        assert!(check(step, json!({"t": 1, "r": ["a"]})).is_some());
        let success = json!({"q": 1, "anyrow": true, "x": {"t": 1, "r": [1]}});
        assert_eq!(check(success, json!({"t": 1, "r": [2]})).as_deref(), Some("result"));
    }

    #[test]
    fn rows_in_any_order_only_where_the_step_says_so() {
        let got = json!({"t": 2, "r": [2, 1]});
        let want = json!({"t": 2, "r": [1, 2]});
        assert_eq!(check(json!({"q": 1, "bag": true, "x": want}), got.clone()), None);
        assert_eq!(answer(want, got).as_deref(), Some("result"));
    }

    #[test]
    fn a_step_without_a_record_accepts_all_and_any_what_is_an_answer() {
        assert_eq!(check(json!({"q": 1}), json!({"t": 18})), None);
        assert_eq!(answer(json!({"$any$": 1}), json!({"t": 18, "r": ["no"]})), None);
        assert!(answer(json!({"$any$": 1}), json!({"t": 18})).is_some());
    }
}
