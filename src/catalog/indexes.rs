//! Secondary indexes in the catalog: making, dropping and renaming them, and having them built.
//! Knows definitions and trees; must not know what a function is made of, nor who asks.
//!
//! A new index is in the catalog, and kept up by writers, from the commit on that makes it. A thread builds it, and a
//! second commit notes that it is complete; a start in between builds it again from the beginning, which changes
//! nothing of what is there already.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use uuid::Uuid;

use super::record::{self, IndexRecord};
use super::{
    Catalog, CatalogError, CatalogState, Changed, IndexDefinition, IndexEntry, TableEntry,
};
use crate::limits::INDEX_BUILDS;
use crate::storage::{StorageError, TreeId, WriteBatch};
use crate::table::{Index, IndexFunction, IndexKind, Table, TableError, TableId};

/// What an index is computed from, and how its values are kept.
pub type CompiledIndex = (Arc<dyn IndexFunction>, Box<dyn IndexKind>);

/// Makes functions of what is stored of them.
pub trait IndexFunctions: Send + Sync {
    /// The function of a definition and the kind of its index, or what is wrong with it.
    fn compile(&self, definition: &IndexDefinition) -> Result<CompiledIndex, String>;
}

/// For catalogs without indexes.
#[derive(Debug)]
pub struct NoFunctions;

impl IndexFunctions for NoFunctions {
    fn compile(&self, _definition: &IndexDefinition) -> Result<CompiledIndex, String> {
        Err("there are no functions here".to_owned())
    }
}

/// Lets only some builds go on at a time.
#[derive(Default)]
pub(super) struct BuildGate {
    running: Mutex<usize>,
    ended: Condvar,
}

struct Building<'a>(&'a BuildGate);

impl BuildGate {
    fn enter(&self) -> Building<'_> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= INDEX_BUILDS {
            running = self.ended.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Building(self)
    }
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_one();
    }
}

/// What becomes of the indexes of a table.
type Plan<'a> = &'a dyn Fn(
    &mut BTreeMap<String, IndexEntry>,
    &mut WriteBatch,
    &str,
) -> Result<(), CatalogError>;

impl Catalog {
    /// Makes an index and begins to build it.
    pub fn create_index(
        &self,
        table: TableId,
        name: &str,
        definition: &IndexDefinition,
    ) -> Result<Changed<Arc<TableEntry>>, CatalogError> {
        let id = Uuid::new_v4();
        let tree = self.engine.new_tree_id()?;
        let record = IndexRecord {
            id,
            name: name.to_owned(),
            definition: definition.clone(),
            tree: tree.0,
            is_built: false,
        };
        let entry = self.open_index(&record)?;
        let changed = self.change_indexes(table, &|indexes, batch, place| {
            if indexes.contains_key(name) {
                let (index, table) = (name.to_owned(), place.to_owned());
                return Err(CatalogError::IndexExists { index, table });
            }
            batch.create_tree(tree);
            indexes.insert(name.to_owned(), entry.clone());
            Ok(())
        })?;
        self.build(changed.value.id, &changed.value.table, &entry.index);
        Ok(changed)
    }

    /// Drops an index.
    pub fn drop_index(
        &self,
        table: TableId,
        name: &str,
    ) -> Result<Changed<Arc<TableEntry>>, CatalogError> {
        self.change_indexes(table, &|indexes, batch, place| {
            let Some(dropped) = indexes.remove(name) else {
                let (index, table) = (name.to_owned(), place.to_owned());
                return Err(CatalogError::NoSuchIndex { index, table });
            };
            batch.drop_tree(dropped.index.tree());
            Ok(())
        })
    }

    /// Gives an index another name, in the place of the one that has it if that is allowed.
    pub fn rename_index(
        &self,
        table: TableId,
        old: &str,
        new: &str,
        overwrite: bool,
    ) -> Result<Changed<Arc<TableEntry>>, CatalogError> {
        self.change_indexes(table, &|indexes, batch, place| {
            let found = indexes.get(old).cloned();
            let is_taken = !overwrite && old != new && indexes.contains_key(new);
            let Some(entry) = found.filter(|_| !is_taken) else {
                let (old, new) = (old.to_owned(), new.to_owned());
                return Err(CatalogError::IndexNotRenamed { old, new, table: place.to_owned() });
            };
            if old == new {
                return Ok(());
            }
            indexes.remove(old);
            if let Some(dropped) = indexes.insert(new.to_owned(), entry) {
                batch.drop_tree(dropped.index.tree());
            }
            Ok(())
        })
    }

    fn change_indexes(
        &self,
        table: TableId,
        plan: Plan<'_>,
    ) -> Result<Changed<Arc<TableEntry>>, CatalogError> {
        let open = Arc::clone(&found(&self.state(), table)?.0.table);
        let _only_change = open.change_indexes();
        let changed = self.change(|state, batch| {
            let (found, place) = found(state, table)?;
            let mut changed = TableEntry::clone(found);
            plan(&mut changed.indexes, batch, &place)?;
            record::put_table(batch, table.0, &changed.record())?;
            let changed = Arc::new(changed);
            Ok((state.with_table(Arc::clone(&changed)), (changed, Arc::clone(found))))
        })?;
        let (after, before) = changed.value;
        // Writers that still keep up an index that is gone find its tree missing, and look again once this is done.
        after.table.set_indexes(after.open_indexes());
        for entry in before.indexes.values() {
            if !after.indexes.values().any(|kept| kept.index.id() == entry.index.id()) {
                entry.index.set_dropped();
            }
        }
        Ok(Changed { value: after, commit: changed.commit })
    }

    /// Goes on with what a stop cut short.
    pub(super) fn resume_builds(&self) {
        for database in self.state().databases() {
            for table in database.tables() {
                for entry in table.indexes.values().filter(|entry| !entry.index.is_ready()) {
                    self.build(table.id, &table.table, &entry.index);
                }
            }
        }
    }

    /// Builds an index on a thread of its own, and notes that it is complete.
    fn build(&self, id: TableId, table: &Arc<Table>, index: &Arc<Index>) {
        let (table, index) = (Arc::clone(table), Arc::clone(index));
        let (catalog, gate) = (self.this.clone(), Arc::clone(&self.builds));
        let run = move || {
            let _building = gate.enter();
            match table.build_index(&index) {
                Ok(true) => {}
                // Dropped, or the server stops.
                Ok(false) | Err(TableError::Storage(StorageError::Closed)) => return,
                Err(error) => {
                    tracing::error!(
                        "index {} of table {} was not built: {error}",
                        index.id(),
                        id.0
                    );
                    return;
                }
            }
            let Some(catalog) = catalog.upgrade() else { return };
            if let Err(error) = catalog.note_built(id, &index) {
                tracing::error!("index {} of table {}: {error}", index.id(), id.0);
            }
        };
        let thread = std::thread::Builder::new().name("index build".to_owned());
        if let Err(error) = thread.spawn(run) {
            tracing::error!("the building of an index cannot be started: {error}");
        }
    }

    fn note_built(&self, table: TableId, index: &Index) -> Result<(), CatalogError> {
        let plan = |state: &CatalogState, batch: &mut WriteBatch| {
            let (found, _) = found(state, table)?;
            let mut record = found.record();
            for built in record.indexes.iter_mut().filter(|record| record.id == index.id()) {
                built.is_built = true;
            }
            record::put_table(batch, table.0, &record)?;
            Ok((state.with_table(Arc::clone(found)), ()))
        };
        // A change of the table that is planned before it is ready would store that it is not built.
        self.change_and(plan, || index.set_ready()).map(drop)
    }

    /// The indexes of a table: those that are open already, and the others opened.
    pub(super) fn open_indexes(
        &self,
        records: Vec<IndexRecord>,
        open: Option<&TableEntry>,
    ) -> Result<BTreeMap<String, IndexEntry>, CatalogError> {
        let mut indexes = BTreeMap::new();
        for record in records {
            let mut known = open.iter().flat_map(|table| table.indexes.values());
            let entry = match known.find(|entry| entry.index.id() == record.id) {
                Some(entry) => entry.clone(),
                None => self.open_index(&record)?,
            };
            if record.is_built {
                entry.index.set_ready();
            }
            indexes.insert(record.name, entry);
        }
        Ok(indexes)
    }

    fn open_index(&self, record: &IndexRecord) -> Result<IndexEntry, CatalogError> {
        let index = Arc::new(open_index(record, &*self.functions)?);
        Ok(IndexEntry { index, definition: Arc::new(record.definition.clone()) })
    }
}

pub(super) fn open_index(
    record: &IndexRecord,
    functions: &dyn IndexFunctions,
) -> Result<Index, CatalogError> {
    let definition = &record.definition;
    let (function, kind) = functions
        .compile(definition)
        .map_err(|problem| record::damaged(&format!("index {}", record.id), &problem))?;
    let tree = TreeId(record.tree);
    Ok(Index::new(record.id, tree, definition.multi, kind, function, record.is_built))
}

/// A table by its identity, and its database and name.
fn found(state: &CatalogState, table: TableId) -> Result<(&Arc<TableEntry>, String), CatalogError> {
    let entry = state.table_by_id(table).ok_or(CatalogError::TableGone)?;
    let database = state.database_of(entry).ok_or(CatalogError::TableGone)?;
    Ok((entry, format!("{}.{}", database.name, entry.name)))
}

impl TableEntry {
    fn open_indexes(&self) -> Vec<Arc<Index>> {
        self.indexes.values().map(|entry| Arc::clone(&entry.index)).collect()
    }

    /// The name of the index that is kept in a tree.
    pub fn index_in(&self, tree: TreeId) -> Option<&str> {
        let mut entries = self.indexes.iter();
        entries.find(|(_, entry)| entry.index.tree() == tree).map(|(name, _)| name.as_str())
    }

    pub(super) fn index_records(&self) -> Vec<IndexRecord> {
        let record = |(name, entry): (&String, &IndexEntry)| IndexRecord {
            id: entry.index.id(),
            name: name.clone(),
            definition: IndexDefinition::clone(&entry.definition),
            tree: entry.index.tree().0,
            is_built: entry.index.is_ready(),
        };
        self.indexes.iter().map(record).collect()
    }
}
