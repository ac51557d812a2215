//! Databases, tables and documents as results of terms.
//!
//! A selection remembers its table, so that update, replace and delete can write to what it reads.

use std::ops::Bound;
use std::sync::Arc;

use crate::catalog::{IndexEntry, SYSTEM_DATABASE, TableEntry};
use crate::datum::Datum;
use crate::storage::{Direction, KeyRange};
use crate::table::{IndexRange, PrimaryKey, Table, key_range};

use super::env::Env;
use super::error::{Error, NodeId, Result};
use super::stream::{BoxStream, IndexRow, IndexRows, NoRows, OnFirstRead, TableScan, Unreadable};

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

/// A table, or a range or an order of one that no transformation has touched.
#[derive(Clone, Debug)]
pub struct TableVal {
    /// The table.
    pub table: TableRef,
    /// The index that a range or an order is one of; the primary one if none was named.
    pub index: Option<TableIndex>,
    /// What `between` left of it.
    pub range: Option<Box<(Bound<Datum>, Bound<Datum>)>>,
    /// What `orderBy` with an index asked for.
    pub order: Option<Direction>,
    /// The term that gave the table: what cannot be combined with it is blamed on that one, as in RethinkDB.
    pub at: NodeId,
    /// The last term that ranged or ordered it: what cannot be read of it is blamed on that one.
    pub by: NodeId,
}

impl TableVal {
    /// The whole table, as a term gave it.
    pub fn whole(table: TableRef, at: NodeId) -> Self {
        TableVal { table, index: None, range: None, order: None, at, by: at }
    }

    /// Whether a range or an order was applied.
    pub fn is_slice(&self) -> bool {
        self.range.is_some() || self.order.is_some()
    }

    /// The name of its index.
    pub fn index_name(&self) -> Arc<str> {
        self.index.as_ref().unwrap_or(&TableIndex::Primary).name(&self.table)
    }

    /// The same, restricted to a range of an index: that of the order, if none is named.
    pub fn between(
        self,
        index: Option<TableIndex>,
        left: Bound<Datum>,
        right: Bound<Datum>,
    ) -> Result<Self> {
        if self.range.is_some() {
            let message = "Cannot perform multiple BETWEENs on the same table.";
            return Err(Error::logic(message).at(self.at));
        }
        let index = match (index, &self.index) {
            (Some(index), Some(order)) if index != *order => {
                return Err(Error::logic(format!(
                    "Cannot call BETWEEN on index `{}` after ordering on index `{}`.",
                    index.name(&self.table),
                    self.index_name()
                ))
                .at(self.at));
            }
            (Some(index), _) => index,
            (None, order) => order.clone().unwrap_or(TableIndex::Primary),
        };
        Ok(TableVal { index: Some(index), range: Some(Box::new((left, right))), ..self })
    }

    /// The same in the order of an index.
    pub fn ordered_by(self, index: TableIndex, direction: Direction) -> Result<Self> {
        if self.order.is_some() {
            let message = "Cannot perform multiple indexed ORDER_BYs on the same table.";
            return Err(Error::logic(message).at(self.at));
        }
        if self.index.as_ref().is_some_and(|range| *range != index) {
            return Err(Error::logic(format!(
                "Cannot order by index `{}` after calling BETWEEN on index `{}`.",
                index.name(&self.table),
                self.index_name()
            ))
            .at(self.at));
        }
        Ok(TableVal { index: Some(index), order: Some(direction), ..self })
    }

    /// Whether no value can lie in its range. RethinkDB does not ask an index for such a range.
    pub fn is_unachievable(&self) -> bool {
        let Some((left, right)) = self.range.as_deref() else { return false };
        match (left, right) {
            (Bound::Included(left), Bound::Included(right)) => left > right,
            (Bound::Included(left) | Bound::Excluded(left), Bound::Excluded(right))
            | (Bound::Excluded(left), Bound::Included(right)) => left >= right,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        }
    }

    /// The primary keys it covers, of a range of the primary index.
    pub fn key_range(&self) -> Result<KeyRange> {
        match self.range.as_deref() {
            Some((left, right)) => Ok(key_range(left.as_ref(), right.as_ref())?),
            None => Ok(KeyRange::ALL),
        }
    }

    /// The values it covers, of a range of a secondary index.
    fn index_range(&self) -> Result<IndexRange> {
        match self.range.as_deref() {
            Some((left, right)) => Ok(IndexRange::new(left.clone(), right.clone())?),
            None => Ok(IndexRange::ALL),
        }
    }

    /// Its documents.
    pub fn into_stream(self, env: &Env) -> Result<BoxStream> {
        self.into_rows(env, IndexRow::Document)
    }

    /// Its documents, or the values of its index, or both. The primary index gives documents alone. A secondary one is
    /// looked up with the first row.
    pub fn into_rows(self, env: &Env, row: IndexRow) -> Result<BoxStream> {
        let Some(TableIndex::Secondary(name)) = &self.index else {
            return self.scan(env);
        };
        if self.is_unachievable() {
            return Ok(Box::new(NoRows));
        }
        let name = name.clone();
        Ok(Box::new(OnFirstRead::new(move |env| {
            let entry = self.table.ordered_index(&name)?;
            let ranges = vec![self.index_range()?];
            let rows = IndexRows::open(env, &self.table, &entry.index, ranges, self.order, row)?;
            Ok(Box::new(rows))
        })))
    }

    /// Its documents by their primary keys. A bound that can be no key is an error of whoever reads them.
    fn scan(self, env: &Env) -> Result<BoxStream> {
        Ok(match self.key_range() {
            Ok(range) => Box::new(TableScan::open(env, &self, range)?),
            Err(_) if self.is_unachievable() => Box::new(NoRows),
            Err(error) => Box::new(Unreadable::new(error, self.by)),
        })
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
        let key = PrimaryKey::encode(&document.field_or_error(table.table.primary_key())?)?;
        Ok(SingleSelection { table, key, found: Some(document) })
    }

    /// The document, or null.
    pub fn read(&self, env: &Env) -> Result<Datum> {
        if let Some(document) = &self.found {
            return Ok(document.clone());
        }
        let reader = env.reader(&self.table)?;
        match reader
            .get(&self.key, env.read_mode())
            .map_err(|error| env.table_error(&self.table, error))?
        {
            Some(document) => {
                self.table.note_read(1);
                Ok(document.value())
            }
            None => Ok(Datum::Null),
        }
    }
}
