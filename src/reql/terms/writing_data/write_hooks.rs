//! `setWriteHook`, `getWriteHook`. Hooks cannot be set yet, and setting one says so; so no table has one.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Effect, Status, TermSpec};
use crate::reql::value::Val;

pub static SET_WRITE_HOOK: TermSpec = TermSpec {
    status: Status::Planned,
    ..TermSpec::on_tables(
        Effect::Meta,
        TermType::SetWriteHook,
        "SET_WRITE_HOOK",
        Chapter::WritingData,
        Arity::exactly(2),
        set_write_hook,
    )
};
pub static GET_WRITE_HOOK: TermSpec = TermSpec::on_tables(
    Effect::Read,
    TermType::GetWriteHook,
    "GET_WRITE_HOOK",
    Chapter::WritingData,
    Arity::exactly(1),
    get_write_hook,
);

fn set_write_hook(args: &Args<'_>) -> Result<Val> {
    args.arg(0)?.into_table()?;
    Err(Error::op_failed("Write hooks are not supported by this server yet."))
}

fn get_write_hook(args: &Args<'_>) -> Result<Val> {
    args.arg(0)?.into_table()?;
    args.value(Datum::Null)
}
