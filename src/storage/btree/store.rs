//! What a checkpoint does with a tree: giving slots to what has none, and letting go of what has been stored; and the
//! walk through everything that checks the rules. Must not know what else a checkpoint consists of.

use bytes::Bytes;

use super::encode::{encode_inner, encode_leaf};
use super::inner::Inner;
use super::link::Link;
use super::long::LongValue;
use super::node::{Body, Leaf, Node, Value};
use super::read::Reading;
use super::{Sink, Source, Tree};
use crate::storage::ledger::Account;
use crate::storage::slab::Reference;
use crate::storage::{ReadMode, StorageError};

/// Something that a tree refers to.
pub(crate) enum Part<'a> {
    /// A node that is in the data file.
    Node(Reference),
    /// A long value.
    Long(&'a LongValue),
}

impl Tree {
    /// Whether there is nothing for a checkpoint to do.
    pub(crate) fn is_stored(&self) -> bool {
        !matches!(self.root, Some(Link::Memory(_)))
    }

    /// Where the root is, once everything is stored.
    pub(crate) fn reference(&self) -> Option<Reference> {
        self.root.as_ref().and_then(Link::reference)
    }

    /// Gives a slot to every node that has none, children first, and returns that of the root.
    pub(crate) fn store(&self, sink: &dyn Sink) -> Result<Option<Reference>, StorageError> {
        self.store_some(sink, usize::MAX)?;
        Ok(self.reference())
    }

    /// The same, from the least key on, until images of so many bytes have been stored, at least one; and the key that
    /// was not reached, if that was not all.
    pub(crate) fn store_some(
        &self,
        sink: &dyn Sink,
        bytes: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        let Some(root) = &self.root else { return Ok(None) };
        let mut left = bytes.max(1);
        Ok(store(self.name, root, sink, &mut left)?.key())
    }

    /// The same tree, with references in place of the nodes that have been stored.
    pub(crate) fn settle(&self) -> Self {
        self.settle_some((&[], None), usize::MAX).0
    }

    /// The same for the part of the tree from one key to another, as far as that means to look at so many nodes, which
    /// must be more than the tree has levels; and the key to go on from, if that was not all.
    pub(crate) fn settle_some(
        &self,
        (from, to): (&[u8], Option<&[u8]>),
        nodes: usize,
    ) -> (Self, Option<Bytes>) {
        let Some(root) = &self.root else { return (self.clone(), None) };
        let mut left = nodes;
        let (settled, stop) = settled(root, (Some(from), to), &mut left);
        let root = Some(settled.unwrap_or_else(|| root.clone()));
        (Self { name: self.name, root, count: self.count }, stop.key())
    }

    /// Walks through the whole tree, hands out what it refers to, and checks rules 4 to 6. Each rule that is broken is
    /// told to `broken`; as long as that goes on, so does the walk, with what does not depend on it.
    pub(crate) fn verify(
        &self,
        source: &dyn Source,
        found: Found<'_>,
        broken: Broken<'_>,
    ) -> Result<(), StorageError> {
        let Some(root) = &self.root else { return self.expect_count(0).or_else(broken) };
        let reading = Reading { tree: self.name, source, mode: ReadMode::MayBlock };
        let verified = verify(&reading, root, None, (None, None), (&mut *found, &mut *broken));
        verified.and_then(|count| self.expect_count(count)).or_else(broken)
    }

    fn expect_count(&self, count: u64) -> Result<(), StorageError> {
        if count == self.count {
            return Ok(());
        }
        let problem = format!("it has {count} entries, not {} (rule 6)", self.count);
        Err(StorageError::corrupt(format!("tree {}", self.name), problem))
    }
}

/// Is given what a tree refers to.
pub(crate) type Found<'a> = &'a mut dyn FnMut(Part<'_>) -> Result<(), StorageError>;

/// Is told what is wrong, and ends the walk with an error when that is enough.
pub(crate) type Broken<'a> = &'a mut dyn FnMut(StorageError) -> Result<(), StorageError>;

/// Where a walk through a part of a tree has ended early.
enum Stop {
    /// Nowhere.
    No,
    /// Before the node, or before its first child.
    Before,
    /// At the child with this low key.
    At(Bytes),
}

impl Stop {
    /// The same as the parent of the node has to say it, in which it is the child at this index.
    fn of_child(self, inner: &Inner, at: usize) -> Self {
        match self {
            Self::Before if at > 0 => Self::At(Bytes::copy_from_slice(inner.low(at))),
            other => other,
        }
    }

    /// Where to go on from. What is less than all keys comes first, and is never stopped before.
    fn key(self) -> Option<Bytes> {
        match self {
            Self::No | Self::Before => None,
            Self::At(key) => Some(key),
        }
    }
}

/// Stores what is behind a link, until there is nothing left of so many bytes.
fn store(tree: u64, link: &Link, sink: &dyn Sink, left: &mut usize) -> Result<Stop, StorageError> {
    let Link::Memory(fresh) = link else { return Ok(Stop::No) };
    if fresh.slot.reference().is_some() {
        return Ok(Stop::No);
    }
    if *left == 0 {
        return Ok(Stop::Before);
    }
    let image = match &fresh.node().body {
        Body::Image(_) => None,
        Body::Leaf(leaf) => {
            for entry in &leaf.entries {
                if let Value::Long(long) = &entry.value {
                    long.store(tree, sink)?;
                    *left = left.saturating_sub(usize::try_from(long.length()).unwrap_or(*left));
                }
            }
            encode_leaf(tree, &leaf.entries)
        }
        Body::Inner(inner) => {
            for (at, link) in inner.links().enumerate() {
                let stop = store(tree, link, sink, left)?;
                if !matches!(stop, Stop::No) {
                    return Ok(stop.of_child(inner, at));
                }
            }
            let children: Option<Vec<_>> = inner.links().map(Link::reference).collect();
            children.and_then(|children| encode_inner(tree, inner, &children))
        }
    };
    let place = || format!("tree {tree} in memory");
    let image = image.ok_or_else(|| StorageError::corrupt(place(), "a node has no image"))?;
    *left = left.saturating_sub(image.len());
    let reference = sink.store_node(tree, image, !fresh.slot.is_replaced())?;
    fresh.slot.set(reference);
    Ok(Stop::No)
}

/// The link to be put in place of this one, if there is a better one.
fn settled(
    link: &Link,
    (from, to): (Option<&[u8]>, Option<&[u8]>),
    left: &mut usize,
) -> (Option<Link>, Stop) {
    let Link::Memory(fresh) = link else { return (None, Stop::No) };
    if let Some(reference) = fresh.slot.reference() {
        let_go_of_values(fresh.node());
        return (Some(Link::stored(reference)), Stop::No);
    }
    let Body::Inner(inner) = &fresh.node().body else { return (None, Stop::No) };
    let first = from.map_or(0, |from| inner.child_of(from));
    let mut new = Vec::new();
    let mut stop = Stop::No;
    for (at, link) in inner.links().enumerate().skip(first) {
        if at > first && to.is_some_and(|to| inner.low(at) >= to) {
            break;
        }
        let stopped = if *left == 0 {
            Stop::Before
        } else {
            *left -= 1;
            let from = if at == first { from } else { None };
            let (link, stopped) = settled(link, (from, to), left);
            new.extend(link.map(|link| (at, link)));
            stopped
        };
        stop = stopped.of_child(inner, at);
        if !matches!(stop, Stop::No) {
            break;
        }
    }
    if new.is_empty() {
        return (None, stop);
    }
    let mut copy = inner.clone();
    for (at, new) in new {
        if let Some(link) = copy.link_mut(at) {
            *link = new;
        }
    }
    // It says the same, so the slot of the one is the slot of the other.
    (Some(Link::memory(fresh.with_node(Node::new(Body::Inner(copy))))), stop)
}

/// A leaf was stored, and so were its long values, which other versions of it may have.
fn let_go_of_values(node: &Node) {
    let Body::Leaf(leaf) = &node.body else { return };
    for entry in &leaf.entries {
        if let Value::Long(long) = &entry.value {
            long.let_go();
        }
    }
}

/// What all keys beneath a node are not less than, and what they are less than.
type Bounds<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Checks a subtree and returns how many entries it has.
fn verify(
    reading: &Reading<'_>,
    link: &Link,
    level: Option<u8>,
    (from, to): Bounds<'_>,
    (found, broken): (Found<'_>, Broken<'_>),
) -> Result<u64, StorageError> {
    if let Link::Stored(place) = link {
        found(Part::Node(place.reference()))?;
    }
    let wrong = |problem: &str| {
        let place = match link {
            Link::Stored(place) => format!("slab.data, grain {}", place.reference().grain),
            Link::Memory(_) => "memory".to_owned(),
        };
        Err::<u64, _>(StorageError::corrupt(format!("tree {}, {place}", reading.tree), problem))
    };
    reading.with(link, level, |node| {
        let Body::Inner(inner) = &node.body else {
            let leaf = match &node.body {
                Body::Image(image) => image.to_leaf(&Account::first(0)),
                Body::Leaf(leaf) => Leaf::clone(leaf),
                Body::Inner(_) => return wrong("a leaf that is none"),
            };
            if !leaf.entries.is_sorted_by(|a, b| a.key < b.key) {
                return wrong("keys are not in order (rule 5)");
            }
            for entry in &leaf.entries {
                if from.is_some_and(|from| entry.key.as_ref() < from)
                    || to.is_some_and(|to| entry.key.as_ref() >= to)
                {
                    return wrong("a key lies outside of its leaf (rule 5)");
                }
                if let Value::Long(long) = &entry.value {
                    found(Part::Long(long)).or_else(&mut *broken)?;
                }
            }
            return Ok(leaf.entries.len() as u64);
        };
        let below = Some(node.level().saturating_sub(1));
        for (at, link) in inner.links().enumerate() {
            let low = if at == 0 { from } else { Some(inner.low(at)) };
            let high = if at + 1 < inner.len() { Some(inner.low(at + 1)) } else { to };
            let verified = verify(reading, link, below, (low, high), (&mut *found, &mut *broken));
            let checked = verified.and_then(|count| match count == inner.child_count(at) {
                true => Ok(()),
                false => wrong("the count of a child is wrong (rule 6)").map(drop),
            });
            checked.or_else(&mut *broken)?;
        }
        Ok(node.count())
    })
}
