//! `setWriteHook`, `getWriteHook`. Hooks cannot be set yet, and setting one says so; so no table has one.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Determinism, Effect, Status, TermSpec};
use crate::reql::value::Val;

const fn row(
    term: TermType,
    name: &'static str,
    arity: usize,
    effect: Effect,
    eval: fn(&Args<'_>) -> Result<Val>,
) -> TermSpec {
    TermSpec {
        effect,
        determinism: Determinism::No,
        takes_table_whole: true,
        ..TermSpec::pure(term, name, Chapter::WritingData, Arity::exactly(arity), eval)
    }
}

pub static SET_WRITE_HOOK: TermSpec = TermSpec {
    status: Status::Planned,
    ..row(TermType::SetWriteHook, "SET_WRITE_HOOK", 2, Effect::Meta, set_write_hook)
};
pub static GET_WRITE_HOOK: TermSpec =
    row(TermType::GetWriteHook, "GET_WRITE_HOOK", 1, Effect::Read, get_write_hook);

fn set_write_hook(args: &Args<'_>) -> Result<Val> {
    args.arg(0)?.into_table()?;
    Err(Error::op_failed("Write hooks are not supported by this server yet."))
}

fn get_write_hook(args: &Args<'_>) -> Result<Val> {
    args.arg(0)?.into_table()?;
    args.value(Datum::Null)
}
