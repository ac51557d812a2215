//! `cluster_config`: how long a server waits for another one. There is no other one; the number is kept.

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::terms::catalog_error;

use super::{check_fields, wrong_format};

const TABLE: &str = "cluster_config";
const TIMEOUT: &str = "heartbeat_timeout_secs";

pub(super) fn rows(env: &Env) -> Result<Vec<Datum>> {
    let seconds = env.context.catalog.state().settings().heartbeat_timeout_secs;
    Ok(vec![Datum::object([("id", "heartbeat".into()), (TIMEOUT, Datum::number(seconds)?)])])
}

pub(super) fn write(env: &Env, old: &Datum, new: &Datum) -> Result<()> {
    if matches!(old, Datum::Null) || matches!(new, Datum::Null) {
        return Err(Error::op_failed(
            "It's illegal to insert or delete rows of `rethinkdb.cluster_config`.",
        ));
    }
    check_fields(TABLE, new, &["id", TIMEOUT])?;
    let seconds = match new.get(TIMEOUT) {
        Some(Datum::Number(seconds)) if *seconds >= 2.0 => *seconds,
        _ => {
            let problem =
                format!("In `{TIMEOUT}`: The heartbeat timeout must be at least 2 seconds.");
            return Err(wrong_format(TABLE, &problem));
        }
    };
    let mut settings = env.context.catalog.state().settings().clone();
    settings.heartbeat_timeout_secs = seconds;
    let changed = env.context.catalog.set_settings(&settings).map_err(catalog_error)?;
    env.note_commit(changed.commit);
    Ok(())
}
