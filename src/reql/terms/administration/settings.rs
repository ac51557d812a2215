//! `config`, `status`, `reconfigure`, `rebalance`: how databases and tables are kept, on the one server there is.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::catalog::{SYSTEM_DATABASE, TableConfig, TableEntry};
use crate::datum::Datum;
use crate::reql::catalog_errors::catalog_error;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::selection::{Database, SingleSelection};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::system::Placement;
use crate::reql::system::{self, Look, status_row, table_row};
use crate::reql::table_ref::TableRef;
use crate::reql::value::{Val, ValKind};
use crate::storage::KeyRange;
use crate::table::PrimaryKey;

pub static CONFIG: TermSpec = TermSpec::on_catalog(
    Effect::Read,
    TermType::Config,
    "CONFIG",
    Chapter::Administration,
    Arity::exactly(1),
    config,
);
pub static STATUS: TermSpec = TermSpec::on_catalog(
    Effect::Read,
    TermType::Status,
    "STATUS",
    Chapter::Administration,
    Arity::exactly(1),
    status,
);
pub static REBALANCE: TermSpec = TermSpec::on_catalog(
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
    ..TermSpec::on_catalog(
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
            let table = Val::new(kind, target.at).into_table(args.env)?;
            if table.is_system() {
                return Err(Error::op_failed(NOT_CONFIGURED));
            }
            ("table_config", table.table.id().0)
        }
    };
    row_of(args, table, &id.to_string())
}

fn status(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
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

/// What a term is called on.
enum Target {
    Table(TableRef),
    Database(Arc<str>),
}

impl Target {
    fn of(args: &Args<'_>, name: &str) -> Result<Target> {
        if args.is_empty() {
            let message = format!("`{name}` can only be called on a table or database.");
            return Err(Error::logic(message));
        }
        let target = args.arg(0)?;
        match target.kind {
            ValKind::Database(Database { name }) => Ok(Target::Database(name)),
            kind => Ok(Target::Table(Val::new(kind, target.at).into_table(args.env)?)),
        }
    }

    /// The tables, in the order of their ids; system tables are refused: what cannot be done to them.
    fn tables(self, env: &Env, what: &str) -> Result<Vec<TableRef>> {
        let is_system = match &self {
            Target::Table(table) => table.is_system(),
            Target::Database(name) => **name == *SYSTEM_DATABASE,
        };
        if is_system {
            let message =
                format!("Database `rethinkdb` is special; you can't {what} the tables in it.");
            return Err(Error::op_failed(message));
        }
        match self {
            Target::Table(table) => Ok(vec![table]),
            Target::Database(name) => {
                let state = env.context.catalog.state();
                let database = state.database(&name).map_err(catalog_error)?;
                let mut tables: Vec<&Arc<TableEntry>> = database.tables().collect();
                tables.sort_by_key(|entry| entry.id.0);
                Ok(tables.into_iter().map(|entry| TableRef::new(entry, &name)).collect())
            }
        }
    }
}

/// All of a table's documents are in one tree, whatever its shards are called: there is nothing to move. It counts as
/// done where there are documents for every shard, and of no tables nothing is said, as in RethinkDB.
fn rebalance(args: &Args<'_>) -> Result<Val> {
    let env = args.env;
    let tables = Target::of(args, "rebalance")?.tables(env, "rebalance")?;
    if tables.is_empty() {
        return args.value(Datum::object([]));
    }
    let mut changes = Vec::new();
    let mut rebalanced = 0;
    for table in tables {
        let counted = env.reader(&table)?.count(&KeyRange::ALL, env.read_mode());
        let documents = counted.map_err(|error| env.table_error(&table, error))?;
        rebalanced += u32::from(documents >= u64::from(table.entry.config.shards));
        let status = status_row(&Look::by_name(&env.context), &table.db, &table.entry);
        changes.push(change(status.clone(), status));
    }
    args.value(Datum::object([
        ("rebalanced", Datum::Number(f64::from(rebalanced))),
        ("status_changes", Datum::array(changes)),
    ]))
}

fn reconfigure(args: &Args<'_>) -> Result<Val> {
    let target = Target::of(args, "reconfigure")?;
    let dry_run = args.optarg_bool("dry_run", false)?;
    if let Some(val) = args.optarg("emergency_repair")?.filter(|val| !val.is_null()) {
        return Err(no_repair(args, target, val)?);
    }
    let placement = Placement::of_old_table(args)?;
    let tables = target.tables(args.env, "configure")?;
    if tables.is_empty() {
        return args.value(Datum::object([]));
    }
    placement.check(&args.env.context)?;
    let (mut config_changes, mut status_changes) = (Vec::new(), Vec::new());
    for table in &tables {
        let new = reshaped(args.env, table, placement.shards(), dry_run)?;
        let look = Look::by_name(&args.env.context);
        let row = |entry: &TableEntry| table_row(&look, &table.db, entry);
        config_changes.push(change(row(&table.entry), row(&new)));
        let row = |entry: &TableEntry| status_row(&look, &table.db, entry);
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
fn no_repair(args: &Args<'_>, target: Target, val: Val) -> Result<Error> {
    let at = val.at;
    let how = val.str(args.env)?;
    if !matches!(&*how, "unsafe_rollback" | "unsafe_rollback_or_erase") {
        let message =
            "`emergency_repair` should be \"unsafe_rollback\" or \"unsafe_rollback_or_erase\"";
        return Ok(Error::logic(message).at(at));
    }
    let others = ["nonvoting_replica_tags", "primary_replica_tag", "replicas", "shards"];
    if others.iter().any(|option| args.optarg_node(option).is_some()) {
        let message = "In emergency repair mode, you can't specify shards, replicas, etc.";
        return Ok(Error::logic(message));
    }
    if matches!(target, Target::Database(_)) {
        return Ok(Error::logic(
            "Can't emergency repair an entire database at once; instead you should run `reconfigure()` on each table \
             individually.",
        ));
    }
    target.tables(args.env, "configure")?;
    Ok(Error::op_failed("This table doesn't need to be repaired."))
}

fn change(old: Datum, new: Datum) -> Datum {
    Datum::object([("new_val", new), ("old_val", old)])
}
