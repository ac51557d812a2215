//! Writes objects in their stored form: whole ones, and ones that differ from a stored one in some fields.
//! Knows the form; must not know how it is read.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use photondb_protocol::text::write_string;

use super::{
    DOCUMENT_DEPTH, ESCAPED, FORM, HEADER_BYTES, STORAGE_VALUE_BYTES, STORED_ARRAY_LEN,
    StoredError, StoredObject, WIDE,
};
use crate::datum::{Datum, Object, work, write_json_within};

/// What each thread keeps at most of what it writes documents into.
const SCRATCH_BYTES_KEPT: usize = 64 * 1024;

thread_local! {
    /// Where documents are written before it is known how long they are.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What becomes of a field: a value, or nothing.
pub type FieldChange = (Arc<str>, Option<Datum>);

pub(super) fn encode(object: &Object) -> Result<StoredObject, StoredError> {
    check_levels(object, DOCUMENT_DEPTH, &mut 0)?;
    let mut form = Form::new(object.len());
    for (name, value) in object.iter() {
        form.put(name, value);
    }
    form.finish()
}

impl StoredObject {
    /// Encodes fields whose values a function writes as [`write_json`] would. They come sorted by the bytes of their
    /// names, none twice. `None` when the function says that a value cannot be written, or when it all gets too long.
    pub fn of_written<'a, V>(
        fields: impl ExactSizeIterator<Item = (&'a str, V)>,
        mut write: impl FnMut(V, &mut Vec<u8>) -> bool,
    ) -> Option<Self> {
        let mut form = Form::new(fields.len());
        for (name, value) in fields {
            form.name(name);
            if !write(value, &mut form.bytes) {
                return None;
            }
        }
        form.finish().ok()
    }

    /// The same object with some fields set or removed. The changes are sorted by name, none twice.
    pub(in crate::datum) fn merged(&self, changes: &[FieldChange]) -> Result<Self, StoredError> {
        let levels = DOCUMENT_DEPTH - 1;
        let mut values = changes.iter().filter_map(|(_, value)| value.as_ref());
        let mut parts = 0;
        values.try_for_each(|value| check_storable(value, levels, &mut parts))?;
        let steps = self.steps(changes)?;
        let mut form = Form::new(steps.len());
        form.escaped = self.is_escaped();
        for step in steps {
            match step {
                Step::Keep(at) => form.copy(self.name_text(at)?, self.value_text(at)?),
                Step::Put(name, value) => form.put(name, value),
            }
        }
        form.finish()
    }

    /// The fields of the changed object, in order.
    fn steps<'a>(&self, changes: &'a [FieldChange]) -> Result<Vec<Step<'a>>, StoredError> {
        let mut steps = Vec::with_capacity(self.len() + changes.len());
        let mut changes = changes.iter().peekable();
        let put = |(name, value): &'a FieldChange| Some(Step::Put(name, value.as_ref()?));
        for at in 0..self.len() {
            let name = self.name(at)?;
            while let Some(change) =
                changes.next_if(|(changed, _)| changed.as_bytes() < name.as_bytes())
            {
                steps.extend(put(change));
            }
            match changes.next_if(|(changed, _)| **changed == *name) {
                Some(change) => steps.extend(put(change)),
                None => steps.push(Step::Keep(at)),
            }
        }
        steps.extend(changes.filter_map(put));
        Ok(steps)
    }
}

/// One field of a changed object.
enum Step<'a> {
    /// That of the object as it was.
    Keep(usize),
    /// A new one.
    Put(&'a Arc<str>, &'a Datum),
}

/// The stored form of an object, as it is being written.
struct Form {
    /// Room for a narrow table, and the text so far.
    bytes: Vec<u8>,
    /// Where the text begins.
    text: usize,
    /// Where names and values begin in the text.
    offsets: Vec<(usize, usize)>,
    escaped: bool,
}

impl Form {
    /// For so many fields.
    fn new(fields: usize) -> Self {
        let text = HEADER_BYTES + fields * 4;
        let mut bytes = SCRATCH.take();
        bytes.clear();
        bytes.resize(text, 0);
        bytes.push(b'{');
        Self { bytes, text, offsets: Vec::with_capacity(fields), escaped: false }
    }

    fn put(&mut self, name: &str, value: &Datum) {
        self.name(name);
        write_json_within(value, &mut self.bytes, 2 * STORAGE_VALUE_BYTES);
    }

    fn name(&mut self, name: &str) {
        self.separate();
        let name_at = self.at() + 1;
        write_string(&mut self.bytes, name);
        self.escaped |= self.at() - name_at - 1 != name.len();
        self.bytes.push(b':');
        self.offsets.push((name_at, self.at()));
    }

    /// Takes a field over as it was written.
    fn copy(&mut self, name: &[u8], value: &[u8]) {
        self.separate();
        self.bytes.push(b'"');
        let name_at = self.at();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b"\":");
        self.offsets.push((name_at, self.at()));
        self.bytes.extend_from_slice(value);
    }

    fn separate(&mut self) {
        if !self.offsets.is_empty() {
            self.bytes.push(b',');
        }
    }

    /// How long the text is.
    fn at(&self) -> usize {
        self.bytes.len() - self.text
    }

    fn finish(mut self) -> Result<StoredObject, StoredError> {
        self.bytes.push(b'}');
        let is_wide = self.at() > usize::from(u16::MAX);
        let escaped = if self.escaped { ESCAPED } else { 0 };
        let mut table = Vec::with_capacity(self.text + if is_wide { self.text } else { 0 });
        table.extend_from_slice(&[FORM, escaped | if is_wide { WIDE } else { 0 }]);
        // All that is counted here is bounded by the length that is checked below.
        table.extend_from_slice(&(self.offsets.len() as u32).to_le_bytes());
        for offset in self.offsets.iter().flat_map(|(name, value)| [*name, *value]) {
            match is_wide {
                true => table.extend_from_slice(&(offset as u32).to_le_bytes()),
                false => table.extend_from_slice(&(offset as u16).to_le_bytes()),
            }
        }
        let text = table.len();
        let length = text + self.at();
        if length > STORAGE_VALUE_BYTES {
            return Err(StoredError::TooLong { length, limit: STORAGE_VALUE_BYTES });
        }
        match self.bytes.get_mut(..self.text) {
            Some(room) if text == self.text => room.copy_from_slice(&table),
            _ => drop(self.bytes.splice(..self.text, table)),
        }
        // It may stay for long: not a byte more than it needs.
        let bytes = Bytes::copy_from_slice(&self.bytes);
        if self.bytes.capacity() <= SCRATCH_BYTES_KEPT {
            SCRATCH.set(self.bytes);
        }
        Ok(StoredObject { bytes, text, fields: self.offsets.len(), is_lent: false })
    }
}

/// Refuses minval and maxval, what is nested deeper than `levels`, and what has so many parts, in all, that it is too
/// long however it is written.
fn check_storable(value: &Datum, levels: usize, parts: &mut usize) -> Result<(), StoredError> {
    work::step();
    *parts += 1;
    if *parts > STORAGE_VALUE_BYTES {
        return Err(StoredError::TooLong { length: *parts, limit: STORAGE_VALUE_BYTES });
    }
    match value {
        Datum::MinVal | Datum::MaxVal => Err(StoredError::Extreme),
        Datum::Array(elements) if elements.len() > STORED_ARRAY_LEN => {
            Err(StoredError::ArrayTooLong)
        }
        Datum::Array(elements) => {
            let below =
                levels.checked_sub(1).ok_or(StoredError::TooDeep { limit: DOCUMENT_DEPTH })?;
            elements.iter().try_for_each(|element| check_storable(element, below, parts))
        }
        Datum::Object(object) => check_levels(object, levels, parts),
        Datum::Null | Datum::Bool(_) | Datum::Number(_) | Datum::String(_) | Datum::Binary(_) => {
            Ok(())
        }
    }
}

fn check_levels(object: &Object, levels: usize, parts: &mut usize) -> Result<(), StoredError> {
    let below = levels.checked_sub(1).ok_or(StoredError::TooDeep { limit: DOCUMENT_DEPTH })?;
    object.iter().try_for_each(|(_, value)| check_storable(value, below, parts))
}
