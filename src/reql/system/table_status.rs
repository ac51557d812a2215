//! `table_status`: a row for each table. On one server a table is ready as soon as it exists.

use crate::catalog::TableEntry;
use crate::datum::Datum;
use crate::reql::error::Result;

use super::Look;

/// A table as the table shows it.
pub fn row(look: &Look<'_>, database: &str, table: &TableEntry) -> Datum {
    let server = look.server();
    let replica = Datum::object([("server", server.clone()), ("state", "ready".into())]);
    let shard = Datum::object([
        ("primary_replicas", Datum::array(vec![server.clone()])),
        ("replicas", Datum::array(vec![replica])),
    ]);
    let status =
        ["all_replicas_ready", "ready_for_outdated_reads", "ready_for_reads", "ready_for_writes"];
    Datum::object([
        ("db", look.database(database, table.database)),
        ("id", table.id.0.to_string().into()),
        ("name", table.name.as_str().into()),
        ("raft_leader", server),
        ("shards", Datum::array(vec![shard; table.config.shards as usize])),
        ("status", Datum::object(status.map(|state| (state, Datum::Bool(true))))),
    ])
}

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    Ok(look.rows_of_tables(row))
}
