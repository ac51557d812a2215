//! The catalog as it is at one moment: what names stand for. Never changed, only replaced.
//! Knows databases and open tables; must not know how they are stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::system::{SYSTEM_DATABASE, SYSTEM_TABLES};
use super::{CatalogError, SpecialAction};
use crate::storage::Durability;
use crate::table::{Index, Table, TableId};

/// The identity of a database, which outlives its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseId(pub Uuid);

/// A database and its tables.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its identity.
    pub id: DatabaseId,
    /// Its name.
    pub name: String,
    /// Its tables by name.
    pub(super) tables: BTreeMap<String, Arc<TableEntry>>,
}

impl Database {
    /// Its tables, by name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableEntry>> {
        self.tables.values()
    }
}

/// A table under its name.
#[derive(Debug, Clone)]
pub struct TableEntry {
    /// Its identity.
    pub id: TableId,
    /// Its name.
    pub name: String,
    /// The database it is in.
    pub database: DatabaseId,
    /// How it was made.
    pub config: TableConfig,
    /// The open table. The same one as long as the table exists, whatever else changes.
    pub table: Arc<Table>,
    /// The function that every write goes through.
    pub write_hook: Option<Arc<WriteHook>>,
    /// Its secondary indexes by name.
    pub indexes: BTreeMap<String, IndexEntry>,
    pub(super) primary_tree: crate::storage::TreeId,
}

/// A function that sees every write of a table, in a form that whoever made it understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteHook {
    /// The function.
    pub function: String,
    /// The function as people read it.
    pub query: String,
}

/// A secondary index under its name.
#[derive(Debug, Clone)]
pub struct IndexEntry {
    /// The open index. The same one as long as the index exists.
    pub index: Arc<Index>,
    /// What it was made from.
    pub definition: Arc<IndexDefinition>,
}

/// What an index was made from. The function is in a form that whoever made it understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDefinition {
    /// The function.
    pub function: String,
    /// The function as people read it.
    pub query: String,
    /// Whether every element of an array is a value of its own.
    pub multi: bool,
    /// Whether its values are shapes.
    pub geo: bool,
}

/// What a table was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableConfig {
    /// The name of the field that holds the primary key.
    pub primary_key: String,
    /// The durability of writes that ask for none.
    #[serde(with = "durability_name")]
    pub durability: Durability,
    /// How many replicas a write waits for, as reported: there is one.
    pub write_acks: WriteAcks,
    /// The number of shards, as reported: all are on this server.
    pub shards: u32,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self {
            primary_key: String::from("id"),
            durability: Durability::Hard,
            write_acks: WriteAcks::Majority,
            shards: 1,
        }
    }
}

/// How many replicas acknowledge a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteAcks {
    /// More than half.
    Majority,
    /// One.
    Single,
}

impl TableEntry {
    /// A table that is in no catalog.
    pub fn unlisted(id: TableId, name: &str, table: Arc<Table>) -> Self {
        let (name, database) = (name.to_owned(), DatabaseId(Uuid::nil()));
        let (config, indexes) = (TableConfig::default(), BTreeMap::new());
        let primary_tree = crate::storage::TreeId(0);
        Self { id, name, database, config, table, write_hook: None, indexes, primary_tree }
    }
}

/// What is set for the server as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerSettings {
    /// How long a server waits for another one, in seconds.
    pub heartbeat_timeout_secs: f64,
    /// The name that the server was given since it was made.
    #[serde(default)]
    pub name: Option<String>,
    /// What the server is called besides its name, to be chosen by.
    #[serde(default = "default_tags")]
    pub tags: BTreeSet<String>,
    /// Bytes of memory for the engine; a part of what there is when nothing was set.
    #[serde(default)]
    pub cache_bytes: Option<u64>,
}

fn default_tags() -> BTreeSet<String> {
    BTreeSet::from([String::from("default")])
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self { heartbeat_timeout_secs: 10.0, name: None, tags: default_tags(), cache_bytes: None }
    }
}

/// All databases and tables at one moment.
#[derive(Debug, Clone, Default)]
pub struct CatalogState {
    pub(super) revision: u64,
    pub(super) settings: ServerSettings,
    pub(super) databases: BTreeMap<String, Arc<Database>>,
}

impl CatalogState {
    /// The names of all databases, sorted, the one of system tables among them.
    pub fn database_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.databases.keys().cloned().collect();
        names.push(SYSTEM_DATABASE.to_owned());
        names.sort_unstable();
        names
    }

    /// What is set for the server as a whole.
    pub fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// Whether there is a database of that name, the one of system tables counted.
    pub fn has_database(&self, name: &str) -> bool {
        name == SYSTEM_DATABASE || self.databases.contains_key(name)
    }

    /// All databases but the one of system tables, by name.
    pub fn databases(&self) -> impl Iterator<Item = &Arc<Database>> {
        self.databases.values()
    }

    /// The database of that name. The one of system tables has no entry: see [`CatalogState::has_database`].
    pub fn database(&self, name: &str) -> Result<&Arc<Database>, CatalogError> {
        self.databases
            .get(name)
            .ok_or_else(|| CatalogError::NoSuchDatabase { database: name.to_owned() })
    }

    /// The names of the tables of a database, sorted.
    pub fn table_names(&self, database: &str) -> Result<Vec<String>, CatalogError> {
        if database == SYSTEM_DATABASE {
            return Ok(SYSTEM_TABLES.map(String::from).to_vec());
        }
        Ok(self.database(database)?.tables.keys().cloned().collect())
    }

    /// A table by its names. System tables are none of the catalog.
    pub fn table(&self, database: &str, table: &str) -> Result<&Arc<TableEntry>, CatalogError> {
        let found = match database {
            SYSTEM_DATABASE => None,
            _ => self.database(database)?.tables.get(table),
        };
        found.ok_or_else(|| CatalogError::NoSuchTable {
            database: database.to_owned(),
            table: table.to_owned(),
        })
    }

    /// A table by its identity.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<TableEntry>> {
        self.databases().flat_map(|database| database.tables()).find(|table| table.id == id)
    }

    /// A database by its identity.
    pub fn database_by_id(&self, id: DatabaseId) -> Option<&Arc<Database>> {
        self.databases().find(|database| database.id == id)
    }

    /// The database that a table is in.
    pub fn database_of(&self, table: &TableEntry) -> Option<&Arc<Database>> {
        self.databases().find(|database| database.id == table.database)
    }

    /// The database of that name, if `action` may be done to it.
    pub(super) fn ordinary_database(
        &self,
        name: &str,
        action: SpecialAction,
    ) -> Result<&Arc<Database>, CatalogError> {
        match name {
            SYSTEM_DATABASE => Err(CatalogError::SpecialDatabase(action)),
            _ => self.database(name),
        }
    }

    /// The same catalog with one database put in the place of the one of its name, or added.
    pub(super) fn with_database(&self, database: Database) -> Self {
        let mut databases = self.databases.clone();
        databases.insert(database.name.clone(), Arc::new(database));
        self.next(databases)
    }

    /// The same catalog with one table put in the place of the one of its name.
    pub(super) fn with_table(&self, table: Arc<TableEntry>) -> Self {
        match self.database_of(&table) {
            Some(database) => {
                let mut database = Database::clone(database);
                database.tables.insert(table.name.clone(), table);
                self.with_database(database)
            }
            None => self.clone(),
        }
    }

    /// The same catalog without one database.
    pub(super) fn without_database(&self, name: &str) -> Self {
        let mut databases = self.databases.clone();
        databases.remove(name);
        self.next(databases)
    }

    /// The catalog that comes after this one.
    fn next(&self, databases: BTreeMap<String, Arc<Database>>) -> Self {
        Self { revision: self.revision + 1, settings: self.settings.clone(), databases }
    }
}

/// Storage does not know how durability is written down; RethinkDB's words do.
mod durability_name {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::storage::Durability;

    pub(super) fn serialize<S: Serializer>(
        durability: &Durability,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match durability {
            Durability::Hard => "hard",
            Durability::Soft => "soft",
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Durability, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "hard" => Ok(Durability::Hard),
            "soft" => Ok(Durability::Soft),
            other => Err(de::Error::unknown_variant(other, &["hard", "soft"])),
        }
    }
}
