//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`: each argument against the next, in the total order of values.

use std::cmp::Ordering;

use photondb_protocol::numbers::TermType;

use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec::pure(term, name, Chapter::MathAndLogic, Arity::at_least(2), eval)
}

pub static EQ: TermSpec = row(TermType::Eq, "EQ", |args| args.value(all(args, Ordering::is_eq)?));
pub static NE: TermSpec = row(TermType::Ne, "NE", |args| args.value(!all(args, Ordering::is_eq)?));
pub static LT: TermSpec = row(TermType::Lt, "LT", |args| args.value(all(args, Ordering::is_lt)?));
pub static LE: TermSpec = row(TermType::Le, "LE", |args| args.value(all(args, Ordering::is_le)?));
pub static GT: TermSpec = row(TermType::Gt, "GT", |args| args.value(all(args, Ordering::is_gt)?));
pub static GE: TermSpec = row(TermType::Ge, "GE", |args| args.value(all(args, Ordering::is_ge)?));

/// Whether each pair of neighbours is ordered so. The first pair that is not ends the evaluation.
fn all(args: &Args<'_>, holds: fn(Ordering) -> bool) -> Result<bool> {
    let mut left = args.datum(0)?;
    for i in 1..args.len() {
        let right = args.datum(i)?;
        if !holds(left.compare(&right)) {
            return Ok(false);
        }
        left = right;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn neighbours_are_compared_in_the_order_of_all_values() {
        check("[17,[1,1,1]]", "true");
        check("[18,[1,1,2]]", "true");
        check("[19,[[2,[9]],true,null,1,{},\"\"]]", "true");
        check("[22,[3,3,2]]", "true");
        check("[21,[3,3]]", "false");
    }

    #[test]
    fn evaluation_ends_at_the_first_pair_that_decides() {
        check("[19,[2,1,[12,[\"boom\"]]]]", "false");
        check_error("[19,[1,2,[12,[\"boom\"]]]]", ErrorKind::User, "boom", "[2]");
    }
}
