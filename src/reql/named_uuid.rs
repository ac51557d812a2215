//! UUIDs that are made of texts: version 5 of RFC 9562.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use uuid::{Builder, Uuid};

use super::error::{Error, Result};
use crate::datum::work;

/// So much of a text is summed between two looks at whether the query may go on.
const PART_BYTES: usize = 16 * 1024;

/// RethinkDB's namespace of what is called database `rethinkdb`.
const DATABASES: Uuid = Uuid::from_u128(0x39a24924_14ec_4deb_99f1_742eda7aba5e);
/// Its namespace of the tables there.
const SYSTEM_TABLES: Uuid = Uuid::from_u128(0x0eabef01_6deb_4069_9a2d_448db057ab1e);

/// The UUID that a text has in a namespace.
pub fn named_uuid(namespace: &Uuid, text: &str) -> Result<Uuid> {
    let mut sum = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    sum.update(namespace.as_bytes());
    for part in text.as_bytes().chunks(PART_BYTES) {
        // Each byte is worth several that are copied.
        work::byte_steps(8 * part.len());
        sum.update(part);
    }
    let sum = sum.finish();
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
