//! Permissions: what was said of what a user may do, and where. What was not said is decided one scope further out.

use std::collections::BTreeMap;

use uuid::Uuid;

/// What was said of one scope; nothing where it is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// To read documents.
    pub read: Option<bool>,
    /// To write documents.
    pub write: Option<bool>,
    /// To make, change and drop tables and indexes.
    pub config: Option<bool>,
    /// To have the server connect elsewhere; said of the global scope alone.
    pub connect: Option<bool>,
}

impl Rights {
    /// Those of the admin, in every scope.
    pub const ALL: Rights =
        Rights { read: Some(true), write: Some(true), config: Some(true), connect: Some(true) };

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Rights::default()
    }
}

/// Where a permission holds. Databases and tables are known by their ids, which outlive their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// In a database.
    Database(Uuid),
    /// In a table.
    Table(Uuid),
}

/// All that was said of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(BTreeMap<Scope, Rights>);

impl Permissions {
    /// What was said of a scope.
    pub fn get(&self, scope: Scope) -> Rights {
        self.0.get(&scope).copied().unwrap_or_default()
    }

    /// Says something of a scope, or nothing any more.
    pub fn set(&mut self, scope: Scope, rights: Rights) {
        if rights.is_empty() {
            self.0.remove(&scope);
        } else {
            self.0.insert(scope, rights);
        }
    }

    /// Every scope of which something was said: the global one, then databases, then tables.
    pub fn iter(&self) -> impl Iterator<Item = (Scope, Rights)> {
        self.0.iter().map(|(scope, rights)| (*scope, *rights))
    }
}
