//! The data file behind its cache: where trees find nodes and long values, and where a checkpoint puts them.
//! Must not know commits, nor which trees there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::cache::Cache;
use crate::limits::LONG_READ_BYTES;
use crate::storage::btree::{Held, Page, Place, Sink, Source, decode, read_long_value};
use crate::storage::damage::Damages;
use crate::storage::long_reads::LongReads;
use crate::storage::slab::{EXTENT, GRAIN, Reference, Slab};
use crate::storage::{ReadMode, StorageError};

pub(super) struct Pages {
    pub(super) slab: Slab,
    cache: Cache,
    /// What the cache may take.
    budget: AtomicUsize,
    /// What the maps of the data file took when somebody looked last.
    maps: AtomicUsize,
    /// What is held of long values that were read.
    pub(super) long_reads: Arc<LongReads>,
    /// What could not be read.
    pub(super) damages: Damages,
}

impl Pages {
    pub(super) fn new(slab: Slab, cache_bytes: usize) -> Self {
        let maps = AtomicUsize::new(slab.map_bytes());
        let (cache, budget) = (Cache::new(cache_bytes), AtomicUsize::new(cache_bytes));
        let (long_reads, damages) = (Arc::default(), Damages::default());
        Self { slab, cache, budget, maps, long_reads, damages }
    }

    /// Changes what the cache may take, unless it is about that already.
    pub(super) fn resize_cache(&self, bytes: usize, about: usize) {
        if self.budget.load(Ordering::Relaxed).abs_diff(bytes) > about {
            self.budget.store(bytes, Ordering::Relaxed);
            self.cache.resize(bytes);
        }
    }

    /// Bytes of memory that the maps of the data file take.
    pub(super) fn map_bytes(&self) -> usize {
        self.maps.load(Ordering::Relaxed)
    }

    /// Makes free what nobody reads any more, in the data file and in memory. As [`Slab::reclaim`], must not run beside
    /// the writing of a checkpoint.
    pub(super) fn reclaim(&self) {
        for grain in self.slab.reclaim() {
            self.cache.forget(grain);
        }
        self.maps.store(self.slab.map_bytes(), Ordering::Relaxed);
    }

    pub(super) fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }
}

/// The same for those who look for damage: what they cannot read is not noted.
pub(super) struct Quiet<'a>(pub(super) &'a Pages);

impl Source for Quiet<'_> {
    fn node(
        &self,
        tree: u64,
        place: &Place,
        level: Option<u8>,
        mode: ReadMode,
    ) -> Result<Held, StorageError> {
        self.0.find_node(tree, place, level, mode)
    }

    fn long_value(
        &self,
        reference: Reference,
        length: u64,
        mode: ReadMode,
    ) -> Result<Bytes, StorageError> {
        self.0.long_value(reference, length, mode)
    }
}

impl Pages {
    /// A node from the cache, or else from the data file.
    fn find_node(
        &self,
        tree: u64,
        place: &Place,
        level: Option<u8>,
        mode: ReadMode,
    ) -> Result<Held, StorageError> {
        if let Some(held) = self.cache.get(place)
            && held.has_level(level)
        {
            return Ok(held);
        }
        self.read_node(tree, place.reference(), level, mode)
    }

    /// Reads a node from the data file into the cache.
    fn read_node(
        &self,
        tree: u64,
        reference: Reference,
        level: Option<u8>,
        mode: ReadMode,
    ) -> Result<Held, StorageError> {
        let image = match mode {
            ReadMode::MayBlock => self.slab.read(reference)?,
            ReadMode::CachedOnly => self.slab.read_at_once(reference)?,
        };
        let node = decode(&image, tree, level).map_err(|problem| {
            let place = format!("slab.data at {}", reference.grain.saturating_mul(GRAIN));
            StorageError::corrupt(place, problem)
        })?;
        let page = Arc::new(Page::node(reference, node));
        self.cache.insert(&page);
        Ok(Held::from(page))
    }
}

impl Source for Pages {
    fn node(
        &self,
        tree: u64,
        place: &Place,
        level: Option<u8>,
        mode: ReadMode,
    ) -> Result<Held, StorageError> {
        self.find_node(tree, place, level, mode).inspect_err(|error| {
            self.damages.note_node(tree, place.reference().grain, error);
        })
    }

    fn replaced(&self, place: &Place) {
        self.cache.forget(place.reference().grain);
    }

    fn long_value(
        &self,
        reference: Reference,
        length: u64,
        mode: ReadMode,
    ) -> Result<Bytes, StorageError> {
        let place = Place::new(reference);
        if let Some(held) = self.cache.get(&place)
            && let Some(value) = held.page().and_then(Page::as_value)
        {
            return Ok(value.clone());
        }
        let room = match mode {
            ReadMode::MayBlock if length > LONG_READ_BYTES => Some(self.long_reads.enter(length)?),
            _ => None,
        };
        let value = match mode {
            ReadMode::MayBlock => read_long_value(&self.slab, reference, length)?,
            // Copying a longer one takes too long for a thread that must not wait.
            ReadMode::CachedOnly if length > EXTENT => return Err(StorageError::NotResident),
            ReadMode::CachedOnly => self.slab.read_at_once(reference)?,
        };
        self.cache.insert(&Arc::new(Page::value(reference, value.clone())));
        // What the cache has of it is the cache's.
        Ok(match room {
            Some(room) => room.with(value),
            None => value,
        })
    }

    fn note_value(&self, tree: u64, key: &[u8], error: &StorageError) {
        self.damages.note_value(tree, key, error);
    }

    fn will_read(&self, mut nodes: Vec<Reference>) {
        nodes.retain(|node| !self.cache.has(*node));
        self.slab.will_read(nodes);
    }
}

impl Sink for Pages {
    fn store_node(
        &self,
        tree: u64,
        image: Bytes,
        is_wanted: bool,
    ) -> Result<Reference, StorageError> {
        let reference = self.slab.store(tree, &image)?;
        // What was changed lately is likely to be read soon.
        if is_wanted && let Ok(node) = decode(&image, tree, None) {
            let page = Page::node(reference, node);
            self.cache.insert(&Arc::new(page));
        }
        Ok(reference)
    }

    fn store_part(&self, tree: u64, part: &[u8]) -> Result<Reference, StorageError> {
        self.slab.store(tree, part)
    }

    fn discard(&self, reference: Reference) {
        self.cache.forget(reference.grain);
        self.slab.discard(reference);
    }
}
