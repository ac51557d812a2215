//! `table_config`: a row for each table; writing it renames the table or changes how it is kept.

use crate::catalog::{TableConfig, TableEntry, WriteAcks};
use crate::datum::Datum;
use crate::limits::TABLE_SHARDS_MAX;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::terms::{catalog_error, describe_write_hook};
use crate::storage::Durability;
use crate::table::TableId;

use super::{check_fields, text, wrong_format};

const TABLE: &str = "table_config";
const FIELDS: [&str; 9] = [
    "id",
    "name",
    "db",
    "primary_key",
    "indexes",
    "shards",
    "write_acks",
    "durability",
    "write_hook",
];

/// A table as the table shows it.
pub fn row(env: &Env, database: &str, table: &TableEntry) -> Datum {
    let server = Datum::string(&env.context.server_name);
    let shard = Datum::object([
        ("nonvoting_replicas", Datum::array(vec![])),
        ("primary_replica", server.clone()),
        ("replicas", Datum::array(vec![server])),
    ]);
    let config = &table.config;
    Datum::object([
        ("db", database.into()),
        ("durability", durability_name(config.durability).into()),
        ("id", table.id.0.to_string().into()),
        ("indexes", Datum::array(table.indexes.keys().map(|name| name.as_str().into()).collect())),
        ("name", table.name.as_str().into()),
        ("primary_key", config.primary_key.as_str().into()),
        ("shards", Datum::array(vec![shard; config.shards as usize])),
        ("write_acks", write_acks_name(config.write_acks).into()),
        ("write_hook", describe_write_hook(table.write_hook.as_deref())),
    ])
}

fn durability_name(durability: Durability) -> &'static str {
    match durability {
        Durability::Hard => "hard",
        Durability::Soft => "soft",
    }
}

fn write_acks_name(acks: WriteAcks) -> &'static str {
    match acks {
        WriteAcks::Majority => "majority",
        WriteAcks::Single => "single",
    }
}

pub(super) fn rows(env: &Env) -> Result<Vec<Datum>> {
    let state = env.context.catalog.state();
    let mut rows = Vec::new();
    for database in state.databases() {
        rows.extend(database.tables().map(|table| row(env, &database.name, table)));
    }
    Ok(rows)
}

pub(super) fn write(env: &Env, old: &Datum, new: &Datum) -> Result<()> {
    let catalog = &env.context.catalog;
    let commit = match (old, new) {
        (Datum::Null, _) => {
            return Err(Error::op_failed(
                "Inserting into `rethinkdb.table_config` is not supported by this server. Use `tableCreate`.",
            ));
        }
        (old, Datum::Null) => {
            let (database, name) = (text(TABLE, old, "db")?, text(TABLE, old, "name")?);
            catalog.drop_table(database, name).map_err(catalog_error)?.commit
        }
        (old, new) => {
            let (name, config) = wanted(env, old, new)?;
            let id = text(TABLE, old, "id")?.parse().map(TableId);
            let id = id.map_err(|_| Error::internal("A table's id is none."))?;
            let database = text(TABLE, new, "db")?;
            catalog.configure_table(id, database, &name, &config).map_err(catalog_error)?.commit
        }
    };
    env.note_commit(commit);
    Ok(())
}

/// The name and the configuration that a row asks for.
fn wanted(env: &Env, old: &Datum, new: &Datum) -> Result<(String, TableConfig)> {
    check_fields(TABLE, new, &FIELDS)?;
    let name = text(TABLE, new, "name")?.to_string();
    if old.get("primary_key") != new.get("primary_key") {
        return Err(Error::op_failed("It's illegal to change a table's primary key"));
    }
    for (field, term) in [("indexes", "indexCreate"), ("write_hook", "setWriteHook")] {
        if old.get(field) != new.get(field) {
            return Err(Error::op_failed(format!(
                "The `{field}` field is read-only and can't be changed here. Use `{term}`."
            )));
        }
    }
    let durability = match &**text(TABLE, new, "durability")? {
        "hard" => Durability::Hard,
        "soft" => Durability::Soft,
        other => {
            let problem =
                format!("In `durability`: Expected \"soft\" or \"hard\", got: \"{other}\"");
            return Err(wrong_format(TABLE, &problem));
        }
    };
    let write_acks = match &**text(TABLE, new, "write_acks")? {
        "majority" => WriteAcks::Majority,
        "single" => WriteAcks::Single,
        other => {
            let problem =
                format!("In `write_acks`: Expected \"single\" or \"majority\", got: \"{other}\"");
            return Err(wrong_format(TABLE, &problem));
        }
    };
    let primary_key = text(TABLE, new, "primary_key")?.to_string();
    let shards = shards(env, new)?;
    Ok((name, TableConfig { primary_key, durability, write_acks, shards }))
}

/// The number of shards. All of their replicas are on this server, the only one.
fn shards(env: &Env, row: &Datum) -> Result<u32> {
    let wrong = |problem: String| wrong_format(TABLE, &format!("In `shards`: {problem}"));
    let Some(Datum::Array(shards)) = row.get("shards") else {
        return Err(wrong("Expected an array.".to_owned()));
    };
    let server = Datum::string(&env.context.server_name);
    for shard in shards.iter() {
        let replicas = shard.get("replicas").map(|replicas| replicas.as_array().cloned());
        let named = match replicas {
            Some(Ok(replicas)) => replicas.to_vec(),
            _ => return Err(wrong("Expected a field named `replicas`.".to_owned())),
        };
        let primary = shard.get("primary_replica").cloned();
        if let Some(other) = named.iter().chain(&primary).find(|name| **name != server) {
            return Err(wrong(format!("Server `{}` does not exist.", other.print())));
        }
        if named.len() != 1 || primary.is_none() {
            return Err(wrong("There must be one replica, the primary one.".to_owned()));
        }
    }
    match u32::try_from(shards.len()) {
        Ok(count) if (1..=TABLE_SHARDS_MAX).contains(&count) => Ok(count),
        Ok(0) => Err(wrong("You must specify at least one shard.".to_owned())),
        _ => Err(wrong(format!("Maximum number of shards is {TABLE_SHARDS_MAX}."))),
    }
}
