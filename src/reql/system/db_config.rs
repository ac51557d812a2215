//! `db_config`: a row for each database. Inserting one creates a database, writing its name renames it, and deleting it
//! drops the database.

use uuid::Uuid;

use crate::catalog::{Database, DatabaseId, SYSTEM_DATABASE};
use crate::datum::Datum;
use crate::reql::catalog_errors::catalog_error;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};

use super::{Change, Look, name, no_other_fields, wrong_format};

const TABLE: &str = "db_config";

/// A database as the table shows it.
pub fn row(database: &Database) -> Datum {
    Datum::object([
        ("id", Datum::from(database.id.0.to_string())),
        ("name", Datum::string(&database.name)),
    ])
}

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    let state = look.context.catalog.state();
    Ok(state.databases().map(|database| row(database)).collect())
}

pub(super) fn write(env: &Env, look: &Look<'_>, change: &Change<'_>) -> Result<Datum> {
    let catalog = &look.context.catalog;
    let id = change.id().map(DatabaseId);
    let found = id.and_then(|id| catalog.state().database_by_id(id).cloned());
    let commit = match (found, change.new) {
        (None, Datum::Null) => return Ok(Datum::Null),
        (Some(database), Datum::Null) => {
            catalog.drop_database(&database.name).map_err(catalog_error)?.commit
        }
        (found, new) => {
            let to = wanted(new).map_err(|problem| wrong_format(TABLE, &problem))?;
            match found {
                Some(database) if *database.name == *to => return Ok(new.clone()),
                Some(database) => {
                    catalog.rename_database(&database.name, to).map_err(catalog_error)?.commit
                }
                None => create(look, change, to)?,
            }
        }
    };
    env.note_commit(commit);
    Ok(change.new.clone())
}

fn create(look: &Look<'_>, change: &Change<'_>, name: &str) -> Result<crate::storage::Commit> {
    let Some(id) = change.id().filter(|_| change.is_generated) else {
        return Err(Error::op_failed(
            "If you want to create a new table by inserting into `rethinkdb.db_config`, you must use an auto-generated \
             primary key.",
        ));
    };
    if name == SYSTEM_DATABASE {
        return Err(Error::op_failed("Database `rethinkdb` already exists."));
    }
    let created = look.context.catalog.create_database_as(DatabaseId(id), name);
    Ok(created.map_err(catalog_error)?.commit)
}

/// The name that a row asks for.
fn wanted(row: &Datum) -> std::result::Result<&str, String> {
    let to = super::field(row, "name").and_then(|_| {
        name(row, "name", "db name").map_err(|problem| format!("In `name`: {problem}"))
    })?;
    is_uuid(row)?;
    no_other_fields(row, &["id", "name"])?;
    Ok(to)
}

/// The key of an existing row is a UUID; that of a new one must be.
pub(super) fn is_uuid(row: &Datum) -> std::result::Result<Uuid, String> {
    let id = super::field(row, "id")?;
    let parsed = match id {
        Datum::String(text) => text.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| format!("In `id`: Expected a UUID; got {}", id.print()))
}
