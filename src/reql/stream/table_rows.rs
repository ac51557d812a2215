//! The rows of a table, of a range or an order of one: which of the streams reads them.

use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::selection::{Selection, TableVal};
use crate::reql::table_ref::TableIndex;

use super::{BoxStream, IndexRow, IndexRows, NoRows, OnFirstRead, TableScan, Unreadable};

impl TableVal {
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
