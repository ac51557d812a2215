//! Aggregation.

mod contains;
mod count;
mod distinct;
mod extremes;
mod fold;
mod group;
mod reduce;
mod sums;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{ErrorKind, Result};
use crate::reql::function::Func;
use crate::reql::spec::TermSpec;

pub use contains::Wanted;

pub static ROWS: &[&TermSpec] = &[
    &contains::CONTAINS,
    &count::COUNT,
    &distinct::DISTINCT,
    &extremes::MAX,
    &extremes::MIN,
    &fold::FOLD,
    &group::GROUP,
    &group::UNGROUP,
    &reduce::REDUCE,
    &sums::AVG,
    &sums::SUM,
];

/// What an aggregation takes of a row: the row itself, or what a function makes of it. None when the row lacks what the
/// function looks for, and is to be passed over.
fn taken(env: &Env, func: Option<&Func>, row: &Datum) -> Result<Option<Datum>> {
    let Some(func) = func else { return Ok(Some(row.clone())) };
    present(func.call_datum(env, std::slice::from_ref(row)))
}

/// None for an error about something absent.
fn present<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NonExistence => Ok(None),
        Err(error) => Err(error),
    }
}
