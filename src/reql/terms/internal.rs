//! Terms no page of the documentation names: arrays in long form, `r.args`, and what other terms stand on.

use photondb_protocol::numbers::TermType;

use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

pub static ROWS: &[&TermSpec] = &[&MAKE_ARRAY, &ARGS];

/// `[a, b, ...]`
static MAKE_ARRAY: TermSpec = TermSpec::pure(
    TermType::MakeArray,
    "MAKE_ARRAY",
    Chapter::Internal,
    Arity::at_least(0),
    make_array,
);

fn make_array(args: &Args<'_>) -> Result<Val> {
    let mut values = Vec::with_capacity(args.len());
    for i in 0..args.len() {
        values.push(args.arg_where_it_stands(i)?.into_datum(args.env)?);
        args.env.check_array_size(values.len())?;
    }
    args.value(values)
}

/// `r.args(array)`: the term around it takes the array's elements as arguments.
static ARGS: TermSpec =
    TermSpec::pure(TermType::Args, "ARGS", Chapter::ControlStructures, Arity::exactly(1), args);

fn args(args: &Args<'_>) -> Result<Val> {
    let array = args.arg_where_it_stands(0)?.into_datum(args.env)?;
    array.as_array()?;
    args.value(array)
}
