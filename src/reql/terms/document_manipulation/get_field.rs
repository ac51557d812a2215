//! `getField`, and `bracket`, which also takes a position.

use photondb_protocol::numbers::TermType;

use crate::datum::Object;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::value::Val;

use crate::reql::row_rule::{self, field_of};

use super::each_row::{OPTIONS, Prepared, RowTerm};

pub static GET_FIELD: TermSpec = TermSpec {
    options: OPTIONS,
    grouping: Grouping::Stream,
    ..TermSpec::pure(
        TermType::GetField,
        "GET_FIELD",
        Chapter::DocumentManipulation,
        Arity::exactly(2),
        |args| FIELD.eval(args),
    )
};

static FIELD: RowTerm =
    RowTerm { rule: row_rule::FIELD, eval: field, prepare: Some(prepared_field) };

pub(super) fn field(args: &Args<'_>, object: &Object) -> Result<Val> {
    let name = args.str(1)?;
    args.value(field_of(object, &name)?)
}

pub(super) fn prepared_field(args: &Args<'_>) -> Result<Prepared> {
    let name = args.str(1)?;
    Ok(Box::new(move |_, object| Ok(field_of(object, &name)?)))
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn rows_without_the_field_are_dropped() {
        check("[31,[{\"a\":1},\"a\"]]", "1");
        check("[31,[[2,[{\"a\":1},{},{\"a\":null}]],\"a\"]]", "[1,null]");
        let message = "No attribute `b` in object:\n{\n\t\"a\":\t1\n}";
        check_error("[31,[{\"a\":1},\"b\"]]", ErrorKind::NonExistence, message, "[]");
    }

    #[test]
    fn what_has_no_fields_is_refused() {
        let message = "Cannot perform get_field on a non-object non-sequence `1`.";
        check_error("[31,[1,\"a\"]]", ErrorKind::Logic, message, "[0]");
        check_error("[31,[[2,[1]],\"a\"]]", ErrorKind::Logic, message, "[]");
        let message = "Cannot perform get_field on a sequence of sequences.";
        check_error("[31,[[2,[[2,[]]]],\"a\"]]", ErrorKind::Logic, message, "[]");
        let message = "Cannot perform get_field on a non-object non-sequence `null`.";
        check_error("[31,[null,\"a\"]]", ErrorKind::NonExistence, message, "[0]");
    }
}
