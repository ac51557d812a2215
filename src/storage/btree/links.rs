//! The links of an inner node, in chunks that versions of the node share: a change copies the one chunk that it is
//! about, and counts a reference to each of the others instead of one to every child. Must not know keys.

use std::sync::Arc;

use super::link::Link;
use super::page::allocated;

/// Links of a chunk. All chunks but the last one are full.
const CHUNK: usize = 16;

/// A list of links.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    chunks: Vec<Arc<Vec<Link>>>,
}

impl Links {
    pub(super) fn with_capacity(links: usize) -> Self {
        Self { chunks: Vec::with_capacity(links.div_ceil(CHUNK)) }
    }

    pub(super) fn len(&self) -> usize {
        let Some((last, before)) = self.chunks.split_last() else { return 0 };
        before.len() * CHUNK + last.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Link> {
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// A link that can be changed: other versions of the node keep what it was.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Link> {
        Arc::make_mut(self.chunks.get_mut(at / CHUNK)?).get_mut(at % CHUNK)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    pub(super) fn push(&mut self, link: Link) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => Arc::make_mut(last).push(link),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(link);
                self.chunks.push(Arc::new(chunk));
            }
        }
    }

    /// Puts a link in before another, or behind the last one.
    pub(super) fn insert(&mut self, at: usize, link: Link) {
        let behind = self.split_off(at);
        self.push(link);
        behind.iter().for_each(|link| self.push(link.clone()));
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<Link> {
        let behind = self.split_off(at);
        let mut behind = behind.iter();
        let removed = behind.next().cloned();
        behind.for_each(|link| self.push(link.clone()));
        removed
    }

    /// Takes out a link and all behind it.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let mut behind = Self::with_capacity(self.len().saturating_sub(at));
        let cut = self.chunks.len().min(at / CHUNK);
        let moved = self.chunks.split_off(cut);
        let mut links = moved.iter().flat_map(|chunk| chunk.iter()).cloned();
        links.by_ref().take(at - cut * CHUNK).for_each(|link| self.push(link));
        links.for_each(|link| behind.push(link));
        behind
    }

    /// Bytes that it takes in memory.
    pub(super) fn weight(&self) -> usize {
        /// Reference counts of a chunk, and its list.
        const COUNTS: usize = 16 + size_of::<Vec<Link>>();
        let chunk = |chunk: &Arc<Vec<Link>>| {
            allocated(COUNTS) + allocated(chunk.capacity() * size_of::<Link>())
        };
        allocated(self.chunks.capacity() * size_of::<Arc<Vec<Link>>>())
            + self.chunks.iter().map(chunk).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::slab::Reference;
    use crate::testing::Random;

    fn link(number: u64) -> Link {
        Link::stored(Reference { grain: number, length: 1, sum: 0 })
    }

    fn numbers(links: &Links) -> Vec<u64> {
        let number = |link: &Link| match link {
            Link::Stored(place) => place.reference().grain,
            Link::Memory(_) => u64::MAX,
        };
        links.iter().map(number).collect()
    }

    #[test]
    fn they_are_a_list_of_which_older_versions_stay() {
        let mut random = Random::from_environment();
        let (mut links, mut model) = (Links::default(), Vec::new());
        let mut older = Vec::new();
        for number in 0..3_000 {
            let at = random.below(model.len() as u64 + 1) as usize;
            match random.below(12) {
                0..4 => {
                    links.insert(at, link(number));
                    model.insert(at, number);
                }
                4 | 5 => {
                    links.push(link(number));
                    model.push(number);
                }
                6..9 => {
                    let removed = (at < model.len()).then(|| model.remove(at));
                    assert_eq!(links.remove(at).is_some(), removed.is_some());
                }
                9 | 10 => {
                    if let Some(place) = links.get_mut(at) {
                        *place = link(number);
                        model[at] = number;
                    }
                    assert_eq!(links.get(at).is_some(), at < model.len());
                }
                _ if random.once_in(20) => {
                    let (behind, expected) = (links.split_off(at), model.split_off(at));
                    assert_eq!(numbers(&behind), expected);
                }
                _ => older.push((links.clone(), model.clone())),
            }
            assert_eq!((links.len(), numbers(&links)), (model.len(), model.clone()));
        }
        assert!(older.len() > 100);
        assert!(older.iter().all(|(links, model)| numbers(links) == *model));
    }

    #[test]
    fn a_change_copies_one_chunk() {
        let mut links = Links::default();
        (0..10 * CHUNK as u64).for_each(|number| links.push(link(number)));
        let before = links.clone();
        *links.get_mut(3 * CHUNK + 1).unwrap() = link(0);
        let shared = |(one, other): (&Arc<_>, &Arc<_>)| Arc::ptr_eq(one, other);
        let same = links.chunks.iter().zip(&before.chunks).filter(|pair| shared(*pair)).count();
        assert_eq!(same, 9);
    }
}
