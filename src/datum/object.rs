//! Objects: fields sorted by the bytes of their names, shared behind an `Arc`. One that was read from a table is its
//! stored form until something looks into it, so that passing it on, or reading one field, decodes nothing else.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::stored::{FieldChange, LazyObject, StoredObject};
use super::{Datum, REQL_TYPE, work};

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
        if let Repr::Stored(lazy) = &self.0 {
            work::byte_steps(lazy.stored().json().len());
            if let Ok(merged) = lazy.stored().merged(&changes) {
                return Object::from_stored(merged);
            }
        }
        work::steps(self.len());
        let mut fields = self.into_fields();
        if changes.len() > FEW {
            return Object::of(merge_many(fields, changes));
        }
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

/// So many changes are made one by one, each of which moves the fields behind it.
const FEW: usize = 16;

/// Makes changes to fields, both in the order of their names, in one pass.
fn merge_many(fields: Fields, changes: Vec<FieldChange>) -> Fields {
    let mut merged = Vec::with_capacity(fields.len() + changes.len());
    let mut fields = fields.into_iter().peekable();
    for (name, value) in changes {
        work::step();
        while let Some(field) = fields.next_if(|(have, _)| have.as_bytes() < name.as_bytes()) {
            merged.push(field);
        }
        fields.next_if(|(have, _)| *have == name);
        merged.extend(value.map(|value| (name, value)));
    }
    merged.extend(fields);
    merged
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
    fields: Fields,
    /// Fields that came when many were there that belong behind them. None of them is in `fields`.
    late: BTreeMap<Arc<str>, Datum>,
}

/// A field is put before as many others as that where it belongs: moving more of them for each would add up.
const MOVED: usize = 256;

impl ObjectBuilder {
    /// No fields yet.
    pub fn new() -> Self {
        ObjectBuilder::default()
    }

    /// Room for that many fields.
    pub fn with_capacity(fields: usize) -> Self {
        ObjectBuilder { fields: Vec::with_capacity(fields), late: BTreeMap::new() }
    }

    /// Sets a field and returns the value it had. Appending in order of names is O(1), anything else O(log n).
    pub fn insert(&mut self, name: Arc<str>, value: Datum) -> Option<Datum> {
        work::step();
        if let Some(slot) = self.late.get_mut(&name) {
            return Some(std::mem::replace(slot, value));
        }
        let at = match self.fields.last() {
            Some((last, _)) if last.as_bytes() >= name.as_bytes() => {
                match find(&self.fields, &name) {
                    Ok(at) => {
                        let slot = self.fields.get_mut(at)?;
                        return Some(std::mem::replace(&mut slot.1, value));
                    }
                    Err(at) => at,
                }
            }
            _ => self.fields.len(),
        };
        if self.fields.len() - at <= MOVED {
            self.fields.insert(at, (name, value));
        } else {
            self.late.insert(name, value);
        }
        None
    }

    /// Whether no field was set.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The value set for a field so far.
    pub fn get(&self, name: &str) -> Option<&Datum> {
        match find(&self.fields, name) {
            Ok(at) => self.fields.get(at).map(|(_, value)| value),
            Err(_) => self.late.get(name),
        }
    }

    /// The finished object.
    pub fn build(self) -> Object {
        if self.late.is_empty() {
            return Object::of(self.fields);
        }
        let late = self.late.into_iter().map(|(name, value)| (name, Some(value)));
        Object::of(merge_many(self.fields, late.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(at: usize) -> Arc<str> {
        format!("{at:06}").into()
    }

    fn number(at: usize) -> Datum {
        Datum::Number(at as f64)
    }

    #[test]
    fn fields_come_in_any_order() {
        let orders: [fn(usize) -> usize; 3] = [|at| at, |at| 1_999 - at, |at| at * 7 % 2_000];
        let expected: Object = (0..2_000).map(|at| (name(at), number(at))).collect();
        for order in orders {
            let mut builder = ObjectBuilder::new();
            for at in (0..2_000).map(order) {
                assert_eq!(builder.insert(name(at), Datum::Null), None);
                assert_eq!(builder.insert(name(at), number(at)), Some(Datum::Null));
                assert_eq!(builder.get(&name(at)), Some(&number(at)));
            }
            let object = builder.build();
            assert_eq!(Datum::Object(object.clone()), Datum::Object(expected.clone()));
            assert!(object.iter().map(|(name, _)| name).is_sorted());
        }
    }

    #[test]
    fn many_changes_are_what_they_are_one_by_one() {
        let object: Object = (0..1_000).map(|at| (name(2 * at), number(at))).collect();
        let change = |at: usize| (name(3 * at), (!at.is_multiple_of(2)).then(|| number(at)));
        let changes: Vec<FieldChange> = (0..700).map(change).collect();
        let one_by_one = changes
            .iter()
            .cloned()
            .fold(object.clone(), |object, change| object.merged(vec![change]));
        assert_eq!(Datum::Object(object.merged(changes)), Datum::Object(one_by_one));
    }

    #[test]
    fn a_hundred_thousand_fields_in_any_order_take_no_time() {
        let began = std::time::Instant::now();
        let object: Object = (0..100_000).rev().map(|at| (name(at), number(at))).collect();
        assert_eq!(object.len(), 100_000);
        let changes = (0..100_000).map(|at| (name(at), None)).collect();
        assert!(object.merged(changes).is_empty());
        assert!(began.elapsed() < std::time::Duration::from_secs(4), "{:?}", began.elapsed());
    }
}
