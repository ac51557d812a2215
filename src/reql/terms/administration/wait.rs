//! `wait`: until tables are ready. On one server they are, as soon as they exist. It does not wait for a disk that is full:
//! what is to be done then is for an operator, who may not come before the client has given up.

use photondb_protocol::numbers::TermType;

use crate::catalog::SYSTEM_DATABASE;
use crate::datum::Datum;
use crate::reql::catalog_errors::catalog_error;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::{Val, ValKind};

pub static WAIT: TermSpec = TermSpec {
    options: &["wait_for", "timeout"],
    ..TermSpec::on_catalog(
        Effect::Read,
        TermType::Wait,
        "WAIT",
        Chapter::Administration,
        Arity::between(0, 1),
        wait,
    )
};

const ALWAYS_READY: &str = "Database `rethinkdb` is special; the system tables in it are always available and don't \
                            need to be waited on.";

const STATES: [&str; 4] =
    ["ready_for_outdated_reads", "ready_for_reads", "ready_for_writes", "all_replicas_ready"];

fn wait(args: &Args<'_>) -> Result<Val> {
    if args.is_empty() {
        return Err(Error::logic("`wait` can only be called on a table or database."));
    }
    let target = args.arg(0)?;
    if let Some(val) = args.optarg("wait_for")? {
        let at = val.at;
        let state = val.str(args.env)?;
        if !STATES.contains(&&*state) {
            return Err(Error::logic(format!(
                "Unknown table readiness state: '{state}', must be one of 'ready_for_outdated_reads', \
                 'ready_for_reads', 'ready_for_writes', or 'all_replicas_ready'"
            ))
            .at(at));
        }
    }
    if let Some(timeout) = args.optarg("timeout")? {
        timeout.integer(args.env)?;
    }
    let ready = match target.kind {
        ValKind::Database(database) if *database.name == *SYSTEM_DATABASE => {
            return Err(Error::op_failed(ALWAYS_READY));
        }
        ValKind::Database(database) => {
            let state = args.env.context.catalog.state();
            state.table_names(&database.name).map_err(catalog_error)?.len()
        }
        kind => {
            if Val::new(kind, target.at).into_table(args.env)?.is_system() {
                return Err(Error::op_failed(ALWAYS_READY));
            }
            1
        }
    };
    args.value(Datum::object([("ready", Datum::Number(ready as f64))]))
}
