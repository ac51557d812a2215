//! What a store tells those who watch over it, and asks nobody who reads or writes: room on the disk, and damage.
//! Must not know who is told, nor what is in a tree.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::pages::Quiet;
use super::{Shared, View};
use crate::storage::btree::Tree;
use crate::storage::damage::Look;
use crate::storage::disk::Disk;
use crate::storage::{Damage, DiskRoom, Lost, ReadMode, StorageError, TreeId};

impl Shared {
    pub(super) fn disk_room(&self) -> DiskRoom {
        DiskRoom { place: self.disk.place(), available: self.disk.free_bytes() }
    }

    pub(super) fn damage(&self) -> Vec<Damage> {
        let view = self.read_state().view.clone();
        self.pages.damages.list(&Viewed { view, source: Quiet(&self.pages) })
    }
}

/// The state of a commit, which is kept as long as it is looked at.
struct Viewed<'a> {
    view: View,
    source: Quiet<'a>,
}

impl Viewed<'_> {
    fn value(&self, tree: TreeId, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.view.tree(tree)?.get(&self.source, key, ReadMode::MayBlock)
    }

    fn key_at(&self, tree: &Tree, rank: u64) -> Option<Bytes> {
        let mut found = None;
        let visited = tree.visit_up(&self.source, rank, ReadMode::MayBlock, &mut |key, _| {
            found = Some(Bytes::copy_from_slice(key));
            ControlFlow::Break(())
        });
        visited.ok().and(found)
    }
}

impl Look for Viewed<'_> {
    fn has_tree(&self, tree: TreeId) -> bool {
        self.view.tree(tree).is_ok()
    }

    fn lost_with(&self, tree: TreeId, grain: u64) -> Lost {
        let Ok(tree) = self.view.tree(tree) else { return Lost::Unknown };
        let Some((start, end)) = tree.ranks_of_node(&self.source, grain) else {
            return Lost::Unknown;
        };
        let after = start.checked_sub(1).map(|rank| self.key_at(tree, rank));
        let before = (end < tree.len()).then(|| self.key_at(tree, end));
        match (after, before) {
            // What is beside it cannot be read either.
            (Some(None), _) | (_, Some(None)) => Lost::Unknown,
            (after, before) => Lost::Between {
                after: after.flatten(),
                before: before.flatten(),
                entries: end - start,
            },
        }
    }

    fn is_damaged(&self, tree: TreeId, key: &[u8]) -> bool {
        self.value(tree, key).is_err()
    }

    fn has_entry(&self, tree: TreeId, key: &[u8]) -> bool {
        !matches!(self.value(tree, key), Ok(None))
    }
}
