//! An object as tables keep it: its JSON text behind a table of where its fields are.
//! Knows values and bytes; must not know keys, tables or terms.
//!
//! Most reads want a document as it is, so the text is kept exactly as the wire carries it; most others want one
//! field, so the table leads to it without a look at its neighbours. A change of some fields copies the text of the
//! others.
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
//! the rest is checked by whatever reads it, and what does not fit is an error. `photondb verify` checks all of it.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod lazy;
mod text;
mod write;

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::{Datum, Object, REQL_TYPE, work, write_json};
use crate::limits::{DOCUMENT_DEPTH, LONG_READ_BYTES, STORAGE_VALUE_BYTES, STORED_ARRAY_LEN};

pub use lazy::DamagedDocument;
pub(super) use lazy::LazyObject;
pub use write::FieldChange;

const FORM: u8 = 1;
const WIDE: u8 = 1;
const ESCAPED: u8 = 2;
const HEADER_BYTES: usize = 6;

thread_local! {
    /// Where fields were found, by what is known of their names at a glance. A wrong one costs a comparison.
    static HINTS: [Cell<usize>; 16] = const { [const { Cell::new(0) }; 16] };
}

/// Why a value cannot be stored, or stored bytes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Only objects are documents.
    #[error("a document must be an object")]
    NotAnObject,
    /// Minval and maxval are bounds, not values.
    #[error("`r.minval` and `r.maxval` cannot be written to disk.")]
    Extreme,
    /// An array with more elements than `limits::STORED_ARRAY_LEN`, whatever queries may hold.
    #[error("Array too large for disk writes (limit 100,000 elements).")]
    ArrayTooLong,
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

/// An object in its stored form. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StoredObject {
    bytes: Bytes,
    /// Where the text begins.
    text: usize,
    fields: usize,
    /// Whether the bytes may be a part of more that stays in memory as long as they do: a page of the engine.
    is_lent: bool,
}

impl PartialEq for StoredObject {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for StoredObject {}

impl StoredObject {
    /// Encodes a value, which must be an object.
    pub fn encode(value: &Datum) -> Result<Self, StoredError> {
        match value {
            Datum::Object(object) => match object.stored() {
                Some(stored) => Ok(stored.detached()),
                None => write::encode(object),
            },
            _ => Err(StoredError::NotAnObject),
        }
    }

    /// Takes stored bytes; fails when they cannot be a document.
    pub fn from_stored(bytes: Bytes) -> Result<Self, StoredError> {
        let damaged = |problem, at| StoredError::Damaged { problem, at };
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
        // What is long lies in no page with others, and has its room as it is: a copy would have none.
        let is_lent = bytes.len() as u64 <= LONG_READ_BYTES;
        Ok(Self { bytes, text, fields, is_lent })
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
        work::byte_steps(self.json().len());
        out.extend_from_slice(self.json());
    }

    /// The same with bytes of its own, so that it can be kept.
    pub fn detached(&self) -> Self {
        if !self.is_lent {
            return self.clone();
        }
        Self { bytes: Bytes::copy_from_slice(&self.bytes), is_lent: false, ..*self }
    }

    /// The value, which is decoded when something looks into it. It can be kept.
    pub fn value(&self) -> Datum {
        Datum::Object(Object::from_stored(self.detached()))
    }

    /// As [`StoredObject::value`], with the bytes that the engine may have lent: for a value that is soon gone.
    pub fn brief_value(&self) -> Datum {
        Datum::Object(Object::from_stored(self.clone()))
    }

    pub(super) fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// The whole value, decoded at once.
    pub fn decode(&self) -> Result<Datum, StoredError> {
        match text::parse(self.json())? {
            object @ Datum::Object(_) => Ok(object),
            _ => Err(StoredError::Damaged { problem: "not an object", at: 0 }),
        }
    }

    /// Reads all of it, the whole and field by field: fails when it breaks any rule of the form.
    pub fn check(&self) -> Result<(), StoredError> {
        let Datum::Object(whole) = self.decode()? else { return Ok(()) };
        let is_there = |(name, value): (&Arc<str>, &Datum)| -> Result<bool, StoredError> {
            Ok(self.field(name)?.as_ref() == Some(value))
        };
        for field in whole.iter() {
            if !is_there(field)? {
                return Err(StoredError::Damaged {
                    problem: "a table that is not the text's",
                    at: 0,
                });
            }
        }
        if whole.len() != self.fields {
            return Err(StoredError::Damaged { problem: "a table of other fields", at: 2 });
        }
        // Whatever goes through two objects side by side relies on the order of their fields.
        for (at, (name, _)) in whole.iter().enumerate() {
            if *self.name(at)? != **name {
                return Err(StoredError::Damaged { problem: "fields in another order", at });
            }
        }
        Ok(())
    }

    /// How many fields it has.
    pub(super) fn len(&self) -> usize {
        self.fields
    }

    /// Whether it has that field.
    pub(super) fn contains(&self, name: &str) -> Result<bool, StoredError> {
        Ok(self.find_unquoted(name)?.is_some())
    }

    /// Whether it has a field that says it is of a pseudo type.
    pub(super) fn has_reql_type(&self) -> Result<bool, StoredError> {
        // `$` sorts before letters and digits: in most documents the first name already tells that it is absent.
        if !self.is_escaped() && !matches!(self.name_text(0), Ok([first, ..]) if *first <= b'$') {
            return Ok(false);
        }
        self.contains(REQL_TYPE)
    }

    /// The value of a field, or `None` when there is no such field. Decodes nothing else.
    pub fn field(&self, name: &str) -> Result<Option<Datum>, StoredError> {
        self.field_json(name)?.map(text::parse).transpose()
    }

    /// How the value of a field compares with another, or `None` when there is no such field. A string is compared where
    /// it lies.
    pub(super) fn compare_field(
        &self,
        name: &str,
        other: &Datum,
    ) -> Result<Option<Ordering>, StoredError> {
        let Some(json) = self.field_json(name)? else { return Ok(None) };
        if let (Datum::String(other), Some(string)) = (other, text::plain_string(json)) {
            return Ok(Some(string.cmp(other.as_bytes())));
        }
        Ok(Some(text::parse(json)?.compare(other)))
    }

    /// A field's value as JSON.
    pub fn field_json(&self, name: &str) -> Result<Option<&[u8]>, StoredError> {
        match self.find_unquoted(name)? {
            Some(at) => Ok(Some(self.value_text(at)?)),
            None => Ok(None),
        }
    }

    /// Whether both are the same value, when neither is of a pseudo type. Decodes what is written differently.
    pub(super) fn equals(&self, other: &Self) -> Result<bool, StoredError> {
        work::byte_steps(self.json().len().min(other.json().len()));
        if self.json() == other.json() {
            return Ok(true);
        }
        if self.fields != other.fields {
            return Ok(false);
        }
        for at in 0..self.fields {
            // Two zeros are one number, and times are what their instants are.
            let (left, right) = (self.value_text(at)?, other.value_text(at)?);
            let same = self.name_text(at)? == other.name_text(at)?
                && (left == right || text::parse(left)? == text::parse(right)?);
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_escaped(&self) -> bool {
        self.bytes.get(1).is_some_and(|flags| flags & ESCAPED != 0)
    }

    /// The number of the field with this name.
    fn find_unquoted(&self, name: &str) -> Result<Option<usize>, StoredError> {
        // A name may be of many megabytes, and be asked for in each document of a table.
        if name.len() > self.json().len() {
            return Ok(None);
        }
        if name.bytes().all(is_plain) {
            return self.find(name.as_bytes());
        }
        let mut quoted = Vec::new();
        write_json(&Datum::string(name), &mut quoted);
        self.find(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default())
    }

    /// A field's name.
    fn name(&self, field: usize) -> Result<Cow<'_, str>, StoredError> {
        let (name, value) = self.offsets(field)?;
        let quoted = name.checked_sub(1).zip(value.checked_sub(1));
        let quoted = quoted.and_then(|(start, end)| self.json().get(start..end));
        text::string(quoted.unwrap_or_default())
    }

    /// The number of the field with this name, which is given as the text has it. Documents of a table are mostly alike:
    /// the field is looked for first where it was in the last one.
    fn find(&self, name: &[u8]) -> Result<Option<usize>, StoredError> {
        let place = name.len() + usize::from(name.last().copied().unwrap_or_default());
        HINTS.with(|hints| {
            let Some(hint) = hints.get(place % hints.len()) else { return Ok(None) };
            let at = hint.get();
            if at < self.fields && self.name_text(at)? == name {
                return Ok(Some(at));
            }
            let found = self.search(name)?;
            if let Some(at) = found {
                hint.set(at);
            }
            Ok(found)
        })
    }

    fn search(&self, name: &[u8]) -> Result<Option<usize>, StoredError> {
        if self.is_escaped() {
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
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(Some(middle)),
                Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    /// Where the name and the value of a field begin in the text.
    fn offsets(&self, field: usize) -> Result<(usize, usize), StoredError> {
        let is_wide = self.bytes.get(1).is_some_and(|flags| flags & WIDE != 0);
        let at = HEADER_BYTES + field * if is_wide { 8 } else { 4 };
        let row = self.bytes.get(at..self.text).unwrap_or_default();
        let offsets = match is_wide {
            false => row.first_chunk().map(|[a, b, c, d]| {
                (u16::from_le_bytes([*a, *b]).into(), u16::from_le_bytes([*c, *d]).into())
            }),
            true => row.first_chunk().map(|[a, b, c, d, e, f, g, h]| {
                let name = u32::from_le_bytes([*a, *b, *c, *d]);
                (name as usize, u32::from_le_bytes([*e, *f, *g, *h]) as usize)
            }),
        };
        offsets.ok_or(StoredError::Damaged { problem: "a table that is too short", at: field })
    }

    /// A name, without its quotes: it ends two bytes before its value begins.
    fn name_text(&self, field: usize) -> Result<&[u8], StoredError> {
        let (name, value) = self.offsets(field)?;
        value
            .checked_sub(2)
            .and_then(|end| self.json().get(name..end))
            .ok_or(StoredError::Damaged { problem: "a name outside the text", at: name })
    }

    /// A value: it ends two bytes before the next name begins, or before the closing brace.
    fn value_text(&self, field: usize) -> Result<&[u8], StoredError> {
        let (_, value) = self.offsets(field)?;
        let end = if field + 1 < self.fields {
            self.offsets(field + 1)?.0.checked_sub(2)
        } else {
            self.json().len().checked_sub(1)
        };
        end.and_then(|end| self.json().get(value..end))
            .ok_or(StoredError::Damaged { problem: "a value outside the text", at: value })
    }
}

fn width_of(flags: u8) -> usize {
    if flags & WIDE == 0 { 2 } else { 4 }
}

/// Whether a byte of a name certainly stands for itself in JSON.
fn is_plain(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\' && byte != b'/'
}

#[cfg(test)]
mod tests;
