//! What a store tells those who watch over it, and asks nobody who reads or writes: room on the disk, and damage.
//! Must not know who is told, nor what is in a tree.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::Shared;
use crate::storage::btree::Tree;
use crate::storage::disk::Disk;
use crate::storage::{Damage, DiskRoom, Lost, ReadMode, TreeId};

impl Shared {
    pub(super) fn disk_room(&self) -> DiskRoom {
        DiskRoom { place: self.disk.place(), available: self.disk.free_bytes() }
    }

    pub(super) fn damage(&self) -> Vec<Damage> {
        // The holder keeps what is looked at.
        let view = self.read_state().view.clone();
        let has_tree = |tree| view.tree(tree).is_ok();
        let find = |tree: TreeId, grain| {
            let tree = view.tree(tree).ok();
            tree.map_or(Lost::Unknown, |tree| self.lost_with(tree, grain))
        };
        self.pages.damages.list(has_tree, find)
    }

    /// The entries that are lost with a node.
    fn lost_with(&self, tree: &Tree, grain: u64) -> Lost {
        let Some((start, end)) = tree.ranks_of_node(&self.pages, grain) else {
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

    fn key_at(&self, tree: &Tree, rank: u64) -> Option<Bytes> {
        let mut found = None;
        let visited = tree.visit_up(&self.pages, rank, ReadMode::MayBlock, &mut |key, _| {
            found = Some(Bytes::copy_from_slice(key));
            ControlFlow::Break(())
        });
        visited.ok().and(found)
    }
}
