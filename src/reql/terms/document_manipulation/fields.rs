//! `pluck`, `without`, `hasFields`: fields named by paths, kept, dropped or looked for.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::datum::edit::Paths;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::value::Val;

use crate::reql::row_rule::{self, RowRule, Rows};

use super::each_row::{OPTIONS, RowTerm};

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec {
        options: OPTIONS,
        grouping: Grouping::Stream,
        ..TermSpec::pure(term, name, Chapter::DocumentManipulation, Arity::at_least(1), eval)
    }
}

pub static PLUCK: TermSpec = row(TermType::Pluck, "PLUCK", |args| PLUCKED.eval(args));
pub static WITHOUT: TermSpec = row(TermType::Without, "WITHOUT", |args| LEFT.eval(args));
pub static HAS_FIELDS: TermSpec = row(TermType::HasFields, "HAS_FIELDS", |args| HELD.eval(args));

static PLUCKED: RowTerm = RowTerm {
    rule: row_rule::FIELDS,
    eval: |args, object| args.value(paths(args)?.pluck(object)?),
    prepare: Some(|args| {
        let paths = paths(args)?;
        Ok(Box::new(move |_, object| Ok(paths.pluck(object)?)))
    }),
};

static LEFT: RowTerm = RowTerm {
    rule: RowRule { name: "without", rows: Rows::Map, pseudo_type: None },
    eval: |args, object| args.value(paths(args)?.without(object)?),
    prepare: Some(|args| {
        let paths = paths(args)?;
        Ok(Box::new(move |_, object| Ok(paths.without(object)?)))
    }),
};

static HELD: RowTerm = RowTerm {
    rule: RowRule { name: "has_fields", rows: Rows::Filter, pseudo_type: None },
    eval: |args, object| args.value(paths(args)?.are_in(object)),
    prepare: Some(|args| {
        let paths = paths(args)?;
        Ok(Box::new(move |_, object| Ok(Datum::Bool(paths.are_in(object)))))
    }),
};

/// All arguments but the first.
fn paths(args: &Args<'_>) -> Result<Paths> {
    let mut paths = Vec::with_capacity(args.len().saturating_sub(1));
    for i in 1..args.len() {
        paths.push(args.datum(i)?);
    }
    Ok(Paths::parse(&Datum::array(paths))?)
}

/// The first argument's rows, or the object, that have the fields the other arguments name.
pub(in crate::reql::terms) fn having_fields(args: &Args<'_>, first: Val) -> Result<Val> {
    HELD.eval_on(args, first, HELD.eval)
}

/// The fields that the other arguments name, of the rows or the object.
pub(in crate::reql::terms) fn plucked(args: &Args<'_>, first: Val) -> Result<Val> {
    PLUCKED.eval_on(args, first, PLUCKED.eval)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn fields_are_kept_dropped_and_looked_for() {
        check("[33,[{\"a\":1,\"b\":2},\"a\",\"z\"]]", "{\"a\":1}");
        check("[34,[{\"a\":1,\"b\":{\"c\":2}},{\"b\":\"c\"}]]", "{\"a\":1,\"b\":{}}");
        check("[32,[{\"a\":1,\"n\":null},\"a\"]]", "true");
        check("[32,[{\"a\":1,\"n\":null},\"a\",\"n\"]]", "false");
    }

    #[test]
    fn rows_are_changed_or_sifted() {
        check("[33,[[2,[{\"a\":1},{\"b\":2}]],\"a\"]]", "[{\"a\":1},{}]");
        check("[32,[[2,[{\"a\":1},null,{\"b\":2}]],\"a\"]]", "[{\"a\":1}]");
        let message = "Cannot perform pluck on a non-object non-sequence `null`.";
        check_error("[33,[[2,[null]],\"a\"]]", ErrorKind::NonExistence, message, "[]");
    }

    #[test]
    fn paths_that_are_the_same_for_all_rows_are_made_once() {
        let rows = "[38,[[173,[20000]],[69,[[2,[1]],{\"a\":[10,[1]]}]]]]";
        let names = "[38,[[173,[20000]],[69,[[2,[1]],[51,[[10,[1]],\"STRING\"]]]]]]";
        let began = std::time::Instant::now();
        check(&format!("[43,[[32,[{rows},[154,[[51,[{names},\"ARRAY\"]]]]]]]]"), "0");
        check(&format!("[43,[[32,[{rows},[154,[[2,[\"a\",\"a\"]]]]]]]]"), "20000");
        assert!(began.elapsed().as_secs() < 10, "took {:?}", began.elapsed());
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let message = "Invalid path argument `2`.";
        check_error("[33,[{},2]]", ErrorKind::Logic, message, "[]");
        check("[33,[[2,[]],2]]", "[]");
    }
}
