//! A stored object as a value: decoded when something looks at more of it than single fields.
//! Knows the stored form; must not know where the bytes come from.
//!
//! The bytes come from a page whose checksum was right, or were encoded here: that they cannot be read is hardly ever
//! so. A value has no way to tell of it; it unwinds with a [`DamagedDocument`], to be caught by whoever evaluates.

use std::cmp::Ordering;
use std::panic::resume_unwind;
use std::sync::OnceLock;

use super::{StoredError, StoredObject};
use crate::datum::{Datum, Object};

/// A stored object that cannot be read: what a value that is looked into unwinds with.
#[derive(Debug)]
pub struct DamagedDocument {
    /// The object.
    pub document: StoredObject,
    /// What is wrong with it.
    pub error: StoredError,
}

/// A stored object, and what it decodes to once that was asked for.
#[derive(Debug)]
pub struct LazyObject {
    stored: StoredObject,
    decoded: OnceLock<Object>,
}

impl LazyObject {
    pub(in crate::datum) fn new(stored: StoredObject) -> Self {
        Self { stored, decoded: OnceLock::new() }
    }

    /// The form it is stored in.
    pub(in crate::datum) fn stored(&self) -> &StoredObject {
        &self.stored
    }

    /// All its fields.
    pub(in crate::datum) fn decoded(&self) -> &Object {
        self.decoded.get_or_init(|| match self.sound(self.stored.decode()) {
            Datum::Object(object) => object,
            _ => Object::empty(),
        })
    }

    /// One field, without the others unless they are at hand.
    pub(in crate::datum) fn field(&self, name: &str) -> Option<Datum> {
        match self.decoded.get() {
            Some(object) => object.get(name).cloned(),
            None => self.sound(self.stored.field(name)),
        }
    }

    /// How a field compares with another value.
    pub(in crate::datum) fn compare_field(&self, name: &str, other: &Datum) -> Option<Ordering> {
        match self.decoded.get() {
            Some(object) => object.get(name).map(|value| value.compare(other)),
            None => self.sound(self.stored.compare_field(name, other)),
        }
    }

    pub(in crate::datum) fn contains(&self, name: &str) -> bool {
        self.sound(self.stored.contains(name))
    }

    pub(in crate::datum) fn has_reql_type(&self) -> bool {
        self.sound(self.stored.has_reql_type())
    }

    pub(in crate::datum) fn equals(&self, other: &Self) -> bool {
        self.sound(self.stored.equals(&other.stored))
    }

    /// What was read of it, if it is as it was written.
    fn sound<T>(&self, read: Result<T, StoredError>) -> T {
        read.unwrap_or_else(|error| {
            let document = self.stored.detached();
            resume_unwind(Box::new(DamagedDocument { document, error }))
        })
    }
}
