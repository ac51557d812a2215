//! `jobs`: the queries that run and the indexes that are being built. Deleting the row of a query ends it.

use std::time::Duration;

use uuid::Uuid;

use crate::datum::Datum;
use crate::limits::JOB_QUERY_BYTES;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::running::RunningQuery;

use super::{Change, Look};

const QUERY: &str = "query";
const INDEX_CONSTRUCTION: &str = "index_construction";

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    let queries = look.context.running.all();
    let mut rows: Vec<Datum> = queries.iter().map(|query| query_row(look, query)).collect();
    for database in look.context.catalog.state().databases() {
        for table in database.tables() {
            let builds = table.indexes.iter().filter(|(_, entry)| entry.index.is_being_built());
            rows.extend(builds.map(|(name, entry)| {
                let index = &entry.index;
                let info = Datum::object([
                    ("db", look.database(&database.name, database.id)),
                    ("index", name.as_str().into()),
                    ("progress", Datum::Number(index.progress())),
                    ("table", look.table(table)),
                ]);
                let duration = index.building_for().unwrap_or_default();
                row(look, INDEX_CONSTRUCTION, index.id(), duration, info)
            }));
        }
    }
    Ok(rows)
}

fn query_row(look: &Look<'_>, query: &RunningQuery) -> Datum {
    let client = query.client();
    let text = query.text(JOB_QUERY_BYTES);
    let info = Datum::object([
        ("client_address", client.address.ip().to_canonical().to_string().into()),
        ("client_port", Datum::Number(f64::from(client.address.port()))),
        ("query", text.into()),
        ("user", Datum::string(&client.user)),
    ]);
    row(look, QUERY, query.id(), query.duration(), info)
}

fn row(look: &Look<'_>, kind: &str, id: Uuid, duration: Duration, info: Datum) -> Datum {
    Datum::object([
        ("duration_sec", Datum::Number(duration.as_secs_f64())),
        ("id", Datum::array(vec![kind.into(), id.to_string().into()])),
        ("info", info),
        ("servers", Datum::array(vec![look.server()])),
        ("type", kind.into()),
    ])
}

pub(super) fn write(env: &Env, look: &Look<'_>, change: &Change<'_>) -> Result<Datum> {
    if !matches!(change.new, Datum::Null) {
        return Err(Error::op_failed(
            "The `rethinkdb.jobs` system table only allows deletions, not inserts or updates.",
        ));
    }
    // A key of any other form is that of no job.
    if let Datum::Array(key) = change.key()
        && let [Datum::String(kind), Datum::String(id)] = key.as_slice()
        && let Ok(id) = id.parse()
    {
        if **kind != *QUERY {
            return Err(Error::op_failed(format!("Jobs of type `{kind}` cannot be interrupted.")));
        }
        look.context.running.end(id);
        env.note_effect();
    }
    Ok(Datum::Null)
}
