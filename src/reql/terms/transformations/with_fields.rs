//! `withFields`: of the rows that have all these fields, these fields alone.

use photondb_protocol::numbers::TermType;

use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::terms::document_manipulation::{OPTIONS, having_fields, plucked};
use crate::reql::value::Val;

pub static WITH_FIELDS: TermSpec = TermSpec {
    is_rewritten: true,
    options: OPTIONS,
    grouping: Grouping::Stream,
    ..TermSpec::pure(
        TermType::WithFields,
        "WITH_FIELDS",
        Chapter::Transformations,
        Arity::at_least(1),
        with_fields,
    )
};

fn with_fields(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let having = having_fields(args, first)?;
    plucked(args, having)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn rows_that_lack_a_field_go() {
        let query = "[96,[[2,[{\"a\":1,\"b\":2},{\"a\":3},{\"a\":null}]],\"a\"]]";
        check(query, "[{\"a\":1},{\"a\":3}]");
        let message = "Cannot perform has_fields on a non-object non-sequence `5`.";
        check_error("[96,[5,\"a\"]]", ErrorKind::Logic, message, "[0]");
        // RethinkDB makes `has_fields` and `pluck` of it, and leaves them its option.
        let message = "Cannot perform has_fields on a sequence of sequences.";
        let query = "[96,[[2,[{\"a\":1}]],\"a\"],{\"_NO_RECURSE_\":true}]";
        check_error(query, ErrorKind::Logic, message, "[]");
    }
}
