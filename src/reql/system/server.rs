//! `server_config` and `server_status`: this server.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::datum::Datum;
use crate::datum::time::time_datum;
use crate::log_lines::LogLines;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};

use super::stats::ServerNumbers;
use super::{Change, Look};

/// What the tables say of the server, as far as it is known only once it runs.
#[derive(Debug, Clone)]
pub struct ServerFacts {
    /// The server's identity.
    pub id: String,
    /// Bytes that the storage engine may take.
    pub cache_bytes: u64,
    /// The port for drivers.
    pub driver_port: u16,
    /// The port for HTTP, unless it is off.
    pub http_port: Option<u16>,
    /// When it was started.
    pub started: SystemTime,
    /// The last lines of the log.
    pub log: Arc<LogLines>,
    /// What is counted outside of tables.
    pub numbers: Arc<dyn ServerNumbers>,
}

/// Where the system says what the machine is called.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

const MEGABYTE: f64 = 1024.0 * 1024.0;

pub(super) fn config(look: &Look<'_>) -> Result<Vec<Datum>> {
    let Some(facts) = look.context.facts() else { return Ok(Vec::new()) };
    Ok(vec![Datum::object([
        ("cache_size_mb", cache(facts)),
        ("id", facts.id.as_str().into()),
        ("name", Datum::string(&look.context.server_name)),
        ("tags", Datum::array(vec!["default".into()])),
    ])])
}

fn cache(facts: &ServerFacts) -> Datum {
    Datum::Number((facts.cache_bytes as f64 / MEGABYTE).floor())
}

pub(super) fn write(_env: &Env, _look: &Look<'_>, _change: &Change<'_>) -> Result<Datum> {
    Err(Error::op_failed(
        "The configuration of the server is given when it starts; it cannot be changed while it runs.",
    ))
}

pub(super) fn status(look: &Look<'_>) -> Result<Vec<Datum>> {
    let Some(facts) = look.context.facts() else { return Ok(Vec::new()) };
    let hostname = std::fs::read_to_string(HOSTNAME_FILE);
    let hostname = hostname.map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned());
    let started = facts.started.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let started = time_datum(started.as_millis() as f64 / 1000.0, "+00:00")?;
    let address = Datum::object([
        ("host", hostname.as_str().into()),
        ("port", Datum::Number(f64::from(facts.driver_port))),
    ]);
    let http_port = facts
        .http_port
        .map_or_else(|| "<no http admin>".into(), |port| Datum::Number(f64::from(port)));
    let network = Datum::object([
        ("canonical_addresses", Datum::array(vec![address])),
        // There is no cluster to be connected to.
        ("cluster_port", Datum::Null),
        ("connected_to", Datum::object([])),
        ("hostname", hostname.as_str().into()),
        ("http_admin_port", http_port),
        ("reql_port", Datum::Number(f64::from(facts.driver_port))),
        ("time_connected", started.clone()),
    ]);
    let argv = std::env::args().map(Datum::from).collect();
    let process = Datum::object([
        ("argv", Datum::array(argv)),
        ("cache_size_mb", cache(facts)),
        ("pid", Datum::Number(f64::from(std::process::id()))),
        ("time_started", started),
        ("version", concat!("photondb ", env!("CARGO_PKG_VERSION")).into()),
    ]);
    Ok(vec![Datum::object([
        ("id", facts.id.as_str().into()),
        ("name", Datum::string(&look.context.server_name)),
        ("network", network),
        ("process", process),
    ])])
}
