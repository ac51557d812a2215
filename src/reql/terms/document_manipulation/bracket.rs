//! `bracket`: a name reads a field as `getField` does, a number an element as `nth` does.

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, DatumError};
use crate::reql::error::{NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::grouped::Grouped;
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::terms::transformations::element;
use crate::reql::value::{Val, ValKind};

use super::each_row::{OPTIONS, RowTerm};
use super::get_field::{field, prepared_field};
use crate::reql::row_rule::{RowRule, Rows, field_of};

pub static BRACKET: TermSpec = TermSpec {
    options: OPTIONS,
    grouping: Grouping::Stream,
    ..TermSpec::pure(
        TermType::Bracket,
        "BRACKET",
        Chapter::DocumentManipulation,
        Arity::exactly(2),
        bracket,
    )
};

static NAMED: RowTerm = RowTerm {
    rule: RowRule { name: "bracket", rows: Rows::MapPresent, pseudo_type: None },
    eval: field,
    prepare: Some(prepared_field),
};

fn bracket(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let second = args.arg(1)?;
    let at = second.at;
    match second.into_datum(args.env)? {
        Datum::String(name) => NAMED.eval_on(args, first, |args, object| {
            // The name is at hand already; only rows evaluate it anew.
            args.value(field_of(object, &name)?)
        }),
        index @ Datum::Number(_) => numbered(args, first, index, at),
        other => {
            let found = other.type_name();
            let message = format!(
                "Expected NUMBER or STRING as second argument to `bracket` but found {found}."
            );
            Err(DatumError { kind: other.error_kind(), message }.into())
        }
    }
}

/// Of a grouped stream the element of each group.
fn numbered(args: &Args<'_>, first: Val, index: Datum, at: NodeId) -> Result<Val> {
    let first_at = first.at;
    let ValKind::GroupedStream(stream) = first.kind else {
        return element(args, first, Val::datum(index, at));
    };
    let mut elements = Grouped::default();
    for (group, rows) in stream.gather(args.env)?.groups {
        let element = element(args, Val::datum(rows, first_at), Val::datum(index.clone(), at))?;
        elements.groups.insert(group, element.into_datum(args.env)?);
    }
    args.val(ValKind::Grouped(elements))
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn names_read_fields() {
        check("[170,[{\"a\":1},\"a\"]]", "1");
        check("[170,[[2,[{\"a\":1},{}]],\"a\"]]", "[1]");
        check("[170,[[2,[1,2]],-1]]", "2");
        let message = "Cannot perform bracket on a non-object non-sequence `-1`.";
        check_error("[170,[-1,\"a\"]]", ErrorKind::Logic, message, "[0]");
    }

    #[test]
    fn other_arguments_are_refused() {
        let text = |found| {
            format!("Expected NUMBER or STRING as second argument to `bracket` but found {found}.")
        };
        check_error("[170,[{},true]]", ErrorKind::Logic, &text("BOOL"), "[]");
        check_error("[170,[{},null]]", ErrorKind::NonExistence, &text("NULL"), "[]");
    }
}
