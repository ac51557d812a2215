//! Nodes as they are in memory. Must not know where they come from.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::encode::{HEAD, INNER_ENTRY_BYTES, LEAF_ENTRY_BYTES, LONG_VALUE_BYTES, NODE_HEADER};
use super::image::LeafImage;
use super::long::LongValue;
use crate::storage::slab::Reference;

/// A node. Never changed once others can see it, but for the slot that a checkpoint gives it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(super) level: u8,
    /// The epoch in which it was made, if it was made in memory: see [`super::Edit`].
    pub(super) born: u64,
    /// Where a checkpoint has put it.
    pub(super) stored: Arc<OnceLock<Reference>>,
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    /// A leaf as it was stored.
    Image(LeafImage),
    /// A leaf that is being changed.
    Leaf(Leaf),
    Inner(Inner),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Leaf {
    pub(super) entries: Vec<Entry>,
    /// What the image would have at most.
    pub(super) bytes: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Bytes,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Short(Bytes),
    Long(Arc<LongValue>),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inner {
    pub(super) children: Vec<Child>,
    /// What the image would have at most.
    pub(super) bytes: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Child {
    /// Not greater than any key beneath it and greater than all before it; of a first child it says nothing.
    pub(super) low: Bytes,
    /// Entries beneath it.
    pub(super) count: u64,
    pub(super) link: Link,
}

#[derive(Debug, Clone)]
pub(super) enum Link {
    Stored(Reference),
    Memory(Arc<Node>),
}

impl Clone for Node {
    /// A copy to be changed: it has no slot, whatever becomes of this one.
    fn clone(&self) -> Self {
        let stored = Arc::default();
        Self { level: self.level, born: self.born, stored, body: self.body.clone() }
    }
}

impl Node {
    pub(super) fn new(level: u8, born: u64, body: Body) -> Self {
        Self { level, born, stored: Arc::default(), body }
    }

    /// Bytes that it takes in memory, roughly.
    pub(crate) fn weight(&self) -> usize {
        match &self.body {
            Body::Image(image) => image.weight(),
            Body::Leaf(leaf) => leaf.bytes + leaf.entries.len() * size_of::<Entry>(),
            Body::Inner(inner) => inner.bytes + inner.children.len() * size_of::<Child>(),
        }
    }

    /// What its image would have at most.
    pub(super) fn image_bytes(&self) -> usize {
        match &self.body {
            Body::Image(image) => image.bytes(),
            Body::Leaf(leaf) => leaf.bytes,
            Body::Inner(inner) => inner.bytes,
        }
    }

    /// Entries of a leaf, children of an inner node.
    pub(super) fn len(&self) -> usize {
        match &self.body {
            Body::Image(image) => image.len(),
            Body::Leaf(leaf) => leaf.entries.len(),
            Body::Inner(inner) => inner.children.len(),
        }
    }

    /// Entries in all leaves beneath it, or in it.
    pub(super) fn count(&self) -> u64 {
        match &self.body {
            Body::Image(image) => image.len() as u64,
            Body::Leaf(leaf) => leaf.entries.len() as u64,
            Body::Inner(inner) => inner.children.iter().map(|child| child.count).sum(),
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

impl Leaf {
    pub(super) fn from_entries(entries: Vec<Entry>) -> Self {
        // A prefix saves its length with every key, but for what is in the head of the only one.
        let bytes = NODE_HEADER + HEAD + entries.iter().map(Entry::bytes).sum::<usize>();
        Self { entries, bytes }
    }

    pub(super) fn position(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.key.as_ref().cmp(key))
    }
}

impl Child {
    pub(super) fn bytes(&self) -> usize {
        INNER_ENTRY_BYTES + self.low.len()
    }
}

impl Inner {
    pub(super) fn from_children(children: Vec<Child>) -> Self {
        let bytes = NODE_HEADER + children.iter().map(Child::bytes).sum::<usize>();
        Self { children, bytes }
    }

    /// The index of the child that has `key` if any does. There is always at least one child.
    pub(super) fn child_of(&self, key: &[u8]) -> usize {
        let after_first = self.children.get(1..).unwrap_or_default();
        after_first.partition_point(|child| child.low.as_ref() <= key)
    }
}
