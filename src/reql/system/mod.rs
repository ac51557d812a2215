//! The tables of database `rethinkdb`. A query that uses one gets a table of its own, filled with what the server is at
//! that moment; what is written to it changes the server, row by row.
//!
//! Must not know how terms read tables: to them these are tables like others.

mod cluster;
mod db_config;
mod server;
mod table_config;
mod table_status;
mod users;

use std::sync::Arc;

use uuid::Uuid;

use crate::catalog::{CatalogError, SYSTEM_DATABASE, TableEntry};
use crate::datum::Datum;
use crate::storage::memory::MemoryEngine;
use crate::storage::{Durability, Engine, WriteBatch};
use crate::table::{Document, NoSink, PrimaryKey, Table, TableId};

use super::env::Env;
use super::error::{Error, Result};
use super::selection::TableRef;
use super::terms::catalog_error;

pub use db_config::row as database_row;
pub use server::ServerFacts;
pub use table_config::row as table_row;
pub use table_status::row as status_row;

/// A system table: its rows, and what a change to one of them does.
struct SystemTable {
    name: &'static str,
    rows: fn(&Env) -> Result<Vec<Datum>>,
    /// `None` for a table that cannot be written.
    write: Option<Write>,
}

/// Puts a row in the place of another; null stands for none.
type Write = fn(&Env, old: &Datum, new: &Datum) -> Result<()>;

/// Those that are there, by name.
static TABLES: [SystemTable; 9] = [
    SystemTable { name: "cluster_config", rows: cluster::rows, write: Some(cluster::write) },
    SystemTable { name: "current_issues", rows: |_| Ok(Vec::new()), write: None },
    SystemTable { name: "db_config", rows: db_config::rows, write: Some(db_config::write) },
    SystemTable { name: "permissions", rows: users::permissions, write: Some(users::write) },
    SystemTable { name: "server_config", rows: server::config, write: Some(server::write) },
    SystemTable { name: "server_status", rows: server::status, write: None },
    SystemTable {
        name: "table_config",
        rows: table_config::rows,
        write: Some(table_config::write),
    },
    SystemTable { name: "table_status", rows: table_status::rows, write: None },
    SystemTable { name: "users", rows: users::rows, write: Some(users::write) },
];

/// The table of that name as it is now.
pub fn open(env: &Env, name: &str) -> Result<TableRef> {
    let Some(at) = TABLES.iter().position(|table| table.name == name) else {
        let error = env.context.catalog.state().table(SYSTEM_DATABASE, name).err();
        let gone = CatalogError::TableGone;
        return Err(catalog_error(error.unwrap_or(gone)));
    };
    let found = TABLES.get(at).ok_or_else(|| Error::internal("A system table is missing."))?;
    let rows = (found.rows)(env)?;
    // Tables of users have random names.
    let id = TableId(Uuid::from_u128(at as u128 + 1));
    let failed = |error: &dyn std::fmt::Display| {
        Error::internal(format!("The system table `{name}` cannot be made: {error}"))
    };
    let engine = Arc::new(MemoryEngine::new());
    let tree = engine.new_tree_id().map_err(|error| failed(&error))?;
    let mut batch = WriteBatch::new(Durability::Soft);
    batch.create_tree(tree);
    for row in rows {
        let key = PrimaryKey::encode(row.get_or_error("id")?)?;
        let document = Document::encode(&row).map_err(|error| failed(&error))?;
        batch.put(tree, key.as_bytes().clone(), document.as_bytes().clone());
    }
    engine.apply(batch).map_err(|error| failed(&error))?;
    let table = Arc::new(Table::new(id, "id", tree, engine, Arc::new(NoSink)));
    let entry = Arc::new(TableEntry::unlisted(id, found.name, table));
    Ok(TableRef::new(&entry, &Arc::from(SYSTEM_DATABASE)))
}

/// Changes the server as the row of a system table says.
pub fn write(env: &Env, table: &TableRef, old: &Datum, new: &Datum) -> Result<()> {
    let found = TABLES.iter().find(|known| known.name == table.name());
    match found.and_then(|known| known.write) {
        Some(write) => write(env, old, new),
        None => Err(Error::op_failed(format!(
            "It's illegal to write to the `rethinkdb.{}` table.",
            table.name()
        ))),
    }
}

/// What is wrong with a row that is to be written.
fn wrong_format(table: &str, problem: &str) -> Error {
    Error::op_failed(format!(
        "The change you're trying to make to `rethinkdb.{table}` has the wrong format. {problem}"
    ))
}

/// Fails unless a row has these fields and no others.
fn check_fields(table: &str, row: &Datum, fields: &[&str]) -> Result<()> {
    let object = row.as_object()?;
    if let Some(missing) = fields.iter().find(|field| !object.contains(field)) {
        return Err(wrong_format(table, &format!("Expected a field named `{missing}`.")));
    }
    let extra: Vec<&str> =
        object.iter().map(|(name, _)| &**name).filter(|name| !fields.contains(name)).collect();
    if extra.is_empty() {
        return Ok(());
    }
    Err(wrong_format(table, &format!("Unexpected key(s): {}", extra.join(", "))))
}

/// A text field of a row.
fn text<'r>(table: &str, row: &'r Datum, field: &str) -> Result<&'r Arc<str>> {
    match row.get(field) {
        Some(Datum::String(text)) => Ok(text),
        other => {
            let got = other.map_or_else(|| "nothing".to_owned(), Datum::print);
            let problem = format!("In `{field}`: Expected a string; got {got}");
            Err(wrong_format(table, &problem))
        }
    }
}
