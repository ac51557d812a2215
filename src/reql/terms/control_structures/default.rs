//! `default`: another answer when the first argument is null, or fails because something is absent.
//!
//! A function is called with the error's message, or null. `error()` without a message there means: as it was.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::value::{Val, ValKind};

pub static DEFAULT: TermSpec = TermSpec {
    grouping: Grouping::Whole,
    ..TermSpec::pure(
        TermType::Default,
        "DEFAULT",
        Chapter::ControlStructures,
        Arity::exactly(2),
        default,
    )
};

/// What `default` stands in for.
enum Absent {
    Null(Val),
    Error(Error),
}

fn default(args: &Args<'_>) -> Result<Val> {
    let absent = match first(args) {
        Ok(val) if val.is_null() => Absent::Null(val),
        Ok(val) => return Ok(val),
        Err(error) if error.kind() == ErrorKind::NonExistence => {
            Absent::Error(error.at(args.node.id))
        }
        Err(error) => return Err(error),
    };
    match replacement(args, &absent) {
        Err(error) if error.kind() == ErrorKind::EmptyUser => match absent {
            Absent::Null(val) => Ok(val),
            Absent::Error(error) => Err(error),
        },
        result => result,
    }
}

/// A document that may be absent is read here, so that its absence is known.
fn first(args: &Args<'_>) -> Result<Val> {
    let val = args.arg(0)?;
    match &val.kind {
        ValKind::SingleSelection(single) if single.read(args.env)? == Datum::Null => {
            Ok(Val::datum(Datum::Null, val.at))
        }
        _ => Ok(val),
    }
}

fn replacement(args: &Args<'_>, absent: &Absent) -> Result<Val> {
    let val = args.arg(1)?;
    let ValKind::Func(func) = &val.kind else { return Ok(val) };
    let about = match absent {
        Absent::Null(_) => Datum::Null,
        Absent::Error(error) => Datum::string(error.message()),
    };
    func.call(args.env, &[about])
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn null_and_what_is_absent_have_a_replacement() {
        check("[92,[null,1]]", "1");
        check("[92,[0,1]]", "0");
        check("[92,[[24,[1,null]],5]]", "5");
        check(
            "[92,[[24,[1,null]],[69,[[2,[1]],[10,[1]]]]]]",
            "\"Expected type NUMBER but found NULL.\"",
        );
    }

    #[test]
    fn other_errors_pass() {
        check_error("[92,[[12,[\"e\"]],1]]", ErrorKind::User, "e", "[0]");
        let message = "Expected type NUMBER but found STRING.";
        check_error("[92,[[24,[1,\"a\"]],5]]", ErrorKind::Logic, message, "[0]");
        check_error("[92,[null,[12,[\"b\"]]]]", ErrorKind::User, "b", "[1]");
    }

    #[test]
    fn the_empty_error_means_as_it_was() {
        check("[92,[null,[12,[]]]]", "null");
        let message = "Expected type NUMBER but found NULL.";
        check_error("[92,[[24,[1,null]],[12,[]]]]", ErrorKind::NonExistence, message, "[0]");
        let message = "Empty ERROR term outside a default block.";
        check_error("[92,[[12,[]],1]]", ErrorKind::EmptyUser, message, "[0]");
    }
}
