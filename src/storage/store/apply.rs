//! Applying a batch: to the trees in memory, and to the log. Must not know checkpoints, but that they are wanted.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::pages::Pages;
use super::{Event, OpenTree, Shared, State, View};
use crate::storage::batch::{key_of, lock_all};
use crate::storage::btree::{Edit, Origin, Tree};
use crate::storage::slab::META;
use crate::storage::wal::{encode, operations_of};
use crate::storage::{
    Commit, CommitSequence, Condition, Durability, Operation, ReadMode, StorageError, TreeId,
    WriteBatch,
};

/// What a batch has made of the trees that it names.
#[derive(Default)]
struct Changed {
    trees: BTreeMap<TreeId, ChangedTree>,
}

struct ChangedTree {
    /// Whether it was there before.
    existed: bool,
    /// Whether that one was dropped, even if there is another one of its name again.
    dropped: bool,
    /// `None` when it is gone.
    now: Option<OpenTree>,
}

impl Shared {
    pub(super) fn apply(&self, mut batch: WriteBatch) -> Result<Commit, StorageError> {
        batch.check_lengths()?;
        self.wait_for_room()?;
        let account = Arc::clone(&self.read_state().view.account);
        let record = account.hold(encode(batch.operations()).into());
        // The trees and the log keep one copy of keys and values between them, and one block of memory a commit.
        let parts = operations_of(&record);
        batch.replace_operations(
            parts.ok_or_else(|| {
                StorageError::corrupt("memory", "a record that is not of its batch")
            })?,
        );
        let alters = batch.operations().iter().any(|operation| {
            matches!(operation, Operation::CreateTree(_) | Operation::DropTree(_))
        });
        let commit = if alters {
            let _alone = self.structure.write().unwrap_or_else(PoisonError::into_inner);
            self.apply_locked(&batch, record)
        } else {
            let _shared = self.structure.read().unwrap_or_else(PoisonError::into_inner);
            self.apply_locked(&batch, record)
        }?;
        self.want_checkpoint_if_due();
        Ok(commit)
    }

    fn apply_locked(&self, batch: &WriteBatch, record: Bytes) -> Result<Commit, StorageError> {
        let names = batch.trees();
        let before = self.read_state().view.trees.clone();
        let writers: Vec<_> = names
            .iter()
            .filter_map(|tree| before.get(&key_of(*tree)))
            .map(|tree| Arc::clone(&tree.writer))
            .collect();
        drop(before);
        let _guards = lock_all(&writers);
        // Between the two looks another batch may have changed the trees; from here on nobody does.
        let view = {
            let state = self.read_state();
            if state.closed {
                return Err(StorageError::Closed);
            }
            state.view.clone()
        };
        self.check_conditions(&view, batch.conditions())?;
        // The record of one operation goes when what it has put is replaced; another stays until nothing of it is left.
        let origin = match batch.operations() {
            [_] => Origin::OwnRecord,
            _ => Origin::SharedRecord,
        };
        let mut edit = Edit::new(&self.pages, &view.account, origin);
        let find = |name| view.trees.get(&key_of(name)).cloned();
        let changed = changed_trees(find, batch.operations(), &mut edit)?;
        // What was seen must not be kept alive for longer than needed: it would make the next batch copy more.
        drop(view);
        let durability = batch.durability();
        let log = |shared: &Self| {
            let length = record.len();
            let sequence = shared.log.append(record, durability == Durability::Hard)?;
            Ok((sequence, length))
        };
        let sequence = self.publish(changed, edit, log)?;
        Ok(Commit { sequence, durability })
    }

    /// Makes changed trees the current ones, once `log` has given the number of the commit and its bytes.
    fn publish(
        &self,
        changed: Changed,
        edit: Edit<'_>,
        log: impl FnOnce(&Self) -> Result<(CommitSequence, usize), StorageError>,
    ) -> Result<CommitSequence, StorageError> {
        let mut state = self.write_state();
        let (sequence, length) = log(self)?;
        let is_first = state.note_logged(length);
        let old = state.put(changed, edit, sequence);
        drop(state);
        if is_first {
            self.begin_interval();
        }
        // Freeing what is in memory of a large tree takes a while; it happens here, outside the lock.
        drop(old);
        Ok(sequence)
    }

    fn check_conditions(&self, view: &View, conditions: &[Condition]) -> Result<(), StorageError> {
        for condition in conditions {
            let holds = match condition {
                Condition::Tree { tree, exists } => view.tree(*tree).is_ok() == *exists,
                Condition::Value { tree, key, expected } => {
                    let found = view.tree(*tree)?.get(&self.pages, key, ReadMode::MayBlock)?;
                    found == *expected
                }
            };
            if !holds {
                return Err(StorageError::Conflict);
            }
        }
        Ok(())
    }
}

impl State {
    /// Notes a commit of so many bytes. Whether it is the first since a checkpoint began.
    pub(super) fn note_logged(&mut self, bytes: usize) -> bool {
        self.logged += bytes;
        let is_first = self.since.is_none();
        if is_first {
            self.since = Some(Instant::now());
        }
        is_first
    }

    /// Applies operations of the log while the store is being opened, up to a commit.
    pub(super) fn apply_again(
        &mut self,
        pages: &Pages,
        sequence: CommitSequence,
        operations: &[Operation],
    ) -> Result<(), StorageError> {
        let mut edit = Edit::new(pages, &self.view.account, Origin::SharedRecord);
        // Taken out, so that nobody else has them and they are changed where they are. After an error nobody asks for
        // them any more.
        let find = |name| self.view.trees.remove(&key_of(name));
        let changed = changed_trees(find, operations, &mut edit)?;
        self.put(changed, edit, sequence);
        Ok(())
    }

    /// Makes changed trees the current ones and returns what they were.
    fn put(
        &mut self,
        changed: Changed,
        edit: Edit<'_>,
        sequence: CommitSequence,
    ) -> Vec<Option<OpenTree>> {
        let replaced = edit.finish(self.view.account.epoch());
        self.events.extend(replaced.into_iter().map(Event::Replaced));
        self.view.sequence = sequence;
        let exchange = |(name, tree): (TreeId, ChangedTree)| {
            if tree.dropped {
                self.events.extend([Event::Dropped(name.0)]);
            }
            match tree.now {
                Some(new) => self.view.trees.insert(key_of(name), new),
                None => self.view.trees.remove(&key_of(name)),
            }
        };
        changed.trees.into_iter().map(exchange).collect()
    }
}

fn changed_trees(
    mut find: impl FnMut(TreeId) -> Option<OpenTree>,
    operations: &[Operation],
    edit: &mut Edit<'_>,
) -> Result<Changed, StorageError> {
    let mut changed = Changed::default();
    for operation in operations {
        let name = operation.tree();
        let ChangedTree { existed, dropped, now } =
            changed.trees.entry(name).or_insert_with(|| {
                let now = find(name);
                ChangedTree { existed: now.is_some(), dropped: false, now }
            });
        match (operation, now.as_mut()) {
            // This name belongs to the tree of all trees.
            (Operation::CreateTree(_), None) if name.0 == META => {
                return Err(StorageError::TreeExists(name));
            }
            (Operation::CreateTree(_), None) => {
                *now = Some(OpenTree { tree: Tree::new(name.0), writer: Arc::default() });
            }
            (Operation::CreateTree(_), Some(_)) => return Err(StorageError::TreeExists(name)),
            (_, None) => return Err(StorageError::NoSuchTree(name)),
            (Operation::DropTree(_), Some(_)) => {
                *now = None;
                *dropped = *existed;
            }
            (Operation::Put { key, value, .. }, Some(tree)) => {
                tree.tree.put(edit, key.clone(), value.clone())?;
            }
            (Operation::Delete { key, .. }, Some(tree)) => {
                tree.tree.delete(edit, key)?;
            }
        }
    }
    Ok(changed)
}
