//! `typeOf`: the name of a result's type.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::value::{Val, ValKind};

/// `value.typeOf()`
pub static TYPE_OF: TermSpec = TermSpec {
    grouping: Grouping::Whole,
    ..TermSpec::pure(
        TermType::TypeOf,
        "TYPE_OF",
        Chapter::ControlStructures,
        Arity::exactly(1),
        type_of,
    )
};

fn type_of(args: &Args<'_>) -> Result<Val> {
    args.value(Datum::from(type_name(&args.arg(0)?)))
}

/// The name of a result's type, as `typeOf` and `info` give it.
pub fn type_name(val: &Val) -> String {
    let name = match &val.kind {
        ValKind::Datum(datum) => return datum.type_name(),
        ValKind::Sequence(stream) if stream.is_array() => "ARRAY",
        ValKind::Sequence(_) => "STREAM",
        ValKind::Selection(selection) if selection.stream.is_array() => "SELECTION<ARRAY>",
        ValKind::Selection(_) => "SELECTION<STREAM>",
        ValKind::SingleSelection(_) => "SELECTION<OBJECT>",
        ValKind::Table(table) if table.is_slice() => "TABLE_SLICE",
        ValKind::Table(_) => "TABLE",
        ValKind::Database(_) => "DB",
        ValKind::Func(_) => "FUNCTION",
        ValKind::Grouped(_) => "GROUPED_DATA",
        ValKind::GroupedStream(_) => "GROUPED_STREAM",
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::{check, check_compile_error};

    #[test]
    fn every_kind_of_value_has_a_name() {
        for (query, expected) in [
            ("null", "NULL"),
            ("true", "BOOL"),
            ("1.5", "NUMBER"),
            ("\"x\"", "STRING"),
            ("[2,[1]]", "ARRAY"),
            ("{}", "OBJECT"),
            ("[101,[0]]", "PTYPE<TIME>"),
            (r#"{"$reql_type$":"BINARY","data":""}"#, "PTYPE<BINARY>"),
            ("[69,[[2,[1]],[10,[1]]]]", "FUNCTION"),
        ] {
            check(&format!("[52,[{query}]]"), &format!("{expected:?}"));
        }
        check_compile_error("[52,[1,2]]", "Expected 1 argument but found 2.", "[]");
    }
}
