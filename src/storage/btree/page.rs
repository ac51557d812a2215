//! What is kept in memory of an image, and what it takes there. Must not know who keeps it, nor for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::Guard;
use bytes::Bytes;

use super::node::Node;
use crate::storage::StorageError;
use crate::storage::ledger::allocated;
use crate::storage::slab::Reference;

/// An image that was read. Aligned so that what a search needs of it is one line of the processor's cache.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Page {
    content: Content,
    grain: u64,
    sum: u64,
    hits: AtomicU8,
}

/// What was made of an image.
#[derive(Debug)]
enum Content {
    Node(Node),
    /// A long value, under the reference that its leaf has.
    Value(Bytes),
}

/// A page that stays while this is held, whether or not it stays in the cache.
pub(crate) struct Held(Guard<Option<Arc<Page>>>);

impl Page {
    pub(crate) fn node(reference: Reference, node: Node) -> Self {
        Self::new(reference, Content::Node(node))
    }

    pub(crate) fn value(reference: Reference, value: Bytes) -> Self {
        Self::new(reference, Content::Value(value))
    }

    fn new(reference: Reference, content: Content) -> Self {
        let Reference { grain, sum, .. } = reference;
        Self { content, grain, sum, hits: AtomicU8::new(0) }
    }

    /// Whether it is of this image. A slot may have been written anew: then the checksum is another.
    pub(crate) fn is_of(&self, reference: Reference) -> bool {
        self.grain == reference.grain && self.sum == reference.sum
    }

    pub(crate) fn grain(&self) -> u64 {
        self.grain
    }

    /// Times that it was asked for, as far as somebody counted.
    pub(crate) fn hits(&self) -> u8 {
        self.hits.load(Ordering::Relaxed)
    }

    pub(crate) fn set_hits(&self, hits: u8) {
        self.hits.store(hits, Ordering::Relaxed);
    }

    /// The value, if it is one.
    pub(crate) fn as_value(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Value(value) => Some(value),
            Content::Node(_) => None,
        }
    }

    /// Bytes of memory that it takes.
    pub(crate) fn weight(&self) -> usize {
        /// Reference counts, and what the alignment leaves empty.
        const COUNTS: usize = align_of::<Page>();
        let content = match &self.content {
            Content::Node(node) => node.weight(),
            Content::Value(value) => shared(value.len()),
        };
        allocated(size_of::<Self>() + COUNTS) + content
    }
}

impl Held {
    pub(crate) fn new(page: Guard<Option<Arc<Page>>>) -> Self {
        Self(page)
    }

    pub(crate) fn page(&self) -> Option<&Page> {
        self.0.as_deref()
    }

    /// Whether it is a node of this level, where one is expected.
    pub(crate) fn has_level(&self, level: Option<u8>) -> bool {
        let node = self.node().ok();
        node.is_some_and(|node| level.is_none_or(|level| level == node.level()))
    }

    /// The node that the page is.
    pub(super) fn node(&self) -> Result<&Node, StorageError> {
        match self.page().map(|page| &page.content) {
            Some(Content::Node(node)) => Ok(node),
            _ => Err(StorageError::corrupt("memory", "a page that is no node")),
        }
    }
}

impl From<Page> for Held {
    fn from(page: Page) -> Self {
        Self::from(Arc::new(page))
    }
}

impl From<Arc<Page>> for Held {
    fn from(page: Arc<Page>) -> Self {
        Self(Guard::from_inner(Some(page)))
    }
}

/// Bytes of memory that a [`Bytes`] of so many takes that is not a part of another.
pub(crate) fn shared(bytes: usize) -> usize {
    /// Its reference count, which is kept elsewhere.
    const COUNT: usize = 32;
    allocated(bytes) + COUNT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_search_needs_of_a_page_is_one_line() {
        assert_eq!(size_of::<Page>(), 64);
    }
}
