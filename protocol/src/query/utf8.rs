//! Bodies that are not UTF-8: which error they get. RethinkDB reads the JSON first and looks at the bytes of a
//! string only when it makes a value of it, so a malformed body stays a client error while a bad string is a
//! compile error that names its place.

use super::{QueryError, unreadable};
use crate::json;
use crate::numbers::ResponseType;
use crate::text::not_utf8;

/// The error for a body that is not UTF-8.
pub(super) fn error(body: &[u8]) -> QueryError {
    // With every byte beyond ASCII replaced, the body is JSON if and only if those bytes are inside strings.
    let ascii: String =
        body.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    if let Err(error) = json::parse(&ascii) {
        return unreadable(error);
    }
    let valid = match std::str::from_utf8(body) {
        Ok(_) => body.len(),
        Err(error) => error.valid_up_to(),
    };
    let start = string_start(body, valid);
    let before =
        json::parse(&text_of(body.get(start..valid).unwrap_or_default()))
            .ok()
            .and_then(|value| {
                if let json::Json::String(text) = value { Some(text.into_owned()) } else { None }
            })
            .unwrap_or_default();
    let after = body.get(valid..).unwrap_or_default().split(|byte| *byte == b'"').next();
    QueryError {
        kind: ResponseType::CompileError,
        message: not_utf8(&before, after.unwrap_or_default()),
        path: Vec::new(),
        noreply: false,
    }
}

/// The content of a string as a JSON string of its own.
fn text_of(content: &[u8]) -> String {
    format!("\"{}\"", String::from_utf8_lossy(content))
}

/// Offset of the first byte of the string that the byte at `fault` is in.
fn string_start(body: &[u8], fault: usize) -> usize {
    let mut start = 0;
    let mut inside = false;
    let mut escaped = false;
    for (position, &byte) in body.iter().enumerate().take(fault) {
        if escaped {
            escaped = false;
        } else if inside && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            inside = !inside;
            start = position + 1;
        }
    }
    start
}
