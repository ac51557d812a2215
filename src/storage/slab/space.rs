//! Which slots of the data file are in use, by whom, and since when they are not.
//! Knows extents, slots and trees by name; must not know files or what is in a slot.
//!
//! A slot is **live** while the checkpoint that was written last, or is being written, refers to it: that is what the
//! meta tree says of it. It is **busy** from when it is taken until it may be overwritten, which is later: the
//! checkpoint that does without it must be durable, and all snapshots that can see it must be gone. In between its
//! release waits in line.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Weak;
use std::time::Instant;

use super::class::{Blocks, Class, EXTENT, EXTENT_GRAINS, GRAIN, SPARE_BLOCK, Slots};
use super::map::{Extent, Extents};
use super::reference::Reference;
use super::set::NumberSet;
use crate::limits::{PINNED_BYTES_MIN, PINNED_PART, PUNCHED_RANGES, SPARE_BYTES_MIN, SPARE_PART};
use crate::storage::crossed::crossed;

/// Whoever holds it may still read what was released since. Every snapshot holds that of its time.
#[derive(Debug, Default)]
pub(crate) struct Epoch;

/// The name that the meta tree has as an owner of extents.
pub(crate) const META: u64 = u64::MAX;

/// All extents.
#[derive(Debug, Default)]
pub(super) struct Space {
    extents: Extents,
    /// Extents below [`Space::end`] that nobody has.
    free: NumberSet,
    /// Those of them that may take room on the disk.
    roomy: NumberSet,
    /// Extents that are being filled by loads, or were and wait for the checkpoint that has them; and whether they may
    /// have taken room before.
    lent: BTreeMap<u64, bool>,
    /// The first extent behind all others.
    end: u64,
    /// Extents of a tree with a slot to take, by class.
    open: HashMap<(u64, Class), NumberSet>,
    /// Extents whose live slots are not those of the last checkpoint.
    changed: NumberSet,
    /// What the checkpoint that is being written does without, as the first grains of slots, and the bytes of these.
    released: Vec<u64>,
    released_bytes: u64,
    /// What earlier checkpoints do without, from the oldest on.
    waiting: VecDeque<Freed>,
    /// Whether [`Space::surplus`] has left something for the next time.
    has_surplus: bool,
}

/// Slots without use.
#[derive(Debug)]
struct Freed {
    /// The readers that may still need them.
    epoch: Weak<Epoch>,
    /// Their first grains.
    grains: Vec<u64>,
    /// When the checkpoint that does without them was done.
    since: Instant,
    /// Bytes of the slots.
    bytes: u64,
}

/// What the meta tree says of an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExtentRecord {
    pub(crate) tree: u64,
    pub(crate) class: u8,
    pub(crate) live: [u8; 32],
}

impl Extent {
    /// As a record says. The error names the broken rule.
    fn from_record(number: u64, record: &ExtentRecord) -> Result<Self, String> {
        let class = Class::new(record.class)
            .ok_or_else(|| format!("extent {number} has the size class {}", record.class))?;
        let live = Slots::from_bytes(&record.live);
        if number == 0 || record.tree == META || live.is_empty() {
            return Err(format!("extent {number} cannot have a record (rule 12)"));
        }
        if live.first_from(class.slots()).is_some() {
            return Err(format!("extent {number} has slots behind its last one (rule 12)"));
        }
        // What else is in it may take room: it was used before.
        Ok(Self { tree: record.tree, class, live, busy: live, holes: Blocks::default() })
    }

    fn new(tree: u64, class: Class) -> Self {
        let (live, busy) = (Slots::default(), Slots::default());
        Self { tree, class, live, busy, holes: Blocks::ALL }
    }

    /// Blocks that take room for nothing.
    fn spare(&self) -> Blocks {
        if self.busy.count() == self.class.slots() {
            return Blocks::default();
        }
        Blocks::ALL.without(Blocks::of(self.class, self.busy)).without(self.holes)
    }
}

impl Space {
    /// Only the extent of the superblocks, which is never given out.
    pub(super) fn new() -> Self {
        Self { end: 1, ..Self::default() }
    }

    /// The first extent behind all that are in use.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// What the file has at least, in bytes: where the last live slot begins, and one more.
    pub(super) fn least_length(&self) -> u64 {
        let last_slot = |(number, extent): (u64, Extent)| {
            let slot = (0..extent.class.slots()).rev().find(|slot| extent.live.has(*slot))?;
            Some(extent.class.first_grain(number, slot) * GRAIN + 1)
        };
        self.extents.iter().rev().find_map(last_slot).unwrap_or(EXTENT)
    }

    /// Bytes of memory that all of this takes.
    pub(super) fn map_bytes(&self) -> usize {
        let sets = [&self.free, &self.roomy, &self.changed].into_iter().chain(self.open.values());
        let waiting = self.waiting.iter().map(|freed| freed.grains.capacity()).sum::<usize>();
        self.extents.bytes()
            + sets.map(NumberSet::bytes).sum::<usize>()
            + (waiting + self.released.capacity()) * size_of::<u64>()
    }

    /// How many extents a tree has.
    pub(super) fn extents_of(&self, tree: u64) -> u64 {
        self.extents.count_of(tree)
    }

    /// Takes a slot for an image of so many bytes, in the foremost extent that has one: the last ones become empty.
    pub(super) fn take(&mut self, tree: u64, length: u64) -> Option<u64> {
        let class = Class::of(length)?;
        let open = self.open.get(&(tree, class)).and_then(NumberSet::first);
        let number = match open {
            Some(number) => number,
            None => {
                let (number, is_roomy) = self.free_extent();
                let mut extent = Extent::new(tree, class);
                if is_roomy {
                    extent.holes = Blocks::default();
                }
                self.put(number, extent).ok()?;
                number
            }
        };
        let (slot, is_full) = self.extents.change(number, |extent| {
            let slot = extent.busy.first_missing(class.slots())?;
            extent.busy.set(slot);
            extent.live.set(slot);
            let mut taken = Slots::default();
            taken.set(slot);
            extent.holes = extent.holes.without(Blocks::of(class, taken));
            Some((slot, extent.busy == class.all()))
        })??;
        if is_full {
            self.close(tree, class, number);
        }
        self.changed.insert(number);
        Some(class.first_grain(number, slot))
    }

    /// The checkpoint being written does without this image. `false` when no live slot is there: the tree is damaged.
    pub(super) fn release(&mut self, reference: Reference) -> bool {
        let number = reference.grain / EXTENT_GRAINS;
        let grain = reference.grain % EXTENT_GRAINS;
        let was_live = self.extents.change(number, |extent| {
            let is_slot = Class::of(u64::from(reference.length)) == Some(extent.class)
                && grain.is_multiple_of(extent.class.grains());
            is_slot && extent.live.clear((grain / extent.class.grains()) as u16)
        });
        if was_live != Some(true) {
            return false;
        }
        self.changed.insert(number);
        self.released.push(reference.grain);
        self.released_bytes += Class::of(u64::from(reference.length)).map_or(0, Class::bytes);
        true
    }

    /// Makes a slot free again that was taken for nothing: neither a checkpoint nor a snapshot can refer to it.
    pub(super) fn untake(&mut self, grain: u64) {
        let number = grain / EXTENT_GRAINS;
        let clear = |extent: &mut Extent| extent.live.clear(extent.class.slot_of(grain));
        if self.extents.change(number, clear).is_none() {
            return;
        }
        self.changed.insert(number);
        self.make_free(grain);
    }

    /// A checkpoint was given up. Those who hold its epoch keep what later ones release, since they may read it.
    pub(super) fn give_up(&mut self, epoch: Weak<Epoch>) {
        self.waiting.push_back(Freed {
            epoch,
            grains: Vec::new(),
            since: Instant::now(),
            bytes: 0,
        });
    }

    /// The checkpoint being written does without this tree.
    pub(super) fn release_tree(&mut self, tree: u64) {
        let of_tree = self.extents.iter().filter(|(_, extent)| extent.tree == tree);
        let numbers: Vec<u64> = of_tree.map(|(number, _)| number).collect();
        for number in numbers {
            let Some(extent) = self.extents.get(number) else { continue };
            let mut from = 0;
            while let Some(slot) = extent.live.first_from(from) {
                self.released.push(extent.class.first_grain(number, slot));
                self.released_bytes += extent.class.bytes();
                from = slot + 1;
            }
            self.extents.change(number, |extent| extent.live = Slots::default());
            self.changed.insert(number);
        }
    }

    /// What the meta tree has to say anew: a record for each changed extent, or nothing for one without a live slot.
    pub(super) fn take_changes(&mut self) -> Vec<(u64, Option<ExtentRecord>)> {
        let changed = std::mem::take(&mut self.changed);
        let record = |number: u64| {
            let Some(extent) = self.extents.get(number) else { return Some((number, None)) };
            if extent.tree == META {
                return None;
            }
            let record = ExtentRecord {
                tree: extent.tree,
                class: extent.class.number(),
                live: extent.live.to_bytes(),
            };
            Some((number, (!extent.live.is_empty()).then_some(record)))
        };
        changed.iter().filter_map(record).collect()
    }

    /// The checkpoint is durable. What it does without is free once nobody holds the epoch, or an earlier one.
    pub(super) fn seal(&mut self, epoch: Weak<Epoch>) {
        let grains = std::mem::take(&mut self.released);
        let bytes = std::mem::take(&mut self.released_bytes);
        self.waiting.push_back(Freed { epoch, grains, since: Instant::now(), bytes });
    }

    /// An extent that nobody has, to be filled as a whole.
    pub(super) fn lend(&mut self) -> u64 {
        let (number, is_roomy) = self.free_extent();
        self.lent.insert(number, is_roomy);
        number
    }

    /// Takes back what was lent.
    pub(super) fn take_back(&mut self, extents: Vec<u64>) {
        for number in extents {
            self.lent.remove(&number);
            self.free.insert(number);
            self.roomy.insert(number);
        }
    }

    /// Does without the extents at the end that nobody has.
    pub(super) fn cut(&mut self) {
        while self.end > 1 && self.free.remove(self.end - 1) {
            self.end -= 1;
            self.roomy.remove(self.end);
        }
    }

    /// Takes out so many free extents that may take room, so that it can be given back.
    pub(super) fn take_roomy(&mut self, most: usize) -> Vec<u64> {
        let extents: Vec<_> = self.roomy.iter().rev().take(most).collect();
        for number in &extents {
            self.roomy.remove(*number);
            self.free.remove(*number);
        }
        extents
    }

    /// Makes those extents free again, of which some still take room.
    pub(super) fn put_back(&mut self, empty: &[u64], roomy: &[u64]) {
        self.free.extend(empty.iter().chain(roomy).copied());
        self.roomy.extend(roomy.iter().copied());
    }

    /// Lends an extent of the log, which lies before `ends`. The error names the broken rule.
    pub(super) fn lend_again(
        &mut self,
        number: u64,
        record: &ExtentRecord,
        ends: u64,
    ) -> Result<(), String> {
        Extent::from_record(number, record)?;
        if number >= ends {
            return Err(format!(
                "extent {number} of a load lies behind the end of the file (rule 14)"
            ));
        }
        self.free.extend(self.end..=number);
        self.end = self.end.max(number + 1);
        if !self.free.remove(number) {
            return Err(format!("extent {number} of a load has another owner (rule 14)"));
        }
        self.roomy.remove(number);
        self.lent.insert(number, true);
        Ok(())
    }

    /// Puts in an extent that was lent, as the checkpoint being written is to have it.
    pub(super) fn adopt(&mut self, number: u64, record: &ExtentRecord) -> Result<(), String> {
        let mut extent = Extent::from_record(number, record)?;
        let Some(was_roomy) = self.lent.remove(&number) else {
            return Err(format!("extent {number} of a load was not lent to it (rule 14)"));
        };
        if !was_roomy {
            // It was written as far as it is used.
            extent.holes = Blocks::ALL.without(Blocks::of(extent.class, extent.live));
        }
        self.changed.insert(number);
        self.put(number, extent)
    }

    /// Makes free what may be overwritten by now, and returns the first grains of the slots.
    pub(super) fn reclaim(&mut self) -> Vec<u64> {
        let mut grains = Vec::new();
        while let Some(first) = self.waiting.front()
            && first.epoch.strong_count() == 0
            && let Some(freed) = self.waiting.pop_front()
        {
            freed.grains.iter().for_each(|grain| self.make_free(*grain));
            grains.extend(freed.grains);
        }
        grains
    }

    /// When the first of the checkpoints was done that a snapshot from before it has outlived.
    pub(super) fn oldest_reader(&self) -> Option<Instant> {
        let is_read = |freed: &&Freed| freed.epoch.strong_count() > 0;
        self.waiting.iter().find(is_read).map(|freed| freed.since)
    }

    /// Extents that somebody has.
    pub(super) fn used(&self) -> u64 {
        self.extents.count() + self.lent.len() as u64
    }

    /// Whether what snapshots keep of slots that are not in use any more is much, beside those that are.
    pub(super) fn is_much_pinned(&self) -> bool {
        let pinned = self.waiting.iter().map(|freed| freed.bytes).sum::<u64>();
        if pinned <= PINNED_BYTES_MIN {
            return false;
        }
        let used =
            |(_, extent): (u64, Extent)| u64::from(extent.live.count()) * extent.class.bytes();
        pinned > self.extents.iter().map(used).sum::<u64>() / PINNED_PART
    }

    /// Whether slots wait for somebody who may read them, or there may be something to give back.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.roomy.is_empty() || self.has_surplus
    }

    /// What is to be given back of extents that are partly used, as offsets and lengths in bytes: nothing as long as
    /// it is little beside what is used, since it will be used again; otherwise as much as to make it very little. The
    /// last extents come first, since slots are taken from the foremost.
    pub(super) fn surplus(&mut self) -> Vec<(u64, u64)> {
        let (mut used, mut spare) = (0, 0);
        for (_, extent) in self.extents.iter() {
            used += u64::from(extent.busy.count()) * extent.class.bytes();
            spare += extent.spare().count() * SPARE_BLOCK;
        }
        self.has_surplus = false;
        let mut ranges = Vec::new();
        if spare <= SPARE_BYTES_MIN.max(used / SPARE_PART) {
            return ranges;
        }
        crossed("SPARE_BYTES_MIN");
        let mut given = Vec::new();
        for (number, extent) in self.extents.iter().rev() {
            if spare <= used / SPARE_PART / 2 {
                crossed("SPARE_PART");
                break;
            }
            if ranges.len() >= PUNCHED_RANGES {
                crossed("PUNCHED_RANGES");
                self.has_surplus = true;
                break;
            }
            let blocks = extent.spare();
            let start = number * EXTENT;
            let range = |(first, length)| (start + first * SPARE_BLOCK, length * SPARE_BLOCK);
            ranges.extend(blocks.runs().into_iter().map(range));
            if blocks != Blocks::default() {
                given.push((number, blocks));
            }
            spare -= blocks.count() * SPARE_BLOCK;
        }
        for (number, blocks) in given {
            self.extents.change(number, |extent| extent.holes = extent.holes.with(blocks));
        }
        ranges
    }

    /// Ranges of [`Space::surplus`] that were not given back after all.
    pub(super) fn keep(&mut self, ranges: &[(u64, u64)]) {
        self.has_surplus |= !ranges.is_empty();
        for (start, length) in ranges {
            let number = start / EXTENT;
            let blocks = Blocks::run(start % EXTENT / SPARE_BLOCK, length / SPARE_BLOCK);
            self.extents.change(number, |extent| extent.holes = extent.holes.without(blocks));
        }
    }

    /// An extent that nobody has, and whether it may take room.
    fn free_extent(&mut self) -> (u64, bool) {
        let number = self.free.pop_first().unwrap_or(self.end);
        self.end = self.end.max(number + 1);
        (number, self.roomy.remove(number))
    }

    /// Makes a slot free, and the extent when it was the last one.
    fn make_free(&mut self, grain: u64) {
        let number = grain / EXTENT_GRAINS;
        let clear = |extent: &mut Extent| {
            extent.busy.clear(extent.class.slot_of(grain));
            (extent.tree, extent.class, extent.busy.is_empty())
        };
        let Some((tree, class, is_empty)) = self.extents.change(number, clear) else { return };
        if !is_empty {
            self.open.entry((tree, class)).or_default().insert(number);
            return;
        }
        self.close(tree, class, number);
        self.extents.remove(number);
        self.free.insert(number);
        self.roomy.insert(number);
    }

    /// The extent has no slot to take any more.
    fn close(&mut self, tree: u64, class: Class, number: u64) {
        if let Some(open) = self.open.get_mut(&(tree, class)) {
            open.remove(number);
            if open.is_empty() {
                self.open.remove(&(tree, class));
            }
        }
    }

    /// Puts in an extent that the meta tree has a record of. The error names the broken rule.
    pub(super) fn restore(&mut self, number: u64, record: &ExtentRecord) -> Result<(), String> {
        self.put(number, Extent::from_record(number, record)?)
    }

    /// Notes an image of the meta tree, which has no records of its own extents.
    pub(super) fn restore_meta(&mut self, reference: Reference) -> Result<(), String> {
        let number = reference.grain / EXTENT_GRAINS;
        let grain = reference.grain % EXTENT_GRAINS;
        let class = Class::of(u64::from(reference.length))
            .filter(|class| number > 0 && grain.is_multiple_of(class.grains()))
            .ok_or_else(|| format!("no slot begins at grain {} (rule 4)", reference.grain))?;
        let slot = (grain / class.grains()) as u16;
        let found = self.extents.get(number);
        let holes = Blocks::default();
        let mut extent = found.unwrap_or(Extent { holes, ..Extent::new(META, class) });
        if extent.tree != META || extent.class != class {
            return Err(format!("extent {number} has two owners (rule 12)"));
        }
        if slot >= class.slots() || !extent.live.set(slot) {
            return Err(format!("grain {} is referred to twice (rule 12)", reference.grain));
        }
        extent.busy.set(slot);
        self.extents.set(number, extent);
        match extent.busy == class.all() {
            true => self.close(META, class, number),
            false => self.open.entry((META, class)).or_default().insert(number),
        }
        Ok(())
    }

    fn put(&mut self, number: u64, extent: Extent) -> Result<(), String> {
        if self.extents.get(number).is_some() {
            return Err(format!("extent {number} has two owners (rule 12)"));
        }
        if extent.busy != extent.class.all() {
            self.open.entry((extent.tree, extent.class)).or_default().insert(number);
        }
        self.extents.set(number, extent);
        Ok(())
    }

    /// After everything was restored: what lies in between is free.
    pub(super) fn finish_restoring(&mut self) {
        self.end = self.extents.iter().next_back().map_or(1, |(last, _)| last + 1);
        self.free = NumberSet::default();
        self.free.extend((1..self.end).filter(|number| self.extents.get(*number).is_none()));
        // Whoever made them free may have been killed before it gave back their room.
        self.roomy = self.free.clone();
        self.changed = NumberSet::default();
    }

    /// Number, tree, class and live slots of every extent.
    pub(super) fn extents(&self) -> impl Iterator<Item = (u64, u64, Class, Slots)> {
        let all = self.extents.iter();
        all.map(|(number, extent)| (number, extent.tree, extent.class, extent.live))
    }

    /// The live slots, as (tree, first grain).
    #[cfg(test)]
    pub(super) fn live(&self) -> std::collections::BTreeSet<(u64, u64)> {
        let slots = |(number, extent): (u64, Extent)| {
            let (tree, class) = (extent.tree, extent.class);
            let live = extent.live;
            (0..class.slots())
                .filter(move |slot| live.has(*slot))
                .map(move |slot| (tree, class.first_grain(number, slot)))
        };
        self.extents.iter().flat_map(slots).collect()
    }
}
