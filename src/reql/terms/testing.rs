//! Compiles and runs queries written as JSON, for the tests of terms. Only compiled for tests.
//! Knows the compiler and the evaluator; nothing of sockets and sessions.

use std::sync::Arc;

use photondb_protocol::query::{Query, parse};
use photondb_protocol::raw_term::Frame;
use serde_json::Value;

use crate::datum::{Datum, write_json};
use crate::reql::{
    Answer, CancelFlag, CompileError, Context, Cursor, ErrorKind, Failure, Program, RunRequest,
    run as run_program,
};
use crate::storage::Engine;

/// What `r.now()` stands for in tests: 2014-05-13T16:53:20.123+00:00.
const NOW: f64 = 1_400_000_000.123;

/// What became of a query.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A value, or the rows of a stream as an array.
    Value(Value),
    /// It did not compile: text and place.
    CompileError(String, String),
    /// It failed: kind, text and place.
    Error(ErrorKind, String, String),
}

/// A server without sockets, for tests whose queries build on each other.
pub(crate) struct Server(Arc<Context>);

impl Server {
    /// An empty one, in memory.
    pub(crate) fn new() -> Server {
        Server(Arc::new(Context::in_memory("test").expect("an empty catalog")))
    }

    /// One over this engine.
    pub(crate) fn on(engine: Arc<dyn Engine>) -> Server {
        Server(Arc::new(Context::open(engine, "test").expect("an empty catalog")))
    }

    /// What it runs in.
    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.0
    }

    /// Runs a term written as JSON, with global options.
    pub(crate) fn run_with(&self, query: &str, options: &str) -> Outcome {
        match self.start(query, options) {
            Ok(answer) => finish(answer.and_then(collect)),
            Err(error) => Outcome::CompileError(error.message, path_text(&error.path)),
        }
    }

    /// The query answers this value. Numbers compare as doubles, fields in any order.
    #[track_caller]
    pub(crate) fn check(&self, query: &str, expected: &str) {
        expect(query, self.run_with(query, "{}"), expected);
    }

    /// The query has an answer, whatever it is.
    #[track_caller]
    pub(crate) fn succeed(&self, query: &str) {
        let outcome = self.run_with(query, "{}");
        assert!(matches!(outcome, Outcome::Value(_)), "{query}\n  got      {outcome:?}");
    }

    /// Begins a query whose stream the test reads itself.
    #[track_caller]
    pub(crate) fn open(&self, query: &str) -> Cursor {
        match self.start(query, "{}") {
            Ok(Ok(Answer::Stream(cursor))) => *cursor,
            other => panic!("{query} is no stream: {other:?}"),
        }
    }

    fn start(&self, query: &str, options: &str) -> Result<Result<Answer, Failure>, CompileError> {
        let program = Arc::new(compile(query, options)?);
        let request = RunRequest::new(CancelFlag::default(), true);
        Ok(run_program(&program, &self.0, request))
    }
}

/// Compiles a term written as JSON, with global options.
pub(crate) fn compile(query: &str, options: &str) -> Result<Program, CompileError> {
    let body = format!("[1,{query},{options}]");
    let Ok(Query::Start { term, optargs }) = parse(body.as_bytes()) else {
        panic!("not a query: {query}");
    };
    let now = Datum::object([
        ("$reql_type$", "TIME".into()),
        ("epoch_time", Datum::Number(NOW)),
        ("timezone", "+00:00".into()),
    ]);
    Program::compile(term, optargs, &now)
}

fn finish(answer: Result<Datum, Failure>) -> Outcome {
    match answer {
        Ok(value) => Outcome::Value(to_json(&value)),
        Err(failure) => {
            let place = path_text(&failure.path);
            Outcome::Error(failure.kind, failure.message, place)
        }
    }
}

/// The rows of one batch.
#[track_caller]
pub(crate) fn check_batch(cursor: &mut Cursor, expected: &str) {
    let rows = cursor.next_batch().map(|batch| Datum::array(batch.rows));
    expect("a batch", finish(rows), expected);
}

#[track_caller]
fn expect(query: &str, outcome: Outcome, expected: &str) {
    let expected: Value = serde_json::from_str(expected).expect("the expectation is JSON");
    match outcome {
        Outcome::Value(value) if same(&value, &expected) => {}
        other => panic!("{query}\n  expected {expected}\n  got      {other:?}"),
    }
}

/// Runs a term written as JSON (`[24,[1,2]]`) on a server of its own.
pub(crate) fn run(query: &str) -> Outcome {
    run_with(query, "{}")
}

/// As [`run`], with global options.
pub(crate) fn run_with(query: &str, options: &str) -> Outcome {
    Server::new().run_with(query, options)
}

/// The query answers this value. Numbers compare as doubles, fields in any order.
#[track_caller]
pub(crate) fn check(query: &str, expected: &str) {
    check_with(query, "{}", expected);
}

/// As [`check`], with global options.
#[track_caller]
pub(crate) fn check_with(query: &str, options: &str, expected: &str) {
    expect(query, run_with(query, options), expected);
}

/// The query fails with this kind, text and place (`[0,"a"]`).
#[track_caller]
pub(crate) fn check_error(query: &str, kind: ErrorKind, message: &str, path: &str) {
    match run(query) {
        Outcome::Error(found, text, place) if found == kind && text == message && place == path => {
        }
        other => panic!("{query}\n  expected {kind:?} {message:?} {path}\n  got      {other:?}"),
    }
}

/// The query does not compile, with this text and place.
#[track_caller]
pub(crate) fn check_compile_error(query: &str, message: &str, path: &str) {
    match run(query) {
        Outcome::CompileError(text, place) if text == message && place == path => {}
        other => panic!("{query}\n  expected {message:?} {path}\n  got      {other:?}"),
    }
}

fn collect(answer: Answer) -> Result<Datum, Failure> {
    let mut cursor = match answer {
        Answer::Atom { value, .. } => return Ok(value),
        Answer::Stream(cursor) => cursor,
    };
    let mut rows = Vec::new();
    loop {
        let batch = cursor.next_batch()?;
        rows.extend(batch.rows);
        if batch.done {
            return Ok(Datum::array(rows));
        }
    }
}

fn to_json(datum: &Datum) -> Value {
    let mut text = Vec::new();
    write_json(datum, &mut text);
    serde_json::from_slice(&text).expect("answers are JSON")
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, a)| right.get(name).is_some_and(|b| same(a, b)))
        }
        _ => left == right,
    }
}

fn path_text(path: &[Frame]) -> String {
    let steps: Vec<String> = path
        .iter()
        .map(|frame| match frame {
            Frame::Position(position) => position.to_string(),
            Frame::Name(name) => format!("{name:?}"),
        })
        .collect();
    format!("[{}]", steps.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_told_apart() {
        check("[24,[1,2]]", "3");
        check_with("[24,[1,2]]", r#"{"array_limit":3}"#, "3.0");
        check_error("[24,[1,null]]", ErrorKind::NonExistence, TEXT, "[]");
        check_compile_error("[24,[]]", "Expected 1 or more arguments but found 0.", "[]");
    }

    const TEXT: &str = "Expected type NUMBER but found NULL.";
}
