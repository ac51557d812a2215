//! `server_config` and `server_status`: this server.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use crate::catalog::ServerSettings;
use crate::datum::Datum;
use crate::datum::time::time_datum;
use crate::limits::{CACHE_BYTES_MAX, CACHE_BYTES_MIN};
use crate::reql::catalog_errors::catalog_error;
use crate::reql::context::Context;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::server_facts::ServerFacts;

use super::db_config::is_uuid;
use super::{Change, Look, field, name, name_of, no_other_fields};

/// What the server calls itself in its status. Tools that dump and restore read it there, and refuse any name but
/// RethinkDB's and any version they do not know.
const SERVER_VERSION: &str = concat!("rethinkdb 2.4.4 (photondb ", env!("CARGO_PKG_VERSION"), ")");

/// Where the system says what the machine is called.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";

/// The size of a cache that nobody has set.
const AUTO: &str = "auto";

const MEGABYTE: f64 = 1024.0 * 1024.0;

pub(super) fn config(look: &Look<'_>) -> Result<Vec<Datum>> {
    let Some(facts) = look.context.facts() else { return Ok(Vec::new()) };
    let state = look.context.catalog.state();
    let settings = state.settings();
    let cache = settings.cache_bytes.map_or_else(|| AUTO.into(), megabytes);
    Ok(vec![Datum::object([
        ("cache_size_mb", cache),
        ("id", facts.id.as_str().into()),
        ("name", Datum::string(&look.context.server_name())),
        ("tags", Datum::array(settings.tags.iter().map(|tag| tag.as_str().into()).collect())),
    ])])
}

fn megabytes(bytes: u64) -> Datum {
    Datum::Number(bytes as f64 / MEGABYTE)
}

/// Gives the server another name, other tags or other memory, at once and for good.
pub(super) fn write(env: &Env, look: &Look<'_>, change: &Change<'_>) -> Result<Datum> {
    let (Some(facts), Datum::Object(_)) = (look.context.facts(), change.old) else {
        return match change.new {
            Datum::Null => Ok(Datum::Null),
            _ => Err(Error::op_failed(
                "It's illegal to insert new rows into the `rethinkdb.server_config` system table.",
            )),
        };
    };
    if matches!(change.new, Datum::Null) {
        return Err(Error::op_failed(
            "It's illegal to delete rows from the `rethinkdb.server_config` system table.",
        ));
    }
    let Wanted { name, tags, cache_bytes } = Wanted::of(change.new).map_err(|problem| {
        Error::op_failed(format!(
            "The row you're trying to put into `rethinkdb.server_config` has the wrong format. {problem}"
        ))
    })?;
    let catalog = &look.context.catalog;
    let before = catalog.state().settings().clone();
    let old_name = look.context.server_name();
    let is_renamed = *old_name != *name;
    if !is_renamed && tags == before.tags && cache_bytes == before.cache_bytes {
        return Ok(change.new.clone());
    }
    if cache_bytes != before.cache_bytes {
        let has_bound = catalog.engine().memory_bytes().is_some();
        check_cache(has_bound, cache_bytes, facts.cache_bytes_most)
            .map_err(|problem| not_changed(&old_name, &problem))?;
    }
    let changed = catalog.change_settings(|settings: &mut ServerSettings| {
        if is_renamed {
            settings.name = Some(name.clone());
        }
        settings.tags.clone_from(&tags);
        settings.cache_bytes = cache_bytes;
    });
    env.note_commit(changed.map_err(catalog_error)?.commit);
    if is_renamed {
        tracing::info!("Changed server's name from `{old_name}` to `{name}`.");
    }
    if cache_bytes != before.cache_bytes {
        set_cache(look.context, cache_bytes, facts);
    }
    Ok(change.new.clone())
}

fn not_changed(server: &str, problem: &str) -> Error {
    Error::op_failed(format!(
        "Error when trying to change the configuration of server `{server}`: {problem} The configuration was not \
         changed."
    ))
}

/// Whether the engine can have this much.
fn check_cache(
    has_bound: bool,
    bytes: Option<u64>,
    most: Option<u64>,
) -> std::result::Result<(), String> {
    if !has_bound {
        return Err("All data is in memory: there is no cache.".to_owned());
    }
    let Some(bytes) = bytes else { return Ok(()) };
    let megabyte = MEGABYTE as u64;
    if bytes > CACHE_BYTES_MAX {
        return Err(format!(
            "The proposed cache size of {} MB is larger than the maximum legal value for this platform ({} MB).",
            bytes / megabyte,
            CACHE_BYTES_MAX / megabyte
        ));
    }
    if bytes < CACHE_BYTES_MIN {
        return Err(format!(
            "The proposed cache size of {} MB is smaller than the minimum legal value ({} MB).",
            bytes / megabyte,
            CACHE_BYTES_MIN / megabyte
        ));
    }
    if let Some(most) = most.filter(|most| bytes > *most) {
        return Err(format!(
            "The proposed cache size of {} MB is larger than `--memory-limit` allows ({} MB).",
            bytes / megabyte,
            most / megabyte
        ));
    }
    Ok(())
}

fn set_cache(context: &Context, bytes: Option<u64>, facts: &ServerFacts) {
    let megabyte = MEGABYTE as u64;
    let now = bytes.unwrap_or(facts.automatic_cache_bytes);
    match bytes {
        Some(bytes) => tracing::info!("Cache size is set to {} MB", bytes / megabyte),
        None => tracing::info!("Automatically using cache size of {} MB", now / megabyte),
    }
    context.catalog.engine().set_memory_bytes(now);
    // The status of the server tells the size too.
    context.catalog.changed().ring();
}

/// What a row asks for.
struct Wanted {
    name: String,
    tags: BTreeSet<String>,
    cache_bytes: Option<u64>,
}

impl Wanted {
    fn of(row: &Datum) -> std::result::Result<Wanted, String> {
        field(row, "name")?;
        let within =
            |field: &'static str| move |problem: String| format!("In `{field}`: {problem}");
        let name = name(row, "name", "server name").map_err(within("name"))?;
        is_uuid(row)?;
        let Datum::Array(given) = field(row, "tags")? else {
            let got = field(row, "tags")?.print();
            return Err(format!("In `tags`: Expected an array, got {got}"));
        };
        let mut tags = BTreeSet::new();
        for tag in given.iter() {
            tags.insert(name_of(tag, "server tag").map_err(within("tags"))?.to_string());
        }
        let cache_bytes = cache(field(row, "cache_size_mb")?).map_err(within("cache_size_mb"))?;
        no_other_fields(row, &["cache_size_mb", "id", "name", "tags"])?;
        Ok(Wanted { name: name.to_string(), tags, cache_bytes })
    }
}

fn cache(given: &Datum) -> std::result::Result<Option<u64>, String> {
    match given {
        Datum::String(text) if **text == *AUTO => Ok(None),
        Datum::Number(megabytes) => {
            let bytes = megabytes * MEGABYTE;
            if bytes > i64::MAX as f64 {
                return Err("Value is too big.".to_owned());
            }
            if bytes < 0.0 {
                return Err("Cache size cannot be negative.".to_owned());
            }
            Ok(Some(bytes as u64))
        }
        other => Err(format!("Expected a number or 'auto', got {}", other.print())),
    }
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
    let cache = look.context.catalog.engine().memory_bytes();
    let cache = cache.unwrap_or(facts.automatic_cache_bytes);
    let argv = std::env::args().map(Datum::from).collect();
    let process = Datum::object([
        ("argv", Datum::array(argv)),
        ("cache_size_mb", megabytes(cache)),
        ("pid", Datum::Number(f64::from(std::process::id()))),
        ("time_started", started),
        ("version", SERVER_VERSION.into()),
    ]);
    Ok(vec![Datum::object([
        ("id", facts.id.as_str().into()),
        ("name", Datum::string(&look.context.server_name())),
        ("network", network),
        ("process", process),
    ])])
}
