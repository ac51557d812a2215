//! `table_status`: a row for each table. On one server a table is ready as soon as it exists, and for writes as long as
//! the engine takes them: not while the disk is full, nor after a failure. Who is ready for all is ready for writes.

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
    let takes_writes = Datum::Bool(look.context.catalog.engine().check_writable().is_ok());
    let status = Datum::object([
        ("all_replicas_ready", takes_writes.clone()),
        ("ready_for_outdated_reads", Datum::Bool(true)),
        ("ready_for_reads", Datum::Bool(true)),
        ("ready_for_writes", takes_writes),
    ]);
    Datum::object([
        ("db", look.database(database, table.database)),
        ("id", table.id.0.to_string().into()),
        ("name", table.name.as_str().into()),
        ("raft_leader", server),
        ("shards", Datum::array(vec![shard; table.config.shards as usize])),
        ("status", status),
    ])
}

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    Ok(look.rows_of_tables(row))
}
