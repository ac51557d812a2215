//! Reads the JSON text of a stored document back into values.
//! Knows the text that `write_json` writes, and refuses whatever differs; must not know where its fields are.
//!
//! Works with a stack of its own, so that no nesting of the text can exhaust the thread's.

use std::borrow::Cow;
use std::sync::Arc;

use photondb_protocol::text::{four_hex_digits, plain_prefix, short_escape};

use super::StoredError;
use crate::datum::{BINARY, Datum, ObjectBuilder, base64_bytes, work};
use crate::limits::DOCUMENT_DEPTH;

/// The one value of the whole text.
pub(super) fn parse(text: &[u8]) -> Result<Datum, StoredError> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value()?;
    if reader.at != text.len() {
        return Err(reader.damaged("something behind the value"));
    }
    Ok(value)
}

/// The one string of the whole text.
pub(super) fn string(text: &[u8]) -> Result<Cow<'_, str>, StoredError> {
    let mut reader = Reader { text, at: 0 };
    let string = reader.text()?;
    if reader.at != text.len() {
        return Err(reader.damaged("something behind the string"));
    }
    Ok(string)
}

/// The bytes of a string that is the whole text and has no escapes.
pub(super) fn plain_string(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"\"")?;
    match rest.split_at_checked(plain_prefix(rest))? {
        (plain, [b'"']) => Some(plain),
        _ => None,
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

/// A container that is not yet closed.
enum Open {
    Array(Vec<Datum>),
    /// The fields so far, and the name of the next one.
    Object(ObjectBuilder, Arc<str>),
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Datum, StoredError> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let Some(mut value) = self.scalar_or_open(&mut open)? else { continue };
            // Give the value to its container, and every container that this closes to the next.
            loop {
                let Some(container) = open.pop() else { return Ok(value) };
                match self.add(container, value)? {
                    Added::Closed(whole) => value = whole,
                    Added::Open(container) => {
                        open.push(container);
                        break;
                    }
                }
            }
        }
    }

    /// Reads a scalar or an empty container, or opens a container and reads nothing of it but a first name.
    fn scalar_or_open(&mut self, open: &mut Vec<Open>) -> Result<Option<Datum>, StoredError> {
        work::step();
        match self.peek()? {
            b'n' => self.word(b"null", Datum::Null),
            b't' => self.word(b"true", Datum::Bool(true)),
            b'f' => self.word(b"false", Datum::Bool(false)),
            b'"' => Ok(Some(Datum::String(self.string()?))),
            b'[' => {
                self.at += 1;
                if self.skip(b']') {
                    return Ok(Some(Datum::array(Vec::new())));
                }
                self.open(open, Open::Array(Vec::new()))
            }
            b'{' => {
                self.at += 1;
                if self.skip(b'}') {
                    return Ok(Some(Datum::Object(ObjectBuilder::new().build())));
                }
                let name = self.name()?;
                self.open(open, Open::Object(ObjectBuilder::new(), name))
            }
            _ => self.number().map(Some),
        }
    }

    fn open(&self, open: &mut Vec<Open>, container: Open) -> Result<Option<Datum>, StoredError> {
        if open.len() >= DOCUMENT_DEPTH {
            return Err(StoredError::TooDeep { limit: DOCUMENT_DEPTH });
        }
        open.push(container);
        Ok(None)
    }

    fn add(&mut self, container: Open, value: Datum) -> Result<Added, StoredError> {
        match container {
            Open::Array(mut elements) => {
                elements.push(value);
                match self.next()? {
                    b',' => Ok(Added::Open(Open::Array(elements))),
                    b']' => Ok(Added::Closed(Datum::array(elements))),
                    _ => Err(self.damaged("no end of an array")),
                }
            }
            Open::Object(mut fields, name) => {
                if fields.insert(name, value).is_some() {
                    return Err(self.damaged("a name twice"));
                }
                match self.next()? {
                    b',' => Ok(Added::Open(Open::Object(fields, self.name()?))),
                    b'}' => self.close_object(fields).map(Added::Closed),
                    _ => Err(self.damaged("no end of an object")),
                }
            }
        }
    }

    /// Binary is an object in the text and a value of its own in memory.
    fn close_object(&self, fields: ObjectBuilder) -> Result<Datum, StoredError> {
        let object = fields.build();
        if object.pseudo_type() != Some(BINARY) {
            return Ok(Datum::Object(object));
        }
        match object.get("data") {
            Some(Datum::String(text)) => match base64_bytes(text) {
                Ok(bytes) => Ok(Datum::Binary(bytes.into())),
                Err(_) => Err(self.damaged("binary that is not base64")),
            },
            _ => Err(self.damaged("binary without data")),
        }
    }

    fn name(&mut self) -> Result<Arc<str>, StoredError> {
        let name = self.string()?;
        if !self.skip(b':') {
            return Err(self.damaged("a name without a value"));
        }
        Ok(name)
    }

    fn word(&mut self, word: &[u8], value: Datum) -> Result<Option<Datum>, StoredError> {
        if !self.rest().starts_with(word) {
            return Err(self.damaged("an unknown word"));
        }
        self.at += word.len();
        Ok(Some(value))
    }

    fn number(&mut self) -> Result<Datum, StoredError> {
        let rest = self.rest();
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let digits = rest.get(..length).and_then(|digits| std::str::from_utf8(digits).ok());
        let number = digits.and_then(|digits| match digits.parse::<i32>() {
            // `-0` is no integer.
            Ok(integer) if integer != 0 => Some(f64::from(integer)),
            _ => digits.parse::<f64>().ok().filter(|number| number.is_finite()),
        });
        let number = number.ok_or_else(|| self.damaged("not a value"))?;
        self.at += length;
        Ok(Datum::Number(number))
    }

    fn string(&mut self) -> Result<Arc<str>, StoredError> {
        Ok(Arc::from(self.text()?))
    }

    fn text(&mut self) -> Result<Cow<'a, str>, StoredError> {
        if !self.skip(b'"') {
            return Err(self.damaged("no string"));
        }
        let start = self.plain()?;
        if self.skip(b'"') {
            return Ok(Cow::Borrowed(start));
        }
        let mut text = String::from(start);
        self.escaped_rest(&mut text)?;
        Ok(Cow::Owned(text))
    }

    /// The rest of a string, from an escape on, through its closing quote.
    fn escaped_rest(&mut self, text: &mut String) -> Result<(), StoredError> {
        loop {
            if self.skip(b'"') {
                return Ok(());
            }
            if !self.skip(b'\\') {
                return Err(self.damaged("no end of a string"));
            }
            text.push(match self.next()? {
                b'u' => self.code_point()?,
                letter => short_escape(letter).ok_or_else(|| self.damaged("an unknown escape"))?,
            });
            text.push_str(self.plain()?);
        }
    }

    /// The part of a string up to its end or its next escape.
    fn plain(&mut self) -> Result<&'a str, StoredError> {
        let rest = self.rest();
        let plain = rest.get(..plain_prefix(rest)).unwrap_or_default();
        work::byte_steps(plain.len());
        let part =
            std::str::from_utf8(plain).map_err(|_| self.damaged("text that is not UTF-8"))?;
        self.at += plain.len();
        Ok(part)
    }

    /// What follows `\u`: only what is below U+10000 is ever written so, since the rest needs no escape.
    fn code_point(&mut self) -> Result<char, StoredError> {
        let code = four_hex_digits(self.rest()).and_then(char::from_u32);
        let code = code.ok_or_else(|| self.damaged("an unknown escape"))?;
        self.at += 4;
        Ok(code)
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Result<u8, StoredError> {
        self.text.get(self.at).copied().ok_or_else(|| self.damaged("an early end"))
    }

    fn next(&mut self) -> Result<u8, StoredError> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn damaged(&self, problem: &'static str) -> StoredError {
        StoredError::Damaged { problem, at: self.at }
    }
}

enum Added {
    Open(Open),
    Closed(Datum),
}
