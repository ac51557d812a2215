//! What an index leads to: documents, values, or both, in the order of the index, read at one commit point. A few rows
//! that nothing orders come as RethinkDB would give them: docs/decisions/0009-the-order-of-unordered-rows.md

use std::fmt;
use std::sync::Arc;

use crate::datum::Datum;
use crate::limits::HASH_ORDER_ROWS;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::table_ref::TableRef;
use crate::storage::Direction;
use crate::table::{Index, IndexRange, IndexScan, IndexedDocument, TableReader};

use super::shards::Shards;
use super::{BatchSpec, Budget, Origin, Pick, Stream, no_origin};

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
    /// Rows that are read before the first is given.
    few: Option<Few>,
    ranges: std::vec::IntoIter<Wanted>,
    /// The range that is being read.
    scan: Option<(Wanted, IndexScan)>,
    /// A row that was read and comes again so many times.
    again: Option<(IndexedDocument, u64)>,
    /// One document ahead, so that the end is known with the last row.
    next: Option<IndexedDocument>,
    /// Rows of the current range that were given or passed over.
    passed: u64,
}

/// A range, and how many times each of its rows comes: one after another, as in RethinkDB.
#[derive(Debug, Clone)]
struct Wanted {
    range: IndexRange,
    copies: u64,
}

/// Rows without an order.
enum Few {
    /// So many.
    Unread(u64),
    /// They were read.
    Read(Shards<IndexedDocument>),
}

impl IndexRows {
    /// Begins to read at the last commit point: in this order, or in none. Rows of ranges that are the same, and side by
    /// side, come as often as there are such ranges.
    pub fn open(
        env: &Env,
        table: &TableRef,
        index: &Arc<Index>,
        ranges: Vec<IndexRange>,
        order: Option<Direction>,
        row: IndexRow,
    ) -> Result<Self> {
        let mut wanted: Vec<Wanted> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match wanted.last_mut() {
                Some(last) if last.range == range => last.copies += 1,
                _ => wanted.push(Wanted { range, copies: 1 }),
            }
        }
        let mut stream = IndexRows {
            table: table.clone(),
            index: Arc::clone(index),
            reader: env.stream_reader(table)?,
            direction: order.unwrap_or(Direction::Forward),
            row,
            few: None,
            ranges: wanted.into_iter(),
            scan: None,
            again: None,
            next: None,
            passed: 0,
        };
        if order.is_none() {
            let few = stream.left(env)?.filter(|few| *few <= HASH_ORDER_ROWS);
            stream.few = few.map(Few::Unread);
        }
        if stream.few.is_none() {
            stream.next = stream.read(env)?;
        }
        Ok(stream)
    }

    /// The next row, in whichever order.
    fn take(&mut self, env: &Env, pick: Pick) -> Result<Option<IndexedDocument>> {
        if matches!(self.few, Some(Few::Unread(_))) {
            self.read_few(env)?;
        }
        if let Some(Few::Read(shards)) = &mut self.few {
            return Ok(shards.next(pick, env.batch_rows()));
        }
        let next = self.next.take();
        if next.is_some() {
            self.passed += 1;
            self.next = self.read(env)?;
        }
        Ok(next)
    }

    /// Reads the few rows that there are, unless they are very long.
    fn read_few(&mut self, env: &Env) -> Result<()> {
        let ranges = self.ranges.clone();
        let shards = Shards::gather(|| {
            let Some(found) = self.read(env)? else { return Ok(None) };
            let (key, document) = (found.key.clone(), found.document.detached());
            Ok(Some((key, document.json().len(), IndexedDocument { document, ..found })))
        })?;
        self.few = shards.map(Few::Read);
        if self.few.is_none() {
            self.ranges = ranges;
            self.scan = None;
            self.again = None;
            self.next = self.read(env)?;
        }
        Ok(())
    }

    fn read(&mut self, env: &Env) -> Result<Option<IndexedDocument>> {
        if let Some((found, times)) = self.again.take() {
            if times > 1 {
                self.again = Some((found.clone(), times - 1));
            }
            return Ok(Some(found));
        }
        loop {
            if let Some((wanted, scan)) = &mut self.scan {
                scan.set_mode(env.read_mode());
                let found = scan.next().map_err(|error| env.table_error(&self.table, error))?;
                if let Some(found) = found {
                    if wanted.copies > 1 {
                        self.again = Some((found.clone(), wanted.copies - 1));
                    }
                    return Ok(Some(found));
                }
            }
            let Some(wanted) = self.ranges.next() else { return Ok(None) };
            let scan = self
                .reader
                .scan_index(&self.index, &wanted.range, self.direction, env.read_mode())
                .map_err(|error| env.table_error(&self.table, error))?;
            self.scan = Some((wanted, scan));
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
            && let Some(found) = self.take(env, batch.pick)?
        {
            budget.take_sized(found.document.json().len());
            rows.push(self.row(batch, &found));
        }
        self.table.note_read(rows.len());
        env.check_interrupt()?;
        Ok(rows)
    }

    fn is_exhausted(&self) -> bool {
        match &self.few {
            Some(Few::Unread(few)) => *few == 0,
            Some(Few::Read(shards)) => shards.is_empty(),
            None => self.next.is_none(),
        }
    }

    fn let_go(&mut self) {
        let again = self.again.as_mut().map(|(found, _)| found);
        for found in self.next.as_mut().into_iter().chain(again) {
            found.detach();
        }
        if let Some((_, scan)) = &mut self.scan {
            scan.let_go();
        }
    }

    fn origin(self: Box<Self>) -> Result<Origin> {
        Err(no_origin(false))
    }

    fn advance(&mut self, env: &Env, rows: u64) -> Result<u64> {
        let mut passed = 0;
        while passed < rows && self.few.is_some() {
            if self.take(env, Pick::InTurn)?.is_none() {
                return Ok(passed);
            }
            passed += 1;
        }
        while passed < rows && self.next.take().is_some() {
            passed += 1;
            self.passed += 1;
            // Rows that come several times are passed one by one.
            if let Some((Wanted { copies: 1, .. }, scan)) = &mut self.scan {
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

    fn shards(&mut self, env: &Env) -> Result<usize> {
        if matches!(self.few, Some(Few::Unread(_))) {
            self.read_few(env)?;
        }
        Ok(if let Some(Few::Read(shards)) = &self.few { shards.count() } else { 0 })
    }

    fn remaining(&mut self, env: &Env) -> Result<Option<u64>> {
        match &self.few {
            Some(Few::Unread(few)) => Ok(Some(*few)),
            Some(Few::Read(shards)) => Ok(Some(shards.len() as u64)),
            None => self.left(env),
        }
    }
}

impl IndexRows {
    /// How many rows have not been read, if that is known without reading them.
    fn left(&self, env: &Env) -> Result<Option<u64>> {
        let count = |Wanted { range, copies }: &Wanted| -> Result<Option<u64>> {
            let counted = self.reader.count_index(&self.index, range, env.read_mode());
            let counted = counted.map_err(|error| env.table_error(&self.table, error))?;
            Ok(counted.map(|counted| counted.saturating_mul(*copies)))
        };
        let mut all = 0;
        if let Some((wanted, _)) = &self.scan {
            let Some(counted) = count(wanted)? else { return Ok(None) };
            all += counted.saturating_sub(self.passed);
        }
        for wanted in self.ranges.as_slice() {
            let Some(counted) = count(wanted)? else { return Ok(None) };
            all += counted;
        }
        Ok(Some(all))
    }
}
