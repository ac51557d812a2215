//! `setInsert`, `setUnion`, `setIntersection`, `setDifference`: arrays as sets, in order of first appearance.

use std::collections::BTreeSet;

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec::pure(term, name, Chapter::DocumentManipulation, Arity::exactly(2), eval)
}

pub static SET_INSERT: TermSpec = row(TermType::SetInsert, "SET_INSERT", insert);
pub static SET_UNION: TermSpec = row(TermType::SetUnion, "SET_UNION", union);
pub static SET_INTERSECTION: TermSpec =
    row(TermType::SetIntersection, "SET_INTERSECTION", intersection);
pub static SET_DIFFERENCE: TermSpec = row(TermType::SetDifference, "SET_DIFFERENCE", difference);

fn insert(args: &Args<'_>) -> Result<Val> {
    let (set, value) = (args.datum(0)?, args.datum(1)?);
    let set = set.as_array()?;
    answer(args, distinct(set.iter().chain([&value])))
}

fn union(args: &Args<'_>) -> Result<Val> {
    let (left, right) = (args.datum(0)?, args.datum(1)?);
    let (left, right) = (left.as_array()?, right.as_array()?);
    answer(args, distinct(left.iter().chain(right.iter())))
}

/// In the order of the second.
fn intersection(args: &Args<'_>) -> Result<Val> {
    let (left, right) = (args.datum(0)?, args.datum(1)?);
    let mut left: BTreeSet<&Datum> = left.as_array()?.iter().collect();
    let both = right.as_array()?.iter().filter(|value| left.remove(value));
    answer(args, both.cloned().collect())
}

fn difference(args: &Args<'_>) -> Result<Val> {
    let (left, right) = (args.datum(0)?, args.datum(1)?);
    let mut out: BTreeSet<&Datum> = right.as_array()?.iter().collect();
    let rest = left.as_array()?.iter().filter(|value| out.insert(value));
    answer(args, rest.cloned().collect())
}

fn distinct<'a>(values: impl Iterator<Item = &'a Datum>) -> Vec<Datum> {
    let mut seen = BTreeSet::new();
    values.filter(|value| seen.insert(*value)).cloned().collect()
}

fn answer(args: &Args<'_>, values: Vec<Datum>) -> Result<Val> {
    args.env.check_array_size(values.len())?;
    args.value(values)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn values_appear_once() {
        check("[88,[[2,[3,1,3]],1]]", "[3,1]");
        check("[89,[[2,[3,1]],[2,[2,1,1]]]]", "[1]");
        check("[90,[[2,[3,1]],[2,[1,2,2]]]]", "[3,1,2]");
        check("[91,[[2,[3,1,3]],[2,[1]]]]", "[3]");
    }

    #[test]
    fn the_second_of_a_difference_is_looked_at_first() {
        let message = "Expected type ARRAY but found NUMBER.";
        check_error("[91,[\"x\",0]]", ErrorKind::Logic, message, "[]");
    }
}
