//! Applying the log while a store is being opened. Commits are put together, and what they do to a tree is done in the
//! order of its keys: a leaf that many commits have changed is then read and changed once, and is still in the caches
//! of the processor when its next key comes. Must not know how the log is read.

use super::State;
use super::pages::Pages;
use crate::limits::REPLAY_BYTES;
use crate::storage::crossed::crossed;
use crate::storage::wal::Logged;
use crate::storage::{CommitSequence, Operation, StorageError, TreeId};

/// Takes the commits of the log, in order.
pub(super) struct Replay<'a> {
    pages: &'a Pages,
    state: &'a mut State,
    next_tree: &'a mut u64,
    /// Puts and deletions that are not applied yet, in order. Their trees are there.
    waiting: Vec<Operation>,
    waiting_bytes: usize,
    last: CommitSequence,
}

impl<'a> Replay<'a> {
    pub(super) fn new(pages: &'a Pages, state: &'a mut State, next_tree: &'a mut u64) -> Self {
        let last = state.view.sequence;
        Self { pages, state, next_tree, waiting: Vec::new(), waiting_bytes: 0, last }
    }

    /// The next commit.
    pub(super) fn commit(
        &mut self,
        sequence: CommitSequence,
        logged: Logged,
    ) -> Result<(), StorageError> {
        let taken = match logged {
            Logged::Batch(operations) => {
                operations.into_iter().try_for_each(|operation| self.take(operation))
            }
            Logged::Adoption(tree, bytes) => self
                .apply()
                .and_then(|()| self.state.adopt_again(self.pages, sequence, tree, &bytes)),
        };
        self.last = sequence;
        taken.map_err(|error| match error {
            StorageError::NoSuchTree(_) | StorageError::TreeExists(_) => {
                let problem = format!("{error} when commit {} names it (rule 13)", sequence.0);
                StorageError::corrupt("the log", problem)
            }
            other => other,
        })
    }

    /// There are no more commits.
    pub(super) fn finish(mut self) -> Result<(), StorageError> {
        self.apply()?;
        self.state.view.sequence = self.last;
        Ok(())
    }

    fn take(&mut self, operation: Operation) -> Result<(), StorageError> {
        let (tree, bytes) = match &operation {
            Operation::Put { tree, key, value } => (*tree, key.len() + value.len()),
            Operation::Delete { tree, key } => (*tree, key.len()),
            Operation::CreateTree(tree) => {
                *self.next_tree = (*self.next_tree).max(tree.0.saturating_add(1));
                return self.apply_alone(operation);
            }
            Operation::DropTree(_) => return self.apply_alone(operation),
        };
        self.state.view.tree(tree)?;
        self.waiting.push(operation);
        self.waiting_bytes += bytes + size_of::<Operation>();
        if self.waiting_bytes <= REPLAY_BYTES {
            return Ok(());
        }
        crossed("REPLAY_BYTES");
        self.apply()
    }

    /// Which trees there are changes here, and not before what came before it.
    fn apply_alone(&mut self, operation: Operation) -> Result<(), StorageError> {
        self.apply()?;
        self.state.apply_again(self.pages, self.last, &[operation])
    }

    fn apply(&mut self) -> Result<(), StorageError> {
        let operations = in_order(std::mem::take(&mut self.waiting));
        self.waiting_bytes = 0;
        self.state.apply_again(self.pages, self.last, &operations)
    }
}

/// The operations of one or more batches by tree and key: the last one of each key, which decides.
fn in_order(operations: Vec<Operation>) -> Vec<Operation> {
    // The beginning of a key nearly always decides, and lies at hand here. Those of one key stay in order.
    let mut rows: Vec<_> = operations
        .into_iter()
        .map(|operation| {
            let (tree, key) = place(&operation);
            ((tree, beginning(key)), operation)
        })
        .collect();
    rows.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| place(one).cmp(&place(other))));
    let mut last = Vec::with_capacity(rows.len());
    for (_, operation) in rows {
        if last.last().is_some_and(|before| place(before) == place(&operation)) {
            last.pop();
        }
        last.push(operation);
    }
    last
}

/// The first bytes of a key, as a number that is in the same order; filled up with zeros.
fn beginning(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(key) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

fn place(operation: &Operation) -> (TreeId, &[u8]) {
    match operation {
        Operation::Put { tree, key, .. } | Operation::Delete { tree, key } => (*tree, key),
        Operation::CreateTree(tree) | Operation::DropTree(tree) => (*tree, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn operations_in_the_order_of_keys_come_to_the_same() {
        use std::collections::BTreeMap;
        let mut random = Random::from_environment();
        for _ in 0..200 {
            let operation = |_| {
                let tree = TreeId(random.below(3));
                let key = vec![random.below(20) as u8; random.below(3) as usize].into();
                match random.once_in(3) {
                    true => Operation::Delete { tree, key },
                    false => {
                        Operation::Put { tree, key, value: vec![random.below(256) as u8].into() }
                    }
                }
            };
            let operations: Vec<_> = (0..60).map(operation).collect();
            let apply = |operations: &[Operation]| {
                let mut found = BTreeMap::new();
                for operation in operations {
                    let place = place(operation);
                    let place = (place.0, place.1.to_vec());
                    match operation {
                        Operation::Put { value, .. } => found.insert(place, value.clone()),
                        _ => found.remove(&place),
                    };
                }
                found
            };
            let ordered = in_order(operations.clone());
            assert_eq!(apply(&operations), apply(&ordered));
            assert!(ordered.is_sorted_by(|a, b| place(a) < place(b)));
        }
    }
}
