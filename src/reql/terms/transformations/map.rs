//! `map`: a function applied to each element.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::function::{Func, Shortcut};
use crate::reql::spec::{Arity, Chapter, Cost, Grouping, TermSpec};
use crate::reql::stream::{Transform, transform};
use crate::reql::value::Val;

pub static MAP: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    ..TermSpec::pure(TermType::Map, "MAP", Chapter::Transformations, Arity::at_least(2), map)
};

fn map(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let func = args.func(args.len() - 1, Shortcut::GetField)?;
    transform(args, first, Box::new(Map { func }))
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
}
