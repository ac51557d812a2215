//! Bodies of responses, in RethinkDB's order of fields: `t`, `e`, `r`, `b`, `p`, `n`. The rows are written by the
//! caller straight into the output; this file knows neither values nor tokens nor frames.

use crate::limits;
use crate::numbers::{ErrorType, ResponseNote, ResponseType};
use crate::query::QueryError;
use crate::raw_term::Frame;
pub use crate::text::write_string;

/// Writes the elements of `r`, with the commas between them.
#[derive(Debug)]
pub struct Rows<'o> {
    output: &'o mut Vec<u8>,
    any: bool,
}

impl Rows<'_> {
    /// Makes room for the next row; the caller appends exactly one JSON value to what it gets.
    pub fn row(&mut self) -> &mut Vec<u8> {
        if self.any {
            self.output.push(b',');
        }
        self.any = true;
        self.output
    }
}

/// Writes `{"t":1,"r":[value]}`. The profile, if any, is a JSON array.
pub fn write_atom(output: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>), profile: Option<&[u8]>) {
    output.extend_from_slice(br#"{"t":1,"r":["#);
    value(output);
    output.push(b']');
    write_profile(output, profile);
    output.push(b'}');
}

/// Writes a batch of a sequence: `{"t":2,"r":[rows],"n":[notes]}`, or with `"t":3` when more batches follow.
pub fn write_sequence(
    output: &mut Vec<u8>,
    more_follows: bool,
    rows: impl FnOnce(&mut Rows<'_>),
    profile: Option<&[u8]>,
    notes: &[ResponseNote],
) {
    let kind =
        if more_follows { ResponseType::SuccessPartial } else { ResponseType::SuccessSequence };
    write_type(output, kind);
    output.extend_from_slice(br#","r":["#);
    rows(&mut Rows { output, any: false });
    output.push(b']');
    write_profile(output, profile);
    output.extend_from_slice(br#","n":["#);
    for (index, note) in notes.iter().enumerate() {
        if index > 0 {
            output.push(b',');
        }
        write_number(output, u32::from(note.number()));
    }
    output.extend_from_slice(b"]}");
}

/// Writes the answer to NOREPLY_WAIT.
pub fn write_wait_complete(output: &mut Vec<u8>) {
    output.extend_from_slice(br#"{"t":4,"r":[]}"#);
}

/// Writes the answer to SERVER_INFO.
pub fn write_server_info(output: &mut Vec<u8>, id: &str, name: &str) {
    output.extend_from_slice(br#"{"t":5,"r":[{"id":"#);
    write_string(output, id);
    output.extend_from_slice(br#","name":"#);
    write_string(output, name);
    output.extend_from_slice(br#","proxy":false}]}"#);
}

/// Writes an error: `{"t":18,"e":3000000,"r":["message"],"b":[0,"x"]}`. The kind is CLIENT_ERROR, COMPILE_ERROR or
/// RUNTIME_ERROR; only the last has an error type.
pub fn write_error(
    output: &mut Vec<u8>,
    kind: ResponseType,
    error_type: Option<ErrorType>,
    message: &str,
    path: &[Frame],
) {
    write_type(output, kind);
    if let Some(error_type) = error_type {
        output.extend_from_slice(br#","e":"#);
        write_number(output, error_type.number());
    }
    output.extend_from_slice(br#","r":["#);
    write_string(output, message);
    output.extend_from_slice(br#"],"b":["#);
    for (index, frame) in path.iter().enumerate() {
        if index > 0 {
            output.push(b',');
        }
        match frame {
            Frame::Position(position) => write_number(output, *position),
            Frame::Name(name) => write_string(output, name),
        }
    }
    output.extend_from_slice(b"]}");
}

/// Writes the answer to a body that was no query.
pub fn write_query_error(output: &mut Vec<u8>, error: &QueryError) {
    write_error(output, error.kind, None, &error.message, &error.path);
}

/// Writes the answer to a frame above the size limit, after which the connection closes.
pub fn write_query_too_large(output: &mut Vec<u8>, size: u32) {
    let maximum = limits::QUERY_SIZE_MAX;
    let message = format!("Query size ({size}) greater than maximum ({maximum}).");
    write_error(output, ResponseType::ClientError, None, &message, &[]);
}

/// Writes the answer to CONTINUE or STOP of a stream that is not there.
pub fn write_no_such_stream(output: &mut Vec<u8>, token: u64) {
    let message = format!("Token {} not in stream cache.", token.cast_signed());
    write_error(output, ResponseType::ClientError, None, &message, &[]);
}

/// Writes the answer to START with the token of a stream that is still open.
pub fn write_duplicate_token(output: &mut Vec<u8>, token: u64) {
    let message = format!("ERROR: duplicate token {}", token.cast_signed());
    write_error(output, ResponseType::ClientError, None, &message, &[]);
}

fn write_type(output: &mut Vec<u8>, kind: ResponseType) {
    output.extend_from_slice(br#"{"t":"#);
    write_number(output, u32::from(kind.number()));
}

fn write_profile(output: &mut Vec<u8>, profile: Option<&[u8]>) {
    if let Some(profile) = profile {
        output.extend_from_slice(br#","p":"#);
        output.extend_from_slice(profile);
    }
}

fn write_number(output: &mut Vec<u8>, number: u32) {
    let mut digits = [0; 10];
    let mut left = number;
    let mut length = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
        length += 1;
        if left == 0 {
            break;
        }
    }
    output.extend(digits.iter().skip(digits.len() - length));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut output = Vec::new();
        write(&mut output);
        String::from_utf8(output).unwrap()
    }

    fn rows(numbers: &[u32]) -> impl FnOnce(&mut Rows<'_>) {
        move |rows: &mut Rows<'_>| {
            for number in numbers {
                write_number(rows.row(), *number);
            }
        }
    }

    #[test]
    fn atoms() {
        let five = |output: &mut Vec<u8>| output.push(b'5');
        assert_eq!(written(|o| write_atom(o, five, None)), r#"{"t":1,"r":[5]}"#);
        let profile = Some(&br#"[{"a":1}]"#[..]);
        assert_eq!(written(|o| write_atom(o, five, profile)), r#"{"t":1,"r":[5],"p":[{"a":1}]}"#);
    }

    #[test]
    fn sequences() {
        let notes = [ResponseNote::SequenceFeed, ResponseNote::IncludesStates];
        for (text, written) in [
            (
                r#"{"t":3,"r":[1,2,3],"n":[]}"#,
                written(|o| write_sequence(o, true, rows(&[1, 2, 3]), None, &[])),
            ),
            (
                r#"{"t":2,"r":[],"n":[]}"#,
                written(|o| write_sequence(o, false, rows(&[]), None, &[])),
            ),
            (
                r#"{"t":3,"r":[],"n":[1,5]}"#,
                written(|o| write_sequence(o, true, rows(&[]), None, &notes)),
            ),
            (
                r#"{"t":2,"r":[0],"p":[],"n":[]}"#,
                written(|o| write_sequence(o, false, rows(&[0]), Some(b"[]"), &[])),
            ),
        ] {
            assert_eq!(written, text);
        }
    }

    #[test]
    fn errors_as_recorded() {
        let path = [Frame::Position(0), Frame::Name("x\"".into()), Frame::Position(u32::MAX)];
        let runtime = (ResponseType::RuntimeError, Some(ErrorType::QueryLogic));
        assert_eq!(
            written(|o| write_error(o, runtime.0, runtime.1, "a\nb", &path)),
            r#"{"t":18,"e":3000000,"r":["a\nb"],"b":[0,"x\"",4294967295]}"#
        );
        let error = query::parse(b"[]").unwrap_err();
        assert_eq!(
            written(|o| write_query_error(o, &error)),
            "{\"t\":16,\"r\":[\"Server could not parse query: Expected 1 to 3 elements in the \
             top-level query, but found 0.\"],\"b\":[]}"
        );
        assert_eq!(
            written(|o| write_query_too_large(o, u32::MAX)),
            r#"{"t":16,"r":["Query size (4294967295) greater than maximum (134217727)."],"b":[]}"#
        );
        assert_eq!(
            written(|o| write_no_such_stream(o, 3)),
            r#"{"t":16,"r":["Token 3 not in stream cache."],"b":[]}"#
        );
        assert_eq!(
            written(|o| write_duplicate_token(o, u64::MAX)),
            r#"{"t":16,"r":["ERROR: duplicate token -1"],"b":[]}"#
        );
    }

    #[test]
    fn answers_without_rows() {
        assert_eq!(written(write_wait_complete), r#"{"t":4,"r":[]}"#);
        assert_eq!(
            written(|o| write_server_info(o, "i", "n\t")),
            r#"{"t":5,"r":[{"id":"i","name":"n\t","proxy":false}]}"#
        );
    }
}
