//! The documents of a table or of a range of its primary keys, read at one commit point.

use std::fmt;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::selection::{TableRef, TableVal};
use crate::storage::Direction;
use crate::table::DocumentScan;

use super::{BatchSpec, Stream};

/// A scan under way.
pub struct TableScan {
    table: TableRef,
    scan: DocumentScan,
    /// One document ahead, so that the end is known with the last row.
    next: Option<Datum>,
}

impl TableScan {
    /// Begins to read the table at the last commit point.
    pub fn open(env: &Env, val: &TableVal) -> Result<TableScan> {
        let table = val.table.clone();
        let direction = val.order.unwrap_or(Direction::Forward);
        let range = val.key_range()?;
        let scan = env
            .reader(&table)?
            .scan(&range, direction)
            .map_err(|error| env.table_error(&table, error))?;
        let mut stream = TableScan { table, scan, next: None };
        stream.next = stream.read(env)?;
        Ok(stream)
    }

    fn read(&mut self, env: &Env) -> Result<Option<Datum>> {
        self.scan.set_mode(env.read_mode());
        let document = self.scan.next().map_err(|error| env.table_error(&self.table, error))?;
        document.map(|document| env.decode(&self.table, &document)).transpose()
    }
}

impl fmt::Debug for TableScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableScan").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Stream for TableScan {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut rows = Vec::new();
        while rows.len() < batch.max_rows {
            let Some(row) = self.next.take() else { break };
            rows.push(row);
            self.next = self.read(env)?;
        }
        env.check_interrupt()?;
        Ok(rows)
    }

    fn is_exhausted(&self) -> bool {
        self.next.is_none()
    }
}
