//! `tableCreate`, `tableDrop`, `tableList`.
//!
//! A table's shards and replicas are what RethinkDB reports for one server: this server holds them all.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::catalog::{CatalogError, NameKind, TableConfig, is_valid_name};
use crate::datum::Datum;
use crate::limits::TABLE_SHARDS_MAX;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::selection::Database;
use crate::reql::spec::{Arity, Chapter, Effect, TermSpec};
use crate::reql::system::{Look, table_row};
use crate::reql::terms::{catalog_error, config_changes, default_database, durability_of};
use crate::reql::value::Val;

pub static TABLE_CREATE: TermSpec = TermSpec {
    options: &[
        "primary_key",
        "durability",
        "shards",
        "replicas",
        "nonvoting_replica_tags",
        "primary_replica_tag",
    ],
    ..TermSpec::on_tables(
        Effect::Meta,
        TermType::TableCreate,
        "TABLE_CREATE",
        Chapter::ManipulatingTables,
        Arity::between(1, 2),
        table_create,
    )
};
pub static TABLE_DROP: TermSpec = TermSpec::on_tables(
    Effect::Meta,
    TermType::TableDrop,
    "TABLE_DROP",
    Chapter::ManipulatingTables,
    Arity::between(1, 2),
    table_drop,
);
pub static TABLE_LIST: TermSpec = TermSpec::on_tables(
    Effect::Read,
    TermType::TableList,
    "TABLE_LIST",
    Chapter::ManipulatingTables,
    Arity::between(0, 1),
    table_list,
);

fn table_create(args: &Args<'_>) -> Result<Val> {
    let (database, name) = names(args)?;
    let mut config = TableConfig { shards: shards(args)?.unwrap_or(1), ..TableConfig::default() };
    if let Some(primary_key) = args.optarg_str("primary_key")? {
        config.primary_key = primary_key.to_string();
    }
    if args.optarg_node("durability").is_some()
        && let Some(val) = args.optarg("durability")?
    {
        config.durability = durability_of(args, val)?;
    }
    check_replicas(args)?;
    let created = args
        .env
        .context
        .catalog
        .create_table(&database.name, &name, &config)
        .map_err(catalog_error)?;
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
        _ => args.arg(0)?.into_database()?,
    };
    let state = args.env.context.catalog.state();
    let names = state.table_names(&database.name).map_err(catalog_error)?;
    args.value(Datum::array(names.into_iter().map(Datum::from).collect()))
}

/// The database, given or the query's own, and the table's name; an impossible name blames its argument.
fn names(args: &Args<'_>) -> Result<(Database, Arc<str>)> {
    let (database, val) = match args.len() {
        1 => (default_database(args.env)?, args.arg(0)?),
        _ => (args.arg(0)?.into_database()?, args.arg(1)?),
    };
    let at = val.at;
    let name = val.str(args.env)?;
    if is_valid_name(&name) {
        return Ok((database, name));
    }
    let error = CatalogError::InvalidName { kind: NameKind::Table, name: name.to_string() };
    Err(catalog_error(error).at(at))
}

/// How many shards are asked for, if that is said.
pub fn shards(args: &Args<'_>) -> Result<Option<u32>> {
    let Some(val) = args.optarg("shards")? else { return Ok(None) };
    let at = val.at;
    let shards = val.integer(args.env)?;
    if shards < 1 {
        return Err(Error::logic("Every table must have at least one shard.").at(at));
    }
    match u32::try_from(shards) {
        Ok(shards) if shards <= TABLE_SHARDS_MAX => Ok(Some(shards)),
        _ => Err(Error::op_failed(format!("Maximum number of shards is {TABLE_SHARDS_MAX}."))),
    }
}

/// One server, whose only tag is `default`, holds one replica: what asks for another is refused.
pub fn check_replicas(args: &Args<'_>) -> Result<()> {
    if let Some(tags) = args.optarg_datum("nonvoting_replica_tags")?
        && let Some(tag) = tags.as_array()?.first()
    {
        let tag = tag.as_str()?;
        return Err(Error::op_failed(format!(
            "You specified that the replicas in server tag `{tag}` should be non-voting, but you didn't specify a \
             number of replicas in server tag `{tag}`."
        )));
    }
    let primary_tag = args.optarg_str("primary_replica_tag")?;
    let Some(val) = args.optarg("replicas")? else { return Ok(()) };
    let at = val.at;
    let replicas = match val.into_datum(args.env)? {
        Datum::Object(by_tag) => {
            let Some(primary_tag) = primary_tag else {
                return Err(Error::logic(
                    "`primary_replica_tag` must be specified when `replicas` is an OBJECT.",
                )
                .at(at));
            };
            let mut primary = None;
            for (tag, number) in by_tag.iter() {
                let number = number.as_integer()?;
                check_servers(tag, number)?;
                if *tag == primary_tag {
                    primary = Some(number);
                }
            }
            return match primary {
                Some(_) => Ok(()),
                None => Err(Error::op_failed(format!(
                    "Can't use server tag `{primary_tag}` for primary replicas because you specified no replicas in \
                     server tag `{primary_tag}`."
                ))),
            };
        }
        number => number.as_integer().map_err(|error| Error::from(error).at(at))?,
    };
    check_servers("default", replicas)
}

fn check_servers(tag: &str, replicas: i64) -> Result<()> {
    let servers = i64::from(tag == "default");
    if replicas <= servers {
        return Ok(());
    }
    Err(Error::op_failed(format!(
        "Can't put {replicas} replicas on servers with the tag `{tag}` because there are only {servers} servers with \
         the tag `{tag}`. It's impossible to have more replicas of the data than there are servers."
    )))
}
