//! Filling whole extents with images that nobody refers to yet: what a bulk load does with space.
//! Knows extents and slots; must not know what an image holds, nor which thread writes.
//!
//! The extents are lent: they stand in no record, so that a crash, or giving them back, makes them free again. They
//! get into the records by [`Slab::adopt`].

use std::collections::BTreeMap;

use super::class::{Class, EXTENT_GRAINS, Slots};
use super::reference::Reference;
use super::space::ExtentRecord;
use super::{EXTENT, FILE, GRAIN, Slab};
use crate::storage::StorageError;
use crate::storage::encoding::checksum;

/// Writes the bytes of an extent from its start, those of its slots as far as they are used.
pub(crate) type WriteExtent<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), StorageError>;

/// Extents that are being filled for one tree, one of each class at a time.
pub(crate) struct Filler {
    tree: u64,
    open: BTreeMap<Class, Filling>,
    filled: Vec<(u64, ExtentRecord)>,
    /// All that were lent.
    lent: Vec<u64>,
    /// Memory of an extent that has been written, for the next one.
    spare: Vec<u8>,
}

struct Filling {
    number: u64,
    slots: u16,
    bytes: Vec<u8>,
}

/// What an image of so many bytes takes of its extent in bytes, with its part of what no slot uses at the end.
pub(crate) fn slot_cost(length: u64) -> u64 {
    Class::of(length).map_or(EXTENT, |class| EXTENT / u64::from(class.slots()))
}

impl Filler {
    pub(crate) fn new(tree: u64) -> Self {
        Self {
            tree,
            open: BTreeMap::new(),
            filled: Vec::new(),
            lent: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Adds an image and says where it will be once its extent is written, which happens when it is full.
    pub(crate) fn add(
        &mut self,
        slab: &Slab,
        image: &[u8],
        write: WriteExtent<'_>,
    ) -> Result<Reference, StorageError> {
        let class = Class::of(image.len() as u64).ok_or_else(|| {
            StorageError::corrupt(FILE, format!("no slot has {} bytes", image.len()))
        })?;
        let (lent, spare) = (&mut self.lent, &mut self.spare);
        let filling = self.open.entry(class).or_insert_with(|| {
            let number = slab.lend();
            lent.push(number);
            let mut bytes = std::mem::take(spare);
            bytes.reserve(EXTENT as usize);
            Filling { number, slots: 0, bytes }
        });
        let grain = u64::from(filling.slots) * class.grains();
        filling.bytes.resize((grain * GRAIN) as usize, 0);
        filling.bytes.extend_from_slice(image);
        filling.slots += 1;
        let reference = Reference {
            grain: filling.number * EXTENT_GRAINS + grain,
            length: image.len() as u32,
            sum: checksum(image),
        };
        if filling.slots == class.slots()
            && let Some(full) = self.open.remove(&class)
        {
            self.close(class, full, write)?;
        }
        Ok(reference)
    }

    /// Writes what is not full and returns the records that all extents are to get.
    pub(crate) fn finish(
        &mut self,
        write: WriteExtent<'_>,
    ) -> Result<Vec<(u64, ExtentRecord)>, StorageError> {
        while let Some((class, filling)) = self.open.pop_first() {
            self.close(class, filling, write)?;
        }
        Ok(std::mem::take(&mut self.filled))
    }

    /// Everything that was lent so far, which somebody else is responsible for from now on.
    pub(crate) fn take_lent(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.lent)
    }

    fn close(
        &mut self,
        class: Class,
        filling: Filling,
        write: WriteExtent<'_>,
    ) -> Result<(), StorageError> {
        let mut live = Slots::default();
        for slot in 0..filling.slots {
            live.set(slot);
        }
        let record = ExtentRecord { tree: self.tree, class: class.number(), live: live.to_bytes() };
        self.filled.push((filling.number, record));
        write(filling.number, &filling.bytes)?;
        self.spare = filling.bytes;
        self.spare.clear();
        Ok(())
    }
}
