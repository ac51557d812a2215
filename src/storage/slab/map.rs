//! The extents of the data file in little memory: a word for each, and more only for those that are not full. A terabyte
//! has four million of them: 34 MB when all are full, 170 MB when none is.
//! Must not know files, nor why a slot is in use.

use std::collections::HashMap;

use super::class::{Blocks, Class, Slots};

/// Extents of a chunk of the table, and entries of one of a pool.
const CHUNK: usize = 512;

/// An extent as those see it who work with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) tree: u64,
    pub(super) class: Class,
    pub(super) live: Slots,
    pub(super) busy: Slots,
    /// Blocks that take no room on the disk, as far as is known.
    pub(super) holes: Blocks,
}

/// All extents that somebody has, by number.
#[derive(Debug, Default)]
pub(super) struct Extents {
    table: Vec<Box<[Word; CHUNK]>>,
    /// Those with no more slots than a word has bits.
    narrow: Pool<Narrow>,
    wide: Pool<Wide>,
    owners: Owners,
}

/// What the table has of an extent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Word {
    /// Nobody has it.
    #[default]
    None,
    /// All of its slots are live. What else it has is a hole, or is not known to be.
    Full {
        owner: u32,
        class: Class,
        has_holes: bool,
    },
    /// It is in a pool.
    Narrow(u32),
    Wide(u32),
}

#[derive(Debug, Clone, Copy)]
struct Narrow {
    live: u64,
    busy: u64,
    holes: Blocks,
    owner: u32,
    class: Class,
}

#[derive(Debug, Clone, Copy)]
struct Wide {
    live: Slots,
    busy: Slots,
    holes: Blocks,
    owner: u32,
    class: Class,
}

/// Numbers for trees, which are shorter than their names, and how many extents each has.
#[derive(Debug, Default)]
struct Owners {
    numbers: HashMap<u64, u32>,
    trees: Vec<(u64, u64)>,
    free: Vec<u32>,
}

/// Entries of one size, in chunks that are never moved.
#[derive(Debug)]
struct Pool<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl Extents {
    pub(super) fn get(&self, number: u64) -> Option<Extent> {
        self.expand(self.word(number))
    }

    /// Puts an extent in, in place of what was there.
    pub(super) fn set(&mut self, number: u64, extent: Extent) {
        let owner = self.owners.add(extent.tree);
        self.drop_word(number);
        let Extent { class, live, busy, holes, .. } = extent;
        let all = class.all();
        let unused = Blocks::ALL.without(Blocks::of(class, all));
        let is_full = live == all && busy == all;
        let word = if is_full && (holes == unused || holes == Blocks::default()) {
            Word::Full { owner, class, has_holes: holes != Blocks::default() }
        } else if let (Some(live), Some(busy)) = (live.to_word(), busy.to_word()) {
            Word::Narrow(self.narrow.add(Narrow { live, busy, holes, owner, class }))
        } else {
            Word::Wide(self.wide.add(Wide { live, busy, holes, owner, class }))
        };
        self.put_word(number, word);
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.drop_word(number);
        self.put_word(number, Word::None);
    }

    /// Changes an extent, if somebody has it.
    pub(super) fn change<T>(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut Extent) -> T,
    ) -> Option<T> {
        let before = self.get(number)?;
        let mut extent = before;
        let outcome = change(&mut extent);
        if extent != before {
            self.set(number, extent);
        }
        Some(outcome)
    }

    /// From the foremost on.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, Extent)> {
        let words = self.table.iter().flat_map(|chunk| chunk.iter());
        let numbers = 0..self.table.len() * CHUNK;
        let found = |(number, word): (usize, &Word)| Some((number as u64, self.expand(*word)?));
        numbers.zip(ExactWords { words, left: self.table.len() * CHUNK }).filter_map(found)
    }

    /// How many extents a tree has.
    pub(super) fn count_of(&self, tree: u64) -> u64 {
        let number = self.owners.numbers.get(&tree);
        let owner = number.and_then(|number| self.owners.trees.get(*number as usize));
        owner.map_or(0, |(_, extents)| *extents)
    }

    /// How many extents all trees have.
    pub(super) fn count(&self) -> u64 {
        self.owners.trees.iter().map(|(_, extents)| extents).sum()
    }

    /// Bytes of memory that all of this takes.
    pub(super) fn bytes(&self) -> usize {
        let chunk = size_of::<[Word; CHUNK]>() + size_of::<usize>();
        let owners = self.owners.trees.capacity() * 16 + self.owners.numbers.capacity() * 18;
        self.table.len() * chunk + self.narrow.bytes() + self.wide.bytes() + owners
    }

    fn word(&self, number: u64) -> Word {
        let (chunk, at) = place(number);
        let chunk = self.table.get(chunk);
        chunk.and_then(|chunk| chunk.get(at)).copied().unwrap_or_default()
    }

    fn put_word(&mut self, number: u64, word: Word) {
        let (chunk, at) = place(number);
        if chunk >= self.table.len() && word != Word::None {
            self.table.resize_with(chunk + 1, || Box::new([Word::None; CHUNK]));
        }
        if let Some(to) = self.table.get_mut(chunk).and_then(|chunk| chunk.get_mut(at)) {
            *to = word;
        }
        let is_empty = |chunk: &[Word; CHUNK]| chunk.iter().all(|word| *word == Word::None);
        while word == Word::None && self.table.last().is_some_and(|last| is_empty(last)) {
            self.table.pop();
        }
    }

    /// Gives back what a word refers to.
    fn drop_word(&mut self, number: u64) {
        let owner = match self.word(number) {
            Word::None => None,
            Word::Full { owner, .. } => Some(owner),
            Word::Narrow(at) => self.narrow.take(at).map(|narrow| narrow.owner),
            Word::Wide(at) => self.wide.take(at).map(|wide| wide.owner),
        };
        if let Some(owner) = owner {
            self.owners.subtract(owner);
        }
    }

    fn expand(&self, word: Word) -> Option<Extent> {
        Some(match word {
            Word::None => return None,
            Word::Full { owner, class, has_holes } => {
                let all = class.all();
                let unused = Blocks::ALL.without(Blocks::of(class, all));
                let holes = if has_holes { unused } else { Blocks::default() };
                Extent { tree: self.owners.tree(owner)?, class, live: all, busy: all, holes }
            }
            Word::Narrow(at) => {
                let Narrow { live, busy, holes, owner, class } = *self.narrow.get(at)?;
                let (live, busy) = (Slots::from_word(live), Slots::from_word(busy));
                Extent { tree: self.owners.tree(owner)?, class, live, busy, holes }
            }
            Word::Wide(at) => {
                let Wide { live, busy, holes, owner, class } = *self.wide.get(at)?;
                Extent { tree: self.owners.tree(owner)?, class, live, busy, holes }
            }
        })
    }
}

fn place(number: u64) -> (usize, usize) {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    (number / CHUNK, number % CHUNK)
}

impl Owners {
    fn tree(&self, owner: u32) -> Option<u64> {
        Some(self.trees.get(owner as usize)?.0)
    }

    /// The number of a tree that has got an extent.
    fn add(&mut self, tree: u64) -> u32 {
        let Self { numbers, trees, free } = self;
        let number = *numbers.entry(tree).or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                trees.push((tree, 0));
                trees.len() as u32 - 1
            })
        });
        if let Some(owner) = trees.get_mut(number as usize) {
            *owner = (tree, owner.1 + 1);
        }
        number
    }

    /// A tree has lost an extent.
    fn subtract(&mut self, number: u32) {
        let Some((tree, extents)) = self.trees.get_mut(number as usize) else { return };
        *extents -= 1;
        if *extents == 0 {
            self.numbers.remove(tree);
            self.free.push(number);
        }
    }
}

impl<T: Copy> Pool<T> {
    fn add(&mut self, entry: T) -> u32 {
        if let Some(number) = self.free.pop() {
            if let Some(to) = self.slot(number) {
                *to = entry;
            }
            return number;
        }
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(entry),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(entry);
                self.chunks.push(chunk);
            }
        }
        self.len() as u32 - 1
    }

    fn get(&self, number: u32) -> Option<&T> {
        self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)
    }

    fn take(&mut self, number: u32) -> Option<T> {
        let entry = *self.get(number)?;
        self.free.push(number);
        if self.free.len() == self.len() {
            *self = Self::default();
        }
        Some(entry)
    }

    fn slot(&mut self, number: u32) -> Option<&mut T> {
        self.chunks.get_mut(number as usize / CHUNK)?.get_mut(number as usize % CHUNK)
    }

    fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    fn bytes(&self) -> usize {
        let chunk = CHUNK * size_of::<T>() + size_of::<Vec<T>>();
        self.chunks.len() * chunk + self.free.capacity() * size_of::<u32>()
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

/// An iterator of which it is known how many are left, so that it can be numbered from the end, too.
struct ExactWords<I> {
    words: I,
    left: usize,
}

impl<I: Iterator> Iterator for ExactWords<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.left = self.left.saturating_sub(1);
        self.words.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: DoubleEndedIterator> DoubleEndedIterator for ExactWords<I> {
    fn next_back(&mut self) -> Option<I::Item> {
        self.left = self.left.saturating_sub(1);
        self.words.next_back()
    }
}

impl<I: Iterator> ExactSizeIterator for ExactWords<I> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::Random;

    fn some(random: &mut Random) -> Extent {
        let class = Class::of(1 + random.below(262_144)).unwrap();
        let (mut live, mut busy) = (Slots::default(), Slots::default());
        let percent = [100, 99, 50][random.below(3) as usize];
        for slot in 0..class.slots() {
            if random.below(100) < percent {
                busy.set(slot);
                if percent == 100 || !random.once_in(9) {
                    live.set(slot);
                }
            }
        }
        let unused = Blocks::ALL.without(Blocks::of(class, busy));
        let holes = [Blocks::default(), unused][random.below(2) as usize];
        Extent { tree: random.below(40), class, live, busy, holes }
    }

    #[test]
    fn they_are_a_map_by_number() {
        let mut random = Random::from_environment();
        let (mut extents, mut model) = (Extents::default(), BTreeMap::new());
        for round in 0..20_000 {
            let number = random.below(if round % 7_000 > 5_000 { 3 } else { 3_000 });
            match random.below(4) {
                0 => {
                    extents.remove(number);
                    model.remove(&number);
                }
                1 => {
                    let slot = random.below(256) as u16;
                    let change = |extent: &mut Extent| extent.live.clear(slot);
                    let expected = model.get_mut(&number).map(change);
                    assert_eq!(extents.change(number, change), expected);
                }
                _ => {
                    let extent = some(&mut random);
                    extents.set(number, extent);
                    model.insert(number, extent);
                }
            }
            assert_eq!(extents.get(number), model.get(&number).copied());
            let tree = random.below(40);
            let count = |extents: &BTreeMap<u64, Extent>| {
                extents.values().filter(|extent| extent.tree == tree).count() as u64
            };
            if round % 100 == 0 {
                assert_eq!(extents.count_of(tree), count(&model));
                assert!(extents.iter().eq(model.iter().map(|(number, extent)| (*number, *extent))));
                let reversed = model.iter().rev().map(|(number, extent)| (*number, *extent));
                assert!(extents.iter().rev().eq(reversed));
            }
        }
        model.keys().for_each(|number| extents.remove(*number));
        assert_eq!((extents.iter().count(), extents.table.len()), (0, 0));
        assert_eq!((extents.narrow.len(), extents.wide.len()), (0, 0));
    }

    /// What a terabyte would take, by a part of it.
    #[test]
    fn an_extent_takes_a_word_when_it_is_full_and_little_when_it_is_not() {
        const EXTENTS: u64 = 100_000;
        let class = Class::of(8_192).unwrap();
        let all = class.all();
        let holes = Blocks::default();
        let full = Extent { tree: 64, class, live: all, busy: all, holes };
        let mut extents = Extents::default();
        (1..=EXTENTS).for_each(|number| extents.set(number, full));
        assert!(extents.bytes() < EXTENTS as usize * 9, "{}", extents.bytes());
        for number in 1..=EXTENTS {
            extents.change(number, |extent| extent.live.clear(number as u16 % class.slots()));
        }
        assert!(extents.bytes() < EXTENTS as usize * 42, "{}", extents.bytes());
    }
}
