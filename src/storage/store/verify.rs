//! The walk through everything that a checkpoint refers to. Must not know how to repair.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::Shared;
use crate::storage::StorageError;
use crate::storage::btree::{Part, Tree};
use crate::storage::slab::{META, Reference};

impl Shared {
    pub(super) fn verify(&self) -> Result<(), StorageError> {
        self.checkpoint()?;
        // Held, so that no other checkpoint begins and what this one refers to stays.
        let last = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = BTreeSet::new();
        self.verify_tree(META, &last.meta, &mut found)?;
        for (name, record) in &last.trees {
            let tree = Tree::stored(*name, record.root, record.count);
            self.verify_tree(*name, &tree, &mut found)?;
        }
        let live = self.pages.slab.live();
        if let Some((tree, grain)) = live.symmetric_difference(&found).next() {
            let problem = format!(
                "grain {grain} of tree {tree} is in use by its extent or by a reference, not by both (rule 12)"
            );
            return Err(StorageError::corrupt("slab.data", problem));
        }
        Ok(())
    }

    fn verify_tree(
        &self,
        name: u64,
        tree: &Tree,
        found: &mut BTreeSet<(u64, u64)>,
    ) -> Result<(), StorageError> {
        let slab = &self.pages.slab;
        let mut note = |reference: Reference| {
            // From the disk, whatever the cache has.
            slab.read(reference)?;
            if found.insert((name, reference.grain)) {
                return Ok(());
            }
            let problem = format!("grain {} is referred to twice (rule 12)", reference.grain);
            Err(StorageError::corrupt("slab.data", problem))
        };
        tree.verify(&self.pages, &mut |part| match part {
            Part::Node(reference) => note(reference),
            Part::Long(long) => long.parts(slab)?.into_iter().try_for_each(&mut note),
        })
    }
}
