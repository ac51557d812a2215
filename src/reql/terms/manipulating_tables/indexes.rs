//! `indexCreate`, `indexDrop`, `indexList`, `indexRename`, `indexStatus`, `indexWait`.
//!
//! Secondary indexes cannot be created yet, and creating one says so. So there are none, which is what the others say.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::selection::TableRef;
use crate::reql::spec::{Arity, Chapter, Determinism, Effect, Status, TermSpec};
use crate::reql::value::Val;

const fn row(
    term: TermType,
    name: &'static str,
    arity: Arity,
    effect: Effect,
    eval: fn(&Args<'_>) -> Result<Val>,
) -> TermSpec {
    TermSpec {
        effect,
        determinism: Determinism::No,
        takes_table_whole: true,
        ..TermSpec::pure(term, name, Chapter::ManipulatingTables, arity, eval)
    }
}

pub static INDEX_CREATE: TermSpec = TermSpec {
    options: &["multi", "geo"],
    status: Status::Planned,
    ..row(TermType::IndexCreate, "INDEX_CREATE", Arity::between(2, 3), Effect::Meta, index_create)
};
pub static INDEX_DROP: TermSpec =
    row(TermType::IndexDrop, "INDEX_DROP", Arity::exactly(2), Effect::Meta, index_drop);
pub static INDEX_LIST: TermSpec =
    row(TermType::IndexList, "INDEX_LIST", Arity::exactly(1), Effect::Read, index_list);
pub static INDEX_RENAME: TermSpec = TermSpec {
    options: &["overwrite"],
    ..row(TermType::IndexRename, "INDEX_RENAME", Arity::exactly(3), Effect::Meta, index_rename)
};
pub static INDEX_STATUS: TermSpec =
    row(TermType::IndexStatus, "INDEX_STATUS", Arity::at_least(1), Effect::Read, index_status);
pub static INDEX_WAIT: TermSpec =
    row(TermType::IndexWait, "INDEX_WAIT", Arity::at_least(1), Effect::Read, index_status);

fn index_create(args: &Args<'_>) -> Result<Val> {
    args.arg(0)?.into_table()?;
    args.str(1)?;
    Err(Error::op_failed("Secondary indexes are not supported by this server yet."))
}

fn index_drop(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table()?;
    Err(not_found(&table, &args.str(1)?))
}

fn index_list(args: &Args<'_>) -> Result<Val> {
    args.arg(0)?.into_table()?;
    args.value(Datum::array(vec![]))
}

fn index_rename(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table()?;
    let old = args.str(1)?;
    args.str(2)?;
    Err(not_found(&table, &old))
}

/// The state of the indexes named, or of all.
fn index_status(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table()?;
    match args.len() {
        1 => args.value(Datum::array(vec![])),
        _ => Err(not_found(&table, &args.str(1)?)),
    }
}

/// An index that a query names and that does not exist.
pub fn not_found(table: &TableRef, index: &str) -> Error {
    Error::op_failed(format!(
        "Index `{index}` was not found on table `{}.{}`.",
        table.db,
        table.name()
    ))
}
