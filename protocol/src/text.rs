//! JSON strings byte by byte: which bytes may stand as they are, how the others are written, and what is said of bytes
//! that are no text.
//! Knows neither JSON values nor queries.

/// Writes a JSON string, quotes included, with the escapes that RethinkDB writes: the short ones where there is
/// one, `\u00XX` in upper-case digits for other control characters, nothing else.
pub fn write_string(output: &mut Vec<u8>, string: &str) {
    output.push(b'"');
    let mut rest = string.as_bytes();
    loop {
        let (plain, stop) = rest.split_at(plain_prefix(rest));
        output.extend_from_slice(plain);
        let Some((&byte, after)) = stop.split_first() else { break };
        write_escape(output, byte);
        rest = after;
    }
    output.push(b'"');
}

/// The letters that stand behind a backslash for bytes of their own.
const SHORT_ESCAPES: [(u8, u8); 7] = [
    (b'"', b'"'),
    (b'\\', b'\\'),
    (b'b', 0x08),
    (b'f', 0x0c),
    (b'n', b'\n'),
    (b'r', b'\r'),
    (b't', b'\t'),
];

/// What a letter behind a backslash stands for, unless that takes more than a letter.
pub fn short_escape(letter: u8) -> Option<char> {
    // Nobody needs to write a slash so, but one may.
    let slash = (b'/', b'/');
    let mut escapes = SHORT_ESCAPES.iter().chain([&slash]);
    escapes.find(|(its_letter, _)| *its_letter == letter).map(|(_, byte)| char::from(*byte))
}

/// What the four hexadecimal digits behind `\u` say: a code point, or half of one.
pub fn four_hex_digits(text: &[u8]) -> Option<u32> {
    text.get(..4)?
        .iter()
        .try_fold(0, |code, &digit| Some(code * 16 + char::from(digit).to_digit(16)?))
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// How many bytes at the start of `bytes` may stand in a JSON string as they are: everything before the first
/// quote, backslash or control character.
pub fn plain_prefix(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let stops = stop_bits(u64::from_le_bytes(*word));
        if stops != 0 {
            return index * 8 + (stops.trailing_zeros() / 8) as usize;
        }
    }
    let tail = rest.iter().position(|&byte| is_stop(byte)).unwrap_or(rest.len());
    words.len() * 8 + tail
}

fn write_escape(output: &mut Vec<u8>, byte: u8) {
    if let Some((letter, _)) = SHORT_ESCAPES.iter().find(|(_, short)| *short == byte) {
        return output.extend_from_slice(&[b'\\', *letter]);
    }
    // Only control characters are left, so the first digit is 0 or 1.
    let low = match byte & 0x0f {
        digit @ 0..=9 => b'0' + digit,
        digit => b'A' + (digit - 10),
    };
    output.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), low]);
}

fn is_stop(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The high bit of every byte that is a stop. A borrow may also mark bytes above the lowest stop, so only the
/// lowest set bit means anything.
fn stop_bits(word: u64) -> u64 {
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let zero_bytes = |x: u64| x.wrapping_sub(ONES) & !x;
    (controls | zero_bytes(quotes) | zero_bytes(backslashes)) & HIGH_BITS
}

/// How much of a string before the fault is printed, in bytes.
const SHOWN_MAX: usize = 20;

/// RethinkDB's message for a string that is UTF-8 up to a point, and for what follows there.
pub fn not_utf8(before: &str, after: &[u8]) -> String {
    let (explanation, further) = fault(after);
    let position = before.len() + further;
    let mut shown = before.len().min(SHOWN_MAX);
    while !before.is_char_boundary(shown) {
        shown -= 1;
    }
    let shown = before.get(..shown).unwrap_or_default();
    format!(
        "String `{shown}` (truncated) is not a UTF-8 string; {explanation} at position {position}."
    )
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
            None => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_judged_alike() {
        for length in 0..24 {
            for place in 0..length {
                for byte in 0..=255u8 {
                    let mut bytes = vec![b'x'; length];
                    bytes[place] = byte;
                    let expected = if is_stop(byte) { place } else { length };
                    assert_eq!(
                        plain_prefix(&bytes),
                        expected,
                        "byte {byte} at {place} of {length}"
                    );
                }
            }
        }
    }

    fn written(string: &str) -> String {
        let mut output = Vec::new();
        write_string(&mut output, string);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_rethinkdb_does() {
        assert_eq!(written(""), r#""""#);
        assert_eq!(written("a/b \u{7f} \u{e9}\u{1d11e}"), "\"a/b \u{7f} \u{e9}\u{1d11e}\"");
        assert_eq!(written("\"\\\u{8}\u{c}\n\r\t"), r#""\"\\\b\f\n\r\t""#);
        assert_eq!(written("a\0b\u{b}\u{1f}\u{10}"), r#""a\u0000b\u000B\u001F\u0010""#);
    }

    #[test]
    fn written_strings_read_back() {
        let string: String =
            (0..0x300).filter_map(char::from_u32).chain("\u{1d11e}".chars()).collect();
        let read = crate::json::parse(&written(&string)).map(|json| format!("{json:?}"));
        assert_eq!(read, Ok(format!("{:?}", crate::json::Json::String(string.into()))));
    }

    #[test]
    fn bytes_after_the_first_stop_do_not_matter() {
        assert_eq!(plain_prefix(b"abc\"\\\0\x1f!!!!!!!"), 3);
        assert_eq!(plain_prefix("\u{e9}\u{1f600}\u{7f} \u{e9}".as_bytes()), 10);
    }
}
