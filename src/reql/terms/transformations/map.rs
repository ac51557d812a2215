//! `map` and `concatMap`: a function applied to each element, or to the elements of several sequences side by side.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::function::{Func, Shortcut};
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::stream::{Rows, Transform, Zip, concat, undetermined};
use crate::reql::value::Val;

pub static MAP: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    ..TermSpec::pure(TermType::Map, "MAP", Chapter::Transformations, Arity::at_least(2), map)
};

pub static CONCAT_MAP: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    ..TermSpec::pure(
        TermType::ConcatMap,
        "CONCAT_MAP",
        Chapter::Transformations,
        Arity::exactly(2),
        concat_map,
    )
};

fn map(args: &Args<'_>) -> Result<Val> {
    let sequences = args.len() - 1;
    let first = args.arg(0)?;
    if sequences == 1 {
        let rows = Rows::of(first, args.env)?;
        let func = mapping(args, sequences)?;
        return rows.transform(args, Box::new(Map { func }));
    }
    let mut streams = vec![first.into_stream(args.env)?];
    for i in 1..sequences {
        streams.push(args.stream(i)?);
    }
    let func = mapping(args, sequences)?;
    args.stream_value(Box::new(Zip::new(streams, func, args.node.id)))
}

/// The function, which must take an argument for each sequence (or none).
fn mapping(args: &Args<'_>, sequences: usize) -> Result<Func> {
    let func = args.func(sequences, Shortcut::None)?;
    match func.arity() {
        Some(arity) if arity != 0 && arity != sequences => Err(Error::logic(format!(
            "The function passed to `map` expects {arity} argument{}, but {sequences} sequence{} found.",
            if arity == 1 { "" } else { "s" },
            if sequences == 1 { " was" } else { "s were" },
        ))),
        _ => Ok(func),
    }
}

#[derive(Debug)]
struct Map {
    func: Func,
}

impl Transform for Map {
    fn apply(&self, env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        out.push(self.func.call_datum(env, &[row])?);
        Ok(())
    }

    fn feed_problem(&self) -> Option<Error> {
        undetermined(self.func.varies(), self.func.at)
    }

    fn apply_all(&self, env: &Env, mut rows: Vec<Datum>) -> Result<Vec<Datum>> {
        for row in &mut rows {
            *row = self.func.call_datum(env, std::slice::from_ref(row))?;
        }
        Ok(rows)
    }
}

fn concat_map(args: &Args<'_>) -> Result<Val> {
    let rows = Rows::of(args.arg(0)?, args.env)?;
    let func = args.func(1, Shortcut::None)?;
    concat(args, rows, Box::new(func))
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn maps_one_sequence_or_several_side_by_side() {
        check("[38,[[2,[1,2]],[69,[[2,[1]],[24,[[10,[1]],1]]]]]]", "[2,3]");
        check(
            "[38,[[2,[1,2]],[173,[]],[69,[[2,[1,2]],[2,[[10,[1]],[10,[2]]]]]]]]",
            "[[1,0],[2,1]]",
        );
        check_error(
            "[38,[[2,[1]],[2,[2]],[69,[[2,[1]],[10,[1]]]]]]",
            ErrorKind::Logic,
            "The function passed to `map` expects 1 argument, but 2 sequences were found.",
            "[]",
        );
    }

    #[test]
    fn no_row_is_lost_between_streams_that_give_rows_now_and_then() {
        let late = "[39,[[173,[3000]],[69,[[2,[1]],[21,[[10,[1]],2500]]]]]]";
        let pairs = format!("[38,[{late},[173,[3000]],[69,[[2,[1,2]],[25,[[10,[1]],[10,[2]]]]]]]]");
        check(&format!("[43,[[38,[[51,[{late},\"array\"]],{late},[69,[[2,[1,2]],1]]]]]]"), "499");
        check(&format!("[42,[{pairs}]]"), "[2501]");
    }

    #[test]
    fn rows_are_not_made_before_they_are_asked_for() {
        let failing =
            "[38,[[173,[]],[69,[[2,[1]],[65,[[19,[[10,[1]],3]],[10,[1]],[12,[\"late\"]]]]]]]]";
        check(&format!("[71,[{failing},3]]"), "[0,1,2]");
        check_error(&format!("[71,[{failing},4]]"), ErrorKind::User, "late", "[0,1,1,2]");
    }

    #[test]
    fn concat_map_reads_what_the_function_gives() {
        check("[40,[[173,[4]],[69,[[2,[1]],[173,[[10,[1]]]]]]]]", "[0,0,1,0,1,2]");
        check("[71,[[40,[[173,[1]],[69,[[2,[1]],[173,[]]]]]],2]]", "[0,1]");
        check_error(
            "[40,[[2,[1]],[69,[[2,[1]],[10,[1]]]]]]",
            ErrorKind::Logic,
            "Cannot convert NUMBER to SEQUENCE",
            "[1]",
        );
    }
}
