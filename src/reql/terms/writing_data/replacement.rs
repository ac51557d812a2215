//! Which document may take the place of which.

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::table::{Document, PrimaryKey};

/// Checks a document that was made apart from the table, before it is inserted in the place of `old`.
pub fn check_made_apart(
    primary_key: &str,
    key: &PrimaryKey,
    old: &Datum,
    new: &Datum,
) -> Result<()> {
    let Some(value) = new.as_object()?.field(primary_key) else {
        return Err(no_primary_key(primary_key, new));
    };
    if PrimaryKey::encode(&value)? == *key { Ok(()) } else { Err(other_key(primary_key, old, new)) }
}

fn no_primary_key(primary_key: &str, new: &Datum) -> Error {
    Error::logic(format!(
        "Inserted object must have primary key `{primary_key}`:\n{}",
        new.truncated_print()
    ))
}

fn other_key(primary_key: &str, old: &Datum, new: &Datum) -> Error {
    Error::logic(format!(
        "Primary key `{primary_key}` cannot be changed (`{}` -> `{}`).",
        old.truncated_print(),
        new.truncated_print()
    ))
}

/// Checks a document that shall stand under a key and encodes it; `None` when the document goes.
///
/// `old` is what stands there now, null when nothing does.
pub fn check(
    primary_key: &str,
    key: &PrimaryKey,
    old: &Datum,
    new: &Datum,
) -> Result<Option<Document>> {
    let object = match new {
        Datum::Null => return Ok(None),
        Datum::Object(object) if object.pseudo_type().is_none() => object,
        other => {
            return Err(Error::logic(format!(
                "Inserted value must be an OBJECT (got {}):\n{}",
                other.type_name(),
                other.truncated_print()
            )));
        }
    };
    let Some(value) = object.field(primary_key) else {
        return Err(no_primary_key(primary_key, new));
    };
    if PrimaryKey::encode(&value)? != *key {
        return Err(match old {
            Datum::Null => Error::logic(format!(
                "Primary key `{primary_key}` cannot be changed (null -> {})",
                new.truncated_print()
            )),
            old => other_key(primary_key, old, new),
        });
    }
    Document::encode(new).map(Some).map_err(|error| Error::logic(error.to_string()))
}
