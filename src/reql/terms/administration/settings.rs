//! `config`, `status`, `reconfigure`, `rebalance`: not supported yet. What they are called on is checked all the same.

use photondb_protocol::numbers::TermType;

use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Effect, Status, TermSpec};
use crate::reql::value::{Val, ValKind};

pub static CONFIG: TermSpec = TermSpec {
    status: Status::Planned,
    ..TermSpec::on_tables(
        Effect::Read,
        TermType::Config,
        "CONFIG",
        Chapter::Administration,
        Arity::exactly(1),
        |args| not_supported(args, "config"),
    )
};
pub static STATUS: TermSpec = TermSpec {
    status: Status::Planned,
    ..TermSpec::on_tables(
        Effect::Read,
        TermType::Status,
        "STATUS",
        Chapter::Administration,
        Arity::exactly(1),
        |args| not_supported(args, "status"),
    )
};
pub static REBALANCE: TermSpec = TermSpec {
    status: Status::Planned,
    ..TermSpec::on_tables(
        Effect::Meta,
        TermType::Rebalance,
        "REBALANCE",
        Chapter::Administration,
        Arity::between(0, 1),
        |args| not_supported(args, "rebalance"),
    )
};
pub static RECONFIGURE: TermSpec = TermSpec {
    options: &[
        "dry_run",
        "emergency_repair",
        "nonvoting_replica_tags",
        "primary_replica_tag",
        "replicas",
        "shards",
    ],
    status: Status::Planned,
    ..TermSpec::on_tables(
        Effect::Meta,
        TermType::Reconfigure,
        "RECONFIGURE",
        Chapter::Administration,
        Arity::between(0, 1),
        |args| not_supported(args, "reconfigure"),
    )
};

fn not_supported(args: &Args<'_>, name: &str) -> Result<Val> {
    if args.is_empty() {
        return Err(Error::logic(format!("`{name}` can only be called on a table or database.")));
    }
    let target = args.arg(0)?;
    if !matches!(target.kind, ValKind::Database(_)) {
        target.into_table()?;
    }
    Err(Error::op_failed(format!("`{name}` is not supported by this server yet.")))
}
