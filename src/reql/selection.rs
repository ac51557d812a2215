//! Databases, tables and documents as results of terms.
//!
//! A selection remembers its table, so that update, replace and delete can write to what it reads.

use std::ops::Bound;
use std::sync::Arc;

use crate::catalog::TableEntry;
use crate::datum::Datum;
use crate::storage::{Direction, KeyRange};
use crate::table::{PrimaryKey, Table, key_range};

use super::env::Env;
use super::error::Result;
use super::stream::{BoxStream, TableScan};

/// A database that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its name.
    pub name: Arc<str>,
}

/// A table with its names.
#[derive(Clone, Debug)]
pub struct TableRef {
    /// The open table.
    pub table: Arc<Table>,
    /// Its database's name.
    pub db: Arc<str>,
    /// Its place in the catalog.
    pub entry: Arc<TableEntry>,
}

impl TableRef {
    /// A table of the catalog.
    pub fn new(entry: &Arc<TableEntry>, db: &Arc<str>) -> TableRef {
        TableRef { table: entry.table.clone(), db: db.clone(), entry: entry.clone() }
    }

    /// The table's own name.
    pub fn name(&self) -> &str {
        &self.entry.name
    }
}

/// A table, or a range or an order of one that no transformation has touched.
#[derive(Clone, Debug)]
pub struct TableVal {
    /// The table.
    pub table: TableRef,
    /// What `between` left of it.
    pub range: Option<(Bound<Datum>, Bound<Datum>)>,
    /// What `orderBy` with an index asked for.
    pub order: Option<Direction>,
}

impl TableVal {
    /// The whole table.
    pub fn whole(table: TableRef) -> Self {
        TableVal { table, range: None, order: None }
    }

    /// Whether a range or an order was applied.
    pub fn is_slice(&self) -> bool {
        self.range.is_some() || self.order.is_some()
    }

    /// The primary keys it covers.
    pub fn key_range(&self) -> Result<KeyRange> {
        match &self.range {
            Some((left, right)) => Ok(key_range(left.as_ref(), right.as_ref())?),
            None => Ok(KeyRange::ALL),
        }
    }

    /// Its documents.
    pub fn into_stream(self, env: &Env) -> Result<BoxStream> {
        Ok(Box::new(TableScan::open(env, &self)?))
    }

    /// Its documents as a selection.
    pub fn into_selection(self, env: &Env) -> Result<Selection> {
        let table = self.table.clone();
        Ok(Selection { table, stream: self.into_stream(env)? })
    }
}

/// Some documents of a table.
#[derive(Debug)]
pub struct Selection {
    /// The table.
    pub table: TableRef,
    /// The documents.
    pub stream: BoxStream,
}

/// One document of a table, there or not.
#[derive(Clone, Debug)]
pub struct SingleSelection {
    /// The table.
    pub table: TableRef,
    /// The document's primary key.
    pub key: PrimaryKey,
    /// The document, when reading it is how it was found.
    pub found: Option<Datum>,
}

impl SingleSelection {
    /// The document that was found by reading it.
    pub fn of_document(table: TableRef, document: Datum) -> Result<SingleSelection> {
        let key = PrimaryKey::encode(document.get_or_error(table.table.primary_key())?)?;
        Ok(SingleSelection { table, key, found: Some(document) })
    }

    /// The document, or null.
    pub fn read(&self, env: &Env) -> Result<Datum> {
        if let Some(document) = &self.found {
            return Ok(document.clone());
        }
        let reader = env.reader(&self.table)?;
        match reader.get(&self.key).map_err(|error| env.table_error(&self.table, error))? {
            Some(document) => env.decode(&self.table, &document),
            None => Ok(Datum::Null),
        }
    }
}
