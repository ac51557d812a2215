//! The stored form of the catalog: one tree, a record for each database and table.
//! Knows keys and records; must not know open tables or who asks.
//!
//! ```text
//! key                     value
//! "format"                "1"
//! "revision"              eight bytes, big-endian: grows with every change
//! "settings"              ServerSettings as JSON; the defaults when it is not there
//! "d" and 16 bytes of id  DatabaseRecord as JSON
//! "t" and 16 bytes of id  TableRecord as JSON
//! ```
//!
//! Every change expects the revision it was made from, so that two writers of one catalog cannot both succeed. Fields
//! that come later have defaults, so that older records stay readable.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CatalogError, IndexDefinition, ServerSettings, TableConfig, WriteHook};
use crate::storage::{
    Direction, Durability, KeyRange, ReadMode, Scanner, Snapshot, TreeId, WriteBatch,
};

/// The catalog's own tree.
pub(super) const TREE: TreeId = TreeId(1);

const FORMAT_KEY: &str = "format";
const FORMAT: &[u8] = b"1";
const REVISION_KEY: &str = "revision";
const SETTINGS_KEY: &str = "settings";
const DATABASE: u8 = b'd';
const TABLE: u8 = b't';

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DatabaseRecord {
    pub(super) name: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TableRecord {
    pub(super) database: Uuid,
    pub(super) name: String,
    pub(super) config: TableConfig,
    /// The name of the tree that holds the documents.
    pub(super) primary_tree: u64,
    #[serde(default)]
    pub(super) indexes: Vec<IndexRecord>,
    #[serde(default)]
    pub(super) write_hook: Option<WriteHook>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct IndexRecord {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) definition: IndexDefinition,
    /// The name of the tree that holds the entries.
    pub(super) tree: u64,
    /// Whether the entries of all documents are there.
    pub(super) is_built: bool,
    /// Until then the name of the tree of what writers note meanwhile. Records of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) notes: Option<u64>,
}

/// All that is stored.
pub(super) struct Stored {
    pub(super) revision: u64,
    pub(super) settings: ServerSettings,
    pub(super) databases: Vec<(Uuid, DatabaseRecord)>,
    pub(super) tables: Vec<(Uuid, TableRecord)>,
}

/// Reads the catalog; `None` when there is none yet.
pub(super) fn read(snapshot: &dyn Snapshot) -> Result<Option<Stored>, CatalogError> {
    const WAIT: ReadMode = ReadMode::MayBlock;
    if !snapshot.has_tree(TREE, WAIT)? {
        return Ok(None);
    }
    if snapshot.get(TREE, FORMAT_KEY.as_bytes(), WAIT)?.as_deref() != Some(FORMAT) {
        return Err(damaged(FORMAT_KEY, "an unknown format"));
    }
    let revision = snapshot.get(TREE, REVISION_KEY.as_bytes(), WAIT)?;
    let revision = revision.as_deref().and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    let settings = match snapshot.get(TREE, SETTINGS_KEY.as_bytes(), WAIT)? {
        Some(stored) => serde_json::from_slice(&stored)
            .map_err(|error| damaged(SETTINGS_KEY, &error.to_string()))?,
        None => ServerSettings::default(),
    };
    Ok(Some(Stored {
        settings,
        revision: revision
            .map(u64::from_be_bytes)
            .ok_or_else(|| damaged(REVISION_KEY, "not eight bytes"))?,
        databases: records(snapshot, DATABASE)?,
        tables: records(snapshot, TABLE)?,
    }))
}

/// A batch that makes the tree of an empty catalog.
pub(super) fn new_catalog() -> WriteBatch {
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.expect_tree(TREE, false);
    batch.create_tree(TREE);
    batch.put(TREE, FORMAT_KEY, FORMAT);
    batch.put(TREE, REVISION_KEY, revision_bytes(0));
    batch
}

/// A batch that changes a catalog of this revision into one of the next.
pub(super) fn change(revision: u64) -> WriteBatch {
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.expect_value(TREE, REVISION_KEY, Some(revision_bytes(revision)));
    batch.put(TREE, REVISION_KEY, revision_bytes(revision + 1));
    batch
}

pub(super) fn put_settings(
    batch: &mut WriteBatch,
    settings: &ServerSettings,
) -> Result<(), CatalogError> {
    let json =
        serde_json::to_vec(settings).map_err(|error| damaged(SETTINGS_KEY, &error.to_string()))?;
    batch.put(TREE, SETTINGS_KEY, json);
    Ok(())
}

pub(super) fn put_database(
    batch: &mut WriteBatch,
    id: Uuid,
    record: &DatabaseRecord,
) -> Result<(), CatalogError> {
    put(batch, DATABASE, id, record)
}

pub(super) fn put_table(
    batch: &mut WriteBatch,
    id: Uuid,
    record: &TableRecord,
) -> Result<(), CatalogError> {
    put(batch, TABLE, id, record)
}

pub(super) fn delete_database(batch: &mut WriteBatch, id: Uuid) {
    batch.delete(TREE, key(DATABASE, id));
}

pub(super) fn delete_table(batch: &mut WriteBatch, id: Uuid) {
    batch.delete(TREE, key(TABLE, id));
}

fn put<R: Serialize>(
    batch: &mut WriteBatch,
    kind: u8,
    id: Uuid,
    record: &R,
) -> Result<(), CatalogError> {
    let json = serde_json::to_vec(record)
        .map_err(|error| damaged(&place(kind, id), &error.to_string()))?;
    batch.put(TREE, key(kind, id), json);
    Ok(())
}

fn records<R: DeserializeOwned>(
    snapshot: &dyn Snapshot,
    kind: u8,
) -> Result<Vec<(Uuid, R)>, CatalogError> {
    let range = KeyRange::prefix(vec![kind]);
    let cursor = snapshot.cursor(TREE, &range, Direction::Forward)?;
    let mut scanner = Scanner::new(cursor, ReadMode::MayBlock);
    let mut records = Vec::new();
    while let Some((key, value)) = scanner.next()? {
        let id = key.get(1..).and_then(|id| Uuid::from_slice(id).ok());
        let id = id.ok_or_else(|| damaged(&format!("key {key:?}"), "not an id"))?;
        let record = serde_json::from_slice(value)
            .map_err(|error| damaged(&place(kind, id), &error.to_string()))?;
        records.push((id, record));
    }
    Ok(records)
}

fn key(kind: u8, id: Uuid) -> Bytes {
    let mut key = vec![kind];
    key.extend_from_slice(id.as_bytes());
    key.into()
}

fn revision_bytes(revision: u64) -> Vec<u8> {
    revision.to_be_bytes().to_vec()
}

fn place(kind: u8, id: Uuid) -> String {
    let kind = if kind == DATABASE { "database" } else { "table" };
    format!("{kind} {id}")
}

pub(super) fn damaged(place: &str, problem: &str) -> CatalogError {
    CatalogError::Damaged { place: place.to_owned(), problem: problem.to_owned() }
}
