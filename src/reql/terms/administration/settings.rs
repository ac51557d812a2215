//! `config`, `status`, `reconfigure`, `rebalance`: not supported yet. What they are called on is checked all the same.

use photondb_protocol::numbers::TermType;

use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Determinism, Effect, Status, TermSpec};
use crate::reql::value::{Val, ValKind};

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
        status: Status::Planned,
        ..TermSpec::pure(term, name, Chapter::Administration, arity, eval)
    }
}

pub static CONFIG: TermSpec =
    row(TermType::Config, "CONFIG", Arity::exactly(1), Effect::Read, |args| {
        not_supported(args, "config")
    });
pub static STATUS: TermSpec =
    row(TermType::Status, "STATUS", Arity::exactly(1), Effect::Read, |args| {
        not_supported(args, "status")
    });
pub static REBALANCE: TermSpec =
    row(TermType::Rebalance, "REBALANCE", Arity::between(0, 1), Effect::Meta, |args| {
        not_supported(args, "rebalance")
    });
pub static RECONFIGURE: TermSpec = TermSpec {
    options: &[
        "dry_run",
        "emergency_repair",
        "nonvoting_replica_tags",
        "primary_replica_tag",
        "replicas",
        "shards",
    ],
    ..row(TermType::Reconfigure, "RECONFIGURE", Arity::between(0, 1), Effect::Meta, |args| {
        not_supported(args, "reconfigure")
    })
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
