//! UUIDs that are made of texts: version 5 of RFC 9562.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use uuid::{Builder, Uuid};

use super::error::{Error, Result};

/// RethinkDB's namespace of what is called database `rethinkdb`.
const DATABASES: Uuid = Uuid::from_u128(0x39a24924_14ec_4deb_99f1_742eda7aba5e);
/// Its namespace of the tables there.
const SYSTEM_TABLES: Uuid = Uuid::from_u128(0x0eabef01_6deb_4069_9a2d_448db057ab1e);

/// The UUID that a text has in a namespace.
pub fn named_uuid(namespace: &Uuid, text: &str) -> Result<Uuid> {
    let input = [namespace.as_bytes(), text.as_bytes()].concat();
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &input);
    let bytes = sum.as_ref().first_chunk().ok_or_else(|| Error::internal("SHA-1 is too short."))?;
    Ok(Builder::from_sha1_bytes(*bytes).into_uuid())
}

/// The id of the system's own database, which is the same on every server.
pub fn system_database_id(name: &str) -> Result<Uuid> {
    named_uuid(&DATABASES, name)
}

/// The id of a table of the system's database, which is the same on every server.
pub fn system_table_id(name: &str) -> Result<Uuid> {
    named_uuid(&SYSTEM_TABLES, name)
}
