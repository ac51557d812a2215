//! A write batch: what one commit does, to several trees at once, and what must hold for it to be done.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::crossed::crossed;
use super::{Durability, StorageError, TreeId};
use crate::limits::{
    STORAGE_BATCH_BYTES, STORAGE_KEY_BYTES, STORAGE_OPERATION_BYTES, STORAGE_VALUE_BYTES,
};

/// One change. The operations of a batch take effect in order, so the last one on a key decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sets a key, whether or not it was there.
    Put {
        /// The tree.
        tree: TreeId,
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Removes a key; no error when it is not there.
    Delete {
        /// The tree.
        tree: TreeId,
        /// The key.
        key: Bytes,
    },
    /// Makes an empty tree; [`StorageError::TreeExists`] when there is one of that name.
    CreateTree(TreeId),
    /// Drops a tree with all its entries, without walking them.
    DropTree(TreeId),
}

/// What must hold just before the batch is applied; otherwise it is refused with [`StorageError::Conflict`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The key has exactly this value, or is absent.
    Value {
        /// The tree, which must exist.
        tree: TreeId,
        /// The key.
        key: Bytes,
        /// The value it must have; `None` for an absent key.
        expected: Option<Bytes>,
    },
    /// The tree exists, or does not.
    Tree {
        /// The tree.
        tree: TreeId,
        /// Whether it must exist.
        exists: bool,
    },
}

/// An atomic batch of changes.
#[derive(Debug, Clone)]
pub struct WriteBatch {
    operations: Vec<Operation>,
    conditions: Vec<Condition>,
    durability: Durability,
    bytes: usize,
}

impl Operation {
    /// The tree that it changes, makes or drops.
    pub fn tree(&self) -> TreeId {
        match self {
            Self::Put { tree, .. } | Self::Delete { tree, .. } => *tree,
            Self::CreateTree(tree) | Self::DropTree(tree) => *tree,
        }
    }
}

/// The name under which an engine keeps a tree among its trees: big-endian, which sorts as the numbers do.
pub(super) fn key_of(tree: TreeId) -> Bytes {
    Bytes::copy_from_slice(&tree.0.to_be_bytes())
}

fn sorted(names: impl Iterator<Item = TreeId>) -> Vec<TreeId> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The locks of some trees of a batch, in the order of their names.
pub(super) fn lock_all(writers: &[Arc<Mutex<()>>]) -> Vec<MutexGuard<'_, ()>> {
    // They guard nothing of their own that a panic could leave half done.
    writers.iter().map(|writer| writer.lock().unwrap_or_else(PoisonError::into_inner)).collect()
}

impl WriteBatch {
    /// An empty batch.
    pub fn new(durability: Durability) -> Self {
        Self { operations: Vec::new(), conditions: Vec::new(), durability, bytes: 0 }
    }

    /// Sets a key.
    pub fn put(&mut self, tree: TreeId, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (key, value) = (key.into(), value.into());
        self.bytes += key.len() + value.len() + STORAGE_OPERATION_BYTES;
        self.operations.push(Operation::Put { tree, key, value });
    }

    /// Removes a key.
    pub fn delete(&mut self, tree: TreeId, key: impl Into<Bytes>) {
        let key = key.into();
        self.bytes += key.len() + STORAGE_OPERATION_BYTES;
        self.operations.push(Operation::Delete { tree, key });
    }

    /// Makes an empty tree, which later operations of this batch may fill.
    pub fn create_tree(&mut self, tree: TreeId) {
        self.bytes += STORAGE_OPERATION_BYTES;
        self.operations.push(Operation::CreateTree(tree));
    }

    /// Drops a tree.
    pub fn drop_tree(&mut self, tree: TreeId) {
        self.bytes += STORAGE_OPERATION_BYTES;
        self.operations.push(Operation::DropTree(tree));
    }

    /// Whether less is stored once it is applied: it drops a tree, or all it does is to remove keys.
    pub(super) fn gives_room(&self) -> bool {
        let drops = |operation: &Operation| matches!(operation, Operation::DropTree(_));
        let deletes = |operation: &Operation| matches!(operation, Operation::Delete { .. });
        self.operations.iter().any(drops) || self.operations.iter().all(deletes)
    }

    /// Demands that a key has this value, or is absent, when the batch is applied.
    pub fn expect_value(
        &mut self,
        tree: TreeId,
        key: impl Into<Bytes>,
        expected: Option<impl Into<Bytes>>,
    ) {
        let (key, expected) = (key.into(), expected.map(Into::into));
        self.bytes += key.len() + expected.as_ref().map_or(0, Bytes::len) + STORAGE_OPERATION_BYTES;
        self.conditions.push(Condition::Value { tree, key, expected });
    }

    /// Demands that a tree exists, or does not, when the batch is applied.
    pub fn expect_tree(&mut self, tree: TreeId, exists: bool) {
        self.bytes += STORAGE_OPERATION_BYTES;
        self.conditions.push(Condition::Tree { tree, exists });
    }

    /// The changes, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Puts the same changes in place of them, as they lie elsewhere.
    pub(in crate::storage) fn replace_operations(&mut self, operations: Vec<Operation>) {
        debug_assert_eq!(self.operations, operations);
        self.operations = operations;
    }

    /// What must hold.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// The durability asked for.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The trees whose entries it reads or changes, ascending, each once: the order in which their locks are taken.
    pub fn edited_trees(&self) -> Vec<TreeId> {
        let changed = self.operations.iter().filter_map(|operation| match operation {
            Operation::Put { tree, .. } | Operation::Delete { tree, .. } => Some(*tree),
            Operation::CreateTree(_) | Operation::DropTree(_) => None,
        });
        let read = self.conditions.iter().filter_map(|condition| match condition {
            Condition::Value { tree, .. } => Some(*tree),
            Condition::Tree { .. } => None,
        });
        sorted(changed.chain(read))
    }

    /// The trees that it names, ascending, each once.
    pub fn trees(&self) -> Vec<TreeId> {
        let conditions = self.conditions.iter().map(|condition| match condition {
            Condition::Value { tree, .. } | Condition::Tree { tree, .. } => *tree,
        });
        sorted(self.operations.iter().map(Operation::tree).chain(conditions))
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Bytes of the batch as counted against `limits::STORAGE_BATCH_BYTES`.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Checks the lengths of keys and values and of the whole. Every engine calls it before anything else.
    pub fn check_lengths(&self) -> Result<(), StorageError> {
        if self.bytes > STORAGE_BATCH_BYTES {
            crossed("STORAGE_BATCH_BYTES");
            return Err(StorageError::BatchTooLarge {
                length: self.bytes,
                limit: STORAGE_BATCH_BYTES,
            });
        }
        for operation in &self.operations {
            let (key, value) = match operation {
                Operation::Put { key, value, .. } => (key.len(), value.len()),
                Operation::Delete { key, .. } => (key.len(), 0),
                Operation::CreateTree(_) | Operation::DropTree(_) => continue,
            };
            if key > STORAGE_KEY_BYTES {
                crossed("STORAGE_KEY_BYTES");
                return Err(StorageError::KeyTooLong { length: key, limit: STORAGE_KEY_BYTES });
            }
            if value > STORAGE_VALUE_BYTES {
                crossed("STORAGE_VALUE_BYTES");
                return Err(StorageError::ValueTooLong {
                    length: value,
                    limit: STORAGE_VALUE_BYTES,
                });
            }
        }
        Ok(())
    }
}
