//! Secondary indexes in the catalog: making, dropping and renaming them, and having them built.
//! Knows definitions and trees; must not know what a function is made of, nor who asks.
//!
//! A new index is in the catalog, and kept up by writers, from the commit on that makes it. A thread builds it
//! (`building.rs`), and a second commit notes that it is complete.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::record::{self, IndexRecord};
use super::{
    Catalog, CatalogError, CatalogState, Changed, IndexDefinition, IndexEntry, TableEntry,
};
use crate::storage::{TreeId, WriteBatch};
use crate::table::{Index, IndexFunction, IndexKind, TableId};

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

/// What becomes of the indexes of a table.
pub(super) type Plan<'a> = &'a dyn Fn(
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
        let entry = self.new_index(id, definition)?;
        let changed = self.change_indexes(table, &|indexes, batch, place| {
            if indexes.contains_key(name) {
                let (index, table) = (name.to_owned(), place.to_owned());
                return Err(CatalogError::IndexExists { index, table });
            }
            entry.create_trees(batch);
            indexes.insert(name.to_owned(), entry.clone());
            Ok(())
        })?;
        self.build(changed.value.id, Arc::clone(&entry.index), false);
        Ok(changed)
    }

    /// An index without entries, which is not in the catalog yet and has no trees.
    pub(super) fn new_index(
        &self,
        id: Uuid,
        definition: &IndexDefinition,
    ) -> Result<IndexEntry, CatalogError> {
        let (tree, notes) = (self.engine.new_tree_id()?.0, Some(self.engine.new_tree_id()?.0));
        let (name, definition) = (String::new(), definition.clone());
        self.open_index(&IndexRecord { id, name, definition, tree, is_built: false, notes })
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
            dropped.drop_trees(batch);
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
                dropped.drop_trees(batch);
            }
            Ok(())
        })
    }

    pub(super) fn change_indexes(
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
            if !after.indexes.values().any(|kept| Arc::ptr_eq(&kept.index, &entry.index)) {
                entry.index.set_dropped();
            }
        }
        Ok(Changed { value: after, commit: changed.commit })
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
            let is_same = |index: &Index| index.id() == record.id && index.tree().0 == record.tree;
            let entry = match known.find(|entry| is_same(&entry.index)) {
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
    let index = Index::new(record.id, tree, definition.multi, kind, function, record.is_built);
    Ok(match record.notes {
        Some(notes) if !record.is_built => index.with_notes(TreeId(notes)),
        _ => index,
    })
}

/// A table by its identity, and its database and name.
pub(super) fn found(
    state: &CatalogState,
    table: TableId,
) -> Result<(&Arc<TableEntry>, String), CatalogError> {
    let entry = state.table_by_id(table).ok_or(CatalogError::TableGone)?;
    let database = state.database_of(entry).ok_or(CatalogError::TableGone)?;
    Ok((entry, format!("{}.{}", database.name, entry.name)))
}

impl IndexEntry {
    pub(super) fn create_trees(&self, batch: &mut WriteBatch) {
        self.index.trees().for_each(|tree| batch.create_tree(tree));
    }

    pub(super) fn drop_trees(&self, batch: &mut WriteBatch) {
        self.index.trees().for_each(|tree| batch.drop_tree(tree));
    }
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
            notes: entry.index.notes().map(|notes| notes.0),
        };
        self.indexes.iter().map(record).collect()
    }
}
