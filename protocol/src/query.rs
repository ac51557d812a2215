//! From the body of a frame to a query. Knows the outermost array and the texts of its errors; terms inside it
//! are `raw_term`'s. Knows nothing of tokens, cursors and users.

use std::borrow::Cow;

use crate::json::{self, Json, JsonError};
use crate::limits;
use crate::numbers::{QueryType, ResponseType, TermType};
use crate::raw_term::{Frame, RawTerm, RawTermError, integer};

pub(crate) mod direct;
mod utf8;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Query<'a> {
    /// Run a term.
    Start {
        /// The term.
        term: RawTerm<'a>,
        /// Global optional arguments, in order, duplicates kept.
        optargs: Vec<(Cow<'a, str>, RawTerm<'a>)>,
    },
    /// More of the stream with this token.
    Continue,
    /// End the stream or query with this token.
    Stop,
    /// Answer when all earlier `noreply` queries are done.
    NoreplyWait,
    /// The server's id and name.
    ServerInfo,
}

/// A body that is not a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// CLIENT_ERROR or COMPILE_ERROR.
    pub kind: ResponseType,
    /// What the user reads, RethinkDB's text.
    pub message: String,
    /// Backtrace.
    pub path: Vec<Frame>,
    /// The query said `noreply: true`: nothing may be answered, not even this.
    pub noreply: bool,
}

/// Reads the body of a frame. Borrows from it.
pub fn parse(body: &[u8]) -> Result<Query<'_>, QueryError> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(_) => return Err(utf8::error(body)),
    };
    match direct::parse(text) {
        Some(query) => Ok(query),
        None => parse_the_long_way(text),
    }
}

pub(crate) fn parse_the_long_way(text: &str) -> Result<Query<'_>, QueryError> {
    let json = json::parse(text).map_err(unreadable)?;
    let items = match json {
        Json::Array(items) => items,
        other => {
            let found = other.type_name();
            return Err(refused(format!("Expected a query to be an array, but found {found}.")));
        }
    };
    let size = items.len();
    let mut items = items.into_iter();
    let (Some(kind), term, optargs, None) =
        (items.next(), items.next(), items.next(), items.next())
    else {
        return Err(refused(format!(
            "Expected 1 to 3 elements in the top-level query, but found {size}."
        )));
    };
    let kind = query_type(&kind)?;
    let optargs = match optargs {
        None => Vec::new(),
        Some(Json::Object(optargs)) => optargs,
        Some(other) => {
            let found = other.type_name();
            let message = format!("Expected global optargs as an object, but found {found}.");
            return Err(refused(message));
        }
    };
    match kind {
        QueryType::Start => start(term, optargs),
        QueryType::Continue => Ok(Query::Continue),
        QueryType::Stop => Ok(Query::Stop),
        QueryType::NoreplyWait => Ok(Query::NoreplyWait),
        QueryType::ServerInfo => Ok(Query::ServerInfo),
    }
}

fn query_type(json: &Json<'_>) -> Result<QueryType, QueryError> {
    let Json::Number(number) = json else {
        let found = json.type_name();
        return Err(refused(format!("Expected a query type as a number, but found {found}.")));
    };
    let number = integer(*number);
    QueryType::from_number(number)
        .ok_or_else(|| refused(format!("Unrecognized QueryType: {number}.")))
}

fn start<'a>(
    term: Option<Json<'a>>,
    optargs: Vec<(Cow<'a, str>, Json<'a>)>,
) -> Result<Query<'a>, QueryError> {
    let Some(term) = term else {
        return Err(refused("Expected a term to start, but found none.".to_owned()));
    };
    let noreply = noreply(&optargs);
    let term = RawTerm::from_json(term).map_err(|error| malformed_term(error, noreply))?;
    let mut terms = Vec::with_capacity(optargs.len());
    for (name, value) in optargs {
        // A global optional argument has no place in the backtrace.
        let value = RawTerm::from_json(value)
            .map_err(|error| malformed_term(RawTermError { path: Vec::new(), ..error }, noreply))?;
        terms.push((name, value));
    }
    Ok(Query::Start { term, optargs: terms })
}

/// Whether a literal `noreply: true` is among the global optional arguments.
fn noreply(optargs: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    let found = optargs.iter().find(|(name, _)| name == "noreply");
    match found.map(|(_, value)| value) {
        Some(Json::Bool(value)) => *value,
        Some(Json::Array(items)) => match items.as_slice() {
            [Json::Number(kind), Json::Bool(value)] => {
                *value && *kind == f64::from(TermType::Datum.number())
            }
            _ => false,
        },
        _ => false,
    }
}

fn malformed_term(error: RawTermError, noreply: bool) -> QueryError {
    let RawTermError { message, path } = error;
    QueryError { kind: ResponseType::CompileError, message, path, noreply }
}

fn unreadable(error: JsonError) -> QueryError {
    match error {
        JsonError::Malformed { .. } => {
            client_error("Client is buggy (failed to deserialize query).".to_owned())
        }
        JsonError::TooDeep => {
            let levels = limits::JSON_DEPTH_MAX;
            refused(format!("The query is nested more than {levels} levels deep."))
        }
        JsonError::TooManyValues => {
            let values = limits::JSON_VALUES_MAX;
            refused(format!("The query has more than {values} values."))
        }
    }
}

fn refused(reason: String) -> QueryError {
    client_error(format!("Server could not parse query: {reason}"))
}

fn client_error(message: String) -> QueryError {
    QueryError { kind: ResponseType::ClientError, message, path: Vec::new(), noreply: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &[u8]) -> (ResponseType, String) {
        let error = parse(body).unwrap_err();
        assert_eq!(error.path, []);
        (error.kind, error.message)
    }

    #[test]
    fn start_with_and_without_optargs() {
        let five = || RawTerm::Number(5.0);
        let optargs = vec![(Cow::from("noreply"), RawTerm::Bool(true))];
        assert_eq!(parse(b"[1,5]"), Ok(Query::Start { term: five(), optargs: vec![] }));
        assert_eq!(parse(b"[1,5,{}]"), Ok(Query::Start { term: five(), optargs: vec![] }));
        let body = br#"[1,5,{"noreply":true}]"#;
        assert_eq!(parse(body), Ok(Query::Start { term: five(), optargs }));
    }

    #[test]
    fn the_other_queries_ignore_their_term() {
        assert_eq!(parse(b"[2]"), Ok(Query::Continue));
        assert_eq!(parse(b"[3,null,{}]"), Ok(Query::Stop));
        assert_eq!(parse(b"[4]"), Ok(Query::NoreplyWait));
        assert_eq!(parse(b"[5,[999]]"), Ok(Query::ServerInfo));
    }

    #[test]
    fn unreadable_bodies_as_recorded() {
        let message = "Client is buggy (failed to deserialize query).";
        for body in
            [&b"{nope"[..], b"", b"[1,5,{}] x", b"[1,1e999,{}]", b"[1,\"\\ud834\",{}]", b"\xff"]
        {
            assert_eq!(error(body), (ResponseType::ClientError, message.to_owned()), "{body:?}");
        }
    }

    #[test]
    fn refused_bodies_as_recorded() {
        for (body, reason) in [
            ("5", "Expected a query to be an array, but found NUMBER."),
            ("null", "Expected a query to be an array, but found NULL."),
            ("[]", "Expected 1 to 3 elements in the top-level query, but found 0."),
            ("[1,5,{},6]", "Expected 1 to 3 elements in the top-level query, but found 4."),
            ("[99,5,{}]", "Unrecognized QueryType: 99."),
            ("[\"1\",5,{}]", "Expected a query type as a number, but found STRING."),
            ("[1,5,6]", "Expected global optargs as an object, but found NUMBER."),
            ("[1]", "Expected a term to start, but found none."),
        ] {
            let message = format!("Server could not parse query: {reason}");
            assert_eq!(error(body.as_bytes()), (ResponseType::ClientError, message), "{body}");
        }
    }

    #[test]
    fn bodies_past_the_bounds_are_refused_with_the_bound() {
        let levels = 20_000;
        let body = format!("[1,{}{},{{}}]", "[2,[".repeat(levels / 2), "]]".repeat(levels / 2));
        let message =
            "Server could not parse query: The query is nested more than 8192 levels deep.";
        assert_eq!(error(body.as_bytes()), (ResponseType::ClientError, message.to_owned()));
    }

    #[test]
    fn the_deep_nesting_on_record_is_read() {
        let body = format!("[1,{}{},{{}}]", "[2,[".repeat(3000), "]]".repeat(3000));
        assert!(matches!(parse(body.as_bytes()), Ok(Query::Start { .. })));
    }

    #[test]
    fn malformed_terms_are_compile_errors_and_say_whether_to_answer() {
        let error = parse(br#"[1,[24,[1,[7]]],{"noreply":true}]"#).unwrap_err();
        assert_eq!(error.kind, ResponseType::CompileError);
        assert_eq!(error.message, "Unrecognized TermType: 7.");
        assert_eq!(error.path, [Frame::Position(1)]);
        assert!(error.noreply);
        let error = parse(br#"[1,5,{"db":[24,[[7]]],"noreply":[1,true]}]"#).unwrap_err();
        assert_eq!((error.path, error.noreply), (vec![], true));
        assert!(!parse(br#"[1,[7],{"noreply":[1,false]}]"#).unwrap_err().noreply);
    }

    #[test]
    fn strings_that_are_not_utf8() {
        let message = |shown: &str, fault: &str| {
            let text = format!("String `{shown}` (truncated) is not a UTF-8 string; {fault}.");
            (ResponseType::CompileError, text)
        };
        for (body, shown, fault) in [
            (&b"[1,\"\xff\xfe\",{}]"[..], "", "Invalid initial byte seen at position 0"),
            (
                b"[1,\"ab\xc3\",{}]",
                "ab",
                "Expected continuation byte, saw end of string at position 3",
            ),
            (
                b"[1,\"\xe2x\x82\"]",
                "",
                "Expected continuation byte, saw something else at position 1",
            ),
            (
                b"[1,[24,[\"ok\",\"\\n\\\"\xc0\xa2\"]]]",
                "\n\"",
                "Overlong encoding seen at position 3",
            ),
            (
                b"[1,{\"a23456789012345678901234\xf5\xa2\xa2\xa2\":1}]",
                "a2345678901234567890",
                "Non-Unicode character encoded (beyond U+10FFFF) at position 27",
            ),
        ] {
            assert_eq!(error(body), message(shown, fault), "{}", String::from_utf8_lossy(body));
        }
        assert_eq!(error(b"[1,\xff]").0, ResponseType::ClientError);
    }
}
