//! Databases, tables and documents as results of terms.
//!
//! A selection remembers its table, so that update, replace and delete can write to what it reads.

use std::ops::Bound;
use std::sync::Arc;

use crate::datum::Datum;
use crate::storage::{Direction, KeyRange};
use crate::table::{IndexRange, PrimaryKey, key_range};

use super::env::Env;
use super::error::{Error, NodeId, Result};
use super::stream::BoxStream;
use super::table_ref::{TableIndex, TableRef};

/// A database that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its name.
    pub name: Arc<str>,
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
    pub(super) fn index_range(&self) -> Result<IndexRange> {
        match self.range.as_deref() {
            Some((left, right)) => Ok(IndexRange::new(left.clone(), right.clone())?),
            None => Ok(IndexRange::ALL),
        }
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
