//! Nodes as they are in memory. Must not know where they come from.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::encode::{HEAD, LEAF_ENTRY_BYTES, LONG_VALUE_BYTES, NODE_HEADER};
use super::image::LeafImage;
use super::inner::Inner;
use super::long::{LongValue, SHORT_VALUE};
use super::page::shared;
use crate::storage::slab::Reference;

/// A node. Never changed once others can see it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    /// A leaf as it was stored.
    Image(LeafImage),
    /// A leaf that is being changed.
    Leaf(Box<Leaf>),
    Inner(Box<Inner>),
}

/// A node that was made in memory. Never changed once others can see it, but for the slot that a checkpoint gives it.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) node: Node,
    /// The epoch in which it was made: see [`super::Edit`].
    pub(super) born: u64,
    /// Where a checkpoint has put it.
    pub(super) stored: Arc<OnceLock<Reference>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Leaf {
    pub(super) entries: Vec<Entry>,
    /// What the image would have at most.
    pub(super) bytes: usize,
    /// Bytes that are kept as a whole for the entries that are parts of them.
    pub(super) kept: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Bytes,
    pub(super) value: Value,
    /// Whether it is a part of something that is counted as a whole: of the image that the leaf was read from, or of the
    /// record of a commit.
    pub(super) is_part: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Short(Bytes),
    Long(Arc<LongValue>),
}

impl Fresh {
    pub(super) fn new(node: Node, born: u64) -> Self {
        Self { node, born, stored: Arc::default() }
    }

    /// Another one that says the same, of the same epoch and with the same slot.
    pub(super) fn with_node(&self, node: Node) -> Self {
        Self { node, born: self.born, stored: Arc::clone(&self.stored) }
    }
}

impl Body {
    pub(super) fn leaf(leaf: Leaf) -> Self {
        Self::Leaf(Box::new(leaf))
    }
}

impl Node {
    pub(super) fn new(body: Body) -> Self {
        Self { body }
    }

    /// 0 for a leaf, one more than its children for an inner node.
    pub(super) fn level(&self) -> u8 {
        match &self.body {
            Body::Image(_) | Body::Leaf(_) => 0,
            Body::Inner(inner) => inner.level(),
        }
    }

    /// Bytes that it takes in memory, beside what is in place in whatever holds it.
    pub(crate) fn weight(&self) -> usize {
        match &self.body {
            Body::Image(image) => image.weight(),
            Body::Leaf(leaf) => leaf.weight(),
            Body::Inner(inner) => inner.weight(),
        }
    }

    /// What its image would have at most, with any common prefix or none.
    pub(super) fn image_bytes(&self) -> usize {
        match &self.body {
            Body::Image(image) => image.most_bytes(),
            Body::Leaf(leaf) => leaf.bytes,
            Body::Inner(inner) => inner.image_bytes(),
        }
    }

    /// Entries of a leaf, children of an inner node.
    pub(super) fn len(&self) -> usize {
        match &self.body {
            Body::Image(image) => image.len(),
            Body::Leaf(leaf) => leaf.entries.len(),
            Body::Inner(inner) => inner.len(),
        }
    }

    /// Entries in all leaves beneath it, or in it.
    pub(super) fn count(&self) -> u64 {
        match &self.body {
            Body::Image(image) => image.len() as u64,
            Body::Leaf(leaf) => leaf.entries.len() as u64,
            Body::Inner(inner) => inner.count(),
        }
    }
}

impl Entry {
    pub(super) fn bytes(&self) -> usize {
        let value = match &self.value {
            Value::Short(value) => value.len(),
            Value::Long(_) => LONG_VALUE_BYTES,
        };
        LEAF_ENTRY_BYTES + self.key.len().saturating_sub(HEAD) + value
    }
}

impl Entry {
    pub(super) fn new(key: Bytes, value: Bytes, is_part: bool) -> Self {
        let value = if value.len() > SHORT_VALUE {
            Value::Long(Arc::new(LongValue::fresh(value)))
        } else {
            Value::Short(value)
        };
        Self { key, value, is_part }
    }

    /// Bytes of memory that are its own. Those of a long value are not: they stay when the entry goes.
    pub(super) fn weight(&self) -> usize {
        let own = match &self.value {
            _ if self.is_part => 0,
            Value::Short(value) => shared(self.key.len()) + shared(value.len()),
            Value::Long(_) => shared(self.key.len()),
        };
        size_of::<Self>() + own
    }
}

impl Leaf {
    /// A leaf of entries, for the sake of which so many bytes are kept at most.
    pub(super) fn new(entries: Vec<Entry>, most_kept: usize) -> Self {
        let kept = if entries.iter().any(|entry| entry.is_part) { most_kept } else { 0 };
        // A prefix saves its length with every key, but for what is in the head of the only one.
        let bytes = NODE_HEADER + HEAD + entries.iter().map(Entry::bytes).sum::<usize>();
        Self { entries, bytes, kept }
    }

    fn weight(&self) -> usize {
        let unused = (self.entries.capacity() - self.entries.len()) * size_of::<Entry>();
        self.kept + unused + self.entries.iter().map(Entry::weight).sum::<usize>()
    }

    pub(super) fn position(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.key.as_ref().cmp(key))
    }
}
