//! Sorting rows by what functions make of them: `orderBy`, and `union` with an order.
//!
//! A row for which a function finds nothing sorts before all others, and last when descending.

use std::cmp::Ordering;

use crate::datum::Datum;
use crate::limits;

use super::env::Env;
use super::error::{ErrorKind, Result};
use super::function::Func;

/// One thing to sort by.
#[derive(Clone, Debug)]
pub struct SortKey {
    /// Gives the value.
    pub func: Func,
    /// Largest first.
    pub descending: bool,
}

impl SortKey {
    /// The row's value, `None` when it has none.
    fn of(&self, env: &Env, row: &Datum) -> Result<Option<Datum>> {
        match self.func.call_datum(env, std::slice::from_ref(row)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NonExistence => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn compare(&self, left: &Option<Datum>, right: &Option<Datum>) -> Ordering {
        if self.descending { right.cmp(left) } else { left.cmp(right) }
    }
}

/// All that a row is sorted by.
#[derive(Debug)]
pub struct Keys(Vec<Option<Datum>>);

impl Keys {
    /// The values of a row.
    pub fn of(env: &Env, order: &[SortKey], row: &Datum) -> Result<Keys> {
        order.iter().map(|key| key.of(env, row)).collect::<Result<_>>().map(Keys)
    }

    /// The order of two rows.
    pub fn compare(&self, other: &Keys, order: &[SortKey]) -> Ordering {
        let values = self.0.iter().zip(&other.0);
        order
            .iter()
            .zip(values)
            .map(|(key, (left, right))| key.compare(left, right))
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

/// Sorts rows; equal ones keep their order. A function is called once for a row, and only where those before it leave
/// the order open.
pub fn sort_rows(env: &Env, order: &[SortKey], rows: Vec<Datum>) -> Result<Vec<Datum>> {
    let Some((key, _)) = order.split_first() else { return Ok(rows) };
    if rows.len() < 2 {
        return Ok(rows);
    }
    let keys = evaluate(env, key, &rows)?;
    let sorted = sort_keyed(env, order, keys.into_iter().zip(rows).collect())?;
    Ok(sorted.into_iter().map(|(_, row)| row).collect())
}

/// A row, and what it is sorted by first.
type Keyed = (Option<Datum>, Datum);

fn sort_keyed(env: &Env, order: &[SortKey], mut keyed: Vec<Keyed>) -> Result<Vec<Keyed>> {
    let Some((key, rest)) = order.split_first() else { return Ok(keyed) };
    keyed.sort_by(|(left, _), (right, _)| key.compare(left, right));
    if rest.is_empty() {
        return Ok(keyed);
    }
    let mut sorted = Vec::with_capacity(keyed.len());
    let mut run = Vec::new();
    let mut run_key = None;
    let mut end_run = |run: &mut Vec<Datum>, run_key: &Option<Datum>| -> Result<()> {
        let rows = sort_rows(env, rest, std::mem::take(run))?;
        sorted.extend(rows.into_iter().map(|row| (run_key.clone(), row)));
        Ok(())
    };
    for (value, row) in keyed {
        if !run.is_empty() && run_key != value {
            end_run(&mut run, &run_key)?;
        }
        run_key = value;
        run.push(row);
    }
    end_run(&mut run, &run_key)?;
    Ok(sorted)
}

/// Sorts rows of which only the first few are wanted, and keeps not many more than those.
#[derive(Debug)]
pub struct FirstRows {
    order: Vec<SortKey>,
    wanted: usize,
    kept: Vec<Keyed>,
    /// About so many bytes of JSON.
    bytes: usize,
    /// Of the last of so many rows as are wanted, once there are that many, what it is sorted by first.
    last: Option<Option<Datum>>,
}

impl FirstRows {
    /// For so many rows.
    pub fn new(order: Vec<SortKey>, wanted: usize) -> Self {
        FirstRows { order, wanted, kept: Vec::new(), bytes: 0, last: None }
    }

    /// Rows, which may be lent; they come behind those before them that are equal.
    pub fn add(&mut self, env: &Env, rows: Vec<Datum>) -> Result<()> {
        let Some(first) = self.order.first() else { return Ok(()) };
        let keys = evaluate(env, first, &rows)?;
        for (key, row) in keys.into_iter().zip(rows) {
            let place = self.last.as_ref().map(|last| first.compare(&key, last));
            let is_behind = match place {
                None | Some(Ordering::Less) => false,
                Some(Ordering::Equal) => self.order.len() == 1,
                Some(Ordering::Greater) => true,
            };
            if !is_behind {
                self.bytes += row.approximate_size();
                self.kept.push((key.map(Datum::detached), row.detached()));
            }
        }
        if self.kept.len() >= self.wanted.saturating_mul(2).max(limits::TERMINAL_BATCH_ROWS) {
            self.cut(env)?;
        }
        Ok(())
    }

    /// How many rows are kept now that may be among the first.
    pub fn len(&self) -> usize {
        self.kept.len().min(self.wanted)
    }

    /// Whether there was no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About so many bytes of JSON are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first rows, sorted.
    pub fn finish(mut self, env: &Env) -> Result<Vec<Datum>> {
        self.cut(env)?;
        Ok(self.kept.into_iter().map(|(_, row)| row).collect())
    }

    fn cut(&mut self, env: &Env) -> Result<()> {
        self.kept = sort_keyed(env, &self.order, std::mem::take(&mut self.kept))?;
        self.kept.truncate(self.wanted);
        self.bytes = self.kept.iter().map(|(_, row)| row.approximate_size()).sum();
        if self.kept.len() == self.wanted {
            self.last = self.kept.last().map(|(key, _)| key.clone());
        }
        Ok(())
    }
}

/// The value of each row.
fn evaluate(env: &Env, key: &SortKey, rows: &[Datum]) -> Result<Vec<Option<Datum>>> {
    let mut values = vec![None; rows.len()];
    for i in evaluation_order(rows.len()) {
        if let (Some(value), Some(row)) = (values.get_mut(i), rows.get(i)) {
            *value = key.of(env, row)?;
        }
        env.check_interrupt()?;
    }
    Ok(values)
}

/// The order in which a merge sort first looks at the rows: RethinkDB reports the first error that its sort meets. It
/// sorts each half in chunks of seven by insertion, and compares the second row of a chunk, or of two, with the first.
fn evaluation_order(rows: usize) -> impl Iterator<Item = usize> {
    const CHUNK: usize = 7;
    // Two rows make one chunk: merging their halves begins with the second as well.
    let middle = if rows == 2 { 2 } else { rows.div_ceil(2) };
    let chunks = |from: usize, to: usize| {
        (from..to).step_by(CHUNK).flat_map(move |start| {
            let end = to.min(start + CHUNK);
            let second = if end - start > 1 { Some(start + 1) } else { None };
            second.into_iter().chain([start]).chain(start + 2..end)
        })
    };
    chunks(0, middle).chain(chunks(middle, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_looked_at_once() {
        for rows in 0..40 {
            let mut seen: Vec<usize> = evaluation_order(rows).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..rows).collect::<Vec<_>>());
        }
        assert_eq!(evaluation_order(4).collect::<Vec<_>>(), [1, 0, 3, 2]);
        assert_eq!(evaluation_order(2).collect::<Vec<_>>(), [1, 0]);
    }
}
