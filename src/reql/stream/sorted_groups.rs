//! Rows in the order of an index whose equal values are told apart by more: those with one value are sorted in memory.

use std::collections::VecDeque;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::sort::{SortKey, sort_rows};

use super::{BatchSpec, BoxStream, Budget, Stream};

/// Sorts the rows of equal values. Its source gives pairs of a value and a row.
#[derive(Debug)]
pub struct SortedGroups {
    source: BoxStream,
    order: Vec<SortKey>,
    /// Rows of the current value, sorted.
    sorted: VecDeque<Datum>,
    /// Pairs that were read and are behind them.
    ahead: VecDeque<Datum>,
}

impl SortedGroups {
    /// The rows of a stream of pairs.
    pub fn new(source: BoxStream, order: Vec<SortKey>) -> Self {
        SortedGroups { source, order, sorted: VecDeque::new(), ahead: VecDeque::new() }
    }

    /// Reads all rows with the next value.
    fn fill(&mut self, env: &Env) -> Result<()> {
        let mut group: Vec<Datum> = Vec::new();
        let mut value: Option<Datum> = None;
        loop {
            if self.ahead.is_empty() {
                if self.source.is_exhausted() {
                    break;
                }
                // The next batch may hold the rest of the group; what is behind it waits.
                self.ahead = self.source.next_batch(env, &BatchSpec::TERMINAL)?.into();
                continue;
            }
            let Some((first, row)) = self.ahead.front().and_then(pair) else { break };
            match &value {
                Some(value) if value != first => break,
                Some(_) => {}
                None => value = Some(first.clone()),
            }
            group.push(row.clone());
            self.ahead.pop_front();
            env.check_array_size(group.len())?;
        }
        self.sorted = sort_rows(env, &self.order, group)?.into();
        Ok(())
    }
}

fn pair(row: &Datum) -> Option<(&Datum, &Datum)> {
    match row {
        Datum::Array(pair) => match pair.as_slice() {
            [value, row] => Some((value, row)),
            _ => None,
        },
        _ => None,
    }
}

impl Stream for SortedGroups {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut budget = Budget::new(batch);
        let mut rows = Vec::new();
        while !budget.is_spent() && !self.is_exhausted() {
            match self.sorted.pop_front() {
                Some(row) => {
                    budget.take(&row);
                    rows.push(row);
                }
                None => self.fill(env)?,
            }
        }
        env.check_interrupt()?;
        Ok(rows)
    }

    fn is_exhausted(&self) -> bool {
        self.sorted.is_empty() && self.ahead.is_empty() && self.source.is_exhausted()
    }

    fn let_go(&mut self) {
        self.source.let_go();
    }

    fn asks_tables(&self) -> bool {
        self.source.asks_tables()
    }

    fn remaining(&mut self, env: &Env) -> Result<Option<u64>> {
        let held = (self.sorted.len() + self.ahead.len()) as u64;
        Ok(self.source.remaining(env)?.map(|left| left + held))
    }
}
