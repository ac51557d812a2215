//! Bodies that are not UTF-8: which error they get. RethinkDB reads the JSON first and looks at the bytes of a
//! string only when it makes a value of it, so a malformed body stays a client error while a bad string is a
//! compile error that names its place.

use super::{QueryError, unreadable};
use crate::json;
use crate::numbers::ResponseType;

/// How much of the string before the fault is printed, in bytes.
const SHOWN_MAX: usize = 20;

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
    let (explanation, further) = fault(body.get(valid..).unwrap_or_default());
    let position = before.len() + further;
    let mut shown = before.len().min(SHOWN_MAX);
    while !before.is_char_boundary(shown) {
        shown -= 1;
    }
    let shown = before.get(..shown).unwrap_or_default();
    QueryError {
        kind: ResponseType::CompileError,
        message: format!(
            "String `{shown}` (truncated) is not a UTF-8 string; {explanation} at position {position}."
        ),
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

/// What is wrong with the sequence that starts `bytes`, and how far into it.
fn fault(bytes: &[u8]) -> (&'static str, usize) {
    let (length, least) = match bytes.first() {
        Some(0xc0..=0xdf) => (2, 0x80),
        Some(0xe0..=0xef) => (3, 0x800),
        Some(0xf0..=0xf7) => (4, 0x1_0000),
        _ => return ("Invalid initial byte seen", 0),
    };
    let mut code = u32::from(bytes.first().copied().unwrap_or_default()) & (0x7f >> length);
    for position in 1..length {
        match bytes.get(position) {
            None | Some(b'"') => {
                return ("Expected continuation byte, saw end of string", position);
            }
            Some(byte @ 0x80..=0xbf) => code = code << 6 | u32::from(byte & 0x3f),
            Some(_) => return ("Expected continuation byte, saw something else", position),
        }
    }
    if code < least {
        ("Overlong encoding seen", length - 1)
    } else if code > 0x10_ffff {
        ("Non-Unicode character encoded (beyond U+10FFFF)", length - 1)
    } else {
        // What is left are halves of surrogate pairs, which RethinkDB lets through and no Rust string can hold.
        ("Surrogate code point seen", length - 1)
    }
}
