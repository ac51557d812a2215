//! Whether what the catalog says and what is stored go together, at one commit point: every table and index has its
//! tree, every tree belongs to something, and the indexes agree with the documents (`table/check.rs`).
//! Knows records and trees; must not know open tables, nor repair anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::indexes::open_index;
use super::record::{self, DatabaseRecord, TableRecord};
use super::{CatalogError, IndexFunctions};
use crate::storage::{ReadMode, Snapshot, StorageError, TreeId};
use crate::table::{CheckError, TableReader, check_table};

const WAIT: ReadMode = ReadMode::MayBlock;

/// What was found to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DataReport {
    /// Tables of all databases.
    pub tables: u64,
    /// Documents in them.
    pub documents: u64,
    /// Indexes of them.
    pub indexes: u64,
    /// Entries in these.
    pub entries: u64,
}

/// Something that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The catalog cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Something is there twice, or belongs to what is not there.
    #[error("{place}: {problem}")]
    Listed {
        /// The table, or the index of a table.
        place: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A table or an index has no tree.
    #[error("{place}: its {tree} is not there")]
    NoTree {
        /// The table, or the index of a table.
        place: String,
        /// The tree.
        tree: TreeId,
    },
    /// A tree belongs to nothing.
    #[error("{0} belongs to no table and no index")]
    Orphan(TreeId),
    /// The documents of a table and its indexes do not go together.
    #[error("table `{table}`: {error}")]
    Table {
        /// Its database and name.
        table: String,
        /// What is wrong with it.
        error: Box<CheckError>,
    },
}

impl From<StorageError> for DataError {
    fn from(error: StorageError) -> Self {
        Self::Catalog(error.into())
    }
}

/// Checks all that the catalog lists. `others` are the trees that belong to something else.
pub fn check(
    snapshot: &Arc<dyn Snapshot>,
    functions: &dyn IndexFunctions,
    others: &[TreeId],
    broken: &mut dyn FnMut(DataError) -> Result<(), DataError>,
) -> Result<DataReport, DataError> {
    let mut report = DataReport::default();
    let mut owned: BTreeSet<TreeId> = others.iter().copied().collect();
    if let Some(stored) = record::read(&**snapshot)? {
        owned.insert(record::TREE);
        let names = names(&stored.databases, &stored.tables)?;
        for ((_, record), name) in stored.tables.iter().zip(&names) {
            own(&**snapshot, &mut owned, TreeId(record.primary_tree), &format!("table `{name}`"))?;
            for index in &record.indexes {
                let place = format!("table `{name}`: index `{}`", index.name);
                for tree in [Some(index.tree), index.notes].into_iter().flatten() {
                    own(&**snapshot, &mut owned, TreeId(tree), &place)?;
                }
            }
        }
        for ((_, record), name) in stored.tables.iter().zip(names) {
            look_at(snapshot, functions, (record, name), &mut report, broken)?;
        }
    }
    let orphans = snapshot.trees(WAIT)?.into_iter().filter(|tree| !owned.contains(tree));
    orphans.map(DataError::Orphan).try_for_each(broken)?;
    Ok(report)
}

/// What the trees belong to that the catalog lists, as people call it: nothing of what cannot be read.
pub fn tree_names(snapshot: &dyn Snapshot) -> BTreeMap<TreeId, String> {
    let mut found = BTreeMap::new();
    let Ok(Some(stored)) = record::read(snapshot) else { return found };
    let Ok(names) = names(&stored.databases, &stored.tables) else { return found };
    for ((_, record), name) in stored.tables.iter().zip(names) {
        for index in &record.indexes {
            let name = format!("index `{}` of table `{name}`", index.name);
            found.insert(TreeId(index.tree), name);
        }
        found.insert(TreeId(record.primary_tree), format!("table `{name}`"));
    }
    found
}

/// The database and name of each table; no two are the same.
fn names(
    databases: &[(Uuid, DatabaseRecord)],
    tables: &[(Uuid, TableRecord)],
) -> Result<Vec<String>, DataError> {
    let wrong = |place: String, problem| Err(DataError::Listed { place, problem });
    let mut known = BTreeSet::new();
    for (_, DatabaseRecord { name }) in databases {
        if !known.insert(name) {
            return wrong(format!("database `{name}`"), "there are two of that name");
        }
    }
    let databases: BTreeMap<Uuid, &str> =
        databases.iter().map(|(id, record)| (*id, record.name.as_str())).collect();
    let (mut names, mut known) = (Vec::new(), BTreeSet::new());
    for (id, record) in tables {
        let Some(database) = databases.get(&record.database) else {
            return wrong(format!("table {id}"), "its database does not exist");
        };
        let name = format!("{database}.{}", record.name);
        if !known.insert(name.clone()) {
            return wrong(format!("table `{name}`"), "there are two of that name");
        }
        let indexes: BTreeSet<_> = record.indexes.iter().map(|index| &index.name).collect();
        if indexes.len() != record.indexes.len() {
            return wrong(format!("table `{name}`"), "two of its indexes have the same name");
        }
        names.push(name);
    }
    Ok(names)
}

/// Notes whose tree this is: it must be there, and nobody else's.
fn own(
    snapshot: &dyn Snapshot,
    owned: &mut BTreeSet<TreeId>,
    tree: TreeId,
    place: &str,
) -> Result<(), DataError> {
    if !snapshot.has_tree(tree, WAIT)? {
        return Err(DataError::NoTree { place: place.to_owned(), tree });
    }
    if owned.insert(tree) {
        return Ok(());
    }
    Err(DataError::Listed { place: place.to_owned(), problem: "its tree belongs to another one" })
}

fn look_at(
    snapshot: &Arc<dyn Snapshot>,
    functions: &dyn IndexFunctions,
    (record, name): (&TableRecord, String),
    report: &mut DataReport,
    broken: &mut dyn FnMut(DataError) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut indexes = Vec::new();
    for index in &record.indexes {
        indexes.push((index.name.clone(), open_index(index, functions)?));
    }
    let tree = TreeId(record.primary_tree);
    let reader = TableReader::new(tree, Arc::clone(snapshot));
    let of_table =
        |error: CheckError| DataError::Table { table: name.clone(), error: Box::new(error) };
    let mut enough = None;
    let mut told = |error: CheckError| {
        broken(of_table(error)).map_err(|error| {
            enough = Some(error);
            // Who ends the check says why.
            CheckError::Ended
        })
    };
    let checked = check_table(&reader, &record.config.primary_key, &indexes, &mut told);
    if let Some(error) = enough {
        return Err(error);
    }
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => return broken(of_table(error)),
    };
    report.tables += 1;
    report.documents += checked.documents;
    report.indexes += indexes.len() as u64;
    report.entries += checked.entries;
    Ok(())
}
