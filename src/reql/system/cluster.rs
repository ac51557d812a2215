//! `cluster_config`: how long a server waits for another one. There is no other one; the number is kept.

use crate::catalog::ServerSettings;
use crate::datum::Datum;
use crate::reql::catalog_errors::catalog_error;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};

use super::{Change, Look, field, no_other_fields};

const TIMEOUT: &str = "heartbeat_timeout_secs";

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    let seconds = look.context.catalog.state().settings().heartbeat_timeout_secs;
    Ok(vec![Datum::object([("id", "heartbeat".into()), (TIMEOUT, Datum::number(seconds)?)])])
}

pub(super) fn write(env: &Env, look: &Look<'_>, change: &Change<'_>) -> Result<Datum> {
    let new = change.new;
    if matches!(new, Datum::Null) {
        return Err(Error::op_failed(
            "It's illegal to delete rows from the `rethinkdb.cluster_config` table.",
        ));
    }
    if matches!(change.old, Datum::Null) {
        return Err(Error::op_failed(
            "It's illegal to insert new rows into the `rethinkdb.cluster_config` table.",
        ));
    }
    let seconds = match field(new, TIMEOUT).map_err(Error::op_failed)? {
        Datum::Number(seconds) if *seconds >= 2.0 => *seconds,
        Datum::Number(_) => {
            return Err(Error::op_failed("The heartbeat timeout must be at least two seconds"));
        }
        other => {
            return Err(Error::op_failed(format!("Expected a number; got {}", other.print())));
        }
    };
    no_other_fields(new, &["id", TIMEOUT]).map_err(Error::op_failed)?;
    let set = |settings: &mut ServerSettings| settings.heartbeat_timeout_secs = seconds;
    let changed = look.context.catalog.change_settings(set).map_err(catalog_error)?;
    env.note_commit(changed.commit);
    Ok(new.clone())
}
