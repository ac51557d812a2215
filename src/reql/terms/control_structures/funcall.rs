//! `do` (FUNCALL on the wire): calls a function with values. A plain value in the function's place is the answer.

use photondb_protocol::numbers::TermType;

use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::function::Shortcut;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

pub static FUNCALL: TermSpec = TermSpec::pure(
    TermType::Funcall,
    "FUNCALL",
    Chapter::ControlStructures,
    Arity::at_least(1),
    funcall,
);

/// On the wire the function comes first, before its arguments.
fn funcall(args: &Args<'_>) -> Result<Val> {
    let func = args.func(0, Shortcut::Constant)?;
    let mut vals = Vec::with_capacity(args.len().saturating_sub(1));
    for i in 1..args.len() {
        vals.push(args.arg(i)?);
    }
    // Of several results that are no values RethinkDB blames the last.
    let mut values = Vec::with_capacity(vals.len());
    for val in vals.into_iter().rev() {
        values.push(val.into_datum(args.env)?);
    }
    values.reverse();
    func.call(args.env, &values)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn functions_are_called_and_values_answered() {
        check("[64,[[69,[[2,[1,2]],[24,[[10,[1]],[10,[2]]]]]],3,4]]", "7");
        check("[64,[\"x\",3]]", "\"x\"");
    }

    #[test]
    fn what_the_body_gives_is_blamed_there() {
        let query = "[28,[[64,[[69,[[2,[1]],[66,[\"x\"]]]],1]],2]]";
        let message = "Expected type NUMBER but found STRING.";
        check_error(query, ErrorKind::Logic, message, "[0,0,1,0]");
        let message = "Expected function with 1 argument but found function with 2 arguments.";
        let query = "[64,[[69,[[2,[1,2]],[24,[[10,[1]],[10,[2]]]]]],{}]]";
        check_error(query, ErrorKind::Logic, message, "[0,1]");
    }
}
