//! A table and an index of it, by their names and as they are: what terms that read and write are told of them.

use std::sync::Arc;

use crate::catalog::{IndexEntry, SYSTEM_DATABASE, TableEntry};
use crate::storage::Direction;
use crate::table::Table;

use super::error::{Error, Result};

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

    /// What a name of an index stands for. Whether there is such an index is found out by whoever reads it.
    pub fn index_named(&self, name: &Arc<str>) -> TableIndex {
        if **name == **self.table.primary_key() {
            TableIndex::Primary
        } else {
            TableIndex::Secondary(name.clone())
        }
    }

    /// A secondary index that is ordered by its values, if it can be read.
    pub fn ordered_index(&self, name: &str) -> Result<&IndexEntry> {
        let entry = self.index_entry(name)?;
        if entry.definition.geo {
            return Err(Error::logic(format!(
                "Index `{name}` is a geospatial index.  Only get_nearest and get_intersecting can use a geospatial \
                 index."
            )));
        }
        Ok(entry)
    }

    /// A secondary index of any kind by its name, if it is complete.
    pub fn index_entry(&self, name: &str) -> Result<&IndexEntry> {
        let entry = self.entry.indexes.get(name).ok_or_else(|| self.index_not_found(name))?;
        if !entry.index.is_ready() {
            return Err(Error::op_failed(format!(
                "Index `{name}` on table `{}.{}` was accessed before its construction was finished.",
                self.db,
                self.name()
            )));
        }
        Ok(entry)
    }

    /// Whether it is one of database `rethinkdb`.
    pub fn is_system(&self) -> bool {
        *self.db == *SYSTEM_DATABASE
    }

    /// The order of a scan that asks for none, where it is not left open: system tables come in that of their keys, and
    /// the lines of the log as RethinkDB gives them, the newest first.
    pub fn natural_direction(&self) -> Option<Direction> {
        match (self.is_system(), self.name()) {
            (false, _) => None,
            (true, "logs") => Some(Direction::Backward),
            (true, _) => Some(Direction::Forward),
        }
    }

    /// Counts documents that a query has read.
    pub fn note_read(&self, documents: usize) {
        self.table.counts().read.add(documents as u64);
    }

    /// What is said when it was dropped.
    pub fn gone(&self) -> Error {
        Error::op_failed(format!("Table `{}.{}` does not exist.", self.db, self.name()))
    }

    /// What is said of an index that does not exist.
    pub fn index_not_found(&self, name: &str) -> Error {
        Error::op_failed(format!(
            "Index `{name}` was not found on table `{}.{}`.",
            self.db,
            self.name()
        ))
    }
}

/// An index of a table, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableIndex {
    /// That of the primary key.
    Primary,
    /// A secondary one, which is looked up when its rows are read: it may not exist.
    Secondary(Arc<str>),
}

impl TableIndex {
    /// Its name on this table.
    pub fn name(&self, table: &TableRef) -> Arc<str> {
        match self {
            TableIndex::Primary => table.table.primary_key().clone(),
            TableIndex::Secondary(name) => name.clone(),
        }
    }
}
