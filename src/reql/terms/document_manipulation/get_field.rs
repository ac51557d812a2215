//! `getField`, and `bracket`, which also takes a position.

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, DatumError, Object};
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::value::Val;

use super::each_row::{OPTIONS, Prepared, RowTerm, Rows};

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

static FIELD: RowTerm = RowTerm {
    name: "get_field",
    rows: Rows::MapPresent,
    pseudo_type: None,
    eval: field,
    prepare: Some(prepared_field),
};

pub(super) fn field(args: &Args<'_>, object: &Object) -> Result<Val> {
    let name = args.str(1)?;
    args.value(field_of(object, &name)?)
}

pub(super) fn prepared_field(args: &Args<'_>) -> Result<Prepared> {
    let name = args.str(1)?;
    Ok(Box::new(move |_, object| Ok(field_of(object, &name)?)))
}

/// The value of a field, or `No attribute` with the object printed.
pub(super) fn field_of(object: &Object, name: &str) -> std::result::Result<Datum, DatumError> {
    match object.field(name) {
        Some(value) => Ok(value),
        None => Err(DatumError::non_existence(format!(
            "No attribute `{name}` in object:\n{}",
            Datum::Object(object.clone()).try_print()?
        ))),
    }
}

/// The field of a value, as a name in a function's place reads it (`group("field")`, `sum("field")`).
pub fn get_field_of(_env: &Env, value: &Datum, name: &Datum) -> Result<Datum> {
    FIELD.shortcut(value, |object| Ok(field_of(object, name.as_str()?)?))
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
