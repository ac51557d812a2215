//! `and`, `or`, `not`. Everything but `false` and `null` is true; `and` and `or` answer the argument that decides.

use photondb_protocol::numbers::TermType;

use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

pub static AND: TermSpec =
    TermSpec::pure(TermType::And, "AND", Chapter::MathAndLogic, Arity::at_least(0), |args| {
        decide(args, false)
    });

pub static OR: TermSpec =
    TermSpec::pure(TermType::Or, "OR", Chapter::MathAndLogic, Arity::at_least(0), |args| {
        decide(args, true)
    });

pub static NOT: TermSpec =
    TermSpec::pure(TermType::Not, "NOT", Chapter::MathAndLogic, Arity::exactly(1), |args| {
        args.value(!args.bool(0)?)
    });

/// The first argument of this truth, or else the last one.
fn decide(args: &Args<'_>, truth: bool) -> Result<Val> {
    for i in 0..args.len() {
        let val = args.arg(i)?;
        let decides = val.is_truthy(args.env)? == truth;
        if decides || i + 1 == args.len() {
            return Ok(val);
        }
    }
    args.value(!truth)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn the_deciding_argument_is_the_answer() {
        check("[67,[]]", "true");
        check("[66,[]]", "false");
        check("[67,[1,null,[12,[\"boom\"]]]]", "null");
        check("[67,[1,2]]", "2");
        check("[66,[false,0]]", "0");
        check("[66,[false,null]]", "null");
        check("[23,[null]]", "true");
    }

    #[test]
    fn what_has_no_truth_is_blamed() {
        let message = "Expected type DATUM but found FUNCTION:\nVALUE FUNCTION";
        let query = "[67,[1,[69,[[2,[1]],[10,[1]]]]]]";
        check_error(query, ErrorKind::Logic, message, "[1]");
    }
}
