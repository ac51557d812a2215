//! `branch`: tests and values by turns, and a last value when no test holds. Only what is answered is evaluated.

use photondb_protocol::numbers::TermType;

use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

pub static BRANCH: TermSpec = TermSpec::pure(
    TermType::Branch,
    "BRANCH",
    Chapter::ControlStructures,
    Arity::at_least(3),
    branch,
);

fn branch(args: &Args<'_>) -> Result<Val> {
    if args.len().is_multiple_of(2) {
        let message = "Cannot call `branch` term with an even number of arguments.";
        return Err(Error::logic(message));
    }
    let last = args.len() - 1;
    for test in (0..last).step_by(2) {
        if args.bool(test)? {
            return args.arg(test + 1);
        }
    }
    args.arg(last)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn the_first_test_that_holds_decides() {
        check("[65,[true,1,[12,[\"a\"]]]]", "1");
        check("[65,[null,1,0,2,3]]", "2");
        check("[65,[null,1,false,2,3]]", "3");
    }

    #[test]
    fn an_even_number_of_arguments_is_refused() {
        let message = "Cannot call `branch` term with an even number of arguments.";
        check_error("[65,[1,2,3,4]]", ErrorKind::Logic, message, "[]");
    }
}
