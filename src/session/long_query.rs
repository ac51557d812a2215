//! A long query between its arrival and its evaluation: read and compiled on a thread of the pool, in turns like an
//! evaluation, and given up when it is stopped. Knows the text and the program; not tokens, nor who waits for it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use photondb_protocol::json::{self, Json};
use photondb_protocol::numbers::QueryType;
use photondb_protocol::query::{self, Query, QueryError};
use photondb_protocol::raw_term::RawTerm;

use crate::datum::Datum;
use crate::reql::{self, CancelFlag, CompileError, Context, ErrorKind, Failure, Program};

/// The text of a query that has not been looked at.
pub(super) struct LongQuery {
    body: Bytes,
    /// Given back when the text is.
    kept: Kept,
    now: Datum,
}

/// Whatever its owner wants to be kept as long as the text of a query is.
pub type Kept = Box<dyn KeepsText>;

/// What is kept with the text of a query, until that is dropped.
pub trait KeepsText: Send + Sync {
    /// The text is being read from now on.
    fn is_being_read(&self) {}
}

impl KeepsText for () {}

impl<T: KeepsText> KeepsText for Option<T> {
    fn is_being_read(&self) {
        if let Some(kept) = self {
            kept.is_being_read();
        }
    }
}

/// What came of reading a long query.
#[derive(Debug)]
pub(super) struct ReadQuery {
    /// Whether its client wants no answer. None when that is not known, since it was not read to its end.
    pub noreply: Option<bool>,
    /// Bytes of its text.
    pub size: usize,
    /// The query, or why it cannot be run.
    pub program: Result<Arc<Program>, Unread>,
}

/// Why a query cannot be run.
#[derive(Debug)]
pub(super) enum Unread {
    /// It was stopped.
    Stopped,
    /// It is no query.
    Query(QueryError),
    /// It is not a START, and none that is answered unread.
    Other,
    /// Its terms are wrong.
    Compile(CompileError),
    /// Reading it took too much memory.
    Failure(Failure),
    /// A fault of the server's own.
    Panic,
}

impl fmt::Debug for LongQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongQuery").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl LongQuery {
    /// A query that arrived at `now`.
    pub fn new(body: Bytes, kept: Kept, now: Datum) -> LongQuery {
        LongQuery { body, kept, now }
    }

    /// Reads and compiles it, and drops its text.
    pub fn read(self, context: &Arc<Context>, cancel: &CancelFlag) -> ReadQuery {
        let LongQuery { body, kept, now } = self;
        kept.is_being_read();
        let mut noreply = None;
        let read = catch_unwind(AssertUnwindSafe(|| {
            reql::read_watched(context, cancel, || program(&body, &now, &mut noreply))
        }));
        let program = match read {
            Ok(Ok(program)) => program,
            Ok(Err(failure)) if failure.kind == ErrorKind::Cancelled => Err(Unread::Stopped),
            Ok(Err(failure)) => Err(Unread::Failure(failure)),
            Err(_) => Err(Unread::Panic),
        };
        let size = body.len();
        drop((body, kept));
        ReadQuery { noreply, size, program }
    }
}

fn program(body: &[u8], now: &Datum, noreply: &mut Option<bool>) -> Result<Arc<Program>, Unread> {
    match query::parse(body) {
        Ok(Query::Start { term, optargs }) => {
            *noreply =
                Some(optargs.iter().any(|(name, value)| {
                    name == "noreply" && matches!(value, RawTerm::Bool(true))
                }));
            let program = Program::compile(term, optargs, now).map_err(Unread::Compile)?;
            // The network's thread that asks next has the answer then.
            program.is_administrative();
            Ok(Arc::new(program))
        }
        Ok(_) => Err(Unread::Other),
        Err(error) => {
            *noreply = Some(error.noreply);
            Err(Unread::Query(error))
        }
    }
}

/// What a body asks for, when that is not to evaluate a term: what follows it means nothing then.
pub(super) fn other_than_start(body: &[u8]) -> Option<QueryType> {
    let text = body.trim_ascii_start().strip_prefix(b"[")?.trim_ascii_start();
    let (digit, rest) = text.split_first()?;
    let ends = matches!(rest.trim_ascii_start().first(), Some(b',' | b']'));
    let number = i64::from(*digit) - i64::from(b'0');
    let kind = QueryType::from_number(number).filter(|_| digit.is_ascii_digit() && ends)?;
    (kind != QueryType::Start).then_some(kind)
}

/// Whether the global options at the end of a text seem to say that no answer is wanted: asked of a query that ends
/// before it is read. Options are what is known to stand behind a term, and are short.
pub(super) fn seems_noreply(body: &[u8]) -> bool {
    /// Room for a few options.
    const END_BYTES: usize = 512;
    let end = body.trim_ascii_end().strip_suffix(b"]").map(<[u8]>::trim_ascii_end);
    let Some(end) = end.filter(|end| end.ends_with(b"}")) else { return false };
    let cut = end.len().saturating_sub(END_BYTES);
    let end = end.get(cut..).unwrap_or_default();
    let Some(start) = last_object(end) else { return false };
    let options = end.get(start..).and_then(|options| std::str::from_utf8(options).ok());
    let Some(Ok(Json::Object(fields))) = options.map(json::parse) else { return false };
    fields.iter().any(|(name, value)| name == "noreply" && matches!(value, Json::Bool(true)))
}

/// Where the object begins that a text ends with.
fn last_object(text: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string) = (0_usize, false);
    for (at, byte) in text.iter().enumerate().rev() {
        let before = text.get(..at).unwrap_or_default();
        let escapes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
        match byte {
            b'"' if escapes % 2 == 0 => in_string = !in_string,
            b'}' if !in_string => depth += 1,
            b'{' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_options_of_a_query_say_that_it_wants_no_answer() {
        let long = "x".repeat(600);
        let says = |text: String| seems_noreply(text.as_bytes());
        assert!(says(format!(r#"[1,"{long}",{{"noreply":true}}]"#)));
        assert!(says(format!(r#"[1,"{long}", {{"a":"}}{{\"","noreply" : true }} ] "#)));
        assert!(!says(format!(r#"[1,{{"a":"{long}","noreply":true}}]"#)));
        assert!(!says(format!(r#"[1,{{"a":"{long}","b":{{"noreply":true}}}}]"#)));
        assert!(!says(format!(r#"[1,"{long}",{{"a":{{"noreply":true}}}}]"#)));
        assert!(!says(format!(r#"[1,"{long}",{{"a":"\"noreply\":true"}}]"#)));
        assert!(!says(format!(r#"[1,"{long}"]"#)));
        assert!(!says(r#"}]"#.to_owned()) && !says(r#"{}}]"#.to_owned()));
    }
}
