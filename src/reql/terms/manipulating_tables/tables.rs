//! `tableCreate`, `tableDrop`, `tableList`.
//!
//! A table's shards and replicas are what RethinkDB reports for one server: this server holds them all.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::catalog::{CatalogError, NameKind, SYSTEM_DATABASE, TableConfig, is_valid_name};
use crate::datum::Datum;
use crate::reql::catalog_errors::catalog_error;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::selection::Database;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::system::{Look, table_row};
use crate::reql::terms::{config_changes, default_database, durability_of};
use crate::reql::value::Val;

use crate::reql::system::Placement;

pub static TABLE_CREATE: TermSpec = TermSpec {
    options: &[
        "primary_key",
        "durability",
        "shards",
        "replicas",
        "nonvoting_replica_tags",
        "primary_replica_tag",
    ],
    ..TermSpec::on_catalog(
        Effect::Meta,
        TermType::TableCreate,
        "TABLE_CREATE",
        Chapter::ManipulatingTables,
        Arity::between(1, 2),
        table_create,
    )
};
pub static TABLE_DROP: TermSpec = TermSpec::on_catalog(
    Effect::Meta,
    TermType::TableDrop,
    "TABLE_DROP",
    Chapter::ManipulatingTables,
    Arity::between(1, 2),
    table_drop,
);
pub static TABLE_LIST: TermSpec = TermSpec::on_catalog(
    Effect::Read,
    TermType::TableList,
    "TABLE_LIST",
    Chapter::ManipulatingTables,
    Arity::between(0, 1),
    table_list,
);

fn table_create(args: &Args<'_>) -> Result<Val> {
    let placement = Placement::of_new_table(args)?;
    let mut config = TableConfig { shards: placement.shards(), ..TableConfig::default() };
    if let Some(primary_key) = args.optarg_str("primary_key")? {
        config.primary_key = primary_key.to_string();
    }
    if args.optarg_node("durability").is_some()
        && let Some(val) = args.optarg("durability")?
    {
        config.durability = durability_of(args, val)?;
    }
    let (database, name) = names(args)?;
    let catalog = &args.env.context.catalog;
    // Whether there may be such a table comes before where it could be.
    if *database.name != *SYSTEM_DATABASE && catalog.state().table(&database.name, &name).is_err() {
        placement.check(&args.env.context)?;
    }
    let created = catalog.create_table(&database.name, &name, &config).map_err(catalog_error)?;
    args.env.note_commit(created.commit);
    let new = table_row(&Look::by_name(&args.env.context), &database.name, &created.value);
    args.value(Datum::object([
        ("config_changes", config_changes(Datum::Null, new)),
        ("tables_created", Datum::Number(1.0)),
    ]))
}

fn table_drop(args: &Args<'_>) -> Result<Val> {
    let (database, name) = names(args)?;
    let dropped =
        args.env.context.catalog.drop_table(&database.name, &name).map_err(catalog_error)?;
    args.env.note_commit(dropped.commit);
    let old = table_row(&Look::by_name(&args.env.context), &database.name, &dropped.value);
    args.value(Datum::object([
        ("config_changes", config_changes(old, Datum::Null)),
        ("tables_dropped", Datum::Number(1.0)),
    ]))
}

fn table_list(args: &Args<'_>) -> Result<Val> {
    let database = match args.len() {
        0 => default_database(args.env)?,
        _ => args.arg(0)?.into_database(args.env)?,
    };
    let state = args.env.context.catalog.state();
    let names = state.table_names(&database.name).map_err(catalog_error)?;
    args.value(Datum::array(names.into_iter().map(Datum::from).collect()))
}

/// The database, given or the query's own, and the table's name; an impossible name blames its argument.
fn names(args: &Args<'_>) -> Result<(Database, Arc<str>)> {
    let (database, val) = match args.len() {
        1 => (default_database(args.env)?, args.arg(0)?),
        _ => (args.arg(0)?.into_database(args.env)?, args.arg(1)?),
    };
    let at = val.at;
    let name = val.str(args.env)?;
    if is_valid_name(&name) {
        return Ok((database, name));
    }
    let error = CatalogError::InvalidName { kind: NameKind::Table, name: name.to_string() };
    Err(catalog_error(error).at(at))
}
