//! Objects: fields sorted by the bytes of their names, shared behind an `Arc`.
//!
//! The representation is private, so that a stored document can later stand behind the same calls unrebuilt.

use std::sync::Arc;

use super::{Datum, REQL_TYPE};

/// An immutable object. Cloning shares the fields.
#[derive(Clone, Debug)]
pub struct Object(Arc<Vec<(Arc<str>, Datum)>>);

impl Object {
    /// The object without fields.
    pub fn empty() -> Self {
        Object(Arc::new(Vec::new()))
    }

    /// The value of a field. O(log n).
    pub fn get(&self, name: &str) -> Option<&Datum> {
        let at = self.find(name).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Whether it has that field.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields in order of their names' bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Datum)> + DoubleEndedIterator {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The value of `$reql_type$` when it is a string.
    pub fn pseudo_type(&self) -> Option<&str> {
        // `$` sorts before letters and digits: in most documents the first name already tells that it is absent.
        match self.0.first() {
            Some((name, _)) if name.as_bytes().first().is_some_and(|b| *b <= b'$') => {}
            _ => return None,
        }
        match self.get(REQL_TYPE) {
            Some(Datum::String(name)) => Some(name),
            _ => None,
        }
    }

    /// The same object with one field set. Copies the field list unless this is its only owner.
    pub fn with(mut self, name: Arc<str>, value: Datum) -> Self {
        let found = self.find(&name);
        let fields = Arc::make_mut(&mut self.0);
        match found {
            Ok(at) => {
                if let Some(slot) = fields.get_mut(at) {
                    slot.1 = value;
                }
            }
            Err(at) => fields.insert(at, (name, value)),
        }
        self
    }

    /// The same object without one field.
    pub fn without(mut self, name: &str) -> Self {
        if let Ok(at) = self.find(name) {
            Arc::make_mut(&mut self.0).remove(at);
        }
        self
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(have, _)| have.as_bytes().cmp(name.as_bytes()))
    }
}

impl FromIterator<(Arc<str>, Datum)> for Object {
    /// Of several fields of one name the last wins.
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Datum)>>(fields: I) -> Self {
        let mut builder = ObjectBuilder::new();
        for (name, value) in fields {
            builder.insert(name, value);
        }
        builder.build()
    }
}

/// Collects fields in any order.
#[derive(Debug, Default)]
pub struct ObjectBuilder {
    fields: Vec<(Arc<str>, Datum)>,
}

impl ObjectBuilder {
    /// No fields yet.
    pub fn new() -> Self {
        ObjectBuilder::default()
    }

    /// Room for that many fields.
    pub fn with_capacity(fields: usize) -> Self {
        ObjectBuilder { fields: Vec::with_capacity(fields) }
    }

    /// Sets a field and returns the value it had. Appending in order of names is O(1), anything else O(log n) plus
    /// the move of the fields behind it.
    pub fn insert(&mut self, name: Arc<str>, value: Datum) -> Option<Datum> {
        match self.fields.last() {
            None => {}
            Some((last, _)) if last.as_bytes() < name.as_bytes() => {}
            Some(_) => {
                let found =
                    self.fields.binary_search_by(|(have, _)| have.as_bytes().cmp(name.as_bytes()));
                match found {
                    Ok(at) => {
                        let slot = self.fields.get_mut(at)?;
                        return Some(std::mem::replace(&mut slot.1, value));
                    }
                    Err(at) => {
                        self.fields.insert(at, (name, value));
                        return None;
                    }
                }
            }
        }
        self.fields.push((name, value));
        None
    }

    /// Whether no field was set.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The value set for a field so far.
    pub fn get(&self, name: &str) -> Option<&Datum> {
        let at =
            self.fields.binary_search_by(|(have, _)| have.as_bytes().cmp(name.as_bytes())).ok()?;
        self.fields.get(at).map(|(_, value)| value)
    }

    /// The finished object.
    pub fn build(self) -> Object {
        Object(Arc::new(self.fields))
    }
}
