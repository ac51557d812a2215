//! Objects: fields sorted by the bytes of their names, shared behind an `Arc`. One that was read from a table is its
//! stored form until something looks into it, so that passing it on, or reading one field, decodes nothing else.

use std::cmp::Ordering;
use std::sync::Arc;

use super::stored::{FieldChange, LazyObject, StoredObject};
use super::{Datum, REQL_TYPE};

/// An immutable object. Cloning shares the fields.
#[derive(Clone, Debug)]
pub struct Object(Repr);

type Fields = Vec<(Arc<str>, Datum)>;

#[derive(Clone, Debug)]
enum Repr {
    Fields(Arc<Fields>),
    Stored(Arc<LazyObject>),
}

impl Object {
    /// The object without fields.
    pub fn empty() -> Self {
        Object::of(Vec::new())
    }

    /// An object as a table keeps it.
    pub fn from_stored(stored: StoredObject) -> Self {
        Object(Repr::Stored(Arc::new(LazyObject::new(stored))))
    }

    fn of(fields: Fields) -> Self {
        Object(Repr::Fields(Arc::new(fields)))
    }

    /// The stored form, if it is one.
    pub fn stored(&self) -> Option<&StoredObject> {
        match &self.0 {
            Repr::Fields(_) => None,
            Repr::Stored(lazy) => Some(lazy.stored()),
        }
    }

    /// The value of a field. O(log n). Decodes all fields; [`Object::field`] does not.
    pub fn get(&self, name: &str) -> Option<&Datum> {
        let fields = self.fields();
        let at = find(fields, name).ok()?;
        fields.get(at).map(|(_, value)| value)
    }

    /// The value of a field, decoded without its neighbours. O(log n).
    pub fn field(&self, name: &str) -> Option<Datum> {
        match &self.0 {
            Repr::Fields(_) => self.get(name).cloned(),
            Repr::Stored(lazy) => lazy.field(name),
        }
    }

    /// How the value of a field [compares](Datum::compare) with another.
    pub fn compare_field(&self, name: &str, other: &Datum) -> Option<Ordering> {
        match &self.0 {
            Repr::Fields(_) => self.get(name).map(|value| value.compare(other)),
            Repr::Stored(lazy) => lazy.compare_field(name, other),
        }
    }

    /// Whether it has that field.
    pub fn contains(&self, name: &str) -> bool {
        match &self.0 {
            Repr::Fields(fields) => find(fields, name).is_ok(),
            Repr::Stored(lazy) => lazy.contains(name),
        }
    }

    /// How many fields it has.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Fields(fields) => fields.len(),
            Repr::Stored(lazy) => lazy.stored().len(),
        }
    }

    /// Whether it has no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The fields in order of their names' bytes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Datum)> + DoubleEndedIterator {
        self.fields().iter().map(|(name, value)| (name, value))
    }

    /// The value of `$reql_type$` when it is a string.
    pub fn pseudo_type(&self) -> Option<&str> {
        // `$` sorts before letters and digits: in most documents the first name already tells that it is absent.
        let may_be = match &self.0 {
            Repr::Fields(fields) => {
                let first = fields.first().and_then(|(name, _)| name.as_bytes().first());
                first.is_some_and(|byte| *byte <= b'$')
            }
            Repr::Stored(lazy) => lazy.has_reql_type(),
        };
        if !may_be {
            return None;
        }
        match self.get(REQL_TYPE) {
            Some(Datum::String(name)) => Some(name),
            _ => None,
        }
    }

    /// Where its fields are, if others may share them.
    pub(super) fn shared_address(&self) -> Option<usize> {
        match &self.0 {
            Repr::Fields(fields) => {
                (Arc::strong_count(fields) > 1).then(|| Arc::as_ptr(fields).addr())
            }
            Repr::Stored(lazy) => (Arc::strong_count(lazy) > 1).then(|| Arc::as_ptr(lazy).addr()),
        }
    }

    /// Whether both share their fields: equal without a look at them.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Fields(left), Repr::Fields(right)) => Arc::ptr_eq(left, right),
            (Repr::Stored(left), Repr::Stored(right)) => Arc::ptr_eq(left, right),
            _ => false,
        }
    }

    /// Whether both are the same value and neither is of a pseudo type, as far as that can be told without decoding all
    /// of them.
    pub(super) fn equals(&self, other: &Self) -> Option<bool> {
        match (&self.0, &other.0) {
            (Repr::Stored(left), Repr::Stored(right))
                if !left.has_reql_type() && !right.has_reql_type() =>
            {
                Some(Arc::ptr_eq(left, right) || left.equals(right))
            }
            _ => None,
        }
    }

    /// The same object with some fields set or removed. The changes are sorted by name, none twice. Copies the fields
    /// unless this is their only owner.
    pub fn merged(self, changes: Vec<FieldChange>) -> Self {
        if changes.is_empty() {
            return self;
        }
        // What cannot be stored can be in an object all the same.
        if let Repr::Stored(lazy) = &self.0
            && let Ok(merged) = lazy.stored().merged(&changes)
        {
            return Object::from_stored(merged);
        }
        let mut fields = self.into_fields();
        for (name, value) in changes {
            match (find(&fields, &name), value) {
                (Ok(at), Some(value)) => {
                    if let Some(slot) = fields.get_mut(at) {
                        slot.1 = value;
                    }
                }
                (Err(at), Some(value)) => fields.insert(at, (name, value)),
                (Ok(at), None) => drop(fields.remove(at)),
                (Err(_), None) => {}
            }
        }
        Object::of(fields)
    }

    /// The same object with one field set.
    pub fn with(self, name: Arc<str>, value: Datum) -> Self {
        self.merged(vec![(name, Some(value))])
    }

    /// The same object without one field.
    pub fn without(self, name: &str) -> Self {
        if !self.contains(name) {
            return self;
        }
        self.merged(vec![(Arc::from(name), None)])
    }

    fn fields(&self) -> &Fields {
        match &self.0 {
            Repr::Fields(fields) => fields,
            Repr::Stored(lazy) => lazy.decoded().fields(),
        }
    }

    fn into_fields(self) -> Fields {
        match self.0 {
            Repr::Fields(fields) => Arc::unwrap_or_clone(fields),
            Repr::Stored(lazy) => lazy.decoded().fields().clone(),
        }
    }
}

fn find(fields: &Fields, name: &str) -> Result<usize, usize> {
    fields.binary_search_by(|(have, _)| have.as_bytes().cmp(name.as_bytes()))
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
        Object::of(self.fields)
    }
}
