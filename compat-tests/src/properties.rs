//! What must hold of a value that differs from run to run, where the recorded answer says `{"$any$": 1}`.
//! Knows queries and answers as JSON; must not know how they are got or compared.
//!
//! Each such place falls under the first of [`RULES`] that fits it. The rules at the end of the list that say least give
//! the reason why no more can be said. A place without a rule fails the comparison, so that none is forgotten.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Response type of a runtime error.
const RUNTIME_ERROR: u64 = 18;
/// How far the clock of an answer may be from ours.
const CLOCK_SECONDS: f64 = 3600.0;

/// Where in an answer a value stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// The text of the query, or what the step does with a feed.
    pub query: &'a str,
    /// The type of the response.
    pub kind: Option<u64>,
    /// The field that holds it, or holds the list that it is in; empty for the answer as a whole.
    pub field: &'a str,
}

/// What holds of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property {
    /// It is a UUID in its usual form.
    Uuid,
    /// It is the time, in seconds.
    Now,
    /// It is a text, and not empty.
    Text,
    /// It is a whole number from 0 on.
    Count,
    /// It is a whole number from 1 on.
    Some,
    /// It is a primary key: a number or a text.
    Key,
    /// It is a list of different texts.
    Names,
    /// It is a document with a key, or null.
    Document,
    /// The answer is documents in the order of their keys.
    InOrderOfKeys,
    /// The answer is a count, or an error with a text.
    CountOrError,
    /// The answer describes a table that has an id.
    TableInfo,
    /// The answer is one: rows of some kind, or an error with a text.
    Answer,
    /// It is there.
    Present,
}

/// The property of a value in this field, of the answer to a query that begins so.
struct Rule {
    field: &'static str,
    query: &'static str,
    property: Property,
}

const fn rule(field: &'static str, query: &'static str, property: Property) -> Rule {
    Rule { field, query, property }
}

/// The first that fits counts.
const RULES: &[Rule] = &[
    // The documents of one insert reach a feed in any order.
    rule("id", "drain", Property::Key),
    // Keys that the server makes, and ids of databases, tables and documents.
    rule("id", "", Property::Uuid),
    rule("generated_keys", "", Property::Uuid),
    rule("r", "[169,", Property::Uuid),
    // Which document fails first, and with it the text, depends on the order of keys by their hash.
    rule("first_error", "", Property::Text),
    rule("errors", "", Property::Some),
    // Servers are named after their machines.
    rule("primary_replica", "", Property::Text),
    rule("replicas", "", Property::Text),
    rule("epoch_time", "", Property::Now),
    rule("doc_count_estimates", "", Property::Count),
    rule("r", "[59,", Property::Names),
    // Documents with keys that the server made.
    rule("new_val", "", Property::Document),
    rule("old_val", "", Property::Document),
    rule("", "[41,[[15,[[14,[\"oracle\"]],\"z\"]]],{\"index\":\"id\"}]", Property::InOrderOfKeys),
    // RethinkDB answers with an error or without one, by the order in which its index was built.
    rule("", "[43,", Property::CountOrError),
    rule("", "[79,", Property::TableInfo),
    // A union without an order: RethinkDB's sides come as they are ready.
    rule("a", "[44,", Property::Present),
    rule("v", "[44,", Property::Present),
    rule("r", "[44,", Property::Present),
    // An answer of which nothing was the same twice: rows of a feed that others may have squashed, an error that is
    // that of whichever row came first, a table whose database may be there already.
    rule("", "", Property::Answer),
];

/// Whether what must hold of a value at this place does.
pub fn holds(place: Place<'_>, got: &Value) -> bool {
    property(place).is_some_and(|property| property.holds(got))
}

/// Whether the elements of a list are pairwise different, where they must be.
pub fn may_stand_together(field: &str, elements: &[Value]) -> bool {
    field != "generated_keys" || all_different(elements)
}

fn property(place: Place<'_>) -> Option<Property> {
    if place.kind == Some(RUNTIME_ERROR) && place.field == "r" {
        // The text of an error shows some row or what RethinkDB's library says.
        return Some(Property::Text);
    }
    let fits = |rule: &&Rule| rule.field == place.field && place.query.starts_with(rule.query);
    RULES.iter().find(fits).map(|rule| rule.property)
}

impl Property {
    fn holds(self, got: &Value) -> bool {
        match self {
            Property::Uuid => got.as_str().is_some_and(is_uuid),
            Property::Now => got.as_f64().is_some_and(is_now),
            Property::Text => got.as_str().is_some_and(|text| !text.is_empty()),
            Property::Count => got.as_f64().is_some_and(|number| is_whole(number, 0.0)),
            Property::Some => got.as_f64().is_some_and(|number| is_whole(number, 1.0)),
            Property::Key => got.is_number() || got.is_string(),
            Property::Names => got
                .as_array()
                .is_some_and(|names| names.iter().all(Value::is_string) && all_different(names)),
            Property::Document => got.is_null() || got.get("id").is_some(),
            Property::InOrderOfKeys => rows(got).is_some_and(|rows| are_in_order_of_keys(rows)),
            Property::CountOrError => {
                is_error(got) || only_row(got).is_some_and(|row| Property::Count.holds(row))
            }
            Property::TableInfo => only_row(got).is_some_and(|row| {
                row.get("type").is_some_and(|kind| kind == "TABLE")
                    && row.get("id").is_some_and(|id| Property::Uuid.holds(id))
            }),
            Property::Answer => is_error(got) || rows(got).is_some(),
            Property::Present => true,
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths = parts.iter().map(|part| part.len());
    let is_hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    lengths.eq([8, 4, 4, 4, 12]) && parts.iter().all(is_hex)
}

fn is_now(seconds: f64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    (seconds - now).abs() < CLOCK_SECONDS
}

fn is_whole(number: f64, least: f64) -> bool {
    number.fract() == 0.0 && number >= least
}

fn all_different(values: &[Value]) -> bool {
    let mut seen = HashSet::new();
    values.iter().all(|value| seen.insert(value.to_string()))
}

/// The rows of an answer that is no error.
fn rows(answer: &Value) -> Option<&Vec<Value>> {
    let kind = answer.get("t");
    // What is read of a feed has no type.
    let is_success = kind.is_none_or(|kind| kind.as_u64().is_some_and(|kind| kind < 16));
    answer.get("r").filter(|_| is_success).and_then(Value::as_array)
}

fn only_row(answer: &Value) -> Option<&Value> {
    rows(answer).filter(|rows| rows.len() == 1)?.first()
}

fn is_error(answer: &Value) -> bool {
    let text = answer.get("r").and_then(Value::as_array).and_then(|rows| rows.first());
    answer.get("t").and_then(Value::as_u64).is_some_and(|kind| kind >= 16)
        && text.is_some_and(|text| Property::Text.holds(text))
}

/// Numbers come before texts; other keys are not compared.
fn are_in_order_of_keys(rows: &[Value]) -> bool {
    rows.iter().zip(rows.iter().skip(1)).all(|(left, right)| {
        match (left.get("id"), right.get("id")) {
            (Some(Value::Number(left)), Some(Value::Number(right))) => {
                left.as_f64() < right.as_f64()
            }
            (Some(Value::String(left)), Some(Value::String(right))) => left < right,
            (Some(Value::String(_)), Some(Value::Number(_))) | (None, _) | (_, None) => false,
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::script::{load, oracle_folder};

    fn at<'a>(query: &'a str, kind: u64, field: &'a str) -> Place<'a> {
        Place { query, kind: Some(kind), field }
    }

    #[test]
    fn made_keys_are_different_uuids() {
        let id = "5fc17e65-05e7-567e-84ec-9abbc9b59964";
        assert!(holds(at("[56,", 1, "generated_keys"), &json!(id)));
        assert!(!holds(at("[56,", 1, "generated_keys"), &json!("5fc17e65")));
        assert!(!holds(at("[169,[]]", 1, "r"), &json!(id.to_uppercase())));
        assert!(may_stand_together("generated_keys", &[json!("a"), json!("b")]));
        assert!(!may_stand_together("generated_keys", &[json!(id), json!(id)]));
    }

    #[test]
    fn times_are_near_now() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(holds(at("[103,[]]", 1, "epoch_time"), &json!(now)));
        assert!(!holds(at("[103,[]]", 1, "epoch_time"), &json!(0)));
    }

    #[test]
    fn errors_have_a_text_and_are_counted() {
        assert!(holds(at("[53,", 1, "first_error"), &json!("no")));
        assert!(!holds(at("[53,", 1, "first_error"), &json!("")));
        assert!(!holds(at("[53,", 1, "errors"), &json!(0)));
        assert!(!holds(at("[127,", RUNTIME_ERROR, "r"), &json!(null)));
    }

    #[test]
    fn whole_answers_are_answers() {
        let order = "[41,[[15,[[14,[\"oracle\"]],\"z\"]]],{\"index\":\"id\"}]";
        let ids = |ids: [Value; 2]| json!({"t": 2, "r": ids.map(|id| json!({"id": id}))});
        assert!(holds(at(order, 2, ""), &ids([json!(3), json!("a")])));
        assert!(!holds(at(order, 2, ""), &ids([json!(3), json!(1)])));
        assert!(holds(at("[43,", 1, ""), &json!({"t": 1, "r": [4]})));
        assert!(!holds(at("[43,", 1, ""), &json!({"t": 1, "r": ["4"]})));
        assert!(holds(at("", 1, ""), &json!({"r": []})));
        assert!(!holds(at("", 1, ""), &json!({"t": "broken", "r": ["closed"]})));
    }

    /// The places of `{"$any$": 1}` that have no rule.
    fn without_rule(place: Place<'_>, want: &Value, found: &mut Vec<String>) {
        match want {
            Value::Object(fields) if fields.contains_key("$any$") && property(place).is_none() => {
                found.push(format!("{place:?}"));
            }
            Value::Object(fields) => {
                for (field, want) in fields {
                    without_rule(Place { field, ..place }, want, found);
                }
            }
            Value::Array(elements) => {
                elements.iter().for_each(|want| without_rule(place, want, found));
            }
            _ => {}
        }
    }

    #[test]
    fn every_recorded_place_has_a_rule() {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(oracle_folder()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                for step in load(&path).unwrap().iter().flat_map(|script| &script.steps) {
                    let Some(want) = &step.want else { continue };
                    let kind = want.get("t").and_then(Value::as_u64);
                    let place = Place { query: &step.describe(), kind, field: "" };
                    without_rule(place, want, &mut found);
                }
            }
        }
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn a_place_without_a_rule_never_agrees() {
        assert!(!holds(at("[1,", 1, "unheard_of"), &json!(1)));
    }
}
