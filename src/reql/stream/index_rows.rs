//! What an index leads to: documents, values, or both, in the order of the index, read at one commit point.

use std::fmt;
use std::sync::Arc;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::selection::TableRef;
use crate::storage::Direction;
use crate::table::{Index, IndexRange, IndexScan, IndexedDocument, TableReader};

use super::{BatchSpec, Budget, Stream};

/// What a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexRow {
    /// The document.
    Document,
    /// The value that led to it.
    Value,
    /// An array of the value and the document.
    Both,
}

/// A scan of some ranges of an index, one after another.
pub struct IndexRows {
    table: TableRef,
    index: Arc<Index>,
    reader: TableReader,
    direction: Direction,
    row: IndexRow,
    ranges: std::vec::IntoIter<IndexRange>,
    /// The range that is being read.
    scan: Option<(IndexRange, IndexScan)>,
    /// One document ahead, so that the end is known with the last row.
    next: Option<IndexedDocument>,
    /// Documents of the current range that were given or passed over.
    passed: u64,
}

impl IndexRows {
    /// Begins to read at the last commit point.
    pub fn open(
        env: &Env,
        table: &TableRef,
        index: &Arc<Index>,
        ranges: Vec<IndexRange>,
        direction: Direction,
        row: IndexRow,
    ) -> Result<Self> {
        let mut stream = IndexRows {
            table: table.clone(),
            index: Arc::clone(index),
            reader: env.reader(table)?,
            direction,
            row,
            ranges: ranges.into_iter(),
            scan: None,
            next: None,
            passed: 0,
        };
        stream.next = stream.read(env)?;
        Ok(stream)
    }

    fn read(&mut self, env: &Env) -> Result<Option<IndexedDocument>> {
        loop {
            if let Some((_, scan)) = &mut self.scan {
                scan.set_mode(env.read_mode());
                let found = scan.next().map_err(|error| env.table_error(&self.table, error))?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            let Some(range) = self.ranges.next() else { return Ok(None) };
            let scan = self
                .reader
                .scan_index(&self.index, &range, self.direction)
                .map_err(|error| env.table_error(&self.table, error))?;
            self.scan = Some((range, scan));
            self.passed = 0;
        }
    }

    fn row(&self, batch: &BatchSpec, found: &IndexedDocument) -> Datum {
        let value = || self.index.value_of(&found.document, found.tag).unwrap_or(Datum::Null);
        let document = || batch.value_of(&found.document);
        match self.row {
            IndexRow::Document => document(),
            IndexRow::Value => value(),
            IndexRow::Both => Datum::array(vec![value(), document()]),
        }
    }
}

impl fmt::Debug for IndexRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexRows").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Stream for IndexRows {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut budget = Budget::new(batch);
        let mut rows = Vec::new();
        while !budget.is_spent()
            && let Some(found) = self.next.take()
        {
            budget.take_sized(found.document.json().len());
            rows.push(self.row(batch, &found));
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
        let mut passed = 0;
        while passed < rows && self.next.take().is_some() {
            passed += 1;
            self.passed += 1;
            if let Some((_, scan)) = &mut self.scan {
                scan.set_mode(env.read_mode());
                let skipped = scan
                    .skip(rows - passed)
                    .map_err(|error| env.table_error(&self.table, error))?;
                passed += skipped;
                self.passed += skipped;
            }
            self.next = self.read(env)?;
        }
        Ok(passed)
    }

    fn remaining(&self, env: &Env) -> Result<Option<u64>> {
        let count = |range: &IndexRange| {
            let counted = self.reader.count_index(&self.index, range);
            counted.map_err(|error| env.table_error(&self.table, error))
        };
        let mut all = 0;
        if let Some((range, _)) = &self.scan {
            let Some(counted) = count(range)? else { return Ok(None) };
            all += counted.saturating_sub(self.passed);
        }
        for range in self.ranges.as_slice() {
            let Some(counted) = count(range)? else { return Ok(None) };
            all += counted;
        }
        Ok(Some(all))
    }
}
