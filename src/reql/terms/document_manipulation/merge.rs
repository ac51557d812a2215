//! `merge`, and `literal`, which replaces in it instead of merging.

use photondb_protocol::numbers::TermType;

use crate::datum::edit::{self, STRAY_LITERAL};
use crate::datum::{Datum, LITERAL, Object};
use crate::reql::env::Env;
use crate::reql::error::{Error, NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::function::{Func, Shortcut};
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::value::{Val, ValKind};

use crate::reql::row_rule::{RowRule, Rows};

use super::each_row::{OPTIONS, Prepared, RowTerm};

pub static MERGE: TermSpec = TermSpec {
    options: OPTIONS,
    grouping: Grouping::Stream,
    takes_literals: true,
    ..TermSpec::pure(
        TermType::Merge,
        "MERGE",
        Chapter::DocumentManipulation,
        Arity::at_least(1),
        |args| MERGED.eval(args),
    )
};

static MERGED: RowTerm = RowTerm {
    rule: RowRule { name: "merge", rows: Rows::Map, pseudo_type: None },
    eval: merge,
    prepare: Some(prepared_merge),
};

fn merge(args: &Args<'_>, object: &Object) -> Result<Val> {
    let mut merged = Datum::Object(object.clone());
    for i in 1..args.len() {
        merged = Change::read(args, i)?.apply(args.env, &merged)?;
    }
    args.value(merged)
}

fn prepared_merge(args: &Args<'_>) -> Result<Prepared> {
    let changes = (1..args.len()).map(|i| Change::read(args, i)).collect::<Result<Vec<_>>>()?;
    Ok(Box::new(move |env, object| {
        let object = Datum::Object(object.clone());
        changes.iter().try_fold(object, |merged, change| change.apply(env, &merged))
    }))
}

/// What is merged into an object: a value, or what a function makes of the object.
struct Change {
    what: What,
    /// The argument, to blame for a value that does not merge.
    at: NodeId,
}

enum What {
    Value(Datum),
    Made(Func),
}

impl Change {
    fn read(args: &Args<'_>, i: usize) -> Result<Change> {
        let val = args.arg_with_literals(i)?;
        let at = val.at;
        let what = match val.kind {
            ValKind::Datum(datum) => What::Value(datum),
            ValKind::SingleSelection(_) => What::Value(val.into_datum(args.env)?),
            _ => What::Made(val.into_func(Shortcut::Constant, args.env)?),
        };
        Ok(Change { what, at })
    }

    fn apply(&self, env: &Env, merged: &Datum) -> Result<Datum> {
        let made;
        let change = match &self.what {
            What::Value(value) => value,
            What::Made(func) => {
                let val = func.call_with_literals(env, std::slice::from_ref(merged))?;
                made = val.into_datum(env)?;
                &made
            }
        };
        if let Datum::Object(object) = change
            && let Some(kind) = object.pseudo_type()
            && kind != LITERAL
        {
            let message = format!("Cannot merge objects of type `PTYPE<{kind}>`.");
            return Err(Error::logic(message).at(self.at));
        }
        Ok(edit::merge(merged, change)?)
    }
}

/// Stands only where [`Args::literals_legal`] says so.
pub static LITERAL_TERM: TermSpec = TermSpec {
    grouping: Grouping::Whole,
    ..TermSpec::pure(
        TermType::Literal,
        "LITERAL",
        Chapter::DocumentManipulation,
        Arity::between(0, 1),
        literal,
    )
};

fn literal(args: &Args<'_>) -> Result<Val> {
    if !args.literals_legal() {
        return Err(Error::logic(STRAY_LITERAL));
    }
    let value = if args.is_empty() { None } else { Some(args.datum(0)?) };
    args.value(edit::literal(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Outcome, check, check_error, run};

    #[test]
    fn objects_merge_deeply_and_functions_see_what_was_merged() {
        check("[35,[{\"a\":{\"x\":1}},{\"a\":{\"y\":2}}]]", "{\"a\":{\"x\":1,\"y\":2}}");
        let func = "[69,[[2,[1]],{\"k\":[31,[[10,[1]],\"a\"]]}]]";
        check(&format!("[35,[{{}},{{\"a\":2}},{func}]]"), "{\"a\":2,\"k\":2}");
        check("[35,[{},5,{\"b\":1}]]", "{\"b\":1}");
        check("[35,[[2,[{},{\"a\":0}]],{\"b\":1}]]", "[{\"b\":1},{\"a\":0,\"b\":1}]");
    }

    #[test]
    fn literals_stand_in_arrays_and_in_first_arguments() {
        check(r#"[35,[{"b":{"c":1}},{"b":[2,[[137,[]],1]]}]]"#, r#"{"b":[1]}"#);
        let deep = r#"{"b":[2,[[2,[{"c":[137,[{}]]}]]]]}"#;
        check(&format!("[35,[{{}},{deep}]]"), r#"{"b":[[{"c":{}}]]}"#);
        check(&format!("[35,[{{}},[154,[[2,[{deep}]]]]]]"), r#"{"b":[[{"c":{}}]]}"#);
        // Whatever can be applied to groups leaves the place to its first argument.
        let plucked = r#"[33,[{"x":[137,[]],"y":2},"x"]]"#;
        check(&format!(r#"[35,[{{"x":1}},{plucked}]]"#), "{}");
        let second = r#"[35,[{},{"b":[143,["x",[137,[1]]]]}]]"#;
        check_error(second, ErrorKind::Logic, STRAY_LITERAL, r#"[1,"b",1]"#);
        let branch = r#"[35,[{},{"b":[65,[true,[137,[1]],1]]}]]"#;
        check_error(branch, ErrorKind::Logic, STRAY_LITERAL, r#"[1,"b",1]"#);
        let called = r#"[35,[{},{"b":[64,[[69,[[2,[1]],[137,[[10,[1]]]]]],1]]}]]"#;
        check_error(called, ErrorKind::Logic, STRAY_LITERAL, r#"[1,"b",0,1]"#);
        let alone = "[35,[{},[154,[[2,[[137,[1]]]]]]]]";
        check_error(alone, ErrorKind::Logic, STRAY_LITERAL, "[]");
    }

    #[test]
    fn arguments_are_evaluated_for_each_row() {
        let Outcome::Value(rows) = run("[35,[[2,[{},{}]],{\"id\":[169,[]]}]]") else {
            panic!("merge failed");
        };
        assert_ne!(rows[0]["id"], rows[1]["id"]);
    }

    #[test]
    fn literals_stand_in_what_is_merged_alone() {
        check("[35,[{\"a\":{\"x\":1}},{\"a\":[137,[{\"y\":2}]]}]]", "{\"a\":{\"y\":2}}");
        check("[35,[{\"a\":1,\"b\":2},{\"a\":[137,[]]}]]", "{\"b\":2}");
        check_error("[137,[1]]", ErrorKind::Logic, STRAY_LITERAL, "[]");
        let written = "{\"$reql_type$\":\"LITERAL\",\"value\":1}";
        check_error(written, ErrorKind::Logic, STRAY_LITERAL, "[]");
        check(&format!("[35,[{{}},{{\"a\":{written}}}]]"), "{\"a\":1}");
        check_error("[35,[{},[137,[{}]]]]", ErrorKind::Logic, STRAY_LITERAL, "[]");
        let query = "[35,[{},{\"a\":[137,[[137,[1]]]]}]]";
        check_error(query, ErrorKind::Logic, STRAY_LITERAL, "[1,\"a\",0]");
    }
}
