//! Bulk loads of a life: filling an empty tree beside everything else, and giving that up.

use std::sync::Arc;

use super::life::Life;
use super::model::Entries;
use super::work::Step;
use super::workload::any_of;
use crate::storage::disk::Call;
use crate::storage::store::SlabEngine;
use crate::storage::{BulkLoad, Durability, Engine, Operation, StorageError, TreeId};

/// A tree that is being filled.
pub(super) struct Load<'a> {
    pub(super) tree: TreeId,
    pub(super) entries: Entries,
    pub(super) filled: Box<dyn BulkLoad + 'a>,
}

impl Life {
    /// Fills a tree with sorted entries, which nobody sees yet.
    pub(super) fn begin_load<'a>(
        &mut self,
        engine: &'a Arc<SlabEngine>,
        load: &mut Option<Load<'a>>,
    ) -> Step {
        self.disk.set_phase("loading");
        let names = self.known.now().names();
        let Some(tree) = any_of(&mut self.random, &names) else { return Step::Done };
        let entries = self.shape.entries(&mut self.random);
        let begun = engine.bulk_load(tree).and_then(|mut filled| {
            entries.iter().try_for_each(|(key, value)| filled.push(key, value))?;
            Ok(Load { tree, entries, filled })
        });
        match begun {
            Ok(begun) => {
                *load = Some(begun);
                self.judge(engine, Ok(()))
            }
            Err(error) => self.judge(engine, Err(error)),
        }
    }

    /// Makes what was loaded visible, or gives it up.
    pub(super) fn end_load(&mut self, engine: &Arc<SlabEngine>, load: Load<'_>) -> Step {
        self.disk.set_phase("loading");
        if self.random.once_in(4) {
            drop(load);
            return self.judge(engine, Ok(()));
        }
        let Load { tree, entries, filled } = load;
        let found = self.known.now().get(tree).map(Entries::is_empty);
        match filled.finish(Durability::Soft) {
            Ok(commit) => {
                assert_eq!(found, Some(true), "loaded into what was not empty");
                let put = |(key, value)| Operation::Put { tree, key, value };
                let operations: Vec<_> = entries.into_iter().map(put).collect();
                self.known.commit(commit.sequence.0, &operations);
                self.disk.note("bulk load", "");
                self.judge(engine, Ok(()))
            }
            Err(StorageError::Conflict) if found == Some(false) => self.judge(engine, Ok(())),
            Err(StorageError::NoSuchTree(_)) if found.is_none() => self.judge(engine, Ok(())),
            Err(error) => self.judge(engine, Err(error)),
        }
    }

    /// A load that was under way when something failed does not go on writing.
    pub(super) fn end_load_after_failure(&mut self, engine: &Arc<SlabEngine>, load: Load<'_>) {
        let is_broken = self.disk.failed().is_some_and(Call::must_not_fail);
        if is_broken && !self.disk.has_stopped() {
            assert!(load.filled.finish(Durability::Hard).is_err(), "it goes on");
            assert_eq!(self.disk.late_writes(), 0, "a load goes on writing");
            assert_eq!(engine.last_sequence().0, self.known.last());
        }
    }
}
