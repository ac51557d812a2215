//! Having indexes built: each by a thread, some at a time, and again after a while when that has failed.
//! Knows the catalog's changes; must not know how an index is built.
//!
//! Whoever builds an index anew, after a failure or a start, begins with new trees in the place of the old ones: what those
//! have is not known any more. An index that could not be built says why until it is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::indexes::found;
use super::{Catalog, CatalogError, CatalogState, IndexEntry, record};
use crate::limits::{INDEX_BUILD_AGAIN, INDEX_BUILD_AGAIN_MAX, INDEX_BUILDS};
use crate::priority;
use crate::storage::{StorageError, WriteBatch};
use crate::table::{Index, TableError, TableId};

/// How often a thread that waits to build an index again looks whether anybody still wants it.
const LOOK: Duration = Duration::from_millis(250);

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

/// The building of an index, for as long as it takes.
struct Job {
    catalog: Weak<Catalog>,
    gate: Arc<BuildGate>,
    table: TableId,
    index: Arc<Index>,
}

/// How a building ended that is not to be tried again soon.
enum Ended {
    /// The index is complete, or gone, or the server stops.
    Done,
    Failed(String),
}

impl Catalog {
    /// Goes on with what a stop cut short.
    pub(super) fn resume_builds(&self) {
        for database in self.state().databases() {
            for table in database.tables() {
                for entry in table.indexes.values().filter(|entry| !entry.index.is_ready()) {
                    self.build(table.id, Arc::clone(&entry.index), true);
                }
            }
        }
    }

    /// Builds an index on a thread of its own, and notes that it is complete; `anew` when that was begun before.
    pub(super) fn build(&self, table: TableId, index: Arc<Index>, anew: bool) {
        let (catalog, gate) = (self.this.clone(), Arc::clone(&self.builds));
        let mut job = Job { catalog, gate, table, index: Arc::clone(&index) };
        let thread = std::thread::Builder::new().name("index build".to_owned());
        if let Err(error) = thread.spawn(move || job.run(anew)) {
            self.note_problem(
                table,
                &index,
                &format!("no thread can be started for it before the server starts anew: {error}"),
            );
        }
    }

    /// Puts an index without entries in the place of one that is not complete; `None` when there is none any more.
    fn begin_anew(&self, table: TableId, id: Uuid) -> Result<Option<Arc<Index>>, CatalogError> {
        let changed = self.change_indexes(table, &|indexes, batch, _| {
            let unfinished =
                |entry: &&mut IndexEntry| entry.index.id() == id && !entry.index.is_ready();
            let Some(entry) = indexes.values_mut().find(unfinished) else { return Ok(()) };
            entry.drop_trees(batch);
            let fresh = self.new_index(id, &entry.definition)?;
            fresh.index.set_problem(entry.index.problem());
            fresh.create_trees(batch);
            *entry = fresh;
            Ok(())
        });
        let changed = match changed {
            Err(CatalogError::TableGone) => return Ok(None),
            changed => changed?,
        };
        let mut indexes = changed.value.indexes.values().map(|entry| &entry.index);
        Ok(indexes.find(|index| index.id() == id && !index.is_ready()).cloned())
    }

    fn note_built(&self, table: TableId, index: &Index) -> Result<(), CatalogError> {
        let plan = |state: &CatalogState, batch: &mut WriteBatch| {
            let (found, _) = found(state, table)?;
            let mut record = found.record();
            let is_it = |id: Uuid, tree: u64| id == index.id() && tree == index.tree().0;
            for built in &mut record.indexes {
                if is_it(built.id, built.tree) {
                    built.is_built = true;
                    built.notes = None;
                    index.notes().into_iter().for_each(|notes| batch.drop_tree(notes));
                }
            }
            record::put_table(batch, table.0, &record)?;
            Ok((state.with_table(Arc::clone(found)), ()))
        };
        // A change of the table that is planned before it is ready would store that it is not built.
        let then = || {
            index.set_ready();
            index.set_problem(None);
        };
        self.change_and(plan, then).map(drop)
    }

    /// An index as people call it.
    pub(super) fn name_of(&self, table: TableId, index: &Index) -> String {
        let state = self.state();
        let found = state.table_by_id(table).and_then(|entry| {
            let mut indexes = entry.indexes.iter();
            let (name, _) = indexes.find(|(_, entry)| entry.index.id() == index.id())?;
            Some((state.database_of(entry)?, entry, name))
        });
        match found {
            Some((database, entry, name)) => {
                format!("index `{name}` of table `{}.{}` ({})", database.name, entry.name, table.0)
            }
            None => format!("index {} of table {}", index.id(), table.0),
        }
    }

    fn note_problem(&self, table: TableId, index: &Index, problem: &str) {
        if index.problem().as_deref() != Some(problem) {
            tracing::error!("{} was not built: {problem}", self.name_of(table, index));
            index.set_problem(Some(problem.into()));
            self.changed.ring();
        }
    }
}

impl Job {
    fn run(&mut self, mut anew: bool) {
        // Those who read the documents for it are started by this thread, and give way as it does.
        priority::give_way();
        let mut wait = INDEX_BUILD_AGAIN;
        loop {
            let Ended::Failed(problem) = self.try_once(anew) else { return };
            let Some(catalog) = self.catalog.upgrade() else { return };
            catalog.note_problem(self.table, &self.index, &problem);
            // Nobody is kept from closing the store and opening it again.
            drop(catalog);
            let until = Instant::now() + wait;
            while Instant::now() < until {
                if self.index.is_dropped() || self.catalog.strong_count() == 0 {
                    return;
                }
                std::thread::sleep(LOOK.min(wait));
            }
            wait = wait.saturating_mul(2).min(INDEX_BUILD_AGAIN_MAX);
            anew = true;
        }
    }

    fn try_once(&mut self, anew: bool) -> Ended {
        let gate = Arc::clone(&self.gate);
        let _building = gate.enter();
        let Some(catalog) = self.catalog.upgrade() else { return Ended::Done };
        if anew {
            match catalog.begin_anew(self.table, self.index.id()) {
                Ok(Some(index)) => self.index = index,
                Ok(None) | Err(CatalogError::Storage(StorageError::Closed)) => return Ended::Done,
                Err(error) => return Ended::Failed(error.to_string()),
            }
        }
        let state = catalog.state();
        let Some(table) = state.table_by_id(self.table).map(|entry| Arc::clone(&entry.table))
        else {
            return Ended::Done;
        };
        // While it is built, nobody is kept from stopping the server.
        drop((catalog, state));
        let build = || table.build_index(&self.index);
        let built = catch_unwind(AssertUnwindSafe(build));
        drop(table);
        match built {
            Ok(Ok(true)) => {}
            // Dropped, or the server stops.
            Ok(Ok(false) | Err(TableError::Storage(StorageError::Closed))) => return Ended::Done,
            Ok(Err(error)) => return Ended::Failed(error.to_string()),
            Err(_) => return Ended::Failed("the thread that built it has panicked".to_owned()),
        }
        let Some(catalog) = self.catalog.upgrade() else { return Ended::Done };
        match catalog.note_built(self.table, &self.index) {
            Err(CatalogError::TableGone | CatalogError::Storage(StorageError::Closed)) | Ok(()) => {
                Ended::Done
            }
            Err(error) => Ended::Failed(error.to_string()),
        }
    }
}
