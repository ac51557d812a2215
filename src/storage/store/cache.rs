//! The page cache: what was read from the data file, within a budget of bytes that is never exceeded.
//! Must not know what a page holds, nor how to read what it does not have.
//!
//! A page that is asked for again and again has a frame, where it is found without a lock by whoever has kept the
//! number of the frame as a hint. The hint is checked against the page's own word of what it is. Where it leads
//! elsewhere, the directory has the number. All other pages are in the directory alone: exchanging what is in a frame
//! looks at every thread that ever read, which costs more than reading a page from the system's memory, and most pages
//! of data larger than the cache go before they would gain by it.
//!
//! Two queues, as in S3-FIFO: what comes in waits in a short one, and moves to the long one only when it was asked for
//! again by the time it gets to the front. A scan passes through the short queue and leaves the long one as it was.
//! What left the short queue is remembered for a while, and goes to the long one directly when it comes back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use super::frames::Frames;
use crate::memory;
use crate::storage::btree::{Held, Page, Place};
use crate::storage::slab::Reference;

/// The most shards, and the least bytes of one.
const SHARDS: usize = 16;
const SHARD_BYTES: usize = 1024 * 1024;
/// Part of a shard's budget that the short queue has.
const SHORT_PART: usize = 10;
/// Part of a shard's budget that one page may take at most.
const LARGEST_PART: usize = 4;
/// Bytes that the cache itself needs for a page: 76 in the directory and 16 in a queue, when they have just grown, 16
/// for the frame, 8 where free frames are kept, 36 for what it remembers of others.
const ENTRY_BYTES: usize = 152;
/// Times that a page is seen to have been asked for.
const MOST_HITS: u8 = 3;
/// Times that a page was asked for when it gets a frame.
const FRAMED_HITS: u8 = 2;

/// Pages by reference.
pub(super) struct Cache {
    frames: Frames,
    shards: Vec<RwLock<Shard>>,
}

#[derive(Default)]
struct Shard {
    budget: usize,
    directory: HashMap<u64, Entry, BuildHasherDefault<GrainHasher>>,
    short: Queue,
    long: Queue,
    remembered: VecDeque<u64>,
    is_remembered: HashSet<u64, BuildHasherDefault<GrainHasher>>,
    /// Frames with nothing in them.
    free: Vec<u32>,
}

#[derive(Default)]
struct Queue {
    grains: VecDeque<u64>,
    bytes: usize,
}

/// What the directory has for a grain.
struct Entry {
    content: Content,
    is_long: bool,
    bytes: u32,
}

/// Where the page of a grain is.
enum Content {
    Here(Arc<Page>),
    Frame(u32),
    /// Nowhere: the last page was too large, or was let go of.
    Nothing,
}

impl Cache {
    pub(super) fn new(budget: usize) -> Self {
        let shards = (budget / SHARD_BYTES).clamp(1, SHARDS);
        let shard = || RwLock::new(Shard { budget: budget / shards, ..Shard::default() });
        Self { frames: Frames::new(), shards: (0..shards).map(|_| shard()).collect() }
    }

    /// The page of an image. Notes in the place in which frame it is.
    pub(super) fn get(&self, place: &Place) -> Option<Held> {
        let reference = place.reference();
        if let Some(held) = self.look(place.hint(), reference) {
            return Some(held);
        }
        let shard = self.shard(reference.grain)?;
        let frame = {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            match &shard.directory.get(&reference.grain)?.content {
                Content::Here(page) if !page.is_of(reference) => return None,
                Content::Here(page) if count_hit(page) < FRAMED_HITS => {
                    return Some(Held::from(Arc::clone(page)));
                }
                Content::Here(_) => None,
                Content::Frame(frame) => Some(*frame),
                Content::Nothing => return None,
            }
        };
        let frame = frame.or_else(|| {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.give_frame(&self.frames, reference.grain)
        })?;
        // By now another page may be there.
        let held = self.look(frame, reference)?;
        place.set_hint(frame);
        Some(held)
    }

    /// Whether a page of this grain is there, which is not noted as asking for it.
    pub(super) fn has(&self, reference: Reference) -> bool {
        self.shard(reference.grain).is_some_and(|shard| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            let entry = shard.directory.get(&reference.grain);
            entry.is_some_and(|entry| !matches!(entry.content, Content::Nothing))
        })
    }

    fn look(&self, frame: u32, reference: Reference) -> Option<Held> {
        let held = Held::new(self.frames.load(frame)?);
        count_hit(held.page().filter(|page| page.is_of(reference))?);
        Some(held)
    }

    /// Keeps a page, if it is not too large.
    pub(super) fn insert(&self, page: &Arc<Page>) {
        let Some(shard) = self.shard(page.grain()) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let before = shard.bytes();
        shard.insert(&self.frames, page);
        // Whoever read the page does not keep it; those that went for it are given back by this thread.
        memory::takes_for_others(shard.bytes() as i64 - before as i64);
    }

    /// Changes the budget. What is over the new one is let go before this returns. The number of shards stays, and with
    /// it what part of the budget one page may take.
    pub(super) fn resize(&self, budget: usize) {
        let part = budget / self.shards.len().max(1);
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.budget = part;
            shard.evict(&self.frames, 0);
        }
    }

    /// Lets go of the page of a grain, which nobody asks for any more.
    pub(super) fn forget(&self, grain: u64) {
        let Some(shard) = self.shard(grain) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let page = shard.take(&self.frames, grain);
        drop(shard);
        drop(page);
    }

    /// Bytes of everything that is held.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |shard: &RwLock<Shard>| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.bytes()
        };
        self.shards.iter().map(bytes).sum()
    }

    fn shard(&self, grain: u64) -> Option<&RwLock<Shard>> {
        // Bits that the directory does not go by.
        let spread = spread(grain) >> 48;
        self.shards.get(usize::try_from(spread).ok()? % self.shards.len().max(1))
    }
}

impl Shard {
    fn bytes(&self) -> usize {
        self.short.bytes + self.long.bytes
    }

    /// Puts a page in, unless it is too large.
    fn insert(&mut self, frames: &Frames, page: &Arc<Page>) {
        let weight = page.weight() + ENTRY_BYTES;
        let fits = weight <= self.budget / LARGEST_PART;
        let bytes = u32::try_from(weight).ok().filter(|_| fits);
        if self.directory.contains_key(&page.grain()) {
            // The slot was written anew, or two readers missed it at once. The page takes the place in the queue of the
            // one that was there, or nothing does.
            drop(self.take(frames, page.grain()));
            if let Some(entry) = self.directory.get_mut(&page.grain())
                && let Some(bytes) = bytes
            {
                let queue = if entry.is_long { &mut self.long } else { &mut self.short };
                queue.bytes += bytes as usize;
                queue.bytes -= entry.bytes as usize;
                (entry.content, entry.bytes) = (Content::Here(Arc::clone(page)), bytes);
            }
            self.evict(frames, 0);
            return;
        }
        let Some(bytes) = bytes else { return };
        self.evict(frames, bytes as usize);
        let is_long = self.is_remembered.contains(&page.grain());
        let queue = if is_long { &mut self.long } else { &mut self.short };
        queue.grains.push_back(page.grain());
        queue.bytes += bytes as usize;
        let content = Content::Here(Arc::clone(page));
        self.directory.insert(page.grain(), Entry { content, is_long, bytes });
    }

    /// Moves the page of a grain to a frame, if it has none, and returns the frame.
    fn give_frame(&mut self, frames: &Frames, grain: u64) -> Option<u32> {
        let entry = self.directory.get_mut(&grain)?;
        match &entry.content {
            Content::Frame(frame) => Some(*frame),
            Content::Nothing => None,
            Content::Here(page) => {
                let frame = self.free.pop().or_else(|| frames.make())?;
                frames.swap(frame, Some(Arc::clone(page)));
                entry.content = Content::Frame(frame);
                Some(frame)
            }
        }
    }

    /// Takes out the page of a grain, whose place in a queue goes to another one there or comes to its end.
    fn take(&mut self, frames: &Frames, grain: u64) -> Option<Arc<Page>> {
        let entry = self.directory.get_mut(&grain)?;
        let queue = if entry.is_long { &mut self.long } else { &mut self.short };
        // The entry stays until its place in the queue comes to the front.
        queue.bytes -= std::mem::replace(&mut entry.bytes, ENTRY_BYTES as u32) as usize;
        queue.bytes += ENTRY_BYTES;
        let content = std::mem::replace(&mut entry.content, Content::Nothing);
        self.empty(frames, content)
    }

    /// The page that was somewhere, and is no more. Its frame is free.
    fn empty(&mut self, frames: &Frames, content: Content) -> Option<Arc<Page>> {
        match content {
            Content::Here(page) => Some(page),
            Content::Frame(frame) => {
                self.free.push(frame);
                frames.swap(frame, None)
            }
            Content::Nothing => None,
        }
    }

    /// Makes room for so many bytes.
    fn evict(&mut self, frames: &Frames, bytes: usize) {
        while self.bytes() + bytes > self.budget {
            let takes_short =
                self.short.bytes > self.budget / SHORT_PART || self.long.grains.is_empty();
            let queue = if takes_short { &mut self.short } else { &mut self.long };
            let Some(grain) = queue.grains.pop_front() else { return };
            let Some(entry) = self.directory.get_mut(&grain) else { continue };
            queue.bytes -= entry.bytes as usize;
            if entry.content.is_wanted_again(frames, takes_short) {
                entry.is_long = true;
                self.long.bytes += entry.bytes as usize;
                self.long.grains.push_back(grain);
                continue;
            }
            if let Some(entry) = self.directory.remove(&grain) {
                drop(self.empty(frames, entry.content));
            }
            if takes_short {
                self.remember(grain);
            }
        }
    }

    fn remember(&mut self, grain: u64) {
        if self.is_remembered.insert(grain) {
            self.remembered.push_back(grain);
        }
        while self.remembered.len() > self.directory.len()
            && let Some(forgotten) = self.remembered.pop_front()
        {
            self.is_remembered.remove(&forgotten);
        }
    }
}

impl Content {
    /// Whether a page goes once more through the long queue. From the short one it begins there anew.
    fn is_wanted_again(&self, frames: &Frames, was_short: bool) -> bool {
        let held;
        let page = match self {
            Self::Here(page) => page,
            Self::Nothing => return false,
            Self::Frame(frame) => {
                held = frames.load(*frame);
                let Some(page) = held.as_ref().and_then(|held| held.as_ref()) else { return false };
                page
            }
        };
        let hits = page.hits();
        page.set_hits(if was_short { 0 } else { hits.saturating_sub(1) });
        hits > 0
    }
}

/// Notes that a page was asked for. Returns how often it was, as far as that is counted.
fn count_hit(page: &Page) -> u8 {
    let hits = page.hits();
    if hits < MOST_HITS {
        page.set_hits(hits + 1);
        return hits + 1;
    }
    hits
}

/// Grains are multiples of what a slot has. Both halves of the result depend on all of their bits.
fn spread(grain: u64) -> u64 {
    let product = grain.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

/// Hashes a grain.
#[derive(Default)]
struct GrainHasher(u64);

impl Hasher for GrainHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, grain: u64) {
        self.0 = spread(self.0 ^ grain);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::testing::Random;

    fn reference(grain: u64, sum: u64) -> Reference {
        Reference { grain, length: 1, sum }
    }

    fn put(cache: &Cache, reference: Reference, bytes: usize) {
        let page = Page::value(reference, Bytes::from(vec![0; bytes]));
        cache.insert(&Arc::new(page));
    }

    fn has(cache: &Cache, reference: Reference) -> bool {
        cache.get(&Place::new(reference)).is_some()
    }

    /// The frame of a page, which it is given if it has none.
    fn frame(cache: &Cache, place: &Place) -> Option<u32> {
        (0..FRAMED_HITS).for_each(|_| drop(cache.get(place)));
        cache.get(place).map(|_| place.hint())
    }

    #[test]
    fn the_budget_is_never_exceeded() {
        let mut random = Random::from_environment();
        for budget in [0, 10_000, 3 << 20] {
            let cache = Cache::new(budget);
            for _ in 0..5_000 {
                let at = reference(random.below(500), random.below(3));
                if random.once_in(2) {
                    has(&cache, at);
                } else {
                    put(&cache, at, random.below(30_000) as usize);
                }
                assert!(cache.bytes() <= budget);
            }
            assert!(cache.bytes() >= budget / 2, "{} of {budget}", cache.bytes());
        }
    }

    #[test]
    fn a_budget_may_shrink_and_grow() {
        let cache = Cache::new(4 << 20);
        let fill = || (1..1_000).for_each(|grain| put(&cache, reference(grain, 1), 9_000));
        fill();
        assert!(cache.bytes() > 3 << 20);
        for budget in [1 << 20, 0] {
            cache.resize(budget);
            assert!(cache.bytes() <= budget);
            fill();
            assert!(cache.bytes() <= budget);
        }
        cache.resize(6 << 20);
        fill();
        assert!((5 << 20..=6 << 20).contains(&cache.bytes()), "{}", cache.bytes());
        assert!(has(&cache, reference(999, 1)));
    }

    /// What is held is what was counted, and what was counted is what is found.
    #[test]
    fn readers_beside_each_other_stay_within_the_budget() {
        let (cache, budget) = (Cache::new(2 << 20), 2 << 20);
        let bytes = |grain: u64| (grain * 37 % 9_000) as usize;
        std::thread::scope(|scope| {
            for reader in 0..4 {
                let cache = &cache;
                scope.spawn(move || {
                    let mut random = Random::seeded(reader);
                    let places: Vec<_> =
                        (1..1_000).map(|grain| Place::new(reference(grain, 5))).collect();
                    for _ in 0..20_000 {
                        let place = &places[random.below(999) as usize];
                        let reference = place.reference();
                        if let Some(held) = cache.get(place) {
                            let value = held.page().unwrap().as_value().unwrap();
                            assert_eq!(value.len(), bytes(reference.grain));
                        } else {
                            let value = Bytes::from(vec![1; bytes(reference.grain)]);
                            cache.insert(&Arc::new(Page::value(reference, value)));
                        }
                        assert!(cache.bytes() <= budget);
                    }
                });
            }
        });
        let held: Vec<_> =
            (1..1_000).filter_map(|grain| cache.get(&Place::new(reference(grain, 5)))).collect();
        let weights: usize =
            held.iter().map(|held| held.page().unwrap().weight() + ENTRY_BYTES).sum();
        assert_eq!(weights, cache.bytes());
        assert!(weights > budget * 9 / 10, "{weights}");
    }

    #[test]
    fn what_was_let_go_of_counts_no_more_and_can_come_back() {
        let (cache, budget) = (Cache::new(1 << 20), 1 << 20);
        let at = |grain| reference(grain, 1);
        (0..100).for_each(|grain| put(&cache, at(grain), 1_000));
        let full = cache.bytes();
        (0..50).for_each(|grain| cache.forget(grain));
        cache.forget(7);
        cache.forget(1_000);
        // Their places are kept until others take them.
        assert_eq!(cache.bytes(), full / 2 + 50 * ENTRY_BYTES);
        assert!((0..100).all(|grain| has(&cache, at(grain)) == (grain >= 50)));
        (0..50).for_each(|grain| put(&cache, at(grain), 1_000));
        assert_eq!(cache.bytes(), full);
        assert!((0..100).all(|grain| has(&cache, at(grain))));
        // Nothing is left behind that makes others go too early, or never.
        (0..2_000).for_each(|grain| put(&cache, at(grain), 1_000));
        assert!((budget / 2..=budget).contains(&cache.bytes()), "{}", cache.bytes());
    }

    #[test]
    fn a_slot_that_was_written_anew_is_not_taken_for_the_old_one() {
        let cache = Cache::new(1 << 20);
        let [old, new] = [1, 2].map(|sum| Place::new(reference(1, sum)));
        put(&cache, reference(1, 1), 100);
        assert!(frame(&cache, &old).is_some() && cache.get(&new).is_none());
        put(&cache, reference(1, 2), 100);
        // The hint of the old one leads to the frame that the new one has now.
        assert!(frame(&cache, &new).is_some() && cache.get(&old).is_none());
        assert_eq!(old.hint(), new.hint());
        put(&cache, reference(1, 3), 1 << 20);
        assert!((1..4).all(|sum| !has(&cache, reference(1, sum))));
    }

    #[test]
    fn a_hint_to_a_frame_that_another_page_has_now_is_not_believed() {
        let cache = Cache::new(20_000);
        let place = Place::new(reference(1, 7));
        put(&cache, place.reference(), 4_000);
        let length = |place: &Place| Some(cache.get(place)?.page()?.as_value()?.len());
        let hint = frame(&cache, &place).unwrap();
        assert_eq!(length(&place), Some(4_000));
        // Others are asked for as well, so that this one has to go in the end.
        let taken = (2..100).any(|taker| {
            put(&cache, reference(taker, 7), 3_000);
            assert!(frame(&cache, &Place::new(reference(taker, 7))).is_some());
            let found = cache.frames.load(hint).unwrap();
            found.as_ref().is_some_and(|page| page.grain() != 1)
        });
        assert!(taken);
        assert_eq!((length(&place), place.hint()), (None, hint));
        // Back, in another frame: the hint is wrong, the directory is not, and the hint is mended.
        put(&cache, place.reference(), 4_000);
        assert!(frame(&cache, &place).is_some());
        place.set_hint(hint);
        assert_eq!(length(&place), Some(4_000));
        for wrong in [u32::MAX, hint, hint + 1] {
            place.set_hint(wrong);
            assert_eq!(length(&place), Some(4_000));
            let found = cache.frames.load(place.hint()).unwrap();
            assert_eq!(found.as_ref().unwrap().grain(), 1);
        }
    }

    /// Reading data once that is larger than the cache exchanges nothing in frames.
    #[test]
    fn a_page_has_a_frame_once_it_was_asked_for_twice() {
        let cache = Cache::new(1 << 20);
        for grain in 0..5_000 {
            put(&cache, reference(grain, 1), 1_000);
            assert!(has(&cache, reference(grain, 1)));
        }
        assert!(cache.frames.load(0).is_none());
        assert!(has(&cache, reference(4_999, 1)));
        let place = Place::new(reference(4_999, 1));
        assert!(cache.get(&place).is_some());
        assert_eq!(place.hint(), 0);
        assert!(cache.frames.load(0).unwrap().is_some());
        cache.forget(4_999);
        assert!(cache.frames.load(0).unwrap().is_none() && cache.get(&place).is_none());
    }

    #[test]
    fn a_scan_leaves_what_is_used_often() {
        let cache = Cache::new(1 << 20);
        let hot = 0..300;
        for _ in 0..3 {
            for grain in hot.clone() {
                if !has(&cache, reference(grain, 0)) {
                    put(&cache, reference(grain, 0), 1_000);
                }
            }
        }
        for grain in 1_000..20_000 {
            put(&cache, reference(grain, 0), 1_000);
        }
        let kept = hot.filter(|grain| has(&cache, reference(*grain, 0))).count();
        assert!(kept > 250, "{kept} of 300");
    }

    /// A slot has a fixed number of grains, so that what is to be told apart may have low bits in common.
    #[test]
    fn shards_and_directories_are_filled_evenly() {
        let shards = 16_u64;
        for step in [1, 2, 16, 256] {
            let mut counts = vec![0; 16];
            let mut buckets = HashSet::new();
            for grain in (0..4_096).map(|at| 256 + at * step) {
                let shard = (spread(grain) >> 48) % shards;
                counts[shard as usize] += 1;
                if shard == 3 {
                    buckets.insert(spread(grain) % 512);
                }
            }
            assert!(counts.iter().all(|count| (100..500).contains(count)), "{step}: {counts:?}");
            assert!(buckets.len() > 120, "{step}: {}", buckets.len());
        }
    }
}
