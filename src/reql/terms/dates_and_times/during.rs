//! `during`: whether a time lies between two others.

use std::cmp::Ordering;

use photondb_protocol::numbers::TermType;

use crate::datum::TIME;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

use super::{not_a_time, pseudo_typed};

/// `time.during(start, end, {leftBound, rightBound})`
pub static DURING: TermSpec = TermSpec {
    options: &["left_bound", "right_bound"],
    ..TermSpec::pure(TermType::During, "DURING", Chapter::DatesAndTimes, Arity::exactly(3), during)
};

fn during(args: &Args<'_>) -> Result<Val> {
    let instant = pseudo_typed(args.arg(0)?, args.env)?;
    let left = pseudo_typed(args.arg(1)?, args.env)?;
    let right = pseudo_typed(args.arg(2)?, args.env)?;
    if let Some(other) = [&instant, &left, &right].into_iter().find(|it| !it.is_pseudo_type(TIME)) {
        return Err(not_a_time(other));
    }
    // A bound's option is looked at only where the time is on that bound.
    let after_left = match left.cmp(&instant) {
        Ordering::Less => true,
        Ordering::Equal => !is_open(args, "left_bound", false)?,
        Ordering::Greater => false,
    };
    let inside = after_left
        && match instant.cmp(&right) {
            Ordering::Less => true,
            Ordering::Equal => !is_open(args, "right_bound", true)?,
            Ordering::Greater => false,
        };
    args.value(inside)
}

fn is_open(args: &Args<'_>, name: &'static str, default: bool) -> Result<bool> {
    let Some(text) = args.optarg_str(name)? else { return Ok(default) };
    match text.as_ref() {
        "open" => Ok(true),
        "closed" => Ok(false),
        other => Err(Error::logic(format!(
            "Expected `open` or `closed` for optarg `{name}` (got `{other}`)."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn the_left_bound_is_closed_and_the_right_one_open() {
        let query =
            |at: f64, options: &str| format!("[105,[[101,[{at}]],[101,[1]],[101,[2]]],{options}]");
        check(&query(1.0, "{}"), "true");
        check(&query(2.0, "{}"), "false");
        check(&query(1.0, r#"{"left_bound":"open"}"#), "false");
        check(&query(2.0, r#"{"right_bound":"closed"}"#), "true");
        check(&query(0.0, r#"{"left_bound":"x"}"#), "false");
        let text = "Expected `open` or `closed` for optarg `left_bound` (got `x`).";
        check_error(&query(1.0, r#"{"left_bound":"x"}"#), ErrorKind::Logic, text, "[]");
    }

    #[test]
    fn only_times_are_compared() {
        let text = "Not a TIME pseudotype: `1`.";
        check_error("[105,[[101,[0]],1,2]]", ErrorKind::Logic, text, "[1]");
        let bytes = r#"{"$reql_type$":"BINARY","data":""}"#;
        check_error(&format!("[105,[{bytes},1,2]]"), ErrorKind::Logic, text, "[1]");
        let text = format!("Not a TIME pseudotype: `{bytes}`.");
        let query = format!("[105,[{bytes},[101,[0]],[101,[1]]]]");
        check_error(&query, ErrorKind::Logic, &text, "[]");
    }
}
