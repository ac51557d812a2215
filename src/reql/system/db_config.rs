//! `db_config`: a row for each database; writing its name renames it.

use crate::catalog::Database;
use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::terms::catalog_error;

use super::{check_fields, text};

const TABLE: &str = "db_config";

/// A database as the table shows it.
pub fn row(database: &Database) -> Datum {
    Datum::object([
        ("id", Datum::from(database.id.0.to_string())),
        ("name", Datum::string(&database.name)),
    ])
}

pub(super) fn rows(env: &Env) -> Result<Vec<Datum>> {
    let state = env.context.catalog.state();
    Ok(state.databases().map(|database| row(database)).collect())
}

pub(super) fn write(env: &Env, old: &Datum, new: &Datum) -> Result<()> {
    let catalog = &env.context.catalog;
    let commit = match (old, new) {
        (old, Datum::Null) => {
            let name = text(TABLE, old, "name")?;
            catalog.drop_database(name).map_err(catalog_error)?.commit
        }
        (Datum::Null, _) => {
            return Err(Error::op_failed(
                "Inserting into `rethinkdb.db_config` is not supported by this server. Use `dbCreate`.",
            ));
        }
        (old, new) => {
            check_fields(TABLE, new, &["id", "name"])?;
            let (from, to) = (text(TABLE, old, "name")?, text(TABLE, new, "name")?);
            if from == to {
                return Ok(());
            }
            catalog.rename_database(from, to).map_err(catalog_error)?.commit
        }
    };
    env.note_commit(commit);
    Ok(())
}
