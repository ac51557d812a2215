//! A stored document: its JSON text behind a table of where its fields are.
//! Knows values and bytes; must not know keys, trees or terms.
//!
//! Most reads want a document as it is, so the text is kept exactly as the wire carries it; most others want one
//! field, so the table leads to it without a look at its neighbours.
//!
//! ```text
//! offset  bytes
//!      0      1  form: 1
//!      1      1  flags: bit 0 set: offsets have 4 bytes, else 2; bit 1 set: some name is escaped in the text
//!      2      4  n, the number of fields
//!      6   2w*n  for each field, in the order of the text: where its name begins (behind the quote) and where its
//!                value begins, each w bytes, little-endian, counted from the start of the text
//!                the text: an object, its fields in the order of their names' bytes, no white space
//! ```
//!
//! Valid: the table fits, and the text begins with `{` and ends with `}`. That is checked before anything is read;
//! the rest is checked by whatever reads it, and what does not fit is an error.

mod text;

use bytes::Bytes;

use crate::datum::{Datum, Object, write_json};
use crate::limits::{DOCUMENT_DEPTH, STORAGE_VALUE_BYTES};

const FORM: u8 = 1;
const WIDE: u8 = 1;
const ESCAPED: u8 = 2;
const HEADER_BYTES: usize = 6;

/// Why a value cannot be stored, or stored bytes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Only objects are documents.
    #[error("a document must be an object")]
    NotAnObject,
    /// Minval and maxval are bounds, not values.
    #[error("`r.minval` and `r.maxval` cannot be written to disk.")]
    Extreme,
    /// Arrays and objects within each other, deeper than `limits::DOCUMENT_DEPTH`.
    #[error("the document is nested deeper than {limit} levels")]
    TooDeep {
        /// Most levels.
        limit: usize,
    },
    /// Longer than `limits::STORAGE_VALUE_BYTES` when stored.
    #[error("the document takes {length} bytes, more than {limit}")]
    TooLong {
        /// Bytes it would take.
        length: usize,
        /// Most bytes.
        limit: usize,
    },
    /// The stored bytes break a rule of the form.
    #[error("damaged document: {problem} at byte {at}")]
    Damaged {
        /// Which rule.
        problem: &'static str,
        /// Where, counted from the start of the text or of the stored bytes.
        at: usize,
    },
}

/// A document in its stored form. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    bytes: Bytes,
    /// Where the text begins.
    text: usize,
    fields: usize,
}

impl Document {
    /// Encodes a value, which must be an object.
    pub fn encode(value: &Datum) -> Result<Self, DocumentError> {
        let Datum::Object(object) = value else { return Err(DocumentError::NotAnObject) };
        check_storable(value, DOCUMENT_DEPTH)?;
        let mut text = Vec::with_capacity(256);
        let mut table = Vec::with_capacity(object.len());
        let escaped = write_text(object, &mut text, &mut table);
        let wide = text.len() > usize::from(u16::MAX);
        let flags = if wide { WIDE } else { 0 } | if escaped { ESCAPED } else { 0 };
        let width = width_of(flags);
        let text_at = HEADER_BYTES + table.len() * 2 * width;
        let length = text_at + text.len();
        if length > STORAGE_VALUE_BYTES {
            return Err(DocumentError::TooLong { length, limit: STORAGE_VALUE_BYTES });
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&[FORM, flags]);
        // Bounded by the length just checked, as are the offsets.
        bytes.extend_from_slice(&(table.len() as u32).to_le_bytes());
        for (name, value) in &table {
            for offset in [*name as u32, *value as u32] {
                bytes.extend(offset.to_le_bytes().into_iter().take(width));
            }
        }
        bytes.extend_from_slice(&text);
        Ok(Self { bytes: bytes.into(), text: text_at, fields: table.len() })
    }

    /// Takes stored bytes; fails when they cannot be a document.
    pub fn from_stored(bytes: Bytes) -> Result<Self, DocumentError> {
        let damaged = |problem, at| DocumentError::Damaged { problem, at };
        let header: &[u8; HEADER_BYTES] =
            bytes.first_chunk().ok_or(damaged("too short", bytes.len()))?;
        let [form, flags, count @ ..] = *header;
        if form != FORM {
            return Err(damaged("an unknown form", 0));
        }
        if flags & !(WIDE | ESCAPED) != 0 {
            return Err(damaged("unknown flags", 1));
        }
        let fields = u32::from_le_bytes(count) as usize;
        let text = fields
            .checked_mul(2 * width_of(flags))
            .and_then(|table| table.checked_add(HEADER_BYTES))
            .filter(|text| text + 2 <= bytes.len())
            .ok_or(damaged("a table that is too long", 2))?;
        if bytes.get(text) != Some(&b'{') || bytes.last() != Some(&b'}') {
            return Err(damaged("a text that is not an object", text));
        }
        Ok(Self { bytes, text, fields })
    }

    /// The stored bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The document as JSON, exactly as [`write_json`] writes its value.
    pub fn json(&self) -> &[u8] {
        self.bytes.get(self.text..).unwrap_or_default()
    }

    /// Appends the document as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.json());
    }

    /// The whole value.
    pub fn decode(&self) -> Result<Datum, DocumentError> {
        match text::parse(self.json())? {
            object @ Datum::Object(_) => Ok(object),
            _ => Err(DocumentError::Damaged { problem: "not an object", at: 0 }),
        }
    }

    /// The value of a field, or `None` when there is no such field. Decodes nothing else.
    pub fn field(&self, name: &str) -> Result<Option<Datum>, DocumentError> {
        self.field_json(name)?.map(text::parse).transpose()
    }

    /// A field's value as JSON.
    pub fn field_json(&self, name: &str) -> Result<Option<&[u8]>, DocumentError> {
        let mut quoted = Vec::new();
        let name = match name.bytes().all(is_plain) {
            true => name.as_bytes(),
            false => {
                write_json(&Datum::string(name), &mut quoted);
                quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default()
            }
        };
        match self.find(name)? {
            Some(at) => Ok(Some(self.value_text(at)?)),
            None => Ok(None),
        }
    }

    /// The number of the field with this name, which is given as the text has it.
    fn find(&self, name: &[u8]) -> Result<Option<usize>, DocumentError> {
        let flags = self.bytes.get(1).copied().unwrap_or_default();
        if flags & ESCAPED != 0 {
            for at in 0..self.fields {
                if self.name_text(at)? == name {
                    return Ok(Some(at));
                }
            }
            return Ok(None);
        }
        let (mut low, mut high) = (0, self.fields);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.name_text(middle)?.cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(Some(middle)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    /// Where the name and the value of a field begin in the text.
    fn offsets(&self, field: usize) -> Result<(usize, usize), DocumentError> {
        let width = width_of(self.bytes.get(1).copied().unwrap_or_default());
        let read = |number: usize| {
            let at = HEADER_BYTES + number * width;
            let mut offset = [0; 4];
            let stored = self.bytes.get(at..at + width)?;
            offset.get_mut(..width)?.copy_from_slice(stored);
            Some(u32::from_le_bytes(offset) as usize)
        };
        match (read(2 * field), read(2 * field + 1)) {
            (Some(name), Some(value)) => Ok((name, value)),
            _ => Err(DocumentError::Damaged { problem: "a table that is too short", at: field }),
        }
    }

    /// A name, without its quotes: it ends two bytes before its value begins.
    fn name_text(&self, field: usize) -> Result<&[u8], DocumentError> {
        let (name, value) = self.offsets(field)?;
        value
            .checked_sub(2)
            .and_then(|end| self.json().get(name..end))
            .ok_or(DocumentError::Damaged { problem: "a name outside the text", at: name })
    }

    /// A value: it ends two bytes before the next name begins, or before the closing brace.
    fn value_text(&self, field: usize) -> Result<&[u8], DocumentError> {
        let (_, value) = self.offsets(field)?;
        let end = if field + 1 < self.fields {
            self.offsets(field + 1)?.0.checked_sub(2)
        } else {
            self.json().len().checked_sub(1)
        };
        end.and_then(|end| self.json().get(value..end))
            .ok_or(DocumentError::Damaged { problem: "a value outside the text", at: value })
    }
}

fn width_of(flags: u8) -> usize {
    if flags & WIDE == 0 { 2 } else { 4 }
}

/// Whether a byte of a name certainly stands for itself in JSON.
fn is_plain(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\' && byte != b'/'
}

/// Writes the text and notes where names and values begin; whether some name needed an escape.
fn write_text(object: &Object, text: &mut Vec<u8>, table: &mut Vec<(usize, usize)>) -> bool {
    let mut escaped = false;
    text.push(b'{');
    for (number, (name, value)) in object.iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        let name_at = text.len() + 1;
        write_json(&Datum::String(name.clone()), text);
        escaped |= text.len() - name_at - 1 != name.len();
        text.push(b':');
        table.push((name_at, text.len()));
        write_json(value, text);
    }
    text.push(b'}');
    escaped
}

/// Refuses minval and maxval, and what is nested deeper than `levels`.
fn check_storable(value: &Datum, levels: usize) -> Result<(), DocumentError> {
    let below = || levels.checked_sub(1).ok_or(DocumentError::TooDeep { limit: DOCUMENT_DEPTH });
    match value {
        Datum::MinVal | Datum::MaxVal => Err(DocumentError::Extreme),
        Datum::Array(elements) => {
            let levels = below()?;
            elements.iter().try_for_each(|element| check_storable(element, levels))
        }
        Datum::Object(object) => {
            let levels = below()?;
            object.iter().try_for_each(|(_, value)| check_storable(value, levels))
        }
        Datum::Null | Datum::Bool(_) | Datum::Number(_) | Datum::String(_) | Datum::Binary(_) => {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
