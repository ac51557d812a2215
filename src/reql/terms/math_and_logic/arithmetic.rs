//! `add`, `sub`, `mul`, `div`: numbers, and what else they join (strings, arrays, times).

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, DatumType};
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec::pure(term, name, Chapter::MathAndLogic, Arity::at_least(1), eval)
}

pub static ADD: TermSpec = row(TermType::Add, "ADD", |args| fold(args, add));
pub static SUB: TermSpec = row(TermType::Sub, "SUB", |args| fold(args, sub));
pub static MUL: TermSpec = row(TermType::Mul, "MUL", |args| fold(args, mul));
pub static DIV: TermSpec = row(TermType::Div, "DIV", |args| fold(args, div));

fn fold(args: &Args<'_>, step: fn(&Env, Datum, Datum) -> Result<Datum>) -> Result<Val> {
    let mut total = args.datum(0)?;
    for i in 1..args.len() {
        total = step(args.env, total, args.datum(i)?)?;
    }
    args.value(total)
}

fn add(env: &Env, left: Datum, right: Datum) -> Result<Datum> {
    match (left, right) {
        (Datum::String(left), right) => {
            let right = right.as_str()?;
            Ok(Datum::from([left.as_ref(), right.as_ref()].concat()))
        }
        (Datum::Array(left), right) => {
            let right = right.as_array()?;
            env.check_array_size(left.len() + right.len())?;
            Ok(Datum::array(left.iter().chain(right.iter()).cloned().collect()))
        }
        (left, right) => Ok(Datum::number(left.as_number()? + right.as_number()?)?),
    }
}

fn sub(_env: &Env, left: Datum, right: Datum) -> Result<Datum> {
    Ok(Datum::number(left.as_number()? - right.as_number()?)?)
}

fn mul(env: &Env, left: Datum, right: Datum) -> Result<Datum> {
    match (&left, &right) {
        (Datum::Array(values), times) | (times, Datum::Array(values)) => repeat(env, values, times),
        _ => Ok(Datum::number(left.as_number()? * right.as_number()?)?),
    }
}

fn repeat(env: &Env, values: &[Datum], times: &Datum) -> Result<Datum> {
    let Datum::Number(_) = times else { return Err(times.type_error(DatumType::Number).into()) };
    let times = times.as_integer()?;
    let times = usize::try_from(times)
        .map_err(|_| Error::logic("Cannot multiply an ARRAY by a negative number."))?;
    env.check_array_size(values.len().saturating_mul(times))?;
    let mut out = Vec::with_capacity(values.len().saturating_mul(times));
    for _ in 0..times {
        out.extend_from_slice(values);
    }
    Ok(Datum::array(out))
}

fn div(_env: &Env, left: Datum, right: Datum) -> Result<Datum> {
    let (left, right) = (left.as_number()?, right.as_number()?);
    if right == 0.0 {
        return Err(Error::logic("Cannot divide by zero."));
    }
    Ok(Datum::number(left / right)?)
}
