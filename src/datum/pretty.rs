//! The indented form that RethinkDB's messages show: tabs, one element a line, a tab after the colon.

use photondb_protocol::text::write_string as write_json_string;

use super::{Datum, work, write_json};

/// Messages keep this many bytes of a printed value.
const TRUNCATED_LEN: usize = 300;

/// The whole text.
pub(super) fn print(datum: &Datum) -> String {
    let mut out = Vec::new();
    match datum {
        // Alone, bytes print in one line.
        Datum::Binary(_) => write_json(datum, &mut out),
        _ => write(datum, 0, &mut out, usize::MAX),
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The text as messages keep it: its beginning, when it is longer than [`TRUNCATED_LEN`] bytes. The rest is not made.
pub(super) fn print_truncated(datum: &Datum) -> String {
    let mut out = Vec::new();
    match datum {
        Datum::Binary(_) => write_json(datum, &mut out),
        _ => write(datum, 0, &mut out, TRUNCATED_LEN),
    }
    // Each part is written whole, so characters are too.
    truncated(String::from_utf8_lossy(&out).into_owned())
}

/// Cuts at a character's start, so that a cut text stays text.
fn truncated(mut text: String) -> String {
    if text.len() > TRUNCATED_LEN {
        let mut at = TRUNCATED_LEN - 3;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
        text.push_str("...");
    }
    text
}

/// Stops soon after the text has become longer than `bound`.
fn write(datum: &Datum, depth: usize, out: &mut Vec<u8>, bound: usize) {
    work::step();
    match datum {
        Datum::Array(values) if !values.is_empty() => {
            out.push(b'[');
            for (i, value) in values.iter().enumerate() {
                if out.len() > bound {
                    return;
                }
                new_line(i, depth + 1, out);
                write(value, depth + 1, out, bound);
            }
            out.push(b'\n');
            indent(depth, out);
            out.push(b']');
        }
        Datum::Object(object) if !object.is_empty() => {
            out.push(b'{');
            for (i, (name, value)) in object.iter().enumerate() {
                if out.len() > bound {
                    return;
                }
                new_line(i, depth + 1, out);
                write_json_string(out, name);
                out.extend_from_slice(b":\t");
                write(value, depth + 1, out, bound);
            }
            out.push(b'\n');
            indent(depth, out);
            out.push(b'}');
        }
        Datum::Binary(bytes) => {
            out.extend_from_slice(b"{\n");
            indent(depth + 1, out);
            out.extend_from_slice(b"\"$reql_type$\":\t\"BINARY\",\n");
            indent(depth + 1, out);
            out.extend_from_slice(b"\"data\":\t\"");
            out.extend_from_slice(super::base64_text(bytes).replace("\r\n", "\\r\\n").as_bytes());
            out.extend_from_slice(b"\"\n");
            indent(depth, out);
            out.push(b'}');
        }
        scalar => write_json(scalar, out),
    }
}

fn new_line(at: usize, depth: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
    out.push(b'\n');
    indent(depth, out);
}

fn indent(depth: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + depth, b'\t');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_print_as_in_messages() {
        let value = Datum::array(vec![
            Datum::object([("a", Datum::Number(1.0))]),
            Datum::object([]),
            Datum::array(vec![]),
        ]);
        assert_eq!(print(&value), "[\n\t{\n\t\t\"a\":\t1\n\t},\n\t{},\n\t[]\n]");
    }
}
