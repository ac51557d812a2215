//! `nth` and `isEmpty`.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::selection::SingleSelection;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{BatchSpec, BoxStream, Rows, check_finite, for_each_batch, next_rows};
use crate::reql::value::{Val, ValKind};

use super::slice::small_integer;

pub static NTH: TermSpec =
    TermSpec::pure(TermType::Nth, "NTH", Chapter::Transformations, Arity::exactly(2), nth);

pub static IS_EMPTY: TermSpec = TermSpec::pure(
    TermType::IsEmpty,
    "IS_EMPTY",
    Chapter::Transformations,
    Arity::exactly(1),
    is_empty,
);

fn nth(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let index = args.arg(1)?;
    element(args, first, index)
}

/// The element at a position; a document of a table stays one.
pub fn element(args: &Args<'_>, first: Val, index: Val) -> Result<Val> {
    let position = |index: Val| small_integer(index.at, index.integer(args.env)?);
    let first_at = first.at;
    // That a value is no sequence counts before what is wrong with the index; of anything else the index comes first.
    let (index, rows) = match first.kind {
        ValKind::Datum(Datum::Array(array)) => {
            let index = position(index)?;
            let found = of_array(&array, index).ok_or_else(|| out_of_bounds(index))?;
            return args.value(found.clone());
        }
        ValKind::Datum(_) | ValKind::SingleSelection(_) => {
            let rows = Rows::of(first, args.env)?;
            (position(index)?, rows)
        }
        _ => (position(index)?, Rows::of(first, args.env)?),
    };
    let (table, mut stream) = match rows {
        Rows::Selection(selection) => (Some(selection.table), selection.stream),
        Rows::Stream(stream) => (None, stream),
        Rows::Grouped(_) => return Err(Error::internal("A grouped stream was not gathered.")),
    };
    let row = match u64::try_from(index) {
        Ok(position) => at(args, &mut stream, position)?,
        Err(_) if index == -1 => {
            check_finite(stream.as_ref()).map_err(|error| error.at(first_at))?;
            last(args, stream)?
        }
        Err(_) => {
            let message = format!("Cannot use an index < -1 ({index}) on a stream.");
            return Err(Error::logic(message));
        }
    };
    let row = row.ok_or_else(|| out_of_bounds(index))?;
    match table {
        Some(table) => {
            args.val(ValKind::SingleSelection(SingleSelection::of_document(table, row)?))
        }
        None => args.value(row),
    }
}

fn of_array(array: &[Datum], index: i64) -> Option<&Datum> {
    let magnitude = usize::try_from(index.unsigned_abs()).ok()?;
    let position = if index < 0 { array.len().checked_sub(magnitude)? } else { magnitude };
    array.get(position)
}

fn out_of_bounds(index: i64) -> Error {
    Error::non_existence(format!("Index out of bounds: {index}"))
}

fn at(args: &Args<'_>, stream: &mut BoxStream, position: u64) -> Result<Option<Datum>> {
    let mut left = position;
    while left > 0 {
        let passed = stream.advance(args.env, left)?;
        left = left.saturating_sub(passed);
        if stream.is_exhausted() {
            return Ok(None);
        }
        // A changefeed that has no more for now is waited for.
        if passed == 0 && left > 0 {
            next(args, stream)?;
            left -= 1;
        }
    }
    next(args, stream)
}

/// The next row, if there is one.
fn next(args: &Args<'_>, stream: &mut BoxStream) -> Result<Option<Datum>> {
    let rows = next_rows(stream.as_mut(), args.env, &BatchSpec::TERMINAL.in_turn().at_most(1))?;
    Ok(rows.into_iter().next())
}

fn last(args: &Args<'_>, mut stream: BoxStream) -> Result<Option<Datum>> {
    if let Some(rows) = stream.remaining(args.env)?.and_then(|rows| rows.checked_sub(1)) {
        return at(args, &mut stream, rows);
    }
    let mut last = None;
    for_each_batch(stream, args.env, &BatchSpec::TERMINAL.in_turn(), |rows| {
        last = rows.into_iter().next_back().or(last.take());
        Ok(())
    })?;
    Ok(last)
}

fn is_empty(args: &Args<'_>) -> Result<Val> {
    let mut stream = args.stream(0)?;
    let empty = match stream.remaining(args.env)? {
        Some(rows) => rows == 0,
        None => next(args, &mut stream)?.is_none(),
    };
    args.value(empty)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn positions_from_both_ends() {
        check("[45,[[2,[1,2,3]],0]]", "1");
        check("[45,[[2,[1,2,3]],-3]]", "1");
        check("[45,[[173,[1000000000]],-1]]", "999999999");
        check("[45,[[38,[[173,[10]],[69,[[2,[1]],[26,[[10,[1]],2]]]]]],-1]]", "18");
        check_error("[45,[[2,[1]],1]]", ErrorKind::NonExistence, "Index out of bounds: 1", "[]");
        check_error(
            "[45,[[173,[3]],-2]]",
            ErrorKind::Logic,
            "Cannot use an index < -1 (-2) on a stream.",
            "[]",
        );
    }

    #[test]
    fn emptiness_needs_one_row() {
        check("[86,[[173,[]]]]", "false");
        check("[86,[[2,[]]]]", "true");
    }
}
