//! `sync`: waits until all that was written to a table is on disk.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;
use crate::storage::{Commit, Durability};

pub static SYNC: TermSpec = TermSpec {
    ..TermSpec::on_catalog(
        Effect::Write,
        TermType::Sync,
        "SYNC",
        Chapter::WritingData,
        Arity::exactly(1),
        sync,
    )
};

/// Every answer that waits for a commit waits for those before it, so the newest commit stands for all.
fn sync(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
    if table.is_system() {
        return Err(Error::op_failed("Artificial tables don't support `sync()`."));
    }
    let sequence = table.table.engine().last_sequence();
    args.env.note_commit(Commit { sequence, durability: Durability::Hard });
    args.value(Datum::object([("synced", Datum::Number(1.0))]))
}
