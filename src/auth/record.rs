//! The users as they are kept with the data: one tree, a record for each. Has what proves a password, never the
//! password.
//!
//! ```text
//! key        value
//! user name  {"salt": .., "iterations": .., "stored_key": .., "server_key": .., "is_empty": true if the password is,
//!            "global": RIGHTS, "databases": {id: RIGHTS}, "tables": {id: RIGHTS}}, bytes as base64
//! ```
//!
//! `RIGHTS` has "read", "write", "config" and "connect", each true, false, or not there when nothing was said.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use photondb_protocol::handshake::scram::{SALT_SIZE, ScramCredentials};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ByName, Password, Permissions, Rights, Scope, User, UsersError};
use crate::storage::{Direction, KeyRange, ReadMode, Scanner, Snapshot, TreeId, WriteBatch};

/// The tree of users. The catalog has the one before it.
pub const TREE: TreeId = TreeId(2);

const WAIT: ReadMode = ReadMode::MayBlock;

#[derive(Serialize, Deserialize)]
struct Record {
    salt: String,
    iterations: NonZeroU32,
    stored_key: String,
    server_key: String,
    #[serde(default, skip_serializing_if = "is_false")]
    is_empty: bool,
    #[serde(default, skip_serializing_if = "Said::is_empty")]
    global: Said,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    databases: BTreeMap<Uuid, Said>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tables: BTreeMap<Uuid, Said>,
}

/// [`Rights`] as they are kept.
#[derive(Default, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    write: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connect: Option<bool>,
}

impl Said {
    fn is_empty(&self) -> bool {
        *self == Said::default()
    }
}

impl From<Rights> for Said {
    fn from(Rights { read, write, config, connect }: Rights) -> Said {
        Said { read, write, config, connect }
    }
}

impl From<Said> for Rights {
    fn from(Said { read, write, config, connect }: Said) -> Rights {
        Rights { read, write, config, connect }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_false(value: &bool) -> bool {
    !value
}

/// All users that are stored.
pub(super) fn read_all(snapshot: &dyn Snapshot) -> Result<ByName, UsersError> {
    let mut users = ByName::new();
    if !snapshot.has_tree(TREE, WAIT)? {
        return Ok(users);
    }
    let cursor = snapshot.cursor(TREE, &KeyRange::ALL, Direction::Forward)?;
    let mut scanner = Scanner::new(cursor, WAIT);
    while let Some((name, bytes)) = scanner.next()? {
        let name = String::from_utf8_lossy(name).into_owned();
        let user = decode(&name, bytes)?;
        users.insert(name, Arc::new(user));
    }
    Ok(users)
}

/// One user.
pub(super) fn read(snapshot: &dyn Snapshot, name: &str) -> Result<Option<User>, UsersError> {
    if !snapshot.has_tree(TREE, WAIT)? {
        return Ok(None);
    }
    let stored = snapshot.get(TREE, name.as_bytes(), WAIT)?;
    stored.map(|bytes| decode(name, &bytes)).transpose()
}

/// Puts into the batch what makes one user of another, or none of one; the batch holds if the old one is stored.
pub(super) fn change(
    batch: &mut WriteBatch,
    snapshot: &dyn Snapshot,
    name: &str,
    old: Option<&User>,
    new: Option<&User>,
) -> Result<(), UsersError> {
    if !snapshot.has_tree(TREE, WAIT)? {
        batch.expect_tree(TREE, false);
        batch.create_tree(TREE);
    } else if read(snapshot, name)?.as_ref() == old {
        let stored = snapshot.get(TREE, name.as_bytes(), WAIT)?;
        batch.expect_value(TREE, name.as_bytes().to_vec(), stored.map(|bytes| bytes.to_vec()));
    } else {
        return Err(crate::storage::StorageError::Conflict.into());
    }
    match new {
        Some(user) => batch.put(TREE, name.as_bytes().to_vec(), encode(name, user)?),
        None => batch.delete(TREE, name.as_bytes().to_vec()),
    };
    Ok(())
}

fn damaged(user: &str, problem: &str) -> UsersError {
    UsersError::Damaged { user: user.to_owned(), problem: problem.to_owned() }
}

fn decode(name: &str, bytes: &[u8]) -> Result<User, UsersError> {
    let record: Record =
        serde_json::from_slice(bytes).map_err(|error| damaged(name, &error.to_string()))?;
    let credentials = ScramCredentials {
        salt: decoded::<SALT_SIZE>(&record.salt).ok_or_else(|| damaged(name, "its salt"))?,
        iterations: record.iterations,
        stored_key: decoded(&record.stored_key).ok_or_else(|| damaged(name, "its stored key"))?,
        server_key: decoded(&record.server_key).ok_or_else(|| damaged(name, "its server key"))?,
    };
    let mut permissions = Permissions::default();
    permissions.set(Scope::Global, record.global.into());
    for (id, said) in record.databases {
        permissions.set(Scope::Database(id), said.into());
    }
    for (id, said) in record.tables {
        permissions.set(Scope::Table(id), said.into());
    }
    let password = Password { credentials, is_empty: record.is_empty };
    Ok(User { password, permissions })
}

fn encode(name: &str, user: &User) -> Result<Vec<u8>, UsersError> {
    let credentials = &user.password.credentials;
    let mut record = Record {
        salt: BASE64.encode(credentials.salt),
        iterations: credentials.iterations,
        stored_key: BASE64.encode(credentials.stored_key),
        server_key: BASE64.encode(credentials.server_key),
        is_empty: user.password.is_empty,
        global: Said::default(),
        databases: BTreeMap::new(),
        tables: BTreeMap::new(),
    };
    for (scope, rights) in user.permissions.iter() {
        match scope {
            Scope::Global => record.global = rights.into(),
            Scope::Database(id) => drop(record.databases.insert(id, rights.into())),
            Scope::Table(id) => drop(record.tables.insert(id, rights.into())),
        }
    }
    serde_json::to_vec(&record).map_err(|error| damaged(name, &error.to_string()))
}

fn decoded<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    BASE64.decode(text).ok()?.try_into().ok()
}
