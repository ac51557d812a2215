//! `group` and `ungroup`.
//!
//! A row that lacks what it is grouped by belongs to the group null. With `multi` an array stands for the groups it
//! holds, several arrays for each combination of theirs.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::function::{Func, Shortcut};
use crate::reql::grouped::{GroupKeys, GroupedStream};
use crate::reql::selection::TableVal;
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::stream::IndexRow;
use crate::reql::table_ref::TableIndex;
use crate::reql::terms::transformations::ordered_by_index;
use crate::reql::value::{Val, ValKind};

pub static GROUP: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    options: &["index", "multi"],
    ..TermSpec::pure(TermType::Group, "GROUP", Chapter::Aggregation, Arity::at_least(1), group)
};

pub static UNGROUP: TermSpec = TermSpec {
    grouping: Grouping::Whole,
    cost: Cost::Heavy,
    ..TermSpec::pure(TermType::Ungroup, "UNGROUP", Chapter::Aggregation, Arity::exactly(1), ungroup)
};

fn group(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let mut funcs = Vec::with_capacity(args.len());
    for i in 1..args.len() {
        funcs.push(args.func(i, Shortcut::GetField)?);
    }
    let mut with_value = false;
    let source = match args.optarg("index")? {
        Some(index) => {
            let at = index.at;
            let index = index.str(args.env)?;
            let from = first.at;
            let table = TableVal::whole(first.into_table(args.env)?, from);
            let ordered = ordered_by_index(table, &index, false)?;
            if let Some(TableIndex::Secondary(_)) = ordered.index {
                with_value = true;
            } else {
                let key = Datum::String(index.clone());
                funcs.push(Func::from_datum(key, Shortcut::GetField, at, args.env)?);
            }
            let row = if with_value { IndexRow::Both } else { IndexRow::Document };
            ordered.into_rows(args.env, row)?
        }
        None if matches!(first.kind, ValKind::GroupedStream(_)) => {
            return Err(Error::logic(
                "Cannot call `group` on the output of `group` (did you mean to `ungroup`?).",
            ));
        }
        None => first.into_stream(args.env)?,
    };
    if funcs.is_empty() && !with_value {
        return Err(Error::logic("Cannot group by nothing."));
    }
    let multi = args.optarg_bool("multi", false)?;
    let keys = Box::new(Keys { funcs, multi, with_value });
    args.val(ValKind::GroupedStream(GroupedStream::new(source, keys, args.node.id)))
}

#[derive(Debug)]
struct Keys {
    funcs: Vec<Func>,
    multi: bool,
    /// Whether the rows are pairs of an index's value and a document.
    with_value: bool,
}

impl GroupKeys for Keys {
    fn keys(&self, env: &Env, row: &Datum, out: &mut Vec<Datum>) -> Result<()> {
        let (value, row) = match row {
            Datum::Array(pair) if self.with_value => match pair.as_slice() {
                [value, row] => (Some(value), row),
                _ => return Err(Error::internal("A row of an index is no pair.")),
            },
            row => (None, row),
        };
        let mut values = Vec::with_capacity(self.funcs.len() + 1);
        for func in &self.funcs {
            values.push(key(env, func, row)?);
        }
        values.extend(value.cloned());
        if let ([only], false) = (values.as_slice(), self.multi) {
            out.push(only.clone());
            return Ok(());
        }
        if self.multi {
            combinations(env, &values, &mut Vec::new(), out)
        } else {
            out.push(Datum::array(values));
            Ok(())
        }
    }

    fn row(&self, row: Datum) -> Datum {
        match &row {
            Datum::Array(pair) if self.with_value => pair.last().cloned().unwrap_or(row),
            _ => row,
        }
    }
}

/// What one function makes of a row; null when it misses something.
fn key(env: &Env, func: &Func, row: &Datum) -> Result<Datum> {
    match func.call_datum(env, std::slice::from_ref(row)) {
        Err(error) if error.kind() == ErrorKind::NonExistence => Ok(Datum::Null),
        called => called.map_err(|error| func.blame(error)),
    }
}

/// Appends each way to choose one of each value's elements. An empty array stands for null.
fn combinations(
    env: &Env,
    values: &[Datum],
    chosen: &mut Vec<Datum>,
    out: &mut Vec<Datum>,
) -> Result<()> {
    let Some((value, rest)) = values.split_first() else {
        out.push(match chosen.as_slice() {
            [only] => only.clone(),
            several => Datum::array(several.to_vec()),
        });
        return env.check_array_size(out.len());
    };
    let choices = match value {
        Datum::Array(choices) if choices.is_empty() => &[Datum::Null],
        Datum::Array(choices) => choices.as_slice(),
        single => std::slice::from_ref(single),
    };
    for choice in choices {
        chosen.push(choice.clone());
        combinations(env, rest, chosen, out)?;
        chosen.pop();
    }
    Ok(())
}

fn ungroup(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let grouped = match first.kind {
        ValKind::Grouped(grouped) => grouped,
        ValKind::GroupedStream(stream) => stream.gather(args.env)?,
        _ => return Err(first.type_error("GROUPED_DATA", args.env)),
    };
    args.env.check_array_size(grouped.groups.len())?;
    let rows = grouped
        .groups
        .into_iter()
        .map(|(group, reduction)| Datum::object([("group", group), ("reduction", reduction)]));
    args.value(rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error, run_with};

    const PARITY: &str = "[69,[[2,[1]],[28,[[10,[1]],2]]]]";

    #[test]
    fn groups_of_one_value_of_several_and_of_each_of_an_array() {
        check(
            &format!("[150,[[144,[[173,[4]],{PARITY}]]]]"),
            r#"[{"group":0,"reduction":[0,2]},{"group":1,"reduction":[1,3]}]"#,
        );
        let rows = r#"[2,[{"a":1,"t":[2,["x","y"]]},{"a":2,"t":[2,["x"]]},{"t":[2,[]]}]]"#;
        check(
            &format!(r#"[150,[[43,[[144,[{rows},"a"]]]]]]"#),
            r#"[{"group":null,"reduction":1},{"group":1,"reduction":1},{"group":2,"reduction":1}]"#,
        );
        check(
            &format!(r#"[150,[[43,[[144,[{rows},"t"],{{"multi":true}}]]]]]"#),
            r#"[{"group":null,"reduction":1},{"group":"x","reduction":2},{"group":"y","reduction":1}]"#,
        );
        check(
            &format!(r#"[150,[[43,[[144,[{rows},"a","t"],{{"multi":true}}]]]]]"#),
            r#"[{"group":[null,null],"reduction":1},{"group":[1,"x"],"reduction":1},
                {"group":[1,"y"],"reduction":1},{"group":[2,"x"],"reduction":1}]"#,
        );
    }

    #[test]
    fn what_follows_applies_to_each_group() {
        let doubled = format!("[38,[[144,[[173,[6]],{PARITY}]],[69,[[2,[2]],[26,[[10,[2]],2]]]]]]");
        check(
            &format!("[150,[[145,[{doubled}]]]]"),
            r#"[{"group":0,"reduction":12},{"group":1,"reduction":18}]"#,
        );
        check(
            &format!("[150,[[45,[{doubled},-1]]]]"),
            r#"[{"group":0,"reduction":8},{"group":1,"reduction":10}]"#,
        );
        // A group that nothing is left of does not appear.
        check(
            &format!("[150,[[43,[[39,[{doubled},[69,[[2,[3]],[21,[[10,[3]],9]]]]]]]]]]"),
            r#"[{"group":1,"reduction":1}]"#,
        );
    }

    #[test]
    fn refusals() {
        check_error("[144,[[2,[1]]]]", ErrorKind::Logic, "Cannot group by nothing.", "[]");
        let grouped = format!("[144,[[2,[1,2]],{PARITY}]]");
        check_error(
            &format!("[144,[{grouped},{PARITY}]]"),
            ErrorKind::Logic,
            "Cannot call `group` on the output of `group` (did you mean to `ungroup`?).",
            "[]",
        );
        let gathered = run_with(&format!("[144,[[173,[9]],{PARITY}]]"), r#"{"array_limit":4}"#);
        assert!(format!("{gathered:?}").contains("Grouped data over size limit `4`."));
        let many = "[43,[[144,[[173,[9]],[69,[[2,[1]],[10,[1]]]]]]]]";
        let counted = run_with(many, r#"{"array_limit":4}"#);
        assert!(format!("{counted:?}").contains("Too many groups (> 4)."));
    }

    #[test]
    fn an_array_whose_first_element_is_grouped_is_made_for_each_group() {
        let counted = format!("[43,[[144,[[2,[1,2,4]],{PARITY}]]]]");
        let each = r#"[{"group":0,"reduction":[2,"x"]},{"group":1,"reduction":[1,"x"]}]"#;
        check(&format!(r#"[150,[[2,[{counted},"x"]]]]"#), each);
        check(
            &format!(r#"[154,[[2,[{counted},"x"]]]]"#),
            r#"{"$reql_type$":"GROUPED_DATA","data":[[0,[2,"x"]],[1,[1,"x"]]]}"#,
        );
        check_error(
            &format!(r#"[2,["x",{counted}]]"#),
            ErrorKind::Logic,
            "Expected type DATUM but found GROUPED_DATA:\nVALUE GROUPED_DATA",
            "[1,0]",
        );
    }

    #[test]
    fn a_value_of_a_group_blames_the_term_that_takes_it() {
        let rows = r#"[2,[{"a":1,"n":2}]]"#;
        let sum = format!(r#"[145,[[170,[[144,[{rows},"a"]],"n"]]]]"#);
        let keys = "Cannot call `keys` on objects of type `NUMBER`.";
        check_error(&format!("[94,[{sum}]]"), ErrorKind::Logic, keys, "[]");
        let merge = "Cannot perform merge on a non-object non-sequence `2`.";
        check_error(&format!(r#"[35,[{sum},{{"x":1}}]]"#), ErrorKind::Logic, merge, "[]");
    }
}
