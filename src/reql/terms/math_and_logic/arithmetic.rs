//! `add`, `sub`, `mul`, `div`: numbers, and what else they join (strings, arrays, times).

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, TIME, time, work};
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec::pure(term, name, Chapter::MathAndLogic, Arity::at_least(1), eval)
}

pub static ADD: TermSpec = row(TermType::Add, "ADD", add_all);
pub static SUB: TermSpec = row(TermType::Sub, "SUB", |args| fold(args, sub));
pub static MUL: TermSpec = row(TermType::Mul, "MUL", |args| fold(args, mul));
pub static DIV: TermSpec = row(TermType::Div, "DIV", |args| fold(args, div));

type Step = fn(&Env, Datum, Datum) -> Result<Datum>;

fn fold(args: &Args<'_>, step: Step) -> Result<Val> {
    fold_from(args, args.datum(0)?, step)
}

/// As [`fold`], with the first argument evaluated.
fn fold_from(args: &Args<'_>, first: Datum, step: Step) -> Result<Val> {
    let mut total = first;
    for i in 1..args.len() {
        work::step();
        total = step(args.env, total, args.datum(i)?)?;
    }
    args.value(total)
}

/// Texts are joined into one that grows: a text for each of them would take the square of their number.
fn add_all(args: &Args<'_>) -> Result<Val> {
    let mut text = match args.datum(0)? {
        Datum::String(first) if args.len() > 2 => String::from(&*first),
        first => return fold_from(args, first, add),
    };
    for i in 1..args.len() {
        match args.datum(i)? {
            Datum::String(more) => {
                work::byte_steps(more.len());
                args.env.reserve(more.len())?;
                text.push_str(&more);
            }
            other => return args.value(add(args.env, text.into(), other)?),
        }
    }
    args.value(text)
}

fn add(env: &Env, left: Datum, right: Datum) -> Result<Datum> {
    match (left, right) {
        (left, right) if left.is_pseudo_type(TIME) || right.is_pseudo_type(TIME) => {
            Ok(time::add(&left, &right)?)
        }
        (Datum::String(left), right) => {
            let right = right.as_str()?;
            env.reserve(left.len() + right.len())?;
            Ok(Datum::from([left.as_ref(), right.as_ref()].concat()))
        }
        (Datum::Array(mut left), right) => {
            let right = right.as_array()?;
            env.check_array_size(left.len() + right.len())?;
            // The sum so far is nobody else's, and grows.
            let copied = if Arc::get_mut(&mut left).is_some() { 0 } else { left.len() };
            work::steps(copied + right.len());
            env.reserve((copied + right.len()) * size_of::<Datum>())?;
            Arc::make_mut(&mut left).extend(right.iter().cloned());
            Ok(Datum::Array(left))
        }
        (left, right) => Ok(Datum::number(left.as_number()? + right.as_number()?)?),
    }
}

fn sub(_env: &Env, left: Datum, right: Datum) -> Result<Datum> {
    if left.is_pseudo_type(TIME) {
        return Ok(time::sub(&left, &right)?);
    }
    Ok(Datum::number(left.as_number()? - right.as_number()?)?)
}

fn mul(env: &Env, left: Datum, right: Datum) -> Result<Datum> {
    match (&left, &right) {
        (Datum::Array(values), times) | (times, Datum::Array(values)) => repeat(env, values, times),
        _ => Ok(Datum::number(left.as_number()? * right.as_number()?)?),
    }
}

fn repeat(env: &Env, values: &[Datum], times: &Datum) -> Result<Datum> {
    let times = times.as_integer()?;
    let times = usize::try_from(times)
        .map_err(|_| Error::logic("Cannot multiply an ARRAY by a negative number."))?;
    let len = values.len().saturating_mul(times);
    env.check_array_size(len)?;
    env.reserve(len.saturating_mul(size_of::<Datum>()))?;
    let mut out = Vec::with_capacity(len);
    for _ in 0..times {
        work::steps(1 + values.len());
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

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn many_texts_and_arrays_are_joined_into_one() {
        let count = 20_000;
        let list = |of: &str| vec![of; count].join(",");
        let began = std::time::Instant::now();
        check(&format!("[24,[{}]]", list("\"ab\"")), &format!("\"{}\"", "ab".repeat(count)));
        check(&format!("[24,[{}]]", list("[2,[1]]")), &format!("[{}]", list("1")));
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
        let message = "Expected type STRING but found NUMBER.";
        check_error(r#"[24,["a","b",1]]"#, ErrorKind::Logic, message, "[]");
    }

    #[test]
    fn numbers_strings_arrays_and_times_add_up() {
        check("[24,[1,2,3.5]]", "6.5");
        check(r#"[24,["a","b"]]"#, r#""ab""#);
        check("[24,[[2,[1]],[2,[2]]]]", "[1,2]");
        check("[26,[[2,[1,2]],2]]", "[1,2,1,2]");
        check("[26,[0,[2,[1,2]]]]", "[]");
        check("[27,[7,2]]", "3.5");
        let time = |epoch: &str| {
            format!(r#"{{"$reql_type$":"TIME","epoch_time":{epoch},"timezone":"+00:00"}}"#)
        };
        check("[24,[1,[101,[5]],0.5]]", &time("6.5"));
        check("[25,[[101,[5]],1]]", &time("4"));
        check("[25,[[101,[5]],[101,[7.25]]]]", "-2.25");
    }

    #[test]
    fn faults_are_of_the_term_itself() {
        let logic = |query: &str, text: &str| check_error(query, ErrorKind::Logic, text, "[]");
        logic(r#"[24,["a",1]]"#, "Expected type STRING but found NUMBER.");
        logic("[24,[[101,[0]],[101,[0]]]]", "Expected type NUMBER but found PTYPE<TIME>.");
        logic("[25,[1,[101,[0]]]]", "Expected type NUMBER but found PTYPE<TIME>.");
        logic("[26,[[2,[1]],-1]]", "Cannot multiply an ARRAY by a negative number.");
        logic("[26,[[2,[1]],[2,[1]]]]", "Expected type NUMBER but found ARRAY.");
        logic("[26,[1e300,1e300]]", "Non-finite number: inf");
        logic("[27,[1,0]]", "Cannot divide by zero.");
    }
}
