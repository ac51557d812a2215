//! The page cache: what was read from the data file, within a budget of bytes that is never exceeded.
//! Must not know trees, nor how to read what it does not have.
//!
//! Two queues, as in S3-FIFO: what comes in waits in a short one, and moves to the long one only when it was asked for
//! again by the time it gets to the front. A scan passes through the short queue and leaves the long one as it was.
//! What left the short queue is remembered for a while, and goes to the long one directly when it comes back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use crate::storage::btree::Node;
use crate::storage::slab::Reference;

/// The most shards, and the least bytes of one.
const SHARDS: usize = 16;
const SHARD_BYTES: usize = 1024 * 1024;
/// Part of a shard's budget that the short queue has.
const SHORT_PART: usize = 10;
/// Part of a shard's budget that one page may take at most.
const LARGEST_PART: usize = 4;
/// Bytes that the cache itself needs for an entry, in the map and a queue, and for what it remembers of others.
const ENTRY_BYTES: usize = 128;
/// Times that an entry is seen to have been asked for.
const MOST_HITS: u8 = 3;

/// What is kept of an image.
#[derive(Debug, Clone)]
pub(super) enum Page {
    /// A node.
    Node(Arc<Node>),
    /// A long value, under the reference that its leaf has.
    Value(Bytes),
}

/// Pages by reference.
pub(super) struct Cache {
    shards: Vec<RwLock<Shard>>,
}

#[derive(Default)]
struct Shard {
    budget: usize,
    pages: HashMap<u64, Entry>,
    short: Queue,
    long: Queue,
    remembered: VecDeque<u64>,
    is_remembered: HashSet<u64>,
}

#[derive(Default)]
struct Queue {
    grains: VecDeque<u64>,
    bytes: usize,
}

struct Entry {
    page: Page,
    /// Of the image: a slot may have been written anew.
    sum: u64,
    bytes: usize,
    hits: AtomicU8,
    is_long: bool,
}

impl Page {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Node(node) => node.weight(),
                Self::Value(value) => value.len(),
            }
    }
}

impl Cache {
    pub(super) fn new(budget: usize) -> Self {
        let shards = (budget / SHARD_BYTES).clamp(1, SHARDS);
        let shard = || RwLock::new(Shard { budget: budget / shards, ..Shard::default() });
        Self { shards: (0..shards).map(|_| shard()).collect() }
    }

    pub(super) fn get(&self, reference: Reference) -> Option<Page> {
        let shard = self.shard(reference)?.read().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.pages.get(&reference.grain).filter(|entry| entry.sum == reference.sum)?;
        let hits = entry.hits.load(Ordering::Relaxed);
        if hits < MOST_HITS {
            entry.hits.store(hits + 1, Ordering::Relaxed);
        }
        Some(entry.page.clone())
    }

    pub(super) fn insert(&self, reference: Reference, page: Page) {
        let Some(shard) = self.shard(reference) else { return };
        shard.write().unwrap_or_else(PoisonError::into_inner).insert(reference, page);
    }

    /// Bytes of everything that is held.
    pub(super) fn bytes(&self) -> usize {
        let bytes =
            |shard: &RwLock<Shard>| shard.read().unwrap_or_else(PoisonError::into_inner).bytes();
        self.shards.iter().map(bytes).sum()
    }

    fn shard(&self, reference: Reference) -> Option<&RwLock<Shard>> {
        let spread = reference.grain.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.shards.get(usize::try_from(spread).ok()? % self.shards.len().max(1))
    }
}

impl Shard {
    fn bytes(&self) -> usize {
        self.short.bytes + self.long.bytes
    }

    fn insert(&mut self, reference: Reference, page: Page) {
        let bytes = page.bytes();
        let is_too_large = bytes > self.budget / LARGEST_PART;
        if let Some(old) = self.pages.get_mut(&reference.grain) {
            // In its place in the queue, or as nothing there when it is too large now.
            let queue = if old.is_long { &mut self.long } else { &mut self.short };
            queue.bytes -= old.bytes;
            old.bytes = if is_too_large { 0 } else { bytes };
            queue.bytes += old.bytes;
            if is_too_large {
                old.page = Page::Value(Bytes::new());
            } else {
                old.page = page;
            }
            // A checksum that the reference does not have keeps the empty page from being found.
            old.sum = if is_too_large { !reference.sum } else { reference.sum };
            old.hits = AtomicU8::new(0);
            self.evict(0);
            return;
        }
        if is_too_large {
            return;
        }
        self.evict(bytes);
        let is_long = self.is_remembered.contains(&reference.grain);
        let queue = if is_long { &mut self.long } else { &mut self.short };
        queue.grains.push_back(reference.grain);
        queue.bytes += bytes;
        let (sum, hits) = (reference.sum, AtomicU8::new(0));
        self.pages.insert(reference.grain, Entry { page, sum, bytes, hits, is_long });
    }

    /// Makes room for so many bytes.
    fn evict(&mut self, bytes: usize) {
        while self.bytes() + bytes > self.budget {
            let takes_short =
                self.short.bytes > self.budget / SHORT_PART || self.long.grains.is_empty();
            let queue = if takes_short { &mut self.short } else { &mut self.long };
            let Some(grain) = queue.grains.pop_front() else { return };
            let Some(entry) = self.pages.get_mut(&grain) else { continue };
            queue.bytes -= entry.bytes;
            let hits = entry.hits.load(Ordering::Relaxed);
            if hits > 0 {
                // Once more through the long queue.
                *entry.hits.get_mut() = if takes_short { 0 } else { hits - 1 };
                entry.is_long = true;
                self.long.bytes += entry.bytes;
                self.long.grains.push_back(grain);
                continue;
            }
            self.pages.remove(&grain);
            if takes_short {
                self.remember(grain);
            }
        }
    }

    fn remember(&mut self, grain: u64) {
        if self.is_remembered.insert(grain) {
            self.remembered.push_back(grain);
        }
        while self.remembered.len() > self.pages.len()
            && let Some(forgotten) = self.remembered.pop_front()
        {
            self.is_remembered.remove(&forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn reference(grain: u64, sum: u64) -> Reference {
        Reference { grain, length: 1, sum }
    }

    fn page(bytes: usize) -> Page {
        Page::Value(Bytes::from(vec![0; bytes]))
    }

    #[test]
    fn the_budget_is_never_exceeded() {
        let mut random = Random::from_environment();
        for budget in [0, 10_000, 3 << 20] {
            let cache = Cache::new(budget);
            for _ in 0..5_000 {
                let at = reference(random.below(500), random.below(3));
                if random.once_in(2) {
                    drop(cache.get(at));
                } else {
                    cache.insert(at, page(random.below(30_000) as usize));
                }
                assert!(cache.bytes() <= budget);
            }
            assert!(cache.bytes() >= budget / 2, "{} of {budget}", cache.bytes());
        }
    }

    #[test]
    fn a_slot_that_was_written_anew_is_not_taken_for_the_old_one() {
        let cache = Cache::new(1 << 20);
        cache.insert(reference(1, 1), page(100));
        assert!(cache.get(reference(1, 1)).is_some() && cache.get(reference(1, 2)).is_none());
        cache.insert(reference(1, 2), page(100));
        assert!(cache.get(reference(1, 2)).is_some() && cache.get(reference(1, 1)).is_none());
        cache.insert(reference(1, 3), page(1 << 20));
        assert!((1..4).all(|sum| cache.get(reference(1, sum)).is_none()));
    }

    #[test]
    fn a_scan_leaves_what_is_used_often() {
        let cache = Cache::new(1 << 20);
        let hot = 0..300;
        for _ in 0..3 {
            for grain in hot.clone() {
                if cache.get(reference(grain, 0)).is_none() {
                    cache.insert(reference(grain, 0), page(1_000));
                }
            }
        }
        for grain in 1_000..20_000 {
            cache.insert(reference(grain, 0), page(1_000));
        }
        let kept = hot.filter(|grain| cache.get(reference(*grain, 0)).is_some()).count();
        assert!(kept > 250, "{kept} of 300");
    }
}
