//! The catalog: which databases and tables there are, under which names, and where they are stored.
//! Knows names, ids and trees; must not know documents, terms or sessions.
//!
//! Reading is [`Catalog::state`]: what it returns is a whole, consistent catalog that never changes, and getting it
//! waits for nothing. Every change is one atomic batch in the engine, made by one writer at a time, and becomes the
//! next state. A change is applied, not yet durable, when its call returns: whoever answers for it waits for the
//! commit, as after any other write.

mod building;
mod check;
mod error;
mod indexes;
mod record;
mod state;
pub mod system;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use uuid::Uuid;

pub use check::{DataError, DataReport, check, tree_names};
pub use error::{CatalogError, NameKind, SpecialAction};
pub use indexes::{CompiledIndex, IndexFunctions, NoFunctions};
pub use state::{
    CatalogState, Database, DatabaseId, IndexDefinition, IndexEntry, ServerSettings, TableConfig,
    TableEntry, WriteAcks, WriteHook,
};
pub use system::SYSTEM_DATABASE;

use self::building::BuildGate;
use self::record::{DatabaseRecord, Stored, TableRecord};
use crate::bell::Bell;
use crate::limits::WRITE_ATTEMPTS;
use crate::storage::{Commit, Engine, StorageError, TreeId, WriteBatch};
use crate::table::{ChangeSink, Table, TableId};
use crate::turns;

/// The database that a new server starts with, and that queries use when they name none.
pub const DEFAULT_DATABASE: &str = "test";

/// The databases and tables of one server.
pub struct Catalog {
    engine: Arc<dyn Engine>,
    sink: Arc<dyn ChangeSink>,
    functions: Arc<dyn IndexFunctions>,
    state: RwLock<Arc<CatalogState>>,
    changed: Bell,
    /// Held by the one who makes a change.
    change: Mutex<()>,
    builds: Arc<BuildGate>,
    /// For the threads that build indexes, which end when the catalog does.
    this: Weak<Self>,
}

/// A change that was made.
#[derive(Debug, Clone)]
pub struct Changed<T> {
    /// What was created or dropped.
    pub value: T,
    /// The commit that did it.
    pub commit: Commit,
}

/// Whether a database or table may have this name.
pub fn is_valid_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !name.is_empty() && name.bytes().all(allowed)
}

impl Catalog {
    /// Opens the catalog that the engine holds, or makes one with an empty database [`DEFAULT_DATABASE`]. Changes of
    /// all tables go to `sink`; `functions` knows what indexes are computed from. Indexes whose building was cut short
    /// are built from the start.
    pub fn open(
        engine: Arc<dyn Engine>,
        sink: Arc<dyn ChangeSink>,
        functions: Arc<dyn IndexFunctions>,
    ) -> Result<Arc<Self>, CatalogError> {
        let catalog = Arc::new_cyclic(|this| Self {
            engine,
            sink,
            functions,
            state: RwLock::default(),
            changed: Bell::default(),
            change: Mutex::default(),
            builds: Arc::default(),
            this: this.clone(),
        });
        let mut attempts = 0;
        while !catalog.reload()? {
            let mut batch = record::new_catalog();
            let test = DatabaseRecord { name: DEFAULT_DATABASE.to_owned() };
            record::put_database(&mut batch, Uuid::new_v4(), &test)?;
            attempts += 1;
            match catalog.engine.apply(batch) {
                Err(StorageError::Conflict) if attempts < WRITE_ATTEMPTS => {}
                applied => drop(applied?),
            }
        }
        catalog.resume_builds();
        Ok(catalog)
    }

    /// All databases and tables, as they are now.
    pub fn state(&self) -> Arc<CatalogState> {
        // The lock is held only while the pointer is cloned or exchanged, so it cannot be left in between.
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Rung after every change.
    pub fn changed(&self) -> &Bell {
        &self.changed
    }

    /// The engine that holds everything.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Creates an empty database.
    pub fn create_database(&self, name: &str) -> Result<Changed<Arc<Database>>, CatalogError> {
        self.create_database_as(DatabaseId(Uuid::new_v4()), name)
    }

    /// Creates an empty database with an identity that no other has had.
    pub fn create_database_as(
        &self,
        id: DatabaseId,
        name: &str,
    ) -> Result<Changed<Arc<Database>>, CatalogError> {
        check_name(NameKind::Database, name)?;
        self.change(|state, batch| {
            if state.has_database(name) {
                return Err(CatalogError::DatabaseExists { database: name.to_owned() });
            }
            record::put_database(batch, id.0, &DatabaseRecord { name: name.to_owned() })?;
            let tables = Default::default();
            let database = Database { id, name: name.to_owned(), tables };
            Ok((state.with_database(database.clone()), Arc::new(database)))
        })
    }

    /// Drops a database with all its tables, and returns it as it was.
    pub fn drop_database(&self, name: &str) -> Result<Changed<Arc<Database>>, CatalogError> {
        let dropped = self.change(|state, batch| {
            let database = state.ordinary_database(name, SpecialAction::Drop)?;
            record::delete_database(batch, database.id.0);
            for table in database.tables() {
                table.delete(batch);
            }
            Ok((state.without_database(name), Arc::clone(database)))
        })?;
        for table in dropped.value.tables() {
            self.let_go(table);
        }
        Ok(dropped)
    }

    /// Creates an empty table.
    pub fn create_table(
        &self,
        database: &str,
        name: &str,
        config: &TableConfig,
    ) -> Result<Changed<Arc<TableEntry>>, CatalogError> {
        self.create_table_as(TableId(Uuid::new_v4()), database, name, config)
    }

    /// Creates an empty table with an identity that no other has had.
    pub fn create_table_as(
        &self,
        id: TableId,
        database: &str,
        name: &str,
        config: &TableConfig,
    ) -> Result<Changed<Arc<TableEntry>>, CatalogError> {
        check_name(NameKind::Table, name)?;
        self.change(|state, batch| {
            let found = state.ordinary_database(database, SpecialAction::CreateTable)?;
            if found.tables.contains_key(name) {
                return Err(CatalogError::TableExists {
                    database: database.to_owned(),
                    table: name.to_owned(),
                });
            }
            let primary_tree = self.engine.new_tree_id()?;
            batch.create_tree(primary_tree);
            let record = TableRecord {
                database: found.id.0,
                name: name.to_owned(),
                config: config.clone(),
                primary_tree: primary_tree.0,
                indexes: Vec::new(),
                write_hook: None,
            };
            record::put_table(batch, id.0, &record)?;
            let entry = Arc::new(self.entry(id, record, None)?);
            let mut database = Database::clone(found);
            database.tables.insert(name.to_owned(), Arc::clone(&entry));
            Ok((state.with_database(database), entry))
        })
    }

    /// Drops a table, and returns it as it was. Who still reads it reads on; writes find it gone.
    pub fn drop_table(
        &self,
        database: &str,
        name: &str,
    ) -> Result<Changed<Arc<TableEntry>>, CatalogError> {
        let dropped = self.change(|state, batch| {
            let found = state.ordinary_database(database, SpecialAction::DropTable)?;
            let mut changed = Database::clone(found);
            let entry = changed.tables.remove(name).ok_or_else(|| CatalogError::NoSuchTable {
                database: database.to_owned(),
                table: name.to_owned(),
            })?;
            entry.delete(batch);
            Ok((state.with_database(changed), entry))
        })?;
        self.let_go(&dropped.value);
        Ok(dropped)
    }

    fn let_go(&self, table: &TableEntry) {
        for entry in table.indexes.values() {
            entry.index.set_dropped();
        }
        self.sink.dropped(table.id);
    }

    /// Gives a database another name.
    pub fn rename_database(&self, old: &str, new: &str) -> Result<Changed<()>, CatalogError> {
        check_name(NameKind::Database, new)?;
        self.change(|state, batch| {
            let found = state.ordinary_database(old, SpecialAction::Drop)?;
            if state.has_database(new) {
                let (old, new) = (old.to_owned(), new.to_owned());
                return Err(CatalogError::DatabaseNotRenamed { old, new });
            }
            let renamed = Database { name: new.to_owned(), ..Database::clone(found) };
            record::put_database(batch, found.id.0, &DatabaseRecord { name: new.to_owned() })?;
            let mut next = state.without_database(old).with_database(renamed);
            next.revision = state.revision + 1;
            Ok((next, ()))
        })
    }

    /// Gives a table another database, name or configuration. Its primary key stays.
    pub fn configure_table(
        &self,
        table: TableId,
        database: &str,
        name: &str,
        config: &TableConfig,
    ) -> Result<Changed<Arc<TableEntry>>, CatalogError> {
        check_name(NameKind::Table, name)?;
        self.change(|state, batch| {
            let found = state.table_by_id(table).ok_or(CatalogError::TableGone)?;
            let from = state.database_of(found).ok_or(CatalogError::TableGone)?;
            let to = state.ordinary_database(database, SpecialAction::CreateTable)?;
            let moves = from.id != to.id || found.name != name;
            if moves && to.tables.contains_key(name) {
                return Err(CatalogError::TableNotRenamed {
                    old: format!("{}.{}", from.name, found.name),
                    new: format!("{database}.{name}"),
                });
            }
            let changed = Arc::new(TableEntry {
                name: name.to_owned(),
                database: to.id,
                config: config.clone(),
                ..TableEntry::clone(found)
            });
            record::put_table(batch, table.0, &changed.record())?;
            let mut left = Database::clone(from);
            left.tables.remove(&found.name);
            let mut next = state.with_database(left).with_table(Arc::clone(&changed));
            next.revision = state.revision + 1;
            Ok((next, changed))
        })
    }

    /// Changes what is set for the server as a whole.
    pub fn change_settings(
        &self,
        change: impl Fn(&mut ServerSettings),
    ) -> Result<Changed<()>, CatalogError> {
        self.change(|state, batch| {
            let mut settings = state.settings.clone();
            change(&mut settings);
            record::put_settings(batch, &settings)?;
            let revision = state.revision + 1;
            Ok((CatalogState { revision, settings, databases: state.databases.clone() }, ()))
        })
    }

    /// Sets the write hook of a table, or takes it away, and returns the table as it was.
    pub fn set_write_hook(
        &self,
        table: TableId,
        hook: Option<WriteHook>,
    ) -> Result<Changed<Arc<TableEntry>>, CatalogError> {
        let hook = hook.map(Arc::new);
        self.change(|state, batch| {
            let found = state.table_by_id(table).ok_or(CatalogError::TableGone)?;
            let changed = TableEntry { write_hook: hook.clone(), ..TableEntry::clone(found) };
            record::put_table(batch, table.0, &changed.record())?;
            Ok((state.with_table(Arc::new(changed)), Arc::clone(found)))
        })
    }

    /// Makes one change: `plan` fills the batch and says what the catalog is then. It is asked again when a writer
    /// elsewhere changed the stored catalog first.
    fn change<T>(
        &self,
        plan: impl Fn(&CatalogState, &mut WriteBatch) -> Result<(CatalogState, T), CatalogError>,
    ) -> Result<Changed<T>, CatalogError> {
        self.change_and(plan, || {})
    }

    /// The same, and what follows from the change is done before the next change is planned.
    fn change_and<T>(
        &self,
        plan: impl Fn(&CatalogState, &mut WriteBatch) -> Result<(CatalogState, T), CatalogError>,
        then: impl FnOnce(),
    ) -> Result<Changed<T>, CatalogError> {
        let _pause = turns::pause();
        let _only_writer = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempts = 0;
        loop {
            let state = self.state();
            let mut batch = record::change(state.revision);
            let (next, value) = plan(&state, &mut batch)?;
            attempts += 1;
            match self.engine.apply(batch) {
                Ok(commit) => {
                    then();
                    self.replace(next);
                    return Ok(Changed { value, commit });
                }
                Err(StorageError::Conflict) if attempts < WRITE_ATTEMPTS => {
                    self.reload()?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn replace(&self, next: CatalogState) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.changed.ring();
    }

    /// Takes over what is stored; false when nothing is.
    fn reload(&self) -> Result<bool, CatalogError> {
        let Some(stored) = record::read(&*self.engine.snapshot()?)? else { return Ok(false) };
        let next = self.state_of(stored)?;
        self.replace(next);
        Ok(true)
    }

    fn state_of(&self, stored: Stored) -> Result<CatalogState, CatalogError> {
        let before = self.state();
        let mut databases: HashMap<Uuid, Database> = HashMap::new();
        for (id, DatabaseRecord { name }) in stored.databases {
            let tables = Default::default();
            databases.insert(id, Database { id: DatabaseId(id), name, tables });
        }
        for (id, record) in stored.tables {
            let database = databases.get_mut(&record.database).ok_or_else(|| {
                record::damaged(&format!("table {id}"), "its database does not exist")
            })?;
            let open = before.table_by_id(TableId(id)).map(|entry| &**entry);
            let entry = self.entry(TableId(id), record, open)?;
            database.tables.insert(entry.name.clone(), Arc::new(entry));
        }
        let named =
            databases.into_values().map(|database| (database.name.clone(), database.into()));
        let (revision, settings) = (stored.revision, stored.settings);
        Ok(CatalogState { revision, settings, databases: named.collect() })
    }

    /// A table under its name: with the values that are open already, or else opened.
    fn entry(
        &self,
        id: TableId,
        record: TableRecord,
        open: Option<&TableEntry>,
    ) -> Result<TableEntry, CatalogError> {
        let primary_tree = TreeId(record.primary_tree);
        let table = open.map(|entry| Arc::clone(&entry.table)).unwrap_or_else(|| {
            let (engine, sink) = (Arc::clone(&self.engine), Arc::clone(&self.sink));
            Arc::new(Table::new(id, &record.config.primary_key, primary_tree, engine, sink))
        });
        let TableRecord { database, name, config, indexes, write_hook, .. } = record;
        let write_hook = write_hook.map(Arc::new);
        let indexes = self.open_indexes(indexes, open)?;
        table.set_indexes(indexes.values().map(|entry| Arc::clone(&entry.index)).collect());
        let database = DatabaseId(database);
        Ok(TableEntry { id, name, database, config, table, write_hook, indexes, primary_tree })
    }
}

impl TableEntry {
    fn record(&self) -> TableRecord {
        TableRecord {
            database: self.database.0,
            name: self.name.clone(),
            config: self.config.clone(),
            primary_tree: self.primary_tree.0,
            indexes: self.index_records(),
            write_hook: self.write_hook.as_deref().cloned(),
        }
    }

    /// Drops all that is stored of it.
    fn delete(&self, batch: &mut WriteBatch) {
        record::delete_table(batch, self.id.0);
        batch.drop_tree(self.primary_tree);
        for entry in self.indexes.values() {
            entry.drop_trees(batch);
        }
    }
}

fn check_name(kind: NameKind, name: &str) -> Result<(), CatalogError> {
    if is_valid_name(name) {
        return Ok(());
    }
    Err(CatalogError::InvalidName { kind, name: name.to_owned() })
}
