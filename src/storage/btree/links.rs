//! The links of an inner node. As it was read it has them in one list; as soon as one is changed they are in chunks that
//! versions of the node share: a change copies the one chunk that it is about, and counts a reference to each of the
//! others instead of one to every child. Each chunk is charged by itself, since nobody has it alone. Must not know keys.

use std::sync::Arc;

use super::link::Link;
use crate::storage::ledger::{Account, Charge, allocated, allocated_shared};

/// Links of a chunk. All chunks but the last one are full.
const CHUNK: usize = 16;

/// A list of links: one of the two has all of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    /// As it was read: one step less for a search.
    flat: Vec<Link>,
    chunks: Vec<Arc<Chunk>>,
    /// Who new chunks are charged to: nobody as long as the node is only read.
    account: Option<Arc<Account>>,
}

/// Some links, in which there is room for those of a full chunk.
#[derive(Debug)]
struct Chunk {
    links: Vec<Link>,
    _charge: Option<Charge>,
}

impl Chunk {
    fn new(account: Option<&Arc<Account>>, links: &[Link]) -> Self {
        let mut own = Vec::with_capacity(CHUNK);
        own.extend_from_slice(links);
        let weight = allocated_shared::<Self>() + allocated(CHUNK * size_of::<Link>());
        let charge = account.map(|account| Charge::new(account, weight));
        Self { links: own, _charge: charge }
    }
}

impl Links {
    pub(super) fn with_capacity(links: usize) -> Self {
        Self { flat: Vec::with_capacity(links), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, before)) => before.len() * CHUNK + last.links.len(),
            None => self.flat.len(),
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<&Link> {
        if self.chunks.is_empty() {
            return self.flat.get(at);
        }
        self.chunks.get(at / CHUNK)?.links.get(at % CHUNK)
    }

    /// A link that can be changed: other versions of the node keep what it was.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Link> {
        self.share();
        let chunk = self.chunks.get_mut(at / CHUNK)?;
        own(chunk, self.account.as_ref())?.links.get_mut(at % CHUNK)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.flat.iter().chain(self.chunks.iter().flat_map(|chunk| chunk.links.iter()))
    }

    pub(super) fn push(&mut self, link: Link) {
        if self.chunks.is_empty() {
            self.flat.push(link);
        } else {
            self.push_shared(link);
        }
    }

    /// Puts a link in before another, or behind the last one.
    pub(super) fn insert(&mut self, at: usize, link: Link) {
        let behind = self.take_from(at);
        self.push_shared(link);
        behind.into_iter().for_each(|link| self.push_shared(link));
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<Link> {
        let mut behind = self.take_from(at).into_iter();
        let removed = behind.next();
        behind.for_each(|link| self.push_shared(link));
        removed
    }

    /// Takes out a link and all behind it.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        Self { flat: self.take_from(at), chunks: Vec::new(), account: self.account.clone() }
    }

    /// New chunks are charged to this account.
    pub(super) fn charge_to(&mut self, account: &Arc<Account>) {
        self.account = Some(Arc::clone(account));
    }

    /// Bytes that it takes in memory, without the chunks.
    pub(super) fn weight(&self) -> usize {
        allocated(self.flat.capacity() * size_of::<Link>())
            + allocated(self.chunks.capacity() * size_of::<Arc<Chunk>>())
    }

    fn share(&mut self) {
        std::mem::take(&mut self.flat).into_iter().for_each(|link| self.push_shared(link));
    }

    fn push_shared(&mut self, link: Link) {
        let account = self.account.as_ref();
        match self.chunks.last_mut() {
            Some(last) if last.links.len() < CHUNK => {
                if let Some(last) = own(last, account) {
                    last.links.push(link);
                }
            }
            _ => self.chunks.push(Arc::new(Chunk::new(account, &[link]))),
        }
    }

    fn take_from(&mut self, at: usize) -> Vec<Link> {
        self.share();
        let cut = self.chunks.len().min(at / CHUNK);
        let moved = self.chunks.split_off(cut);
        let mut links = moved.iter().flat_map(|chunk| chunk.links.iter()).cloned();
        links.by_ref().take(at - cut * CHUNK).for_each(|link| self.push_shared(link));
        links.collect()
    }
}

/// A chunk that nobody else has: the one that is there, or a copy in its place.
fn own<'a>(chunk: &'a mut Arc<Chunk>, account: Option<&Arc<Account>>) -> Option<&'a mut Chunk> {
    if Arc::get_mut(chunk).is_none() {
        *chunk = Arc::new(Chunk::new(account, &chunk.links));
    }
    Arc::get_mut(chunk)
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
        *links.get_mut(0).unwrap() = link(0);
        let before = links.clone();
        *links.get_mut(3 * CHUNK + 1).unwrap() = link(0);
        let shared = |(one, other): (&Arc<_>, &Arc<_>)| Arc::ptr_eq(one, other);
        let same = links.chunks.iter().zip(&before.chunks).filter(|pair| shared(*pair)).count();
        assert_eq!(same, 9);
    }
}
