//! `replace`: puts other documents in the place of documents.

use photondb_protocol::numbers::TermType;

use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::function::Shortcut;
use crate::reql::spec::{Arity, Chapter, Determinism, Effect, TermSpec};
use crate::reql::value::Val;

use super::apply::write_selection;
use super::options::check_determinism;

pub static REPLACE: TermSpec = TermSpec {
    options: &["non_atomic", "durability", "return_changes", "ignore_write_hook"],
    effect: Effect::Write,
    determinism: Determinism::No,
    forbids_writes: true,
    ..TermSpec::pure(TermType::Replace, "REPLACE", Chapter::WritingData, Arity::exactly(2), replace)
};

fn replace(args: &Args<'_>) -> Result<Val> {
    let target = args.arg(0)?;
    let func = args.func(1, Shortcut::Constant)?;
    check_determinism(args)?;
    write_selection(args, target, &|_, old| {
        func.call_datum(args.env, std::slice::from_ref(old)).map(Some)
    })
}
