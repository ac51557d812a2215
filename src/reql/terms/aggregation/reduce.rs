//! `reduce`: all elements made into one by a function of two.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::function::{Func, Shortcut};
use crate::reql::grouped::{Accumulator, aggregate};
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::value::{Val, ValKind};

use super::DepthWatch;

pub static REDUCE: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    ..TermSpec::pure(TermType::Reduce, "REDUCE", Chapter::Aggregation, Arity::exactly(2), reduce)
};

fn reduce(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let first = match first.kind {
        ValKind::GroupedStream(_) => first,
        _ => {
            let at = first.at;
            Val::new(ValKind::Sequence(first.into_stream(args.env)?), at)
        }
    };
    let func = args.func(1, Shortcut::None)?;
    aggregate(args, first, &|| {
        Box::new(Reduction { func: func.clone(), value: None, watch: DepthWatch::default() })
    })
}

struct Reduction {
    func: Func,
    value: Option<Datum>,
    watch: DepthWatch,
}

impl Accumulator for Reduction {
    fn add(&mut self, env: &Env, row: Datum) -> Result<bool> {
        let next = match self.value.take() {
            Some(value) => self.func.call_datum(env, &[value, row])?,
            None => row,
        };
        self.watch.step(&next)?;
        self.value = Some(next);
        Ok(true)
    }

    fn finish(self: Box<Self>, _env: &Env) -> Result<Datum> {
        let empty = "Cannot reduce over an empty stream.";
        self.value.ok_or_else(|| Error::non_existence(empty).at(self.func.at))
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    const SUM: &str = "[69,[[2,[1,2]],[24,[[10,[1]],[10,[2]]]]]]";

    #[test]
    fn folds_from_the_first_element() {
        check(&format!("[37,[[173,[5]],{SUM}]]"), "10");
        check(&format!("[37,[[2,[7]],{SUM}]]"), "7");
        check_error(
            &format!("[37,[[2,[]],{SUM}]]"),
            ErrorKind::NonExistence,
            "Cannot reduce over an empty stream.",
            "[1,1]",
        );
    }
}
