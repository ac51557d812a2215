//! `insertAt`, `spliceAt`, `changeAt`, `deleteAt`: arrays changed at a position. Negative positions count from the end,
//! for insertions from behind it.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

const fn row(
    term: TermType,
    name: &'static str,
    arity: Arity,
    eval: fn(&Args<'_>) -> Result<Val>,
) -> TermSpec {
    TermSpec::pure(term, name, Chapter::DocumentManipulation, arity, eval)
}

pub static INSERT_AT: TermSpec =
    row(TermType::InsertAt, "INSERT_AT", Arity::exactly(3), |args| edit(args, Gaps::Yes, insert));
pub static SPLICE_AT: TermSpec =
    row(TermType::SpliceAt, "SPLICE_AT", Arity::exactly(3), |args| edit(args, Gaps::Yes, splice));
pub static CHANGE_AT: TermSpec =
    row(TermType::ChangeAt, "CHANGE_AT", Arity::exactly(3), |args| edit(args, Gaps::No, change));
pub static DELETE_AT: TermSpec =
    row(TermType::DeleteAt, "DELETE_AT", Arity::between(2, 3), |args| edit(args, Gaps::No, delete));

/// Whether positions are those between elements, of which there is one more.
#[derive(PartialEq)]
enum Gaps {
    Yes,
    No,
}

fn edit(
    args: &Args<'_>,
    gaps: Gaps,
    edit: fn(&Args<'_>, &mut Vec<Datum>, usize) -> Result<()>,
) -> Result<Val> {
    let mut array = args.datum(0)?.into_array()?;
    let positions = array.len() + usize::from(gaps == Gaps::Yes);
    let at = position(args, 1, positions)?;
    edit(args, &mut array, at)?;
    args.env.check_array_size(array.len())?;
    args.value(array)
}

/// An argument as a position among so many; one past their end is told by who uses it.
fn position(args: &Args<'_>, i: usize, positions: usize) -> Result<usize> {
    let index = args.datum(i)?.as_integer()?;
    match usize::try_from(index) {
        Ok(position) => Ok(position),
        Err(_) => usize::try_from(index.unsigned_abs())
            .ok()
            .and_then(|back| positions.checked_sub(back))
            .ok_or_else(|| Error::non_existence(format!("Index out of bounds: {index}"))),
    }
}

fn insert(args: &Args<'_>, array: &mut Vec<Datum>, at: usize) -> Result<()> {
    let value = args.datum(2)?;
    check_bound(at, array.len() + 1, array.len())?;
    array.insert(at, value);
    Ok(())
}

fn splice(args: &Args<'_>, array: &mut Vec<Datum>, at: usize) -> Result<()> {
    let values = args.datum(2)?;
    check_bound(at, array.len() + 1, array.len())?;
    let values = values.into_array()?;
    args.env.check_array_size(array.len().saturating_add(values.len()))?;
    array.splice(at..at, values);
    Ok(())
}

#[expect(clippy::ptr_arg, reason = "the edits stand behind one type of function pointer")]
fn change(args: &Args<'_>, array: &mut Vec<Datum>, at: usize) -> Result<()> {
    let value = args.datum(2)?;
    match array.get_mut(at) {
        Some(slot) => *slot = value,
        None => check_bound(at, array.len(), array.len())?,
    }
    Ok(())
}

fn delete(args: &Args<'_>, array: &mut Vec<Datum>, start: usize) -> Result<()> {
    let len = array.len();
    if args.len() == 2 {
        check_bound(start, len, len)?;
        array.remove(start);
        return Ok(());
    }
    let end = position(args, 2, len)?;
    // RethinkDB lets a range begin and end behind the last element.
    check_bound(start, len + 1, len)?;
    check_bound(end, len + 1, len)?;
    if start > end {
        return Err(Error::logic(format!(
            "Start index `{start}` is greater than end index `{end}`."
        )));
    }
    array.drain(start..end);
    Ok(())
}

fn check_bound(at: usize, bound: usize, len: usize) -> Result<()> {
    if at < bound {
        return Ok(());
    }
    Err(Error::non_existence(format!("Index `{at}` out of bounds for array of size: `{len}`.")))
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn positions_count_from_both_ends() {
        check("[82,[[2,[1,2]],-1,9]]", "[1,2,9]");
        check("[82,[[2,[1,2]],0,9]]", "[9,1,2]");
        check("[85,[[2,[3,1]],-3,[2,[2,null]]]]", "[2,null,3,1]");
        check("[84,[[2,[1,2]],-1,\"x\"]]", "[1,\"x\"]");
        check("[83,[[2,[1,2,3]],1]]", "[1,3]");
        check("[83,[[2,[1,2,3]],0,2]]", "[3]");
    }

    #[test]
    fn positions_outside_are_absent() {
        let message = "Index out of bounds: -3";
        check_error("[82,[[2,[1]],-3,9]]", ErrorKind::NonExistence, message, "[]");
        let message = "Index `1` out of bounds for array of size: `1`.";
        check_error("[84,[[2,[1]],1,9]]", ErrorKind::NonExistence, message, "[]");
        let message = "Start index `1` is greater than end index `0`.";
        check_error("[83,[[2,[1,2]],1,0]]", ErrorKind::Logic, message, "[]");
    }
}
