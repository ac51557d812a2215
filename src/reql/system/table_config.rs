//! `table_config`: a row for each table. Inserting one creates a table, writing it renames the table or changes how it is
//! kept, and deleting it drops the table.

use super::placement::Placement;
use crate::catalog::{
    CatalogError, CatalogState, Database, SYSTEM_DATABASE, TableConfig, TableEntry, WriteAcks,
};
use crate::datum::Datum;
use crate::limits::TABLE_SHARDS_MAX;
use crate::reql::catalog_errors::catalog_error;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::print::write_hook;
use crate::storage::Durability;
use crate::table::TableId;

use super::db_config::is_uuid;
use super::{Change, Look, field, name, no_other_fields, wrong_format};

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

/// What is wrong with a row or a part of it; the table says what stands before it.
type Parsed<T> = std::result::Result<T, String>;

/// A table as the table shows it.
pub fn row(look: &Look<'_>, database: &str, table: &TableEntry) -> Datum {
    let server = look.server();
    let shard = Datum::object([
        ("nonvoting_replicas", Datum::array(vec![])),
        ("primary_replica", server.clone()),
        ("replicas", Datum::array(vec![server])),
    ]);
    let config = &table.config;
    Datum::object([
        ("db", look.database(database, table.database)),
        ("durability", durability_name(config.durability).into()),
        ("id", table.id.0.to_string().into()),
        ("indexes", Datum::array(table.indexes.keys().map(|name| name.as_str().into()).collect())),
        ("name", table.name.as_str().into()),
        ("primary_key", config.primary_key.as_str().into()),
        ("shards", Datum::array(vec![shard; config.shards as usize])),
        ("write_acks", write_acks_name(config.write_acks).into()),
        ("write_hook", write_hook::describe(table.write_hook.as_deref())),
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

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    Ok(look.rows_of_tables(row))
}

pub(super) fn write(env: &Env, look: &Look<'_>, change: &Change<'_>) -> Result<Datum> {
    let catalog = &look.context.catalog;
    let state = catalog.state();
    let found = change.id().and_then(|id| state.table_by_id(TableId(id)));
    let changed = match (found, change.new) {
        (None, Datum::Null) => return Ok(Datum::Null),
        (Some(table), Datum::Null) => {
            let database = state.database_of(table).ok_or(CatalogError::TableGone);
            let database = &database.map_err(catalog_error)?.name;
            let dropped = catalog.drop_table(database, &table.name).map_err(catalog_error)?;
            env.note_commit(dropped.commit);
            return Ok(Datum::Null);
        }
        (Some(table), new) => {
            let wanted = parse(look, &state, new, Some(table))?;
            if wanted.config.primary_key != table.config.primary_key {
                return Err(Error::op_failed("It's illegal to change a table's primary key"));
            }
            let Wanted { database, name, config } = wanted;
            catalog.configure_table(table.id, &database, &name, &config)
        }
        (None, _) if !change.is_generated => {
            return Err(Error::op_failed(
                "There is no existing table with the given ID. To create a new table by inserting into \
                 `rethinkdb.table_config`, you must let the database generate the primary key automatically.",
            ));
        }
        (None, new) => {
            let Wanted { database, name, config } = parse(look, &state, new, None)?;
            if new.get("shards").is_none()
                && let Some(problem) = Placement::default().problem(look.context)
            {
                return Err(Error::op_failed(format!(
                    "Unable to automatically generate configuration for new table: {problem}"
                )));
            }
            let id = change.id().ok_or_else(|| Error::internal("A made key is no id."))?;
            catalog.create_table_as(TableId(id), &database, &name, &config)
        }
    };
    let changed = changed.map_err(catalog_error)?;
    env.note_commit(changed.commit);
    // With what was not said.
    let state = catalog.state();
    let database = state.database_of(&changed.value).map_or("", |database| &database.name);
    Ok(row(look, database, &changed.value))
}

/// What a row asks for.
struct Wanted {
    database: String,
    name: String,
    config: TableConfig,
}

/// Reads a row: of a new table everything but its database and its name may be left out.
fn parse(
    look: &Look<'_>,
    state: &CatalogState,
    row: &Datum,
    old: Option<&TableEntry>,
) -> Result<Wanted> {
    parts(look, state, row, old).map_err(|problem| wrong_format(TABLE, &problem))
}

fn parts(
    look: &Look<'_>,
    state: &CatalogState,
    row: &Datum,
    old: Option<&TableEntry>,
) -> Parsed<Wanted> {
    field(row, "name")?;
    let name = within("name", name(row, "name", "table name"))?.to_string();
    let database = database(look, state, row)?;
    is_uuid(row)?;
    // Whether a field counts: those of a new table may be missing.
    let says = |part: &str| old.is_some() || row.get(part).is_some();
    if says("indexes") {
        indexes(row, old)?;
    }
    let mut config = TableConfig::default();
    if says("primary_key") {
        config.primary_key = super::text(row, "primary_key")?.to_string();
    }
    if says("shards") {
        let shards = field(row, "shards")?;
        config.shards = within("shards", count_shards(look, shards))?;
    }
    if says("write_acks") {
        config.write_acks = within("write_acks", write_acks(field(row, "write_acks")?))?;
    }
    if says("durability") {
        config.durability = within("durability", durability(field(row, "durability")?))?;
    }
    if says("write_hook") {
        let hook = old.and_then(|table| table.write_hook.as_deref());
        if *field(row, "write_hook")? != write_hook::describe(hook) {
            return Err("The `write_hook` field is read-only and can't be used to create or drop a write hook function."
                .to_owned());
        }
    }
    no_other_fields(row, &FIELDS)?;
    Ok(Wanted { database, name, config })
}

/// The same with the place of what is wrong before it.
fn within<T>(field: &str, parsed: Parsed<T>) -> Parsed<T> {
    parsed.map_err(|problem| format!("In `{field}`: {problem}"))
}

fn database(look: &Look<'_>, state: &CatalogState, row: &Datum) -> Parsed<String> {
    if look.by_id {
        let given = field(row, "db")?;
        let id = match given {
            Datum::String(text) => text.parse().ok(),
            _ => None,
        };
        let id = id.ok_or_else(|| format!("Expected a UUID; got {}", given.print()))?;
        let found: Option<&std::sync::Arc<Database>> =
            state.database_by_id(crate::catalog::DatabaseId(id));
        let found = found.ok_or_else(|| format!("There is no database with UUID `{id}`."))?;
        return Ok(found.name.clone());
    }
    let name = name(row, "db", "database name")?;
    if **name == *SYSTEM_DATABASE || !state.has_database(name) {
        return Err(CatalogError::NoSuchDatabase { database: name.to_string() }.to_string());
    }
    Ok(name.to_string())
}

/// Indexes are told, and made elsewhere.
fn indexes(row: &Datum, old: Option<&TableEntry>) -> Parsed<()> {
    let given = field(row, "indexes")?;
    let Datum::Array(given) = given else {
        return Err(format!("In `indexes`: Expected an array, got {}", given.print()));
    };
    let mut names = Vec::with_capacity(given.len());
    for name in given.iter() {
        let Datum::String(text) = name else {
            return Err(format!("In `indexes`: Expected a string; got {}", name.print()));
        };
        if names.contains(&&**text) {
            return Err(format!("In `indexes`: {} is listed more than once.", name.print()));
        }
        names.push(&**text);
    }
    names.sort_unstable();
    let (is_same, made) = match old {
        Some(table) => {
            (names.iter().copied().eq(table.indexes.keys().map(String::as_str)), "create or drop")
        }
        None => (names.is_empty(), "create"),
    };
    if is_same {
        return Ok(());
    }
    Err(format!("The `indexes` field is read-only and can't be used to {made} indexes."))
}

fn write_acks(given: &Datum) -> Parsed<WriteAcks> {
    let acks = [WriteAcks::Single, WriteAcks::Majority];
    let found = acks.into_iter().find(|acks| *given == Datum::from(write_acks_name(*acks)));
    found.ok_or_else(|| format!("Expected \"single\" or \"majority\", got: {}", given.print()))
}

fn durability(given: &Datum) -> Parsed<Durability> {
    let all = [Durability::Soft, Durability::Hard];
    let found = all.into_iter().find(|one| *given == Datum::from(durability_name(*one)));
    found.ok_or_else(|| format!("Expected \"soft\" or \"hard\", got: {}", given.print()))
}

/// The number of shards. All of their replicas are on this server, the only one.
fn count_shards(look: &Look<'_>, shards: &Datum) -> Parsed<u32> {
    let Datum::Array(shards) = shards else {
        return Err(format!("Expected an array, got {}", shards.print()));
    };
    for shard in shards.iter() {
        check_shard(look, shard)?;
    }
    match u32::try_from(shards.len()) {
        Ok(count) if (1..=TABLE_SHARDS_MAX).contains(&count) => Ok(count),
        Ok(0) => Err("You must specify at least one shard.".to_owned()),
        _ => Err(format!("Maximum number of shards is {TABLE_SHARDS_MAX}.")),
    }
}

fn check_shard(look: &Look<'_>, shard: &Datum) -> Parsed<()> {
    if !matches!(shard, Datum::Object(_)) {
        return Err(format!("Expected an object; got {}", shard.print()));
    }
    let replicas = within("replicas", servers(look, field(shard, "replicas")?))?;
    if replicas == 0 {
        return Err("You must specify at least one replica for each shard.".to_owned());
    }
    let nonvoting = match shard.get("nonvoting_replicas") {
        Some(given) => within("nonvoting_replicas", servers(look, given))?,
        None => 0,
    };
    let primary = field(shard, "primary_replica")?;
    within("primary_replica", is_server(look, primary))?;
    if nonvoting > 0 {
        return Err(format!(
            "The primary replica (`{}`) must not be a nonvoting replica.",
            look.context.server_name()
        ));
    }
    no_other_fields(shard, &["nonvoting_replicas", "primary_replica", "replicas"])
}

/// How many servers are named: there is only one that can be.
fn servers(look: &Look<'_>, given: &Datum) -> Parsed<usize> {
    let Datum::Array(names) = given else {
        return Err(format!("Expected an array, got {}", given.print()));
    };
    for name in names.iter() {
        is_server(look, name)?;
    }
    if names.len() > 1 {
        let name = look.context.server_name();
        return Err(format!("Server `{name}` is listed more than once."));
    }
    Ok(names.len())
}

fn is_server(look: &Look<'_>, given: &Datum) -> Parsed<()> {
    if *given == look.server() {
        return Ok(());
    }
    Err(match given {
        Datum::String(id) if look.by_id && id.parse::<uuid::Uuid>().is_ok() => {
            format!("There is no server with UUID `{id}`.")
        }
        _ if look.by_id => format!("Expected a UUID; got {}", given.print()),
        Datum::String(name) if crate::catalog::is_valid_name(name) => {
            format!("Server `{name}` does not exist or is not connected.")
        }
        Datum::String(_) => {
            format!("{} is not a valid server name; {}", given.print(), super::NAME_RULE)
        }
        _ => format!("Expected a server name; got {}", given.print()),
    })
}
