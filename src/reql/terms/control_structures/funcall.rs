//! `do` (FUNCALL on the wire): calls a function with values. A plain value in the function's place is the answer.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::function::Shortcut;
use crate::reql::grouped::{Gathered, gathered};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::{Val, ValKind};

pub static FUNCALL: TermSpec = TermSpec::pure(
    TermType::Funcall,
    "FUNCALL",
    Chapter::ControlStructures,
    Arity::at_least(1),
    funcall,
);

/// On the wire the function comes first, before its arguments. The first of these may be grouped: the function is then
/// called for each group.
fn funcall(args: &Args<'_>) -> Result<Val> {
    let func = args.func(0, Shortcut::Constant)?;
    if args.len() < 2 {
        return func.call(args.env, &[]);
    }
    let first = args.arg(1)?;
    let mut values = Vec::with_capacity(args.len() - 1);
    values.push(Datum::Null);
    // The others must be values; whether the first is one RethinkDB looks at last.
    for i in 2..args.len() {
        values.push(args.datum(i)?);
    }
    let mut call = |first: Datum| {
        if let Some(place) = values.first_mut() {
            *place = first;
        }
        func.call(args.env, &values)
    };
    match gathered(args.env, first)? {
        Gathered::Groups(grouped) => args.val(ValKind::Grouped(grouped.map(args.env, call)?)),
        Gathered::NotGrouped(first) => call(first.into_datum(args.env)?),
    }
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
