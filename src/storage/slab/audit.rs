//! Which slots are in use by their extents, compared with what is really referred to: rule 12 of the format.
//! Knows extents and slots; must not know how references are found.

use std::collections::BTreeMap;

use super::class::{Class, EXTENT_GRAINS, Slots};
use super::reference::Reference;
use super::space::{ExtentRecord, Space};
use super::{EXTENT, FILE, GRAIN};
use crate::storage::StorageError;

/// A comparison that is under way.
pub(crate) struct Audit {
    extents: BTreeMap<u64, Extent>,
    end: u64,
}

struct Extent {
    tree: u64,
    class: Class,
    live: Slots,
    /// Those that were referred to so far.
    noted: Slots,
}

/// What was found to be in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SlotCount {
    /// Extents with a slot in use.
    pub(crate) extents: u64,
    /// Extents below the last one in use without such a slot.
    pub(crate) free_extents: u64,
    /// Slots in use.
    pub(crate) slots: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// Slots in use to which nothing refers: lost room, no damage.
    pub(crate) lost: u64,
}

impl Audit {
    pub(super) fn new(space: &Space) -> Self {
        let extents = space.extents().map(|(number, tree, class, live)| {
            (number, Extent { tree, class, live, noted: Slots::default() })
        });
        Self { extents: extents.collect(), end: space.end() }
    }

    /// Of what a load has put into extents.
    pub(crate) fn of_records(records: &[(u64, ExtentRecord)]) -> Self {
        let extents = records.iter().filter_map(|(number, record)| {
            let (tree, class) = (record.tree, Class::new(record.class)?);
            let (live, noted) = (Slots::from_bytes(&record.live), Slots::default());
            Some((*number, Extent { tree, class, live, noted }))
        });
        Self { extents: extents.collect(), end: 0 }
    }

    /// A tree refers to this image.
    pub(crate) fn note(&mut self, tree: u64, reference: Reference) -> Result<(), StorageError> {
        let noted = self.try_note(tree, reference);
        noted.map_err(|problem| {
            let place = format!("{FILE} at {}", reference.grain.saturating_mul(GRAIN));
            StorageError::corrupt(place, problem)
        })
    }

    fn try_note(&mut self, tree: u64, reference: Reference) -> Result<(), &'static str> {
        let extent = self.extents.get_mut(&(reference.grain / EXTENT_GRAINS));
        let extent = extent.filter(|extent| extent.tree == tree);
        let extent = extent.ok_or("an image is not in an extent of its tree (rule 4)")?;
        let grain = reference.grain % EXTENT_GRAINS;
        let is_slot = Class::of(u64::from(reference.length)) == Some(extent.class)
            && grain.is_multiple_of(extent.class.grains());
        let slot = (grain / extent.class.grains()) as u16;
        if !is_slot || slot >= extent.class.slots() {
            return Err("an image does not lie in one slot (rule 4)");
        }
        if !extent.live.has(slot) {
            return Err("a slot is referred to, and free by what its extent says (rule 12)");
        }
        if !extent.noted.set(slot) {
            return Err("a slot is referred to twice (rule 12)");
        }
        Ok(())
    }

    /// Everything has been noted: no slot may be left over.
    pub(crate) fn finish(self) -> Result<SlotCount, StorageError> {
        for (number, extent) in &self.extents {
            if extent.noted != extent.live {
                let problem = format!(
                    "of extent {number}, which belongs to tree {}, {} slots are in use and {} are referred to (rule 12)",
                    extent.tree,
                    extent.live.count(),
                    extent.noted.count()
                );
                return Err(StorageError::corrupt(
                    format!("{FILE} at {}", number * EXTENT),
                    problem,
                ));
            }
        }
        Ok(self.count())
    }

    /// The same, where slots may be left over, which are counted: something damaged may have been deleted.
    pub(crate) fn count(self) -> SlotCount {
        let mut count = SlotCount::default();
        for extent in self.extents.values() {
            let slots = u64::from(extent.live.count());
            count.extents += u64::from(slots > 0);
            count.slots += slots;
            count.bytes += slots * extent.class.grains() * GRAIN;
            count.lost += slots - u64::from(extent.noted.count());
        }
        count.free_extents = self.end.saturating_sub(1 + count.extents);
        count
    }
}
