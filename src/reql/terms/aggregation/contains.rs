//! `contains`: whether a sequence has all of some values, and elements for all of some functions.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::limits;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::function::{Func, Shortcut};
use crate::reql::spec::{Arity, Chapter, Cost, TermSpec};
use crate::reql::stream::{BatchSpec, next_rows};
use crate::reql::terms::selecting_data::Predicate;
use crate::reql::value::{Val, ValKind};

pub static CONTAINS: TermSpec = TermSpec {
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::Contains,
        "CONTAINS",
        Chapter::Aggregation,
        Arity::at_least(1),
        contains,
    )
};

fn contains(args: &Args<'_>) -> Result<Val> {
    let mut stream = args.stream(0)?;
    let mut values: Vec<Datum> = Vec::new();
    let mut functions: Vec<Func> = Vec::new();
    for i in 1..args.len() {
        let val = args.arg(i)?;
        match val.kind {
            ValKind::Func(func) => functions.push(func),
            _ => values.push(val.into_datum(args.env)?),
        }
    }
    // The stream may be endless: what has been found ends it.
    let mut batch = BatchSpec::PASSING.at_most(limits::TRANSFORM_FIRST_ROWS);
    while !stream.is_exhausted() {
        for row in next_rows(stream.as_mut(), args.env, &batch)? {
            // An element stands for one value and one function at most.
            if let Some(found) = values.iter().position(|value| *value == row) {
                values.swap_remove(found);
            }
            for i in 0..functions.len() {
                let satisfied = functions
                    .get(i)
                    .map(|func| func.call_bool(args.env, std::slice::from_ref(&row)))
                    .transpose()?;
                if satisfied == Some(true) {
                    functions.remove(i);
                    break;
                }
            }
            if values.is_empty() && functions.is_empty() {
                return args.value(true);
            }
        }
        batch = BatchSpec::PASSING.at_most(batch.max_rows.saturating_mul(2));
    }
    args.value(false)
}

/// Elements that `count` and `offsetsOf` look for. Cloning shares it.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Those that equal a value.
    Equal(Datum),
    /// Those that satisfy a function.
    Matching(Arc<Predicate>),
}

impl Wanted {
    /// What an argument asks for.
    pub fn of(val: Val, env: &Env) -> Result<Wanted> {
        match val.kind {
            ValKind::Func(_) => {
                let func = val.into_func(Shortcut::None, env)?;
                Ok(Wanted::Matching(Arc::new(Predicate::new(func))))
            }
            _ => Ok(Wanted::Equal(val.into_datum(env)?)),
        }
    }

    /// Whether an element is one of them.
    pub fn matches(&self, env: &Env, row: &Datum) -> Result<bool> {
        match self {
            Wanted::Equal(value) => Ok(value == row),
            Wanted::Matching(predicate) => predicate.matches(env, row),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::check;

    #[test]
    fn every_value_and_function_needs_an_element() {
        check("[93,[[2,[1,2]],2,1]]", "true");
        check("[93,[[2,[1,2]],1,1]]", "false");
        check("[93,[[2,[1,2]],[69,[[2,[1]],[21,[[10,[1]],1]]]],1]]", "true");
        check("[93,[[173,[]],5000]]", "true");
        check("[93,[[2,[]],1]]", "false");
    }
}
