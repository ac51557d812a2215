//! What a store must hold: plain ordered maps, and which of their states a crash may leave.
//! Must not know engines or disks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::storage::{Operation, TreeId};

/// The entries of a tree.
pub(super) type Entries = BTreeMap<Bytes, Bytes>;

/// All trees at one commit point. Copies share what they have in common.
#[derive(Clone, Default)]
pub(super) struct Model(BTreeMap<TreeId, Arc<Entries>>);

impl Model {
    pub(super) fn trees(&self) -> impl Iterator<Item = (TreeId, &Entries)> {
        self.0.iter().map(|(tree, entries)| (*tree, &**entries))
    }

    pub(super) fn names(&self) -> Vec<TreeId> {
        self.0.keys().copied().collect()
    }

    pub(super) fn get(&self, tree: TreeId) -> Option<&Entries> {
        self.0.get(&tree).map(|entries| &**entries)
    }

    /// Does what a batch does that was not refused.
    pub(super) fn apply(&mut self, operations: &[Operation]) {
        for operation in operations {
            match operation {
                Operation::Put { tree, key, value } => {
                    self.entries(*tree).insert(key.clone(), value.clone());
                }
                Operation::Delete { tree, key } => {
                    self.entries(*tree).remove(key);
                }
                Operation::CreateTree(tree) => {
                    assert!(self.0.insert(*tree, Arc::default()).is_none(), "it was there");
                }
                Operation::DropTree(tree) => {
                    assert!(self.0.remove(tree).is_some(), "it was not there");
                }
            }
        }
    }

    fn entries(&mut self, tree: TreeId) -> &mut Entries {
        Arc::make_mut(self.0.get_mut(&tree).expect("the tree is there"))
    }
}

/// What is known of a store from outside.
#[derive(Default)]
pub(super) struct Known {
    /// The state that no crash may take back.
    safe: Model,
    acknowledged: u64,
    /// Commits after that, which a crash may take back from the last one on.
    pending: VecDeque<(u64, Vec<Operation>)>,
    now: Model,
}

impl Known {
    pub(super) fn now(&self) -> &Model {
        &self.now
    }

    pub(super) fn last(&self) -> u64 {
        self.pending.back().map_or(self.acknowledged, |(sequence, _)| *sequence)
    }

    pub(super) fn commit(&mut self, sequence: u64, operations: &[Operation]) {
        assert!(sequence > self.last(), "commit {sequence} after {}", self.last());
        self.now.apply(operations);
        self.pending.push_back((sequence, operations.to_vec()));
    }

    /// Nothing before this commit may be seen any more.
    pub(super) fn acknowledge(&mut self, sequence: u64) {
        while let Some((next, _)) = self.pending.front()
            && *next <= sequence
            && let Some((next, operations)) = self.pending.pop_front()
        {
            self.safe.apply(&operations);
            self.acknowledged = next;
        }
    }

    /// A crash has left the state of this commit, which must be one that it may leave.
    pub(super) fn recover(&mut self, sequence: u64) {
        let acknowledged = self.acknowledged;
        assert!(sequence >= acknowledged, "commit {acknowledged} is lost, {sequence} was found");
        self.acknowledge(sequence);
        assert_eq!(self.acknowledged, sequence, "no commit has that number");
        self.pending.clear();
        self.now = self.safe.clone();
    }
}
