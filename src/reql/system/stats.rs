//! `stats`: what the server, its tables and both together do and have done. What is not counted is null.

use crate::catalog::TableEntry;
use crate::datum::Datum;
use crate::meter::Meter;
use crate::reql::context::Context;
use crate::reql::error::Result;
use crate::table::TableCounts;

use super::Look;

/// A sum over all tables of one of their meters.
struct Documents {
    read: (f64, u64),
    written: (f64, u64),
}

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    let Some(facts) = look.context.facts() else { return Ok(Vec::new()) };
    let state = look.context.catalog.state();
    let tables: Vec<(&str, &TableEntry)> = state
        .databases()
        .flat_map(|database| database.tables().map(|table| (database.name.as_str(), &**table)))
        .collect();
    let documents = documents(&tables);
    let (server, name) = (facts.id.as_str(), look.server());
    let connections = Datum::Number(facts.numbers.client_connections() as f64);
    let active = Datum::Number(clients_active(look.context) as f64);
    let queries = Datum::Number(facts.numbers.queries_per_sec());
    let mut rows = vec![
        Datum::object([
            ("id", Datum::array(vec!["cluster".into()])),
            (
                "query_engine",
                Datum::object([
                    ("client_connections", connections.clone()),
                    ("clients_active", active.clone()),
                    ("queries_per_sec", queries.clone()),
                    ("read_docs_per_sec", Datum::Number(documents.read.0)),
                    ("written_docs_per_sec", Datum::Number(documents.written.0)),
                ]),
            ),
        ]),
        Datum::object([
            ("id", Datum::array(vec!["server".into(), server.into()])),
            (
                "query_engine",
                Datum::object([
                    ("client_connections", connections),
                    ("clients_active", active),
                    ("queries_per_sec", queries),
                    ("queries_total", Datum::Number(facts.numbers.queries_total() as f64)),
                    ("read_docs_per_sec", Datum::Number(documents.read.0)),
                    ("read_docs_total", Datum::Number(documents.read.1 as f64)),
                    ("written_docs_per_sec", Datum::Number(documents.written.0)),
                    ("written_docs_total", Datum::Number(documents.written.1 as f64)),
                ]),
            ),
            ("server", name.clone()),
        ]),
    ];
    for (database, table) in tables {
        let id = Datum::from(table.id.0.to_string());
        let counts = table.table.counts();
        rows.push(Datum::object([
            ("db", look.database(database, table.database)),
            ("id", Datum::array(vec!["table".into(), id.clone()])),
            (
                "query_engine",
                Datum::object([
                    ("read_docs_per_sec", Datum::Number(counts.read.per_second())),
                    ("written_docs_per_sec", Datum::Number(counts.written.per_second())),
                ]),
            ),
            ("table", look.table(table)),
        ]));
        rows.push(Datum::object([
            ("db", look.database(database, table.database)),
            ("id", Datum::array(vec!["table_server".into(), id, server.into()])),
            ("query_engine", of_counts(counts)),
            ("server", name.clone()),
            ("storage_engine", storage(table)),
            ("table", look.table(table)),
        ]));
    }
    Ok(rows)
}

/// Connections with a query that runs, or with an open stream.
fn clients_active(context: &Context) -> usize {
    let queries = context.running.all();
    let mut clients: Vec<_> = queries.iter().map(|query| query.client().address).collect();
    clients.sort_unstable();
    clients.dedup();
    clients.len()
}

fn documents(tables: &[(&str, &TableEntry)]) -> Documents {
    let sum = |meter: fn(&TableCounts) -> &Meter| {
        tables
            .iter()
            .map(|(_, table)| meter(table.table.counts()))
            .fold((0.0, 0), |(rate, total), meter| {
                (rate + meter.per_second(), total + meter.total())
            })
    };
    Documents { read: sum(|counts| &counts.read), written: sum(|counts| &counts.written) }
}

fn of_counts(counts: &TableCounts) -> Datum {
    Datum::object([
        ("read_docs_per_sec", Datum::Number(counts.read.per_second())),
        ("read_docs_total", Datum::Number(counts.read.total() as f64)),
        ("written_docs_per_sec", Datum::Number(counts.written.per_second())),
        ("written_docs_total", Datum::Number(counts.written.total() as f64)),
    ])
}

/// All tables share one cache, one log and one data file: of a table alone, only the room that it takes in the data
/// file is known.
fn storage(table: &TableEntry) -> Datum {
    let data = table.table.data_bytes().map_or(Datum::Null, |bytes| Datum::Number(bytes as f64));
    let space = Datum::object([
        ("data_bytes", data),
        ("garbage_bytes", Datum::Null),
        ("metadata_bytes", Datum::Null),
        ("preallocated_bytes", Datum::Null),
    ]);
    let disk = Datum::object([
        ("read_bytes_per_sec", Datum::Null),
        ("read_bytes_total", Datum::Null),
        ("space_usage", space),
        ("written_bytes_per_sec", Datum::Null),
        ("written_bytes_total", Datum::Null),
    ]);
    Datum::object([("cache", Datum::object([("in_use_bytes", Datum::Null)])), ("disk", disk)])
}
