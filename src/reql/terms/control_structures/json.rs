//! `r.json` and `toJsonString`: values from JSON text and back.

mod complaint;

use photondb_protocol::json::{self, Json, JsonError};
use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, ObjectBuilder, pseudo_typed, work};
use crate::limits;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;
use crate::reql::walk_watch::reading;

/// `r.json(text)`
pub static JSON: TermSpec = TermSpec::pure(
    TermType::Json,
    "JSON",
    Chapter::ControlStructures,
    Arity::exactly(1),
    json_term,
);

fn json_term(args: &Args<'_>) -> Result<Val> {
    let text = args.str(0)?;
    match parse_json(args.env, &text) {
        Ok(datum) => args.value(datum),
        Err(JsonFault::Refused(error)) => Err(error),
        Err(JsonFault::Malformed(complaint)) => Err(Error::logic(format!(
            "Failed to parse \"{}\" as JSON: {complaint}",
            shortened(&text)
        ))),
    }
}

/// Why a text has no value.
#[derive(Debug)]
pub enum JsonFault {
    /// It is not JSON; says why, with a period.
    Malformed(String),
    /// It is JSON of what may not be a value.
    Refused(Error),
}

/// The value of a JSON text.
pub fn parse_json(env: &Env, text: &str) -> std::result::Result<Datum, JsonFault> {
    let json = reading(|| json::parse(text)).map_err(|error| {
        JsonFault::Malformed(match error {
            JsonError::Malformed { .. } => complaint::complaint(text),
            JsonError::TooDeep | JsonError::TooManyValues => format!("{error}."),
        })
    })?;
    to_datum(env, json, 0).map_err(JsonFault::Refused)
}

fn to_datum(env: &Env, json: Json<'_>, depth: usize) -> Result<Datum> {
    if depth > limits::DOCUMENT_DEPTH {
        return Err(Error::resource_limit(format!(
            "Nesting depth limit `{}` exceeded.",
            limits::DOCUMENT_DEPTH
        )));
    }
    work::step();
    Ok(match json {
        Json::Null => Datum::Null,
        Json::Bool(value) => Datum::Bool(value),
        Json::Number(value) => Datum::Number(value),
        Json::String(text) => Datum::string(&text),
        Json::Array(values) => {
            let len = values.len();
            let values: Result<Vec<Datum>> =
                values.into_iter().map(|value| to_datum(env, value, depth + 1)).collect();
            env.check_array_size(len)?;
            Datum::array(values?)
        }
        Json::Object(fields) => {
            let mut builder = ObjectBuilder::with_capacity(fields.len());
            for (name, value) in fields {
                let value = to_datum(env, value, depth + 1)?;
                if builder.insert(name.as_ref().into(), value).is_some() {
                    let name = Datum::string(&name).print();
                    return Err(Error::logic(format!("Duplicate key {name} in JSON.")));
                }
            }
            pseudo_typed(builder.build())?
        }
    })
}

/// As much of a text as messages show.
fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 40;
    if text.len() <= SHOWN_MAX {
        return text.to_owned();
    }
    let mut end = SHOWN_MAX - 3;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", text.get(..end).unwrap_or_default())
}

/// `value.toJsonString()`
pub static TO_JSON_STRING: TermSpec = TermSpec::pure(
    TermType::ToJsonString,
    "TO_JSON_STRING",
    Chapter::ControlStructures,
    Arity::exactly(1),
    |args| {
        let datum = args.datum(0)?;
        args.value(super::json_text(args.env, &datum)?)
    },
);

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn texts_become_values_and_texts_again() {
        check(r#"[98,["{\"a\":{\"b\":[1,2.5e3]},\"\":null}"]]"#, r#"{"a":{"b":[1,2500]},"":null}"#);
        check(r#"[98,[" [1 ] "]]"#, "[1]");
        check(r#"[172,[{"b":[2,[1,"x"]],"a":0.5}]]"#, r#""{\"a\":0.5,\"b\":[1,\"x\"]}""#);
        let time = r#"{"$reql_type$":"TIME","epoch_time":1.0005,"timezone":"Z"}"#;
        let quoted = time.replace('"', "\\\"");
        check(&format!(r#"[102,[[98,["{quoted}"]]]]"#), "1.001");
    }

    #[test]
    fn faults_are_the_parsers_or_the_values() {
        let logic = |query: &str, text: &str, path: &str| {
            check_error(query, ErrorKind::Logic, text, path);
        };
        logic(r#"[98,["[1,]"]]"#, r#"Failed to parse "[1,]" as JSON: Invalid value."#, "[]");
        logic(r#"[98,["{\"a\":1,\"a\":2}"]]"#, r#"Duplicate key "a" in JSON."#, "[]");
        logic(r#"[98,["{\"$reql_type$\":\"NOPE\"}"]]"#, "Unknown $reql_type$ `PTYPE<NOPE>`.", "[]");
        logic("[98,[5]]", "Expected type STRING but found NUMBER.", "[0]");
        let long = "x".repeat(60);
        let text = format!("Failed to parse \"{}...\" as JSON: Invalid value.", &long[..37]);
        logic(&format!(r#"[98,["{long}"]]"#), &text, "[]");
    }
}
