//! `config`, `status`, `reconfigure`, `rebalance`: how databases and tables are kept, on the one server there is.

use photondb_protocol::numbers::TermType;

use crate::catalog::{SYSTEM_DATABASE, TableConfig, TableEntry};
use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::selection::{Database, SingleSelection, TableRef};
use crate::reql::spec::{Arity, Chapter, Effect, TermSpec};
use crate::reql::system::{self, Look, status_row, table_row};
use crate::reql::terms::{catalog_error, check_replicas, shards};
use crate::reql::value::{Val, ValKind};
use crate::table::PrimaryKey;

pub static CONFIG: TermSpec = TermSpec::on_tables(
    Effect::Read,
    TermType::Config,
    "CONFIG",
    Chapter::Administration,
    Arity::exactly(1),
    config,
);
pub static STATUS: TermSpec = TermSpec::on_tables(
    Effect::Read,
    TermType::Status,
    "STATUS",
    Chapter::Administration,
    Arity::exactly(1),
    status,
);
pub static REBALANCE: TermSpec = TermSpec::on_tables(
    Effect::Meta,
    TermType::Rebalance,
    "REBALANCE",
    Chapter::Administration,
    Arity::between(0, 1),
    rebalance,
);
pub static RECONFIGURE: TermSpec = TermSpec {
    options: &[
        "dry_run",
        "emergency_repair",
        "nonvoting_replica_tags",
        "primary_replica_tag",
        "replicas",
        "shards",
    ],
    ..TermSpec::on_tables(
        Effect::Meta,
        TermType::Reconfigure,
        "RECONFIGURE",
        Chapter::Administration,
        Arity::between(0, 1),
        reconfigure,
    )
};

const NOT_CONFIGURED: &str =
    "Database `rethinkdb` is special; you can't configure the tables in it.";

fn config(args: &Args<'_>) -> Result<Val> {
    let target = args.arg(0)?;
    let (table, id) = match target.kind {
        ValKind::Database(database) if *database.name == *SYSTEM_DATABASE => {
            let message = "Database `rethinkdb` is special; you can't configure it.";
            return Err(Error::op_failed(message));
        }
        ValKind::Database(database) => {
            let state = args.env.context.catalog.state();
            ("db_config", state.database(&database.name).map_err(catalog_error)?.id.0)
        }
        kind => {
            let table = Val::new(kind, target.at).into_table()?;
            if table.is_system() {
                return Err(Error::op_failed(NOT_CONFIGURED));
            }
            ("table_config", table.table.id().0)
        }
    };
    row_of(args, table, &id.to_string())
}

fn status(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table()?;
    if table.is_system() {
        return Err(Error::op_failed(
            "Database `rethinkdb` is special; the system tables in it don't have meaningful status information.",
        ));
    }
    row_of(args, "table_status", &table.table.id().0.to_string())
}

/// A row of a system table, which can be written where that is allowed.
fn row_of(args: &Args<'_>, table: &str, id: &str) -> Result<Val> {
    let table = system::open(args.env, &Look::by_name(&args.env.context), table)?;
    let key = PrimaryKey::encode(&Datum::string(id))?;
    args.val(ValKind::SingleSelection(SingleSelection { table, key, found: None }))
}

/// The tables that a term is called on: one, or all of a database.
fn tables(args: &Args<'_>, name: &str) -> Result<Vec<TableRef>> {
    if args.is_empty() {
        return Err(Error::logic(format!("`{name}` can only be called on a table or database.")));
    }
    let target = args.arg(0)?;
    match target.kind {
        ValKind::Database(Database { name }) => {
            if *name == *SYSTEM_DATABASE {
                return Err(Error::op_failed(NOT_CONFIGURED));
            }
            let state = args.env.context.catalog.state();
            let database = state.database(&name).map_err(catalog_error)?;
            Ok(database.tables().map(|entry| TableRef::new(entry, &name)).collect())
        }
        kind => {
            let table = Val::new(kind, target.at).into_table()?;
            if table.is_system() {
                return Err(Error::op_failed(NOT_CONFIGURED));
            }
            Ok(vec![table])
        }
    }
}

/// All of a table's documents are in one tree, whatever its shards are called: there is nothing to move.
fn rebalance(args: &Args<'_>) -> Result<Val> {
    let mut changes = Vec::new();
    for table in tables(args, "rebalance")? {
        let status = status_row(&Look::by_name(&args.env.context), &table.db, &table.entry);
        changes.push(change(status.clone(), status));
    }
    args.value(Datum::object([
        ("rebalanced", Datum::Number(0.0)),
        ("status_changes", Datum::array(changes)),
    ]))
}

fn reconfigure(args: &Args<'_>) -> Result<Val> {
    let tables = tables(args, "reconfigure")?;
    if let Some(val) = args.optarg("emergency_repair")? {
        return Err(no_repair(args, val)?);
    }
    let Some(shards) = shards(args)? else {
        return Err(Error::logic("Missing required argument `shards`."));
    };
    if args.optarg_node("replicas").is_none() {
        return Err(Error::logic("Missing required argument `replicas`."));
    }
    check_replicas(args)?;
    let dry_run = args.optarg_bool("dry_run", false)?;
    let (mut config_changes, mut status_changes) = (Vec::new(), Vec::new());
    for table in &tables {
        let new = reshaped(args.env, table, shards, dry_run)?;
        let row =
            |entry: &TableEntry| table_row(&Look::by_name(&args.env.context), &table.db, entry);
        config_changes.push(change(row(&table.entry), row(&new)));
        let row =
            |entry: &TableEntry| status_row(&Look::by_name(&args.env.context), &table.db, entry);
        status_changes.push(change(row(&table.entry), row(&new)));
    }
    let done = if dry_run { 0 } else { tables.len() };
    let mut fields = vec![
        ("config_changes", Datum::array(config_changes)),
        ("reconfigured", Datum::Number(done as f64)),
    ];
    if !dry_run {
        fields.push(("status_changes", Datum::array(status_changes)));
    }
    args.value(Datum::object(fields))
}

/// The table with so many shards, or what it would be.
fn reshaped(env: &Env, table: &TableRef, shards: u32, dry_run: bool) -> Result<TableEntry> {
    let config = TableConfig { shards, ..table.entry.config.clone() };
    if dry_run {
        let mut entry = TableEntry::clone(&table.entry);
        entry.config = config;
        return Ok(entry);
    }
    let catalog = &env.context.catalog;
    let changed = catalog
        .configure_table(table.table.id(), &table.db, table.name(), &config)
        .map_err(catalog_error)?;
    env.note_commit(changed.commit);
    Ok(TableEntry::clone(&changed.value))
}

/// Tables of one server cannot lose their majority.
fn no_repair(args: &Args<'_>, val: Val) -> Result<Error> {
    let at = val.at;
    let wrong = || {
        let message =
            "`emergency_repair` should be \"unsafe_rollback\" or \"unsafe_rollback_or_erase\"";
        Error::logic(message).at(at)
    };
    let how = val.str(args.env)?;
    Ok(match &*how {
        "unsafe_rollback" | "unsafe_rollback_or_erase" => {
            Error::op_failed("This table doesn't need to be repaired.")
        }
        _ => wrong(),
    })
}

fn change(old: Datum, new: Datum) -> Datum {
    Datum::object([("new_val", new), ("old_val", old)])
}
