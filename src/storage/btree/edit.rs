//! Changing a tree: putting and deleting keys, cutting nodes that are too large, joining those that are too small.
//! Must not know commits, nor when nodes are stored.
//!
//! A node that others can see is copied before it is changed, and so is the path to it. A node that only this version
//! of the tree has is changed where it is.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::encode::{INNER_MAX, LEAF_MAX, common};
use super::long::{LongValue, SHORT_VALUE};
use super::node::{Body, Child, Entry, Inner, Leaf, Link, Node, Value};
use super::read::Reading;
use super::{Source, Tree};
use crate::storage::slab::{Reference, Slab};
use crate::storage::{ReadMode, StorageError};

/// An inner node is not cut below so many children, however long their keys.
const INNER_CHILDREN: usize = 4;

/// What a change to a tree leaves behind beside the tree.
pub(crate) struct Edit<'a> {
    source: &'a dyn Source,
    epoch: u64,
    replaced: Vec<Replaced>,
    young: Vec<Arc<OnceLock<Reference>>>,
    grown: usize,
}

/// Something that a tree does without from now on. If it has slots by the time of the next checkpoint, that one
/// releases them.
#[derive(Debug)]
pub(crate) enum Replaced {
    /// A node that was in the data file.
    Slot(Reference),
    /// A node that was in memory, and the slot that a checkpoint may have given it, or is giving it now.
    Node(Arc<OnceLock<Reference>>),
    /// A long value.
    Long(Arc<LongValue>),
}

impl Replaced {
    /// Releases the slots, where there are any.
    pub(crate) fn release(&self, slab: &Slab) -> Result<(), StorageError> {
        match self {
            Self::Slot(reference) => slab.release(*reference),
            Self::Node(stored) => stored.get().map_or(Ok(()), |reference| slab.release(*reference)),
            Self::Long(long) => {
                long.parts(slab)?.into_iter().try_for_each(|part| slab.release(part))
            }
        }
    }
}

impl<'a> Edit<'a> {
    /// A change in this epoch. Epochs are told apart by a number that grows with every checkpoint that begins.
    pub(crate) fn new(source: &'a dyn Source, epoch: u64) -> Self {
        Self { source, epoch, replaced: Vec::new(), young: Vec::new(), grown: 0 }
    }

    /// What was replaced, and the bytes of memory that were taken. A node that was made in the epoch of the change and
    /// replaced in the same one can have no slot, if this is still the epoch when the change becomes visible.
    pub(crate) fn finish(self, epoch_now: u64) -> (Vec<Replaced>, usize) {
        let mut replaced = self.replaced;
        if epoch_now != self.epoch {
            replaced.extend(self.young.into_iter().map(Replaced::Node));
        }
        (replaced, self.grown)
    }

    fn note(&mut self, node: &Node) {
        if node.born == self.epoch {
            self.young.push(Arc::clone(&node.stored));
        } else {
            self.replaced.push(Replaced::Node(Arc::clone(&node.stored)));
        }
    }

    /// The node behind a link, as one that can be changed and that nobody else sees.
    fn writable<'l>(
        &mut self,
        tree: u64,
        link: &'l mut Link,
        level: Option<u8>,
    ) -> Result<&'l mut Node, StorageError> {
        match link {
            Link::Stored(reference) => {
                let mode = ReadMode::MayBlock;
                let loaded = Reading { tree, source: self.source, mode }.load(*reference, level)?;
                self.replaced.push(Replaced::Slot(*reference));
                let mut copy = Node::clone(&loaded);
                copy.born = self.epoch;
                self.grown += copy.weight();
                *link = Link::Memory(Arc::new(copy));
            }
            Link::Memory(node) => {
                let is_shared = Arc::get_mut(node).is_none();
                if is_shared || node.stored.get().is_some() {
                    self.note(node);
                    self.grown += node.weight();
                    let mut copy = Node::clone(node);
                    copy.born = self.epoch;
                    *node = Arc::new(copy);
                }
            }
        }
        let node = match link {
            Link::Memory(node) => Arc::get_mut(node),
            Link::Stored(_) => None,
        };
        // It was made just now, or was found to have no other owner.
        let node = node.ok_or_else(|| StorageError::corrupt("memory", "a new node is shared"))?;
        if let Body::Image(image) = &node.body {
            node.body = Body::Leaf(image.to_leaf());
        }
        Ok(node)
    }

    /// The tree does without the node behind a link, but not without what is beneath it.
    fn discard(&mut self, link: &mut Link) {
        match link {
            Link::Stored(reference) => self.replaced.push(Replaced::Slot(*reference)),
            Link::Memory(node) => {
                if Arc::get_mut(node).is_none() || node.stored.get().is_some() {
                    self.note(node);
                }
            }
        }
    }

    fn discard_value(&mut self, value: Value) {
        if let Value::Long(long) = value {
            self.replaced.push(Replaced::Long(long));
        }
    }
}

impl Tree {
    /// Sets a key. After an error this version of the tree must not be used any more.
    pub(crate) fn put(
        &mut self,
        edit: &mut Edit<'_>,
        key: Bytes,
        value: Bytes,
    ) -> Result<(), StorageError> {
        edit.grown += key.len() + value.len() + size_of::<Entry>();
        let value = if value.len() > SHORT_VALUE {
            Value::Long(Arc::new(LongValue::fresh(value)))
        } else {
            Value::Short(value)
        };
        let entry = Entry { key, value };
        let Some(root) = &mut self.root else {
            let leaf = Leaf::from_entries(vec![entry]);
            let node = Node::new(0, edit.epoch, Body::Leaf(leaf));
            self.root = Some(Link::Memory(Arc::new(node)));
            self.count = 1;
            return Ok(());
        };
        let (level, is_new, split) = put(edit, self.name, root, None, entry)?;
        self.count += u64::from(is_new);
        if let Some(right) = split {
            let (low, count) = (Bytes::new(), self.count - right.count);
            let left = Child { low, count, link: root.clone() };
            let inner = Inner::from_children(vec![left, right]);
            let node = Node::new(level + 1, edit.epoch, Body::Inner(inner));
            *root = Link::Memory(Arc::new(node));
        }
        Ok(())
    }

    /// Removes a key and says whether it was there. An absent key costs no copy. After an error this version of the
    /// tree must not be used any more.
    pub(crate) fn delete(&mut self, edit: &mut Edit<'_>, key: &[u8]) -> Result<bool, StorageError> {
        if !self.has(edit.source, key, ReadMode::MayBlock)? {
            return Ok(false);
        }
        let Some(root) = &mut self.root else { return Ok(false) };
        delete(edit, self.name, root, None, key)?;
        self.count -= 1;
        if self.count == 0 {
            edit.discard(root);
            self.root = None;
            return Ok(true);
        }
        // An inner node with one child needs no root above it.
        while let Some(only) = only_child(root) {
            edit.discard(root);
            *root = only;
        }
        Ok(true)
    }
}

fn only_child(link: &Link) -> Option<Link> {
    let Link::Memory(node) = link else { return None };
    match &node.body {
        Body::Inner(inner) => match inner.children.as_slice() {
            [only] => Some(only.link.clone()),
            _ => None,
        },
        Body::Leaf(_) | Body::Image(_) => None,
    }
}

/// Sets a key beneath a link: the level of the node there, whether the key is new, and the right half of the node if
/// it had to be cut.
fn put(
    edit: &mut Edit<'_>,
    tree: u64,
    link: &mut Link,
    level: Option<u8>,
    entry: Entry,
) -> Result<(u8, bool, Option<Child>), StorageError> {
    let node = edit.writable(tree, link, level)?;
    let mut at_end = false;
    let is_new = match &mut node.body {
        Body::Image(_) => return Err(wrong_node()),
        Body::Leaf(leaf) => match leaf.position(&entry.key) {
            Ok(at) => {
                let held = leaf.entries.get_mut(at).ok_or_else(wrong_node)?;
                leaf.bytes = leaf.bytes + entry.bytes() - held.bytes();
                edit.discard_value(std::mem::replace(&mut held.value, entry.value));
                false
            }
            Err(at) => {
                at_end = at == leaf.entries.len();
                leaf.bytes += entry.bytes();
                leaf.entries.insert(at, entry);
                true
            }
        },
        Body::Inner(inner) => {
            let at = inner.child_of(&entry.key);
            let below = Some(node.level.saturating_sub(1));
            let child = inner.children.get_mut(at).ok_or_else(wrong_node)?;
            let (_, is_new, split) = put(edit, tree, &mut child.link, below, entry)?;
            child.count += u64::from(is_new);
            if let Some(right) = split {
                child.count -= right.count;
                at_end = at + 1 == inner.children.len();
                inner.bytes += right.bytes();
                inner.children.insert(at + 1, right);
            }
            is_new
        }
    };
    Ok((node.level, is_new, cut(node, at_end, edit.epoch)))
}

/// Cuts a node that is too large and returns its right half. Keys that come in order leave full nodes behind them.
fn cut(node: &mut Node, at_end: bool, epoch: u64) -> Option<Child> {
    let (low, count, body) = match &mut node.body {
        Body::Leaf(leaf) if leaf.bytes > LEAF_MAX && leaf.entries.len() > 1 => {
            let at = middle(leaf.entries.iter().map(Entry::bytes), leaf.bytes, at_end);
            let right = leaf.entries.split_off(at);
            let low = separator(&leaf.entries.last()?.key, &right.first()?.key);
            *leaf = Leaf::from_entries(std::mem::take(&mut leaf.entries));
            (low, right.len() as u64, Body::Leaf(Leaf::from_entries(right)))
        }
        Body::Inner(inner) if inner.bytes > INNER_MAX && inner.children.len() > INNER_CHILDREN => {
            let at = middle(inner.children.iter().map(Child::bytes), inner.bytes, at_end);
            let mut right = inner.children.split_off(at);
            let low = std::mem::take(&mut right.first_mut()?.low);
            *inner = Inner::from_children(std::mem::take(&mut inner.children));
            let count = right.iter().map(|child| child.count).sum();
            (low, count, Body::Inner(Inner::from_children(right)))
        }
        Body::Leaf(_) | Body::Inner(_) | Body::Image(_) => return None,
    };
    let right = Node::new(node.level, epoch, body);
    Some(Child { low, count, link: Link::Memory(Arc::new(right)) })
}

/// Where to cut so that both sides have something, and about the same number of bytes.
fn middle(bytes: impl ExactSizeIterator<Item = usize>, total: usize, at_end: bool) -> usize {
    let last = bytes.len() - 1;
    if at_end {
        return last;
    }
    let mut sum = 0;
    let before = bytes.take_while(|bytes| {
        sum += bytes;
        sum <= total / 2
    });
    before.count().clamp(1, last)
}

/// The shortest key that is greater than the one and not greater than the other.
pub(super) fn separator(left: &[u8], right: &[u8]) -> Bytes {
    // A copy, so that the inner node does not keep alive what the leaf's key is a part of.
    Bytes::copy_from_slice(right.get(..=common(left, right)).unwrap_or(right))
}

fn delete(
    edit: &mut Edit<'_>,
    tree: u64,
    link: &mut Link,
    level: Option<u8>,
    key: &[u8],
) -> Result<(), StorageError> {
    let node = edit.writable(tree, link, level)?;
    let below = node.level.saturating_sub(1);
    match &mut node.body {
        Body::Image(_) => Err(wrong_node()),
        Body::Leaf(leaf) => {
            if let Ok(at) = leaf.position(key) {
                let entry = leaf.entries.remove(at);
                leaf.bytes -= entry.bytes();
                edit.discard_value(entry.value);
            }
            Ok(())
        }
        Body::Inner(inner) => {
            let at = inner.child_of(key);
            let child = inner.children.get_mut(at).ok_or_else(wrong_node)?;
            delete(edit, tree, &mut child.link, Some(below), key)?;
            child.count -= 1;
            if child.count == 0 {
                edit.discard(&mut child.link);
                inner.children.remove(at);
                if let Some(first) = inner.children.first_mut() {
                    first.low = Bytes::new();
                }
                *inner = Inner::from_children(std::mem::take(&mut inner.children));
                return Ok(());
            }
            join(edit, tree, inner, at, below)
        }
    }
}

/// Joins a child that was changed with a neighbour, when it is small and both together are not large.
fn join(
    edit: &mut Edit<'_>,
    tree: u64,
    inner: &mut Inner,
    at: usize,
    level: u8,
) -> Result<(), StorageError> {
    let max = if level == 0 { LEAF_MAX } else { INNER_MAX };
    let reading = Reading { tree, source: edit.source, mode: ReadMode::MayBlock };
    let bytes =
        |child: &Child| reading.with(&child.link, Some(level), |node| Ok(node.image_bytes()));
    let left_at = at.saturating_sub(1);
    let [left, right, ..] = inner.children.get(left_at..).unwrap_or_default() else {
        return Ok(());
    };
    let changed = if left_at == at { left } else { right };
    if bytes(changed)? >= max / 4 || bytes(left)? + bytes(right)? > max / 4 * 3 {
        return Ok(());
    }
    let mut right = inner.children.remove(left_at + 1);
    let taken = edit.writable(tree, &mut right.link, Some(level))?;
    let more = std::mem::replace(&mut taken.body, Body::Leaf(Leaf::default()));
    let left = inner.children.get_mut(left_at).ok_or_else(wrong_node)?;
    let node = edit.writable(tree, &mut left.link, Some(level))?;
    match (&mut node.body, more) {
        (Body::Leaf(leaf), Body::Leaf(more)) => {
            leaf.entries.extend(more.entries);
            *leaf = Leaf::from_entries(std::mem::take(&mut leaf.entries));
        }
        (Body::Inner(below), Body::Inner(mut more)) => {
            if let Some(first) = more.children.first_mut() {
                first.low = right.low;
            }
            below.children.extend(more.children);
            *below = Inner::from_children(std::mem::take(&mut below.children));
        }
        // Both have the level that was asked for, and the level decides.
        _ => return Err(wrong_node()),
    }
    left.count += right.count;
    *inner = Inner::from_children(std::mem::take(&mut inner.children));
    Ok(())
}

fn wrong_node() -> StorageError {
    StorageError::corrupt("memory", "a node of another kind than its place asks for")
}
