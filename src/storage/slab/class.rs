//! Size classes: how an extent is cut into slots. Arithmetic alone; must not know who uses a slot.

/// The unit of places in the file.
pub(crate) const GRAIN: u64 = 1_024;
/// Grains of an extent.
pub(crate) const EXTENT_GRAINS: u64 = 256;
/// Bytes of an extent, which is also the longest image.
pub(crate) const EXTENT: u64 = EXTENT_GRAINS * GRAIN;

/// Grains of a slot, by class. Up to 16 KiB, where nodes are, the steps are the finest there can be; above, each class
/// is the longest that so many fit into an extent.
const CLASSES: [u16; 22] =
    [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 42, 51, 64, 85, 128, 256];

/// A size class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Class(u8);

impl Class {
    /// The class of that number.
    pub(super) fn new(number: u8) -> Option<Self> {
        (usize::from(number) < CLASSES.len()).then_some(Self(number))
    }

    /// The smallest class that an image of so many bytes fits; `None` above [`EXTENT`].
    pub(super) fn of(length: u64) -> Option<Self> {
        let grains = length.div_ceil(GRAIN);
        let number = CLASSES.partition_point(|class| u64::from(*class) < grains);
        Self::new(u8::try_from(number).ok()?)
    }

    pub(super) fn number(self) -> u8 {
        self.0
    }

    /// Grains of a slot.
    pub(super) fn grains(self) -> u64 {
        CLASSES.get(usize::from(self.0)).map_or(EXTENT_GRAINS, |grains| u64::from(*grains))
    }

    /// Bytes of a slot.
    pub(super) fn bytes(self) -> u64 {
        self.grains() * GRAIN
    }

    /// The first grain of a slot of an extent.
    pub(super) fn first_grain(self, extent: u64, slot: u16) -> u64 {
        extent * EXTENT_GRAINS + u64::from(slot) * self.grains()
    }

    /// The slot that begins at a grain.
    pub(super) fn slot_of(self, grain: u64) -> u16 {
        (grain % EXTENT_GRAINS / self.grains()) as u16
    }

    /// All slots of an extent.
    pub(super) fn all(self) -> Slots {
        Slots::first(self.slots())
    }

    /// Slots of an extent.
    pub(super) fn slots(self) -> u16 {
        (EXTENT_GRAINS / self.grains()) as u16
    }
}

/// Bytes of a block, of which a file system gives back no less.
pub(super) const SPARE_BLOCK: u64 = 4_096;
const BLOCK_GRAINS: u64 = SPARE_BLOCK / GRAIN;

/// A set of the blocks of one extent, of which there are 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Blocks(u64);

impl Blocks {
    pub(super) const ALL: Self = Self(u64::MAX);

    /// Those that slots touch.
    pub(super) fn of(class: Class, slots: Slots) -> Self {
        let mut blocks = 0;
        let mut next = 0;
        while let Some(slot) = slots.first_from(next) {
            let first = u64::from(slot) * class.grains();
            let last = (first + class.grains() - 1) / BLOCK_GRAINS;
            let up_to_last = u64::MAX >> (63 - last.min(63));
            blocks |= up_to_last & (u64::MAX << (first / BLOCK_GRAINS).min(63));
            next = slot + 1;
        }
        Self(blocks)
    }

    /// So many blocks from one on.
    pub(super) fn run(first: u64, length: u64) -> Self {
        let blocks = u64::MAX.checked_shr(64_u32.saturating_sub(length as u32)).unwrap_or(0);
        Self(blocks.checked_shl(first as u32).unwrap_or(0))
    }

    pub(super) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(super) fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(super) fn count(self) -> u64 {
        u64::from(self.0.count_ones())
    }

    /// Runs of blocks that lie one behind the other, as the first one and how many there are.
    pub(super) fn runs(self) -> Vec<(u64, u64)> {
        let mut runs = Vec::new();
        let mut rest = self.0;
        while rest != 0 {
            let first = rest.trailing_zeros();
            let length = (rest >> first).trailing_ones();
            runs.push((u64::from(first), u64::from(length)));
            let end = first + length;
            rest = if end < 64 { rest & (u64::MAX << end) } else { 0 };
        }
        runs
    }
}

/// A set of the slots of one extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Slots([u64; 4]);

impl Slots {
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Self(words)
    }

    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *bytes = word.to_le_bytes();
        }
        bytes
    }

    /// The first so many slots.
    fn first(slots: u16) -> Self {
        let mut words = [0; 4];
        for (at, word) in (0..).zip(&mut words) {
            let here = u32::from(slots).saturating_sub(at * 64).min(64);
            *word = u64::MAX.checked_shr(64 - here).unwrap_or(0);
        }
        Self(words)
    }

    /// The slots, if none of them is behind the first 64.
    pub(super) fn to_word(self) -> Option<u64> {
        let Self([word, rest @ ..]) = self;
        (rest == [0; 3]).then_some(word)
    }

    pub(super) fn from_word(word: u64) -> Self {
        Self([word, 0, 0, 0])
    }

    pub(super) fn has(self, slot: u16) -> bool {
        self.0.get(usize::from(slot / 64)).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// Puts a slot in; whether it was not there.
    pub(super) fn set(&mut self, slot: u16) -> bool {
        let was_there = self.has(slot);
        if let Some(word) = self.0.get_mut(usize::from(slot / 64)) {
            *word |= 1 << (slot % 64);
        }
        !was_there
    }

    /// Takes a slot out; whether it was there.
    pub(super) fn clear(&mut self, slot: u16) -> bool {
        let was_there = self.has(slot);
        if let Some(word) = self.0.get_mut(usize::from(slot / 64)) {
            *word &= !(1 << (slot % 64));
        }
        was_there
    }

    pub(super) fn count(self) -> u16 {
        self.0.iter().map(|word| word.count_ones() as u16).sum()
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == [0; 4]
    }

    /// The first slot that is not in it, of so many.
    pub(super) fn first_missing(self, slots: u16) -> Option<u16> {
        let (at, word) = self.0.iter().enumerate().find(|(_, word)| **word != u64::MAX)?;
        let slot = at as u16 * 64 + word.trailing_ones() as u16;
        (slot < slots).then_some(slot)
    }

    /// The first slot that is in it and not below `from`.
    pub(super) fn first_from(self, from: u16) -> Option<u16> {
        (from..EXTENT_GRAINS as u16).find(|slot| self.has(*slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_the_smallest_class_that_fits() {
        assert!(CLASSES.is_sorted_by(|a, b| a < b));
        for length in 1..=EXTENT {
            let class = Class::of(length).unwrap();
            assert!(class.grains() * GRAIN >= length);
            if let Some(smaller) = class.0.checked_sub(1).and_then(Class::new) {
                assert!(smaller.grains() * GRAIN < length);
            }
        }
        assert_eq!(Class::of(EXTENT + 1), None);
    }

    #[test]
    fn blocks_are_those_that_slots_touch() {
        let mut random = crate::testing::Random::from_environment();
        for _ in 0..2_000 {
            let class = Class::new(random.below(CLASSES.len() as u64) as u8).unwrap();
            let (mut slots, mut touched) = (Slots::default(), [false; 64]);
            for slot in (0..class.slots()).filter(|_| random.once_in(3)) {
                slots.set(slot);
                let first = u64::from(slot) * class.grains();
                (first..first + class.grains())
                    .for_each(|grain| touched[grain as usize / 4] = true);
            }
            let blocks = Blocks::of(class, slots);
            assert_eq!(blocks.count(), touched.iter().filter(|is| **is).count() as u64);
            let mut found = [false; 64];
            for (first, length) in blocks.runs() {
                (first..first + length).for_each(|block| found[block as usize] = true);
            }
            assert_eq!(found, touched);
            assert_eq!(Blocks::ALL.without(blocks).with(blocks), Blocks::ALL);
        }
        assert_eq!(Blocks::ALL.runs(), [(0, 64)]);
        assert_eq!(Blocks::default().runs(), []);
    }

    #[test]
    fn slots_come_and_go() {
        let mut slots = Slots::default();
        for slot in 0..256 {
            assert_eq!(slots.first_missing(256), Some(slot));
            assert!(slots.set(slot) && !slots.set(slot));
        }
        assert_eq!((slots.first_missing(256), slots.count()), (None, 256));
        assert!(slots.clear(100) && !slots.clear(100));
        assert_eq!(slots.first_missing(256), Some(100));
        assert_eq!(slots.first_missing(100), None);
        assert_eq!(slots.first_from(100), Some(101));
        assert_eq!(Slots::from_bytes(&slots.to_bytes()), slots);
        assert_eq!(slots.to_bytes()[12], 0b1110_1111);
    }
}
