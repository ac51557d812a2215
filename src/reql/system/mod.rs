//! The tables of database `rethinkdb`. A query that uses one gets a table of its own, filled with what the server is at
//! that moment; what is written to it changes the server, row by row.
//!
//! Must not know how terms read tables: to them these are tables like others.

mod cluster;
mod db_config;
mod issues;
mod jobs;
mod logs;
pub mod permissions;
mod placement;
mod server;
mod stats;
mod table_config;
mod table_status;
mod trouble;
mod users;
mod watch;

#[cfg(test)]
mod feed_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trouble_tests;

use std::sync::Arc;

use uuid::Uuid;

use crate::catalog::{CatalogError, DatabaseId, SYSTEM_DATABASE, TableEntry, is_valid_name};
use crate::datum::Datum;
use crate::storage::memory::MemoryEngine;
use crate::storage::{Durability, Engine, WriteBatch};
use crate::table::{Document, NoSink, PrimaryKey, Table, TableId};

use super::catalog_errors::catalog_error;
use super::context::Context;
use super::env::Env;
use super::error::{Error, ErrorKind, Result};
use super::table_ref::TableRef;
use super::watches::Watch;

pub use db_config::row as database_row;
pub use placement::Placement;
pub use table_config::row as table_row;
pub use table_status::row as status_row;
pub use trouble::{Trouble, TroubleKind, troubles};
use watch::TableWatch;

/// A system table: its rows, and what a change to one of them does.
#[derive(Debug)]
struct SystemTable {
    name: &'static str,
    rows: fn(&Look<'_>) -> Result<Vec<Datum>>,
    /// `None` for a table that cannot be written.
    write: Option<Write>,
    /// What changes its rows; nothing does where this is empty.
    news: &'static [News],
}

/// Where it is heard that the rows of a system table may be others now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// Databases, tables, indexes and settings.
    Catalog,
    /// Users and what they may do.
    Users,
    /// A line of the log.
    Log,
    /// Nowhere: it is looked at from time to time.
    Clock,
}

/// Changes the server as a row says, and gives the row as it is then; null when there is none any more.
type Write = fn(&Env, &Look<'_>, &Change<'_>) -> Result<Datum>;

/// How somebody looks at the server: `identifier_format` of the table that is read or written.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    context: &'a Context,
    /// Whether servers, databases and tables are called by their ids.
    by_id: bool,
}

impl<'a> Look<'a> {
    /// The usual way: everything by its name.
    pub fn by_name(context: &'a Context) -> Look<'a> {
        Look { context, by_id: false }
    }

    /// As the option says: `name` or `uuid`.
    pub fn formatted(context: &'a Context, format: &str) -> Look<'a> {
        Look { context, by_id: format == "uuid" }
    }

    /// This server.
    fn server(&self) -> Datum {
        match self.context.facts() {
            Some(facts) if self.by_id => facts.id.as_str().into(),
            _ => Datum::string(&self.context.server_name()),
        }
    }

    /// What is shown of each table, given also the name of its database.
    fn rows_of_tables(&self, row: fn(&Self, &str, &TableEntry) -> Datum) -> Vec<Datum> {
        let state = self.context.catalog.state();
        let mut rows = Vec::new();
        for database in state.databases() {
            rows.extend(database.tables().map(|table| row(self, &database.name, table)));
        }
        rows
    }

    /// A database.
    fn database(&self, name: &str, id: DatabaseId) -> Datum {
        if self.by_id { id.0.to_string().into() } else { name.into() }
    }

    /// A table.
    fn table(&self, table: &TableEntry) -> Datum {
        if self.by_id { table.id.0.to_string().into() } else { table.name.as_str().into() }
    }
}

/// What shall become of a row.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The row's key.
    pub key: &'a PrimaryKey,
    /// Whether the server made the key up.
    pub is_generated: bool,
    /// The row, null when there is none.
    pub old: &'a Datum,
    /// What was asked for in its place, null to remove it.
    pub new: &'a Datum,
}

impl Change<'_> {
    /// The key as it is shown.
    fn key(&self) -> Datum {
        let row = self.new.get("id").or_else(|| self.old.get("id")).cloned();
        row.or_else(|| self.key.value()).unwrap_or(Datum::Null)
    }

    /// The key, where keys are ids. Any other is that of no row.
    fn id(&self) -> Option<Uuid> {
        self.key.as_text()?.parse().ok()
    }
}

/// Those that are there, by name.
static TABLES: [SystemTable; 12] = [
    SystemTable {
        name: "cluster_config",
        rows: cluster::rows,
        write: Some(cluster::write),
        news: &[News::Catalog],
    },
    SystemTable { name: "current_issues", rows: issues::rows, write: None, news: &[News::Catalog] },
    SystemTable {
        name: "db_config",
        rows: db_config::rows,
        write: Some(db_config::write),
        news: &[News::Catalog],
    },
    SystemTable { name: "jobs", rows: jobs::rows, write: Some(jobs::write), news: &[News::Clock] },
    SystemTable { name: "logs", rows: logs::rows, write: None, news: &[News::Log] },
    SystemTable {
        name: "permissions",
        rows: permissions::rows,
        write: Some(permissions::write),
        news: &[News::Users, News::Catalog],
    },
    SystemTable {
        name: "server_config",
        rows: server::config,
        write: Some(server::write),
        news: &[News::Catalog],
    },
    SystemTable {
        name: "server_status",
        rows: server::status,
        write: None,
        news: &[News::Catalog],
    },
    SystemTable { name: "stats", rows: stats::rows, write: None, news: &[News::Clock] },
    SystemTable {
        name: "table_config",
        rows: table_config::rows,
        write: Some(table_config::write),
        news: &[News::Catalog],
    },
    SystemTable {
        name: "table_status",
        rows: table_status::rows,
        write: None,
        news: &[News::Catalog],
    },
    SystemTable {
        name: "users",
        rows: users::rows,
        write: Some(users::write),
        news: &[News::Users],
    },
];

/// The table of that name as it is now.
pub fn open(env: &Env, look: &Look<'_>, name: &str) -> Result<TableRef> {
    let Some(found) = TABLES.iter().find(|table| table.name == name) else {
        let (database, table) = (SYSTEM_DATABASE.to_owned(), name.to_owned());
        return Err(catalog_error(CatalogError::NoSuchTable { database, table }));
    };
    // A query that is evaluated where it was read is not among those that run, and whoever looks must see itself.
    if found.name == "jobs" && !env.may_wait() {
        return Err(Error::new(ErrorKind::NotResident, "The query must be among those that run."));
    }
    let rows = (found.rows)(look)?;
    let id = id_of(found.name, look.by_id);
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

/// The watch over a system table, which tells the hub what becomes of its rows as long as somebody holds it.
pub fn watch(env: &Env, table: &TableRef) -> Result<Arc<dyn Watch>> {
    let (found, look) = of(env, table)?;
    let context = &env.context;
    context
        .watches
        .of(id_of(found.name, look.by_id), || Ok(TableWatch::begin(context, found, look.by_id)?))
}

/// A row of a system table as it is now, null when there is none.
pub fn row(env: &Env, table: &TableRef, key: &PrimaryKey) -> Result<Datum> {
    let (found, look) = of(env, table)?;
    for row in (found.rows)(&look)? {
        if PrimaryKey::encode(row.get_or_error("id")?)? == *key {
            return Ok(row);
        }
    }
    Ok(Datum::Null)
}

/// Changes the server as the row of a system table says, and gives the row as it is then.
pub fn write(env: &Env, table: &TableRef, change: Change<'_>) -> Result<Datum> {
    let (found, look) = of(env, table)?;
    match found.write {
        Some(write) => write(env, &look, &change),
        None => {
            // RethinkDB has other words for this one.
            let what = if found.name == "logs" { "system table" } else { "table" };
            Err(Error::op_failed(format!(
                "It's illegal to write to the `rethinkdb.{}` {what}.",
                table.name()
            )))
        }
    }
}

/// The id of a system table: its name. Other tables have random ids. The last bit says how the table is looked at.
fn id_of(name: &str, by_id: bool) -> TableId {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    TableId(Uuid::from_u128(Uuid::from_bytes(bytes).as_u128() & !1 | u128::from(by_id)))
}

/// The id under which something is said of a system table.
fn table_id(name: &str) -> Option<Uuid> {
    let found = TABLES.iter().find(|table| table.name == name)?;
    Some(id_of(found.name, false).0)
}

/// The system table of an id.
fn table_name(id: Uuid) -> Option<&'static str> {
    TABLES.iter().map(|table| table.name).find(|name| id_of(name, false).0 == id)
}

fn of<'a>(env: &'a Env, table: &TableRef) -> Result<(&'static SystemTable, Look<'a>)> {
    let found = TABLES.iter().find(|known| known.name == table.name());
    let found = found.ok_or_else(|| Error::internal("A system table is missing."))?;
    Ok((found, Look { context: &env.context, by_id: table.table.id().0.as_u128() % 2 == 1 }))
}

const NAME_RULE: &str = "Use A-Z, a-z, 0-9, _ and - only";

/// What is wrong with a row that is to be written.
fn wrong_format(table: &str, problem: &str) -> Error {
    Error::op_failed(format!(
        "The change you're trying to make to `rethinkdb.{table}` has the wrong format. {problem}"
    ))
}

// What is wrong with a field is a text: its table says what stands before it.

/// A field that must be there.
fn field<'r>(row: &'r Datum, field: &str) -> std::result::Result<&'r Datum, String> {
    row.get(field).ok_or_else(|| format!("Expected a field named `{field}`."))
}

/// Fails when a row has other fields than these.
fn no_other_fields(row: &Datum, fields: &[&str]) -> std::result::Result<(), String> {
    let Datum::Object(object) = row else {
        return Err(format!("Expected an object; got {}", row.print()));
    };
    let extra = object.iter().map(|(name, _)| &**name).filter(|name| !fields.contains(name));
    let extra: String = extra.map(|name| format!(" {name}")).collect();
    if extra.is_empty() { Ok(()) } else { Err(format!("Unexpected key(s):{extra}")) }
}

/// A text of a field.
fn text<'r>(row: &'r Datum, name: &str) -> std::result::Result<&'r Arc<str>, String> {
    match field(row, name)? {
        Datum::String(text) => Ok(text),
        other => Err(format!("In `{name}`: Expected a string; got {}", other.print())),
    }
}

/// The name that a field gives to something: `what` it is.
fn name<'r>(row: &'r Datum, at: &str, what: &str) -> std::result::Result<&'r Arc<str>, String> {
    name_of(field(row, at)?, what)
}

/// A value as the name of something.
fn name_of<'r>(value: &'r Datum, what: &str) -> std::result::Result<&'r Arc<str>, String> {
    match value {
        Datum::String(name) if is_valid_name(name) => Ok(name),
        Datum::String(name) => Err(format!(
            "{} is not a valid {what}; {NAME_RULE}",
            Datum::String(name.clone()).print()
        )),
        other => Err(format!("Expected a {what}; got {}", other.print())),
    }
}
