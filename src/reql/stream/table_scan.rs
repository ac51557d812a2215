//! The documents of a table or of a range of its primary keys, read at one commit point.

use std::fmt;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::selection::{TableRef, TableVal};
use crate::storage::KeyRange;
use crate::table::{Document, DocumentScan, TableReader};

use super::{BatchSpec, Budget, Stream};

/// A scan under way.
pub struct TableScan {
    table: TableRef,
    reader: TableReader,
    range: KeyRange,
    scan: DocumentScan,
    /// One document ahead, so that the end is known with the last row.
    next: Option<Document>,
    /// Documents given or passed over.
    passed: u64,
}

impl TableScan {
    /// Begins to read the table at the last commit point.
    pub fn open(env: &Env, val: &TableVal) -> Result<TableScan> {
        let table = val.table.clone();
        let direction = val.order.unwrap_or_else(|| table.natural_direction());
        let range = val.key_range()?;
        let reader = env.reader(&table)?;
        let scan =
            reader.scan(&range, direction).map_err(|error| env.table_error(&table, error))?;
        let mut stream = TableScan { table, reader, range, scan, next: None, passed: 0 };
        stream.next = stream.read(env)?;
        Ok(stream)
    }

    fn read(&mut self, env: &Env) -> Result<Option<Document>> {
        self.scan.set_mode(env.read_mode());
        self.scan.next().map_err(|error| env.table_error(&self.table, error))
    }
}

impl fmt::Debug for TableScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableScan").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Stream for TableScan {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut budget = Budget::new(batch);
        let mut rows = Vec::new();
        while !budget.is_spent()
            && let Some(document) = self.next.take()
        {
            budget.take_sized(document.json().len());
            rows.push(batch.value_of(&document));
            self.passed += 1;
            self.next = self.read(env)?;
        }
        self.table.note_read(rows.len());
        env.check_interrupt()?;
        Ok(rows)
    }

    fn is_exhausted(&self) -> bool {
        self.next.is_none()
    }

    fn advance(&mut self, env: &Env, rows: u64) -> Result<u64> {
        // The document that was read ahead is the first to be passed over.
        let Some(further) = rows.checked_sub(1) else { return Ok(0) };
        if self.next.take().is_none() {
            return Ok(0);
        }
        self.scan.set_mode(env.read_mode());
        let skipped =
            self.scan.skip(further).map_err(|error| env.table_error(&self.table, error))?;
        self.passed += 1 + skipped;
        self.next = self.read(env)?;
        Ok(1 + skipped)
    }

    fn remaining(&self, env: &Env) -> Result<Option<u64>> {
        let all =
            self.reader.count(&self.range).map_err(|error| env.table_error(&self.table, error))?;
        Ok(Some(all.saturating_sub(self.passed)))
    }
}
