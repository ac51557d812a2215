//! Aggregation.

mod contains;
mod count;
mod distinct;
mod extremes;
mod fold;
mod group;
mod reduce;
mod sums;

use crate::datum::{Datum, Misfit};
use crate::limits;
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};
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

/// Watches a value that is carried from step to step and may gain levels with each: nothing else bounds its depth.
#[derive(Debug, Default)]
struct DepthWatch {
    steps: u32,
}

impl DepthWatch {
    /// Call it with the value after each step.
    fn step(&mut self, value: &Datum) -> Result<()> {
        self.steps = self.steps.wrapping_add(1);
        if !self.steps.is_multiple_of(limits::CARRIED_STEPS) {
            return Ok(());
        }
        value.fits(limits::CARRIED_DEPTH, limits::CARRIED_PARTS).map_err(|misfit| {
            Error::resource_limit(match misfit {
                Misfit::TooDeep => format!(
                    "Value over nesting limit `{}`: each step adds levels to what the last one gave.",
                    limits::CARRIED_DEPTH
                ),
                Misfit::TooLarge => format!(
                    "Value over size limit `{}`: each step adds parts to what the last one gave.",
                    limits::CARRIED_PARTS
                ),
            })
        })
    }
}
