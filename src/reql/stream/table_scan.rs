//! The documents of a table or of a range of its primary keys, read at one commit point.
//!
//! Where nothing orders them they come in the order of the keys, or, if there are only a few, in the order in which
//! RethinkDB would give them: docs/decisions/0009-the-order-of-unordered-rows.md

use std::fmt;

use crate::datum::Datum;
use crate::limits::HASH_ORDER_ROWS;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::selection::TableVal;
use crate::reql::table_ref::TableRef;
use crate::storage::{Direction, KeyRange};
use crate::table::{Document, DocumentScan, TableError, TableReader};

use super::shards::Shards;
use super::{BatchSpec, Budget, Origin, Pick, Stream};

/// A scan under way.
pub struct TableScan {
    table: TableRef,
    reader: TableReader,
    range: KeyRange,
    /// The order that was asked for.
    order: Option<Direction>,
    rows: Rows,
    /// Documents given or passed over.
    passed: u64,
    /// Whether rows were asked for: before, RethinkDB does not know that there are none.
    is_begun: bool,
}

enum Rows {
    /// So many documents that nothing orders, and none of them read yet.
    Few(u64),
    /// They were read.
    Shards(Shards<Document>),
    /// As they come. One document ahead, so that the end is known with the last row.
    Scan(Option<Document>, DocumentScan),
}

impl TableScan {
    /// Begins to read the table at the last commit point.
    pub fn open(env: &Env, val: &TableVal, range: KeyRange) -> Result<TableScan> {
        let table = val.table.clone();
        let reader = env.stream_reader(&table)?;
        let order = val.order;
        let rows = Rows::Few(0);
        let is_begun = val.is_unachievable();
        let mut stream = TableScan { table, reader, range, order, rows, passed: 0, is_begun };
        match val.order.or_else(|| stream.table.natural_direction()) {
            Some(direction) => stream.scan(env, direction)?,
            None => {
                let few = stream
                    .reader
                    .count(&stream.range, env.read_mode())
                    .map_err(|e| stream.failed(env, e))?;
                if few <= HASH_ORDER_ROWS {
                    stream.rows = Rows::Few(few);
                } else {
                    stream.scan(env, Direction::Forward)?;
                }
            }
        }
        Ok(stream)
    }

    fn failed(&self, env: &Env, error: TableError) -> Error {
        env.table_error(&self.table, error)
    }

    fn scan(&mut self, env: &Env, direction: Direction) -> Result<()> {
        let scan = self
            .reader
            .scan(&self.range, direction, env.read_mode())
            .map_err(|e| self.failed(env, e))?;
        self.rows = Rows::Scan(None, scan);
        self.read_ahead(env)
    }

    fn read_ahead(&mut self, env: &Env) -> Result<()> {
        if let Rows::Scan(ahead, scan) = &mut self.rows {
            scan.set_mode(env.read_mode());
            *ahead = scan.next().map_err(|error| env.table_error(&self.table, error))?;
        }
        Ok(())
    }

    /// Reads the few documents that there are, unless they are very long.
    fn read_few(&mut self, env: &Env) -> Result<()> {
        let failed = |error| env.table_error(&self.table, error);
        let mut scan =
            self.reader.scan(&self.range, Direction::Forward, env.read_mode()).map_err(failed)?;
        scan.set_mode(env.read_mode());
        let shards = Shards::gather(|| {
            let found = scan.next_with_key().map_err(failed)?;
            Ok(found.map(|(key, document)| (key, document.json().len(), document.detached())))
        })?;
        match shards {
            Some(shards) => self.rows = Rows::Shards(shards),
            None => self.scan(env, Direction::Forward)?,
        }
        Ok(())
    }

    fn next(&mut self, env: &Env, pick: Pick) -> Result<Option<Document>> {
        self.is_begun = true;
        if matches!(self.rows, Rows::Few(_)) {
            self.read_few(env)?;
        }
        match &mut self.rows {
            Rows::Few(_) => Ok(None),
            Rows::Shards(shards) => Ok(shards.next(pick, env.batch_rows())),
            Rows::Scan(ahead, _) => {
                let next = ahead.take();
                if next.is_some() {
                    self.read_ahead(env)?;
                }
                Ok(next)
            }
        }
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
            && let Some(document) = self.next(env, batch.pick)?
        {
            budget.take_sized(document.json().len());
            rows.push(batch.value_of(&document));
            self.passed += 1;
        }
        self.table.note_read(rows.len());
        env.check_interrupt()?;
        Ok(rows)
    }

    fn is_exhausted(&self) -> bool {
        self.is_begun
            && match &self.rows {
                Rows::Few(few) => *few == 0,
                Rows::Shards(shards) => shards.is_empty(),
                Rows::Scan(ahead, _) => ahead.is_none(),
            }
    }

    fn let_go(&mut self) {
        if let Rows::Scan(ahead, scan) = &mut self.rows {
            *ahead = ahead.as_ref().map(Document::detached);
            scan.let_go();
        }
    }

    fn is_on_shards(&self) -> bool {
        true
    }

    fn asks_tables(&self) -> bool {
        true
    }

    fn origin(self: Box<Self>) -> Result<Origin> {
        Ok(Origin::new(self.table, self.range, self.order))
    }

    fn advance(&mut self, env: &Env, rows: u64) -> Result<u64> {
        let mut passed = 0;
        while passed < rows {
            // What is behind the document ahead can be passed over without reading it.
            if let Rows::Scan(Some(_), scan) = &mut self.rows {
                scan.set_mode(env.read_mode());
                let skipped = scan.skip(rows - passed - 1);
                passed += skipped.map_err(|error| env.table_error(&self.table, error))?;
            }
            if self.next(env, Pick::InTurn)?.is_none() {
                break;
            }
            passed += 1;
        }
        self.passed += passed;
        Ok(passed)
    }

    fn shards(&mut self, env: &Env) -> Result<usize> {
        self.is_begun = true;
        if matches!(self.rows, Rows::Few(_)) {
            self.read_few(env)?;
        }
        Ok(if let Rows::Shards(shards) = &self.rows { shards.count() } else { 0 })
    }

    fn remaining(&mut self, env: &Env) -> Result<Option<u64>> {
        let all = self
            .reader
            .count(&self.range, env.read_mode())
            .map_err(|error| env.table_error(&self.table, error))?;
        Ok(Some(all.saturating_sub(self.passed)))
    }
}
