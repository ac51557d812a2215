//! The `memory` engine: for servers that are thrown away, and for tests. Nothing is kept when the process ends, so
//! every commit is as durable at once as it will ever be.
//! Knows the storage trait; must not know files, documents or tables.
//!
//! Each tree has a persistent map and a writer lock. A batch takes the locks of its trees in the order of their names,
//! builds new maps beside the old ones, and makes them the current ones, all together, under a lock held for as long
//! as it takes to exchange a few pointers. Readers clone the current pointers and are never in anyone's way.

pub(super) mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use self::tree::CountedTree;
use super::batch::{key_of, lock_all};
use super::{
    BulkLoad, Commit, CommitSequence, Condition, Cursor, Direction, Durability, DurableCallback,
    Engine, EntryBatch, FillLimit, KeyRange, Operation, ReadMode, Snapshot, StorageError, TreeId,
    WriteBatch,
};

/// An engine that keeps everything in memory.
pub struct MemoryEngine {
    state: RwLock<State>,
    /// Held shared by ordinary batches and alone by those that create or drop trees.
    structure: RwLock<()>,
    next_tree: AtomicU64,
}

/// What a snapshot sees.
#[derive(Clone)]
struct State {
    sequence: CommitSequence,
    trees: CountedTree<Tree>,
    closed: bool,
}

#[derive(Clone)]
struct Tree {
    entries: CountedTree<Bytes>,
    writer: Arc<Mutex<()>>,
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryEngine {
    /// An empty engine.
    pub fn new() -> Self {
        Self {
            state: RwLock::new(State {
                sequence: CommitSequence::default(),
                trees: CountedTree::new(),
                closed: false,
            }),
            structure: RwLock::new(()),
            next_tree: AtomicU64::new(TreeId::FIRST_FREE.0),
        }
    }

    // A panic while one of the locks is held leaves nothing half done: a new state is built aside and exchanged last.

    fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply_locked(&self, batch: &WriteBatch) -> Result<Commit, StorageError> {
        let names = batch.trees();
        let before = self.read_state().trees.clone();
        let writers: Vec<_> = names
            .iter()
            .filter_map(|tree| before.get(&key_of(*tree)))
            .map(|tree| Arc::clone(&tree.writer))
            .collect();
        drop(before);
        let _guards = lock_all(&writers);
        // Between the two looks another batch may have changed the trees; from here on nobody does.
        let state = self.read_state().clone();
        if state.closed {
            return Err(StorageError::Closed);
        }
        check_conditions(&state.trees, batch.conditions())?;
        let changed = changed_trees(&state.trees, batch.operations())?;
        drop(state);
        Ok(self.publish(changed, batch.durability()))
    }

    fn publish(&self, changed: BTreeMap<TreeId, Option<Tree>>, durability: Durability) -> Commit {
        let mut replaced = Vec::with_capacity(changed.len());
        let sequence = {
            let mut state = self.write_state();
            for (tree, new) in changed {
                replaced.push(match new {
                    Some(new) => state.trees.insert(key_of(tree), new),
                    None => state.trees.remove(&key_of(tree)),
                });
            }
            state.sequence.0 += 1;
            state.sequence
        };
        // Freeing a large tree takes a while; it happens here, outside the lock.
        drop(replaced);
        Commit { sequence, durability }
    }
}

impl Engine for MemoryEngine {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StorageError> {
        let state = self.read_state().clone();
        Ok(Arc::new(MemorySnapshot(state)))
    }

    fn apply(&self, batch: WriteBatch) -> Result<Commit, StorageError> {
        batch.check_lengths()?;
        let alters = batch.operations().iter().any(|operation| {
            matches!(operation, Operation::CreateTree(_) | Operation::DropTree(_))
        });
        if alters {
            let _alone = self.structure.write().unwrap_or_else(PoisonError::into_inner);
            self.apply_locked(&batch)
        } else {
            let _shared = self.structure.read().unwrap_or_else(PoisonError::into_inner);
            self.apply_locked(&batch)
        }
    }

    fn bulk_load(&self, tree: TreeId) -> Result<Box<dyn BulkLoad + '_>, StorageError> {
        let state = self.read_state();
        state.trees.get(&key_of(tree)).ok_or(StorageError::NoSuchTree(tree))?;
        Ok(Box::new(MemoryLoad {
            engine: self,
            tree,
            entries: CountedTree::new(),
            last: None,
            has_failed: false,
        }))
    }

    fn new_tree_id(&self) -> Result<TreeId, StorageError> {
        Ok(TreeId(self.next_tree.fetch_add(1, Ordering::Relaxed)))
    }

    fn last_sequence(&self) -> CommitSequence {
        self.read_state().sequence
    }

    fn durable_sequence(&self) -> CommitSequence {
        self.last_sequence()
    }

    fn when_durable(&self, _sequence: CommitSequence, callback: DurableCallback) {
        callback(Ok(()));
    }

    fn is_sole_writer(&self) -> bool {
        true
    }

    fn close(&self) -> Result<(), StorageError> {
        self.write_state().closed = true;
        Ok(())
    }
}

/// A tree beside all others, until it is finished.
struct MemoryLoad<'a> {
    engine: &'a MemoryEngine,
    tree: TreeId,
    entries: CountedTree<Bytes>,
    last: Option<Bytes>,
    has_failed: bool,
}

impl MemoryLoad<'_> {
    fn try_push(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        let mut batch = WriteBatch::new(Durability::Soft);
        batch.put(self.tree, key.clone(), value.clone());
        batch.check_lengths()?;
        if self.has_failed {
            return Err(StorageError::Closed);
        }
        if self.last.as_ref().is_some_and(|last| key <= *last) {
            return Err(StorageError::NotAscending);
        }
        self.entries.insert(key.clone(), value);
        self.last = Some(key);
        Ok(())
    }
}

impl BulkLoad for MemoryLoad<'_> {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let pushed = self.try_push(key, value);
        self.has_failed |= pushed.is_err();
        pushed
    }

    fn finish(self: Box<Self>, durability: Durability) -> Result<Commit, StorageError> {
        let Self { engine, tree: name, entries, has_failed, .. } = *self;
        let _shared = engine.structure.read().unwrap_or_else(PoisonError::into_inner);
        let state = engine.read_state().clone();
        let found = state.trees.get(&key_of(name)).ok_or(StorageError::NoSuchTree(name))?;
        let writer = Arc::clone(&found.writer);
        let _alone = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let state = engine.read_state().clone();
        if state.closed || has_failed {
            return Err(StorageError::Closed);
        }
        let found = state.trees.get(&key_of(name)).ok_or(StorageError::NoSuchTree(name))?;
        if found.entries.len() > 0 {
            return Err(StorageError::Conflict);
        }
        let loaded = Tree { entries, writer: Arc::clone(&writer) };
        let changed = BTreeMap::from([(name, Some(loaded))]);
        Ok(engine.publish(changed, durability))
    }
}

struct MemorySnapshot(State);

impl MemorySnapshot {
    fn tree(&self, tree: TreeId) -> Result<&CountedTree<Bytes>, StorageError> {
        let found = self.0.trees.get(&key_of(tree)).ok_or(StorageError::NoSuchTree(tree))?;
        Ok(&found.entries)
    }
}

impl Snapshot for MemorySnapshot {
    fn sequence(&self) -> CommitSequence {
        self.0.sequence
    }

    fn has_tree(&self, tree: TreeId, _mode: ReadMode) -> Result<bool, StorageError> {
        Ok(self.0.trees.get(&key_of(tree)).is_some())
    }

    fn trees(&self, _mode: ReadMode) -> Result<Vec<TreeId>, StorageError> {
        let mut names = Vec::new();
        let _ = self.0.trees.visit_up(0, &mut |key, _| {
            if let Ok(name) = <[u8; 8]>::try_from(key.as_ref()) {
                names.push(TreeId(u64::from_be_bytes(name)));
            }
            ControlFlow::Continue(())
        });
        Ok(names)
    }

    fn get(
        &self,
        tree: TreeId,
        key: &[u8],
        _mode: ReadMode,
    ) -> Result<Option<Bytes>, StorageError> {
        Ok(self.tree(tree)?.get(key).cloned())
    }

    fn read(
        &self,
        tree: TreeId,
        key: &[u8],
        _mode: ReadMode,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, StorageError> {
        Ok(self.tree(tree)?.get(key).map(|value| see(value)).is_some())
    }

    fn cursor(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>, StorageError> {
        let tree = self.tree(tree)?.clone();
        let (start, end) = tree.ranks(range);
        Ok(Box::new(MemoryCursor { tree, start, end, direction }))
    }

    fn count(&self, tree: TreeId, range: &KeyRange, _mode: ReadMode) -> Result<u64, StorageError> {
        let (start, end) = self.tree(tree)?.ranks(range);
        Ok(end - start)
    }
}

/// What is left of a scan, as ranks from `start` up to but without `end`.
struct MemoryCursor {
    tree: CountedTree<Bytes>,
    start: u64,
    end: u64,
    direction: Direction,
}

impl MemoryCursor {
    fn pass(&mut self, entries: u64) -> u64 {
        let passed = entries.min(self.end - self.start);
        match self.direction {
            Direction::Forward => self.start += passed,
            Direction::Backward => self.end -= passed,
        }
        passed
    }
}

impl Cursor for MemoryCursor {
    fn fill(
        &mut self,
        batch: &mut EntryBatch,
        limit: FillLimit,
        _mode: ReadMode,
    ) -> Result<bool, StorageError> {
        let left = self.end - self.start;
        let mut filled = 0;
        if left > 0 && !batch.is_full(limit) {
            let mut visit = |key: &Bytes, value: &Bytes| {
                batch.push(key, value.clone());
                filled += 1;
                if filled == left || batch.is_full(limit) {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            };
            let _ = match self.direction {
                Direction::Forward => self.tree.visit_up(self.start, &mut visit),
                Direction::Backward => self.tree.visit_down(self.end, &mut visit),
            };
        }
        self.pass(filled);
        Ok(self.start < self.end)
    }

    fn skip(&mut self, entries: u64, _mode: ReadMode) -> Result<u64, StorageError> {
        Ok(self.pass(entries))
    }
}

/// Trees are kept under their names as big-endian bytes, which sort as the numbers do.
fn check_conditions(
    trees: &CountedTree<Tree>,
    conditions: &[Condition],
) -> Result<(), StorageError> {
    for condition in conditions {
        let holds = match condition {
            Condition::Tree { tree, exists } => trees.get(&key_of(*tree)).is_some() == *exists,
            Condition::Value { tree, key, expected } => {
                let found = trees.get(&key_of(*tree)).ok_or(StorageError::NoSuchTree(*tree))?;
                found.entries.get(key) == expected.as_ref()
            }
        };
        if !holds {
            return Err(StorageError::Conflict);
        }
    }
    Ok(())
}

/// The trees as they are after the operations; `None` for those that are gone.
fn changed_trees(
    trees: &CountedTree<Tree>,
    operations: &[Operation],
) -> Result<BTreeMap<TreeId, Option<Tree>>, StorageError> {
    let mut changed: BTreeMap<TreeId, Option<Tree>> = BTreeMap::new();
    for operation in operations {
        let name = operation.tree();
        let tree = changed.entry(name).or_insert_with(|| trees.get(&key_of(name)).cloned());
        match (operation, tree.as_mut()) {
            (Operation::CreateTree(_), None) => {
                *tree = Some(Tree { entries: CountedTree::new(), writer: Arc::default() });
            }
            (Operation::CreateTree(_), Some(_)) => return Err(StorageError::TreeExists(name)),
            (_, None) => return Err(StorageError::NoSuchTree(name)),
            (Operation::DropTree(_), Some(_)) => *tree = None,
            (Operation::Put { key, value, .. }, Some(tree)) => {
                tree.entries.insert(key.clone(), value.clone());
            }
            (Operation::Delete { key, .. }, Some(tree)) => {
                tree.entries.remove(key);
            }
        }
    }
    Ok(changed)
}
