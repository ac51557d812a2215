//! `indexCreate`, `indexDrop`, `indexList`, `indexRename`, `indexStatus`, `indexWait`.
//!
//! Secondary indexes cannot be created yet, and creating one says so. So there are none, which is what the others say.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::selection::TableRef;
use crate::reql::spec::{Arity, Chapter, Effect, Status, TermSpec};
use crate::reql::value::Val;

pub static INDEX_CREATE: TermSpec = TermSpec {
    options: &["multi", "geo"],
    status: Status::Planned,
    ..TermSpec::on_tables(
        Effect::Meta,
        TermType::IndexCreate,
        "INDEX_CREATE",
        Chapter::ManipulatingTables,
        Arity::between(2, 3),
        index_create,
    )
};
pub static INDEX_DROP: TermSpec = TermSpec::on_tables(
    Effect::Meta,
    TermType::IndexDrop,
    "INDEX_DROP",
    Chapter::ManipulatingTables,
    Arity::exactly(2),
    index_drop,
);
pub static INDEX_LIST: TermSpec = TermSpec::on_tables(
    Effect::Read,
    TermType::IndexList,
    "INDEX_LIST",
    Chapter::ManipulatingTables,
    Arity::exactly(1),
    index_list,
);
pub static INDEX_RENAME: TermSpec = TermSpec {
    options: &["overwrite"],
    ..TermSpec::on_tables(
        Effect::Meta,
        TermType::IndexRename,
        "INDEX_RENAME",
        Chapter::ManipulatingTables,
        Arity::exactly(3),
        index_rename,
    )
};
pub static INDEX_STATUS: TermSpec = TermSpec::on_tables(
    Effect::Read,
    TermType::IndexStatus,
    "INDEX_STATUS",
    Chapter::ManipulatingTables,
    Arity::at_least(1),
    index_status,
);
pub static INDEX_WAIT: TermSpec = TermSpec::on_tables(
    Effect::Read,
    TermType::IndexWait,
    "INDEX_WAIT",
    Chapter::ManipulatingTables,
    Arity::at_least(1),
    index_status,
);

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
