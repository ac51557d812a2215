//! `between`: the documents whose key lies between two values.

use std::ops::Bound;

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::selection::TableVal;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::{Val, ValKind};

use super::get_all::index_option;

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec {
        options: &["left_bound", "right_bound", "index"],
        effect: Effect::Read,
        ..TermSpec::pure(term, name, Chapter::SelectingData, Arity::exactly(3), eval)
    }
}

pub static BETWEEN: TermSpec =
    row(TermType::Between, "BETWEEN", |args| between(args, Nulls::Refused));

/// `between` of drivers older than 2.0, where null stands for no bound.
pub static BETWEEN_DEPRECATED: TermSpec =
    row(TermType::BetweenDeprecated, "BETWEEN_DEPRECATED", |args| between(args, Nulls::Unbounded));

#[derive(Clone, Copy, PartialEq)]
enum Nulls {
    Refused,
    Unbounded,
}

fn between(args: &Args<'_>, nulls: Nulls) -> Result<Val> {
    let slice = args.arg(0)?.into_table_slice(args.env)?;
    let left = bound(args, 1, nulls)?.unwrap_or(Datum::MinVal);
    let right = bound(args, 2, nulls)?.unwrap_or(Datum::MaxVal);
    let left_open = is_open(args, "left_bound", false)?;
    let right_open = is_open(args, "right_bound", true)?;
    let index = index_option(args, &slice.table)?;
    let side = |open, value| if open { Bound::Excluded(value) } else { Bound::Included(value) };
    let slice = slice.between(index, side(left_open, left), side(right_open, right))?;
    args.val(ValKind::Table(TableVal { by: args.node.id, ..slice }))
}

fn bound(args: &Args<'_>, i: usize, nulls: Nulls) -> Result<Option<Datum>> {
    let val = args.arg(i)?;
    let at = val.at;
    match val.into_datum(args.env)? {
        Datum::Null if nulls == Nulls::Unbounded => Ok(None),
        Datum::Null => Err(Error::logic(
            "Cannot use `null` in BETWEEN, use `r.minval` or `r.maxval` to denote unboundedness.",
        )
        .at(at)),
        value => Ok(Some(value)),
    }
}

fn is_open(args: &Args<'_>, name: &'static str, default: bool) -> Result<bool> {
    let Some(val) = args.optarg(name)? else { return Ok(default) };
    let at = val.at;
    let text = val.str(args.env)?;
    match &*text {
        "open" => Ok(true),
        "closed" => Ok(false),
        _ => Err(Error::logic(format!(
            "Expected `open` or `closed` for optarg `{name}` (got `{}`).",
            Datum::String(text.clone()).truncated_print()
        ))
        .at(at)
        .moved_to(args.node.id)),
    }
}
