//! A JSON reader that borrows from its input and keeps an object's fields in order, duplicates included: whether
//! a duplicate is an error is the compiler's to say. Knows nothing of queries and terms.
//!
//! It does not recurse: the open arrays and objects are a vector, so that the nesting it accepts
//! ([`limits::JSON_DEPTH_MAX`]) does not depend on the size of a thread's stack.

use std::borrow::Cow;

use crate::limits;
use crate::pace;
use crate::text::{four_hex_digits, plain_prefix, short_escape};

/// One JSON value. Strings without escapes borrow from the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Any number, rounded to the nearest double; never infinite, never NaN. `-0.0` keeps its sign, `-0` has none.
    Number(f64),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object's fields in the order of the text, duplicates kept.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Why a text was not read.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or a number too large for a double.
    #[error("malformed JSON at byte {position}")]
    Malformed {
        /// Offset of the first byte that does not fit.
        position: usize,
    },
    /// Nested deeper than [`limits::JSON_DEPTH_MAX`].
    #[error("JSON nested more than {} levels deep", limits::JSON_DEPTH_MAX)]
    TooDeep,
    /// More values than [`limits::JSON_VALUES_MAX`].
    #[error("JSON with more than {} values", limits::JSON_VALUES_MAX)]
    TooManyValues,
}

impl Json<'_> {
    /// RethinkDB's name for the type, as its messages print it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Json::Null => "NULL",
            Json::Bool(_) => "BOOL",
            Json::Number(_) => "NUMBER",
            Json::String(_) => "STRING",
            Json::Array(_) => "ARRAY",
            Json::Object(_) => "OBJECT",
        }
    }
}

/// Reads one JSON value that fills the whole text.
pub fn parse(text: &str) -> Result<Json<'_>, JsonError> {
    let mut reader = Reader::new(text);
    let value = reader.tree()?;
    reader.end()?;
    Ok(value)
}

/// An array or object whose end has not been seen. The key of an object is that of the field being read.
enum Open<'a> {
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>, Cow<'a, str>),
}

/// What the reader met at the start of a value.
enum Start<'a> {
    Whole(Json<'a>),
    Opened(Open<'a>),
}

/// A place in a text. What it reads it steps over.
pub(crate) struct Reader<'a> {
    text: &'a str,
    position: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, position: 0, values: 0 }
    }

    /// Checks that nothing but space is left.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.position < self.text.len() { Err(self.malformed()) } else { Ok(()) }
    }

    fn tree(&mut self) -> Result<Json<'a>, JsonError> {
        let mut outer: Vec<Open<'a>> = Vec::new();
        let mut inner = match self.value()? {
            Start::Whole(value) => return Ok(value),
            Start::Opened(open) => open,
        };
        loop {
            let mut value = match self.value()? {
                Start::Whole(value) => value,
                Start::Opened(open) => {
                    // The root is level one, its parents are in `outer`.
                    if outer.len() + 2 > limits::JSON_DEPTH_MAX {
                        return Err(JsonError::TooDeep);
                    }
                    outer.push(std::mem::replace(&mut inner, open));
                    continue;
                }
            };
            while let Some(closed) = self.add(&mut inner, value)? {
                match outer.pop() {
                    None => return Ok(closed),
                    Some(parent) => {
                        inner = parent;
                        value = closed;
                    }
                }
            }
        }
    }

    /// Adds a value to the innermost open array or object and reads what follows it. Gives the array or object
    /// when that was its end; otherwise the next value comes next.
    fn add(
        &mut self,
        inner: &mut Open<'a>,
        value: Json<'a>,
    ) -> Result<Option<Json<'a>>, JsonError> {
        self.skip_space();
        let separator = self.peek();
        match inner {
            Open::Array(items) => {
                items.push(value);
                match separator {
                    Some(b',') => self.position += 1,
                    Some(b']') => {
                        self.position += 1;
                        return Ok(Some(Json::Array(std::mem::take(items))));
                    }
                    _ => return Err(self.malformed()),
                }
            }
            Open::Object(fields, key) => {
                fields.push((std::mem::take(key), value));
                match separator {
                    Some(b',') => {
                        self.position += 1;
                        self.skip_space();
                        *key = self.key()?;
                    }
                    Some(b'}') => {
                        self.position += 1;
                        return Ok(Some(Json::Object(std::mem::take(fields))));
                    }
                    _ => return Err(self.malformed()),
                }
            }
        }
        Ok(None)
    }

    /// Reads a scalar or an empty container whole, and of any other container the opening (of an object also the
    /// first key).
    fn value(&mut self) -> Result<Start<'a>, JsonError> {
        self.count()?;
        self.skip_space();
        let value = match self.peek() {
            Some(b'"') => Json::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Json::Number(self.number()?),
            Some(b'[') => {
                self.position += 1;
                self.skip_space();
                if self.peek() != Some(b']') {
                    return Ok(Start::Opened(Open::Array(Vec::new())));
                }
                self.position += 1;
                Json::Array(Vec::new())
            }
            Some(b'{') => {
                self.position += 1;
                self.skip_space();
                if self.peek() != Some(b'}') {
                    let key = self.key()?;
                    return Ok(Start::Opened(Open::Object(Vec::new(), key)));
                }
                self.position += 1;
                Json::Object(Vec::new())
            }
            Some(b't') => self.word("true").map(|()| Json::Bool(true))?,
            Some(b'f') => self.word("false").map(|()| Json::Bool(false))?,
            Some(b'n') => self.word("null").map(|()| Json::Null)?,
            _ => return Err(self.malformed()),
        };
        Ok(Start::Whole(value))
    }

    /// Reads an object's key and the colon after it, the position being on its opening quote.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed());
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.malformed());
        }
        self.position += 1;
        Ok(key)
    }

    /// Counts a value against the bound.
    pub(crate) fn count(&mut self) -> Result<(), JsonError> {
        self.values += 1;
        pace::count(self.values);
        if self.values > limits::JSON_VALUES_MAX { Err(JsonError::TooManyValues) } else { Ok(()) }
    }

    pub(crate) fn word(&mut self, word: &str) -> Result<(), JsonError> {
        if !self.rest().starts_with(word) {
            return Err(self.malformed());
        }
        self.position += word.len();
        Ok(())
    }

    /// Reads a number, the position being on its first byte.
    pub(crate) fn number(&mut self) -> Result<f64, JsonError> {
        // Whole numbers of up to this many digits are exact in a double.
        const EXACT_DIGITS: usize = 15;
        let start = self.position;
        let negative = self.peek() == Some(b'-');
        self.position += usize::from(negative);

        let digits_start = self.position;
        let mut whole: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            whole = whole.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.position += 1;
        }
        let digits = self.position - digits_start;
        let leading_zero = self.text.as_bytes().get(digits_start) == Some(&b'0');
        if digits == 0 || (leading_zero && digits > 1) {
            return Err(self.malformed());
        }
        let fraction_or_exponent = matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        if digits <= EXACT_DIGITS && !fraction_or_exponent {
            let magnitude = whole as f64;
            // An integer has no negative zero.
            return Ok(if negative && whole > 0 { -magnitude } else { magnitude });
        }

        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits()?;
        }
        let written = self.text.get(start..self.position).unwrap_or_default();
        match written.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(JsonError::Malformed { position: start }),
        }
    }

    /// Steps over one digit or more.
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.position;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        if self.position == start { Err(self.malformed()) } else { Ok(()) }
    }

    /// Reads a string, the position being on its opening quote.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.position += 1;
        let plain = self.plain();
        if self.peek() == Some(b'"') {
            self.position += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut string = String::from(plain);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(Cow::Owned(string));
                }
                Some(b'\\') => {
                    self.position += 1;
                    string.push(self.escape()?);
                    string.push_str(self.plain());
                }
                _ => return Err(self.malformed()),
            }
        }
    }

    /// Steps over everything up to a quote, backslash or control character, and gives it.
    fn plain(&mut self) -> &'a str {
        let rest = self.rest();
        // A stop is an ASCII byte, so the cut is on a character's edge.
        let plain = rest.get(..plain_prefix(rest.as_bytes())).unwrap_or_default();
        self.position += plain.len();
        plain
    }

    /// Reads an escape, the position being after its backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let letter = self.peek().ok_or_else(|| self.malformed())?;
        if letter == b'u' {
            self.position += 1;
            return self.unicode_escape();
        }
        let escaped = short_escape(letter).ok_or_else(|| self.malformed())?;
        self.position += 1;
        Ok(escaped)
    }

    /// Reads four hexadecimal digits and, when they are the first half of a surrogate pair, the second half.
    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let first = self.four_hex_digits()?;
        let code = match first {
            0xd800..=0xdbff => {
                if !self.rest().starts_with("\\u") {
                    return Err(self.malformed());
                }
                self.position += 2;
                let second = self.four_hex_digits()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.malformed());
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            _ => first,
        };
        // A second half on its own is not a character.
        char::from_u32(code).ok_or_else(|| self.malformed())
    }

    fn four_hex_digits(&mut self) -> Result<u32, JsonError> {
        let code = four_hex_digits(self.rest().as_bytes()).ok_or_else(|| self.malformed())?;
        self.position += 4;
        Ok(code)
    }

    pub(crate) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.position += 1;
        }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    /// Steps over one byte, which must be ASCII.
    pub(crate) fn step(&mut self) {
        self.position += 1;
    }

    /// Steps over space and this byte, or only over the space if another byte follows it.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.position += usize::from(found);
        found
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn malformed(&self) -> JsonError {
        JsonError::Malformed { position: self.position }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn string(text: &str) -> Json<'_> {
        Json::String(Cow::Borrowed(text))
    }

    fn position(text: &str) -> usize {
        match parse(text) {
            Err(JsonError::Malformed { position }) => position,
            other => panic!("{text} gave {other:?}"),
        }
    }

    #[test]
    fn scalars() {
        assert_eq!(parse("null"), Ok(Json::Null));
        assert_eq!(parse(" true\n"), Ok(Json::Bool(true)));
        assert_eq!(parse("\tfalse\r"), Ok(Json::Bool(false)));
        assert_eq!(parse("\"\""), Ok(string("")));
        assert_eq!(parse("\"a/\u{e9}\""), Ok(string("a/\u{e9}")));
    }

    #[test]
    fn containers_keep_order_and_duplicates() {
        let expected = Json::Object(vec![
            ("a".into(), Json::Array(vec![Json::Number(1.0), Json::Array(vec![])])),
            ("b".into(), Json::Object(vec![])),
            ("a".into(), Json::Null),
        ]);
        assert_eq!(parse(r#" { "a" : [ 1 , [ ] ] , "b" : { } , "a" : null } "#), Ok(expected));
    }

    #[test]
    fn numbers() {
        for (text, number) in [
            ("0", 0.0),
            ("-17", -17.0),
            ("999999999999999", 999_999_999_999_999.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("123456789012345678901234567890", 1.2345678901234568e29),
            ("1.5", 1.5),
            ("-2.5e-3", -0.0025),
            ("1E+2", 100.0),
            ("1e-999", 0.0),
            ("1.7976931348623157e308", f64::MAX),
            ("5e-324", 5e-324),
        ] {
            assert_eq!(parse(text), Ok(Json::Number(number)), "{text}");
        }
        assert!(matches!(parse("-0"), Ok(Json::Number(n)) if n == 0.0 && n.is_sign_positive()));
        for text in ["-0.0", "-0e5"] {
            assert!(matches!(parse(text), Ok(Json::Number(n)) if n == 0.0 && n.is_sign_negative()));
        }
    }

    #[test]
    fn escapes() {
        let text = r#""\"\\\/\b\f\n\r\t\u0041\u00e9\ud834\udd1e\u0000x""#;
        assert_eq!(parse(text), Ok(string("\"\\/\u{8}\u{c}\n\r\tA\u{e9}\u{1d11e}\0x")));
    }

    #[test]
    fn malformed_texts_name_the_place() {
        for (text, expected) in [
            ("", 0),
            ("{nope", 1),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("[1", 2),
            ("{\"a\"}", 4),
            ("{\"a\":1,}", 7),
            ("{\"a\":1", 6),
            ("01", 2),
            ("-", 1),
            ("1.", 2),
            ("1e", 2),
            ("1e+", 3),
            (".5", 0),
            ("1e999", 0),
            ("-1e999", 0),
            ("nul", 0),
            ("NaN", 0),
            ("5 x", 2),
            ("\"a", 2),
            ("\"a\nb\"", 2),
            ("\"\\x\"", 2),
            ("\"\\u12g4\"", 3),
            ("\"\\ud834\"", 7),
            ("\"\\ud834\\u0041\"", 13),
            ("\"\\udd1e\"", 7),
        ] {
            assert_eq!(position(text), expected, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded_and_needs_no_stack() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let objects = |levels: usize| "{\"\":".repeat(levels) + "0" + &"}".repeat(levels);
        let deepest = limits::JSON_DEPTH_MAX;
        assert!(parse(&nested(deepest)).is_ok());
        assert!(parse(&objects(deepest)).is_ok());
        assert_eq!(parse(&nested(deepest + 2)), Err(JsonError::TooDeep));
        assert_eq!(parse(&objects(deepest + 1)), Err(JsonError::TooDeep));
        assert_eq!(parse(&"[".repeat(1_000_000)), Err(JsonError::TooDeep));
    }
}
