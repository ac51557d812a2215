//! Applying a batch: to the trees in memory, and to the log. Must not know checkpoints, but that they are wanted.
//!
//! A batch works beside all others that edit other trees, also while trees come and go: it looks once more whether its
//! trees are those that it has seen at the moment at which it becomes visible, and starts over when they are not. So one
//! that waits for the disk keeps nobody from making or dropping a tree.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;

use super::pages::Pages;
use super::room::Growth;
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

/// The trees that a batch names as they were found, each by the lock of its writers, which is another one when a tree of the
/// same name was made anew.
struct Seen(Vec<(TreeId, Option<Arc<Mutex<()>>>)>);

impl Seen {
    fn new(batch: &WriteBatch, view: &View) -> Self {
        let writer = |name| view.open_tree(name).ok().map(|tree| Arc::clone(&tree.writer));
        Self(batch.trees().into_iter().map(|name| (name, writer(name))).collect())
    }

    /// Whether the locks that were taken are those of the trees that the batch edits.
    fn are_edited_by(&self, batch: &WriteBatch, taken: &[Arc<Mutex<()>>]) -> bool {
        let names = batch.edited_trees();
        let edited = self.0.iter().filter(|(name, _)| names.binary_search(name).is_ok());
        let mut writers = edited.filter_map(|(_, writer)| writer.as_ref());
        taken.iter().all(|taken| writers.next().is_some_and(|writer| Arc::ptr_eq(writer, taken)))
            && writers.next().is_none()
    }

    /// Whether they are the same still.
    fn are_in(&self, view: &View) -> bool {
        self.0.iter().all(|(name, seen)| match (view.open_tree(*name), seen) {
            (Ok(now), Some(seen)) => Arc::ptr_eq(&now.writer, seen),
            (now, seen) => now.is_err() && seen.is_none(),
        })
    }
}

impl Shared {
    pub(super) fn apply(&self, mut batch: WriteBatch) -> Result<Commit, StorageError> {
        batch.check_lengths()?;
        let growth = if batch.gives_room() { Growth::Frees } else { Growth::Adds };
        self.wait_for_room(growth)?;
        let account = Arc::clone(&self.read_state().view.account);
        let record = account.hold(encode(batch.operations()).into());
        // The trees and the log keep one copy of keys and values between them, and one block of memory a commit.
        let parts = operations_of(&record);
        batch.replace_operations(
            parts.ok_or_else(|| {
                StorageError::corrupt("memory", "a record that is not of its batch")
            })?,
        );
        let durability = batch.durability();
        // Each time that it is tried anew another batch has made or dropped one of its trees.
        let sequence = loop {
            if let Some(sequence) = self.try_apply(&batch, &record)? {
                break sequence;
            }
        };
        self.want_checkpoint_if_due();
        Ok(Commit { sequence, durability })
    }

    /// Applies a batch. `None` when one of the trees that it names came or went meanwhile: then nothing was done.
    fn try_apply(
        &self,
        batch: &WriteBatch,
        record: &Bytes,
    ) -> Result<Option<CommitSequence>, StorageError> {
        let writers = self.writers_of(batch);
        let _guards = lock_all(&writers);
        // From here on nobody else changes these trees, though they may be dropped.
        let view = {
            let state = self.read_state();
            if state.closed {
                return Err(StorageError::Closed);
            }
            state.view.clone()
        };
        let seen = Seen::new(batch, &view);
        if !seen.are_edited_by(batch, &writers) {
            return Ok(None);
        }
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
        self.publish(&seen, changed, edit, || {
            let sequence =
                self.log.append(record.clone(), batch.durability() == Durability::Hard)?;
            Ok((sequence, record.len()))
        })
    }

    /// The locks of the trees whose entries a batch reads or changes, as far as they are there. Dropping a tree needs none:
    /// it waits for nobody, and a batch that is changing the tree meanwhile finds it gone.
    fn writers_of(&self, batch: &WriteBatch) -> Vec<Arc<Mutex<()>>> {
        let trees = self.read_state().view.trees.clone();
        let names = batch.edited_trees();
        let found = names.iter().filter_map(|tree| trees.get(&key_of(*tree)));
        found.map(|tree| Arc::clone(&tree.writer)).collect()
    }

    /// Makes changed trees the current ones, once `log` has given the number of the commit. `None` when trees are not those
    /// any more that were seen.
    fn publish(
        &self,
        seen: &Seen,
        changed: Changed,
        edit: Edit<'_>,
        log: impl FnOnce() -> Result<(CommitSequence, usize), StorageError>,
    ) -> Result<Option<CommitSequence>, StorageError> {
        let mut state = self.write_state();
        if state.closed {
            return Err(StorageError::Closed);
        }
        if !seen.are_in(&state.view) {
            return Ok(None);
        }
        let (sequence, length) = log()?;
        let is_first = state.note_logged(length);
        let old = state.put(changed, edit, sequence);
        drop(state);
        if is_first {
            self.begin_interval();
        }
        // Freeing what is in memory of a large tree takes a while; it happens here, outside the lock.
        drop(old);
        Ok(Some(sequence))
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
