//! Sets of numbers of extents, which lie close together: a word for as many of them as it has bits.
//! Must not know what an extent is.

use std::collections::BTreeMap;

/// Numbers of a word.
const WORD: u64 = 64;
/// Bytes of memory that a map takes for a word: key and word in a node that is two thirds full.
const WORD_BYTES: usize = 26;

#[derive(Debug, Clone, Default)]
pub(super) struct NumberSet {
    /// None of them is zero.
    words: BTreeMap<u64, u64>,
}

impl NumberSet {
    pub(super) fn insert(&mut self, number: u64) {
        *self.words.entry(number / WORD).or_default() |= 1 << (number % WORD);
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let Some(word) = self.words.get_mut(&(number / WORD)) else { return false };
        let bit = 1 << (number % WORD);
        let was_there = *word & bit != 0;
        *word &= !bit;
        if *word == 0 {
            self.words.remove(&(number / WORD));
        }
        was_there
    }

    #[cfg(test)]
    pub(super) fn contains(&self, number: u64) -> bool {
        self.words.get(&(number / WORD)).is_some_and(|word| word & (1 << (number % WORD)) != 0)
    }

    pub(super) fn first(&self) -> Option<u64> {
        let (at, word) = self.words.first_key_value()?;
        Some(at * WORD + u64::from(word.trailing_zeros()))
    }

    pub(super) fn pop_first(&mut self) -> Option<u64> {
        let first = self.first()?;
        self.remove(first);
        Some(first)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// From the least on.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = u64> {
        let numbers = |(at, word): (&u64, &u64)| {
            let (at, word) = (*at, *word);
            (0..WORD).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at * WORD + bit)
        };
        self.words.iter().flat_map(numbers)
    }

    /// Bytes of memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.words.len() * WORD_BYTES
    }
}

impl Extend<u64> for NumberSet {
    fn extend<T: IntoIterator<Item = u64>>(&mut self, numbers: T) {
        numbers.into_iter().for_each(|number| self.insert(number));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::Random;

    #[test]
    fn it_is_a_set_of_numbers() {
        let mut random = Random::from_environment();
        let (mut set, mut model) = (NumberSet::default(), BTreeSet::new());
        for _ in 0..5_000 {
            let number = random.below(400);
            match random.below(5) {
                0 | 1 => {
                    set.insert(number);
                    model.insert(number);
                }
                2 | 3 => assert_eq!(set.remove(number), model.remove(&number)),
                _ => assert_eq!(set.pop_first(), model.pop_first()),
            }
            assert_eq!(set.contains(number), model.contains(&number));
            assert_eq!((set.first(), set.is_empty()), (model.first().copied(), model.is_empty()));
        }
        set.extend(300..900);
        model.extend(300..900);
        assert!(set.iter().eq(model.iter().copied()));
        assert!(set.iter().rev().eq(model.iter().rev().copied()));
        assert!(set.bytes() < 1_000);
    }
}
