//! `delete`: removes documents.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Determinism, Effect, TermSpec};
use crate::reql::value::Val;

use super::apply::write_selection;

pub static DELETE: TermSpec = TermSpec {
    options: &["durability", "return_changes", "ignore_write_hook"],
    effect: Effect::Write,
    determinism: Determinism::No,
    forbids_writes: true,
    ..TermSpec::pure(TermType::Delete, "DELETE", Chapter::WritingData, Arity::exactly(1), delete)
};

fn delete(args: &Args<'_>) -> Result<Val> {
    let target = args.arg(0)?;
    write_selection(args, target, &|_, _| Ok(Some(Datum::Null)))
}
