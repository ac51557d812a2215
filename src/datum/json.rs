//! Values as JSON text, written into a caller's buffer in one pass.

use photondb_protocol::text::write_string as write_json_string;

use crate::limits::JSON_BYTES;

use super::{BINARY, Datum, REQL_TYPE, number_to_json, work};

/// Appends the compact JSON form. Binary becomes its `$reql_type$` object.
///
/// Minval and maxval have no JSON form; callers that answer a client refuse them first. Here they print as RethinkDB's
/// messages show them.
///
/// A value may hold one part many times over, so that its text would not fit into memory. What comes of a value that is
/// longer than [`JSON_BYTES`] is not JSON but longer than that.
pub fn write_json(datum: &Datum, out: &mut Vec<u8>) {
    write_json_within(datum, out, JSON_BYTES);
}

/// As [`write_json`], with a bound on the length of all that is in the buffer.
pub fn write_json_within(datum: &Datum, out: &mut Vec<u8>, bound: usize) {
    work::step();
    match datum {
        Datum::Null => out.extend_from_slice(b"null"),
        Datum::Bool(true) => out.extend_from_slice(b"true"),
        Datum::Bool(false) => out.extend_from_slice(b"false"),
        Datum::Number(value) => number_to_json(*value, out),
        Datum::String(text) => {
            work::byte_steps(text.len());
            write_json_string(out, text);
        }
        Datum::Binary(bytes) => {
            work::byte_steps(bytes.len());
            write_binary(bytes, out);
        }
        Datum::Array(values) => {
            out.push(b'[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_json_within(value, out, bound);
                if out.len() > bound {
                    return;
                }
            }
            out.push(b']');
        }
        Datum::Object(object) => {
            if let Some(stored) = object.stored() {
                return stored.write_json(out);
            }
            out.push(b'{');
            for (i, (name, value)) in object.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_json_string(out, name);
                out.push(b':');
                write_json_within(value, out, bound);
                if out.len() > bound {
                    return;
                }
            }
            out.push(b'}');
        }
        Datum::MinVal => out.extend_from_slice(br#"{"$reql_type$":"MINVAL"}"#),
        Datum::MaxVal => out.extend_from_slice(br#"{"$reql_type$":"MAXVAL"}"#),
    }
}

fn write_binary(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(REQL_TYPE.as_bytes());
    out.extend_from_slice(b"\":\"");
    out.extend_from_slice(BINARY.as_bytes());
    out.extend_from_slice(b"\",\"data\":\"");
    // The line ends are the only digits' neighbours that JSON escapes.
    out.extend_from_slice(super::base64_text(bytes).replace("\r\n", "\\r\\n").as_bytes());
    out.extend_from_slice(b"\"}");
}
