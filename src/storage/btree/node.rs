//! Nodes as they are in memory. Must not know where they come from.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::encode::{HEAD, LEAF_ENTRY_BYTES, LONG_VALUE_BYTES, NODE_HEADER};
use super::image::LeafImage;
use super::inner::Inner;
use super::long::{LongValue, SHORT_VALUE};
use crate::storage::ledger::{Account, Charge, allocated, allocated_shared};
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
    node: Node,
    /// To the account of the epoch in which it was made: see [`super::Edit`].
    charge: Charge,
    pub(super) slot: Arc<Slot>,
}

/// The slot of a node that was made in memory, which versions of it that say the same share.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Where a checkpoint has put it.
    stored: OnceLock<Reference>,
    /// Whether the trees do without it, but for snapshots and the checkpoint that is being written.
    is_replaced: AtomicBool,
    _charge: Charge,
}

/// A node that can be changed. When that is done it is weighed anew.
pub(super) struct Changing<'a>(&'a mut Fresh);

#[derive(Debug, Clone, Default)]
pub(super) struct Leaf {
    pub(super) entries: Vec<Entry>,
    /// What the image would have at most.
    pub(super) bytes: usize,
    /// Bytes of the block of the leaf.
    pub(super) block: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Bytes,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What the bytes of an entry are a part of, and keep in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A block that the leaf has for its own entries.
    Block,
    /// The record of a commit that has little else.
    OwnRecord,
    /// The record of a commit with other entries.
    SharedRecord,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Short(Bytes),
    Long(Arc<LongValue>),
}

impl Fresh {
    pub(super) fn new(node: Node, account: &Arc<Account>) -> Self {
        Self::with_slot(node, account, Arc::new(Slot::new(account)))
    }

    /// Another one that says the same, of the same epoch and with the same slot.
    pub(super) fn with_node(&self, node: Node) -> Self {
        Self::with_slot(node, self.charge.account(), Arc::clone(&self.slot))
    }

    fn with_slot(mut node: Node, account: &Arc<Account>, slot: Arc<Slot>) -> Self {
        if let Body::Inner(inner) = &mut node.body {
            inner.charge_to(account);
        }
        let charge = Charge::new(account, Self::weight_of(&node));
        Self { node, charge, slot }
    }

    fn weight_of(node: &Node) -> usize {
        allocated_shared::<Self>() + node.weight()
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// The epoch in which it was made.
    pub(super) fn born(&self) -> u64 {
        self.charge.account().epoch()
    }

    /// For changes, as long as nobody else can see it.
    pub(super) fn change(&mut self) -> Changing<'_> {
        Changing(self)
    }
}

impl Deref for Changing<'_> {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0.node
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.0.node
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.charge.set(Fresh::weight_of(&self.0.node));
    }
}

impl Slot {
    fn new(account: &Arc<Account>) -> Self {
        let charge = Charge::new(account, allocated_shared::<Self>());
        Self { stored: OnceLock::new(), is_replaced: AtomicBool::new(false), _charge: charge }
    }

    pub(super) fn reference(&self) -> Option<Reference> {
        self.stored.get().copied()
    }

    /// Only the one checkpoint that is being written sets it, and only once.
    pub(super) fn set(&self, reference: Reference) {
        let _ = self.stored.set(reference);
    }

    /// A hint: who does not see it in time keeps a page that is not needed.
    pub(super) fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::Relaxed)
    }

    pub(super) fn replace(&self) {
        self.is_replaced.store(true, Ordering::Relaxed);
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

    /// Bytes that it takes in memory, beside what is in place in whatever holds it, and what is charged by itself.
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
    pub(super) fn new(key: Bytes, value: Bytes, origin: Origin, account: &Arc<Account>) -> Self {
        let value = if value.len() > SHORT_VALUE {
            Value::Long(Arc::new(LongValue::fresh(value, account)))
        } else {
            Value::Short(value)
        };
        Self { key, value, origin }
    }

    /// What it takes of a block.
    fn block_bytes(&self) -> usize {
        let value = match &self.value {
            Value::Short(value) => value.len(),
            Value::Long(_) => 0,
        };
        self.key.len() + value
    }
}

impl Leaf {
    /// A leaf of entries, some of which may be parts of a block of so many bytes.
    pub(super) fn new(entries: Vec<Entry>, block: usize) -> Self {
        // A prefix saves its length with every key, but for what is in the head of the only one.
        let bytes = NODE_HEADER + HEAD + entries.iter().map(Entry::bytes).sum::<usize>();
        Self { entries, bytes, block }
    }

    /// Without keys and values, which are charged where they are.
    fn weight(&self) -> usize {
        allocated(size_of::<Self>()) + allocated(self.entries.capacity() * size_of::<Entry>())
    }

    pub(super) fn position(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.key.as_ref().cmp(key))
    }

    /// A copy for another epoch, whose entries keep little in memory beside themselves.
    pub(super) fn carried(&self, account: &Arc<Account>) -> Self {
        let has_parts = self.entries.iter().any(|entry| entry.origin == Origin::SharedRecord);
        let of_block = self.entries.iter().filter(|entry| entry.origin == Origin::Block);
        let used: usize = of_block.map(Entry::block_bytes).sum();
        if has_parts || used < self.block / 2 { self.in_one_block(account) } else { self.clone() }
    }

    fn in_one_block(&self, account: &Arc<Account>) -> Self {
        let mut bytes = Vec::with_capacity(self.entries.iter().map(Entry::block_bytes).sum());
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.key);
            if let Value::Short(value) = &entry.value {
                bytes.extend_from_slice(value);
            }
        }
        let block = account.hold(bytes);
        let mut end = 0;
        let mut next = |length: usize| {
            end += length;
            block.slice(end - length..end)
        };
        let copy = |entry: &Entry| {
            let key = next(entry.key.len());
            let value = match &entry.value {
                Value::Short(value) => Value::Short(next(value.len())),
                Value::Long(long) => Value::Long(Arc::clone(long)),
            };
            Entry { key, value, origin: Origin::Block }
        };
        let mut entries = Vec::with_capacity(self.entries.len() + 1);
        entries.extend(self.entries.iter().map(copy));
        Self { entries, bytes: self.bytes, block: block.len() }
    }
}
