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

    const GROUPED: &str = r#"[43,[[144,[[2,[{"a":1},{"a":2},{"a":1}]],"a"]]]]"#;
    const NO_DATUM: &str = "Expected type DATUM but found GROUPED_DATA:\nVALUE GROUPED_DATA";

    #[test]
    fn a_function_is_called_for_each_group_of_its_first_argument() {
        let square = "[69,[[2,[1]],[26,[[10,[1]],[10,[1]]]]]]";
        check(
            &format!("[150,[[64,[{square},{GROUPED}]]]]"),
            r#"[{"group":1,"reduction":4},{"group":2,"reduction":1}]"#,
        );
        let both = "[69,[[2,[1,2]],[2,[[10,[1]],[10,[2]]]]]]";
        check(
            &format!("[150,[[64,[{both},{GROUPED},9]]]]"),
            r#"[{"group":1,"reduction":[2,9]},{"group":2,"reduction":[1,9]}]"#,
        );
        check_error(&format!("[64,[{both},9,{GROUPED}]]"), ErrorKind::Logic, NO_DATUM, "[2,0]");
    }

    #[test]
    fn whether_the_first_argument_is_a_value_is_looked_at_last() {
        let function = "[69,[[2,[1,2,3]],1]]";
        let message = "Expected type DATUM but found DATABASE:\ndb(\"test\")";
        let databases = r#"[14,["test"]],[14,["test"]]"#;
        let query = format!("[64,[{function},{databases},[14,[\"test\"]]]]");
        check_error(&query, ErrorKind::Logic, message, "[2]");
        check_error(&format!("[64,[{function},{databases},1]]"), ErrorKind::Logic, message, "[2]");
    }
}
