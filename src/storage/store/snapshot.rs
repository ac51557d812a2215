//! Reading one commit point. Must not know how it came to be.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::pages::Pages;
use super::{Shared, View};
use crate::limits::{READ_AHEAD_ENTRIES, READ_AHEAD_LEAVES};
use crate::storage::btree::Tree;
use crate::storage::slab::Epoch;
use crate::storage::{
    CommitSequence, Cursor, Direction, EntryBatch, FillLimit, KeyRange, ReadMode, Snapshot,
    StorageError, TreeId,
};

/// What keeps the pages of a snapshot: an engine, or a store that is only looked at.
pub(super) trait Keeper: Send + Sync + 'static {
    fn pages(&self) -> &Pages;
}

impl Keeper for Shared {
    fn pages(&self) -> &Pages {
        &self.pages
    }
}

pub(super) struct SlabSnapshot<K> {
    view: View,
    keeper: Arc<K>,
}

impl<K: Keeper> SlabSnapshot<K> {
    pub(super) fn new(view: View, keeper: Arc<K>) -> Self {
        Self { view, keeper }
    }
}

impl<K: Keeper> Snapshot for SlabSnapshot<K> {
    fn sequence(&self) -> CommitSequence {
        self.view.sequence
    }

    fn has_tree(&self, tree: TreeId, _mode: ReadMode) -> Result<bool, StorageError> {
        Ok(self.view.tree(tree).is_ok())
    }

    fn trees(&self, _mode: ReadMode) -> Result<Vec<TreeId>, StorageError> {
        let mut names = Vec::new();
        let _ = self.view.trees.visit_up(0, &mut |key, _| {
            if let Ok(name) = <[u8; 8]>::try_from(key.as_ref()) {
                names.push(TreeId(u64::from_be_bytes(name)));
            }
            ControlFlow::Continue(())
        });
        Ok(names)
    }

    fn get(&self, tree: TreeId, key: &[u8], mode: ReadMode) -> Result<Option<Bytes>, StorageError> {
        self.view.tree(tree)?.get(self.keeper.pages(), key, mode)
    }

    fn read(
        &self,
        tree: TreeId,
        key: &[u8],
        mode: ReadMode,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, StorageError> {
        self.view.tree(tree)?.read(self.keeper.pages(), key, mode, see)
    }

    fn cursor(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>, StorageError> {
        Ok(Box::new(SlabCursor {
            tree: self.view.tree(tree)?.clone(),
            keeper: Arc::clone(&self.keeper),
            _holder: Arc::clone(&self.view.holder),
            range: range.clone(),
            direction,
            ranks: None,
            ahead: 0,
        }))
    }

    fn count(&self, tree: TreeId, range: &KeyRange, mode: ReadMode) -> Result<u64, StorageError> {
        let (start, end) = self.view.tree(tree)?.ranks(self.keeper.pages(), range, mode)?;
        Ok(end - start)
    }
}

struct SlabCursor<K> {
    tree: Tree,
    keeper: Arc<K>,
    _holder: Arc<Epoch>,
    range: KeyRange,
    direction: Direction,
    /// What is left of the scan, as ranks from the first up to but without the second, once they are known.
    ranks: Option<(u64, u64)>,
    /// Entries of what is left whose leaves are read ahead.
    ahead: u64,
}

impl<K: Keeper> SlabCursor<K> {
    fn ranks(&mut self, mode: ReadMode) -> Result<(u64, u64), StorageError> {
        match self.ranks {
            Some(ranks) => Ok(ranks),
            None => {
                let ranks = self.tree.ranks(self.keeper.pages(), &self.range, mode)?;
                self.ranks = Some(ranks);
                Ok(ranks)
            }
        }
    }

    /// Lets the leaves of this batch and the next one be read while entries are handed out one by one.
    fn read_ahead(&mut self, (start, end): (u64, u64), entries: usize) -> Result<(), StorageError> {
        let wanted = (entries as u64).saturating_mul(2).min(end - start);
        if self.ahead >= wanted {
            return Ok(());
        }
        let (ranks, downward) = match self.direction {
            Direction::Forward => ((start + self.ahead, start + wanted), false),
            Direction::Backward => ((end - wanted, end - self.ahead), true),
        };
        let pages = self.keeper.pages();
        self.ahead += self.tree.will_visit(pages, ranks, READ_AHEAD_LEAVES, downward)?;
        Ok(())
    }

    /// Takes entries away from the front of what is left, and returns how many there were to take.
    fn pass(&mut self, (start, end): (u64, u64), entries: u64) -> u64 {
        let passed = entries.min(end - start);
        self.ahead = self.ahead.saturating_sub(passed);
        self.ranks = Some(match self.direction {
            Direction::Forward => (start + passed, end),
            Direction::Backward => (start, end - passed),
        });
        passed
    }
}

impl<K: Keeper> Cursor for SlabCursor<K> {
    fn fill(
        &mut self,
        batch: &mut EntryBatch,
        limit: FillLimit,
        mode: ReadMode,
    ) -> Result<bool, StorageError> {
        let (start, end) = self.ranks(mode)?;
        let left = end - start;
        let mut filled = 0;
        if mode == ReadMode::MayBlock && limit.entries >= READ_AHEAD_ENTRIES {
            self.read_ahead((start, end), limit.entries)?;
        }
        if left > 0 && !batch.is_full(limit) {
            let mut visit = |key: &[u8], value: Bytes| {
                batch.push(key, value);
                filled += 1;
                if filled == left || batch.is_full(limit) {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            };
            let pages = self.keeper.pages();
            let visited = match self.direction {
                Direction::Forward => self.tree.visit_up(pages, start, mode, &mut visit),
                Direction::Backward => self.tree.visit_down(pages, end, mode, &mut visit),
            };
            match visited {
                Err(StorageError::NotResident) if filled > 0 => {}
                outcome => outcome?,
            }
        }
        self.pass((start, end), filled);
        Ok(filled < left)
    }

    fn skip(&mut self, entries: u64, mode: ReadMode) -> Result<u64, StorageError> {
        let ranks = self.ranks(mode)?;
        Ok(self.pass(ranks, entries))
    }
}
