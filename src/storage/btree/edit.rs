//! Changing a tree: putting and deleting keys, cutting nodes that are too large, joining those that are too small.
//! Must not know commits, nor when nodes are stored.
//!
//! A node that others can see is copied before it is changed, and so is the path to it. A node that only this version
//! of the tree has is changed where it is.
//!
//! Every node that an edit leaves behind has an image, whatever later edits do. A node into which something was put is
//! cut until each piece fits without its common prefix, since the next key may do away with that prefix. Two nodes are
//! joined only if both together fit in the same sense. A deletion leaves an image that is no longer than the one before:
//! it can only make the common prefix longer.

use std::sync::Arc;

use bytes::Bytes;

use super::encode::{HEAD, INNER_MAX, LEAF_MAX, NODE_HEADER, common};
use super::inner::{Child, Inner};
use super::link::Link;
use super::long::LongValue;
use super::node::{Body, Changing, Entry, Fresh, Leaf, Node, Origin, Slot, Value};
use super::read::Reading;
use super::{Source, Tree};
use crate::storage::ledger::Account;
use crate::storage::slab::{Reference, Slab};
use crate::storage::{ReadMode, StorageError};

/// An inner node is not cut below so many children, however long their keys.
const INNER_CHILDREN: usize = 4;

/// What a change to a tree leaves behind beside the tree.
pub(crate) struct Edit<'a> {
    source: &'a dyn Source,
    /// That of the epoch, to which all that is made is charged.
    account: Arc<Account>,
    replaced: Vec<Replaced>,
    young: Vec<Arc<Slot>>,
    /// What keys and values are parts of.
    origin: Origin,
}

/// Something that a tree does without from now on. If it has slots by the time of the next checkpoint, that one
/// releases them.
#[derive(Debug)]
pub(crate) enum Replaced {
    /// A node that was in the data file.
    Slot(Reference),
    /// A node that was in memory, and the slot that a checkpoint may have given it, or is giving it now.
    Node(Arc<Slot>),
    /// A long value.
    Long(Arc<LongValue>),
}

impl Replaced {
    /// Releases the slots, where there are any. What cannot be found because it is damaged is lost room and no reason to
    /// stop: the error is returned beside the outcome.
    pub(crate) fn release(&self, slab: &Slab) -> Result<Option<StorageError>, StorageError> {
        match self {
            Self::Slot(reference) => slab.release(*reference).map(|()| None),
            Self::Node(slot) => {
                slot.reference().map_or(Ok(()), |stored| slab.release(stored)).map(|()| None)
            }
            Self::Long(long) => long.release(slab),
        }
    }
}

impl<'a> Edit<'a> {
    /// A change in the epoch of an account, by keys and values of this origin.
    pub(crate) fn new(source: &'a dyn Source, account: &Arc<Account>, origin: Origin) -> Self {
        let (replaced, young) = (Vec::new(), Vec::new());
        Self { source, account: Arc::clone(account), replaced, young, origin }
    }

    /// A piece of memory that is charged as what is made for the change.
    pub(crate) fn hold(&self, bytes: Vec<u8>) -> Bytes {
        self.account.hold(bytes)
    }

    /// What was replaced. A node that was made in the epoch of the change and replaced in the same one can have no slot,
    /// if this is still the epoch when the change becomes visible; and it goes as soon as no snapshot has it.
    pub(crate) fn finish(self, epoch_now: u64) -> Vec<Replaced> {
        let mut replaced = self.replaced;
        if epoch_now != self.account.epoch() {
            replaced.extend(self.young.into_iter().map(Replaced::Node));
        }
        replaced
    }

    fn note(&mut self, fresh: &Fresh) {
        let slot = Arc::clone(&fresh.slot);
        slot.replace();
        if fresh.born() == self.account.epoch() {
            self.young.push(slot);
        } else {
            self.replaced.push(Replaced::Node(slot));
        }
    }

    /// A link to a copy that can be changed, which has no slot, of a node that was stored or born in an epoch.
    fn copy(&self, node: &Node, born: Option<u64>) -> Link {
        let body = match &node.body {
            Body::Image(image) => Body::leaf(image.to_leaf(&self.account)),
            Body::Leaf(leaf) if born != Some(self.account.epoch()) => {
                Body::leaf(leaf.carried(&self.account))
            }
            Body::Leaf(leaf) => Body::Leaf(leaf.clone()),
            Body::Inner(inner) => Body::Inner(inner.clone()),
        };
        Link::memory(Fresh::new(Node::new(body), &self.account))
    }

    /// The node behind a link, as one that can be changed and that nobody else sees.
    fn writable<'l>(
        &mut self,
        tree: u64,
        link: &'l mut Link,
        level: Option<u8>,
    ) -> Result<Changing<'l>, StorageError> {
        match link {
            Link::Stored(place) => {
                let mode = ReadMode::MayBlock;
                let loaded = Reading { tree, source: self.source, mode }.load(place, level)?;
                self.replaced.push(Replaced::Slot(place.reference()));
                let copy = self.copy(loaded.node()?, None);
                if loaded.has_level(Some(0)) {
                    // It is in memory once, as what changes.
                    self.source.replaced(place);
                }
                *link = copy;
            }
            Link::Memory(fresh) => {
                let is_shared = Arc::get_mut(fresh).is_none();
                // One of an earlier epoch may share its slot with one that a checkpoint is about to store.
                let is_old = fresh.born() != self.account.epoch();
                if is_shared || is_old || fresh.slot.reference().is_some() {
                    self.note(fresh);
                    *link = self.copy(fresh.node(), Some(fresh.born()));
                }
            }
        }
        let fresh = match link {
            Link::Memory(fresh) => Arc::get_mut(fresh),
            Link::Stored(_) => None,
        };
        // It was made just now, or was found to have no other owner.
        let fresh = fresh.ok_or_else(|| StorageError::corrupt("memory", "a new node is shared"))?;
        Ok(fresh.change())
    }

    /// The tree does without the node behind a link, but not without what is beneath it.
    fn discard(&mut self, link: &mut Link) {
        match link {
            Link::Stored(place) => self.replaced.push(Replaced::Slot(place.reference())),
            Link::Memory(fresh) => {
                if Arc::get_mut(fresh).is_none() || fresh.slot.reference().is_some() {
                    self.note(fresh);
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
        let entry = Entry::new(key, value, edit.origin, &edit.account);
        check_fits(&entry)?;
        let Some(root) = &mut self.root else {
            let leaf = Leaf::new(vec![entry], 0);
            let node = Node::new(Body::leaf(leaf));
            self.root = Some(Link::memory(Fresh::new(node, &edit.account)));
            self.count = 1;
            return Ok(());
        };
        let (mut level, is_new, mut pieces) = put(edit, self.name, root, None, entry)?;
        self.count += u64::from(is_new);
        // Usually no turn at all or one; each one makes many fewer pieces than it was given.
        while !pieces.is_empty() {
            level = level.checked_add(1).ok_or_else(wrong_node)?;
            let behind: u64 = pieces.iter().map(|piece| piece.count).sum();
            let children = 1 + pieces.len();
            let mut inner = Inner::new(level, children, self.count - behind, root.clone());
            inner.charge_to(&edit.account);
            for piece in pieces {
                inner.push(&piece.low, piece.count, piece.link);
            }
            inner.order();
            let mut node = Node::new(Body::Inner(Box::new(inner)));
            pieces = cut(&mut node, false, &edit.account);
            *root = Link::memory(Fresh::new(node, &edit.account));
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
    let Link::Memory(fresh) = link else { return None };
    match &fresh.node().body {
        Body::Inner(inner) if inner.len() == 1 => inner.link(0).cloned(),
        Body::Inner(_) => None,
        Body::Leaf(_) | Body::Image(_) => None,
    }
}

/// Whether a leaf with nothing else in it has an image. Whatever is put is short enough for that, since the lengths of
/// keys are bounded and long values are kept elsewhere: checked here, where a batch can still be refused.
fn check_fits(entry: &Entry) -> Result<(), StorageError> {
    let rest = NODE_HEADER + HEAD + entry.bytes() - entry.key.len();
    let (length, limit) = (entry.key.len(), usize::from(u16::MAX).saturating_sub(rest));
    if length > limit {
        return Err(StorageError::KeyTooLong { length, limit });
    }
    Ok(())
}

/// Sets a key beneath a link: the level of the node there, whether the key is new, and what was cut off from the right
/// of the node.
fn put(
    edit: &mut Edit<'_>,
    tree: u64,
    link: &mut Link,
    level: Option<u8>,
    entry: Entry,
) -> Result<(u8, bool, Vec<Child>), StorageError> {
    let mut node = edit.writable(tree, link, level)?;
    let mut at_end = false;
    let is_new = match &mut node.body {
        Body::Image(_) => return Err(wrong_node()),
        Body::Leaf(leaf) => match leaf.position(&entry.key) {
            Ok(at) => {
                let held = leaf.entries.get_mut(at).ok_or_else(wrong_node)?;
                leaf.bytes = leaf.bytes + entry.bytes() - held.bytes();
                edit.discard_value(std::mem::replace(held, entry).value);
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
            let below = Some(inner.level().saturating_sub(1));
            let link = inner.link_mut(at).ok_or_else(wrong_node)?;
            let (_, is_new, pieces) = put(edit, tree, link, below, entry)?;
            if is_new {
                inner.add(at, 1);
            }
            at_end = !pieces.is_empty() && at + 1 == inner.len();
            // From the last one on: each of them was a part of the child before it until then.
            for piece in pieces.into_iter().rev() {
                inner.insert_half(at + 1, piece);
            }
            is_new
        }
    };
    let pieces = cut(&mut node, at_end, &edit.account);
    Ok((node.level(), is_new, pieces))
}

/// Cuts a node until every piece fits without its common prefix, and returns the pieces behind the first, which stays
/// in the node. Keys that come in order leave full nodes behind them.
fn cut(node: &mut Node, at_end: bool, account: &Arc<Account>) -> Vec<Child> {
    let mut pieces = Vec::new();
    let Some(right) = halve(node, at_end) else { return pieces };
    let mut behind = vec![right];
    while let Some(right) = halve(node, false) {
        behind.push(right);
    }
    while let Some((low, mut piece)) = behind.pop() {
        while let Some(right) = halve(&mut piece, false) {
            behind.push(right);
        }
        let count = piece.count();
        pieces.push(Child { low, count, link: Link::memory(Fresh::new(piece, account)) });
    }
    pieces
}

/// Cuts a node that is too large in two: the right half, and the low key that tells it from the left one.
fn halve(node: &mut Node, at_end: bool) -> Option<(Bytes, Node)> {
    let (low, body) = match &mut node.body {
        Body::Leaf(leaf) if leaf.bytes > LEAF_MAX && leaf.entries.len() > 1 => {
            let at = middle(leaf.entries.iter().map(Entry::bytes), leaf.bytes, at_end);
            let right = leaf.entries.split_off(at);
            let low = separator(&leaf.entries.last()?.key, &right.first()?.key);
            let mut left = std::mem::take(&mut leaf.entries);
            if at_end {
                // Nothing more will come into it soon.
                left.shrink_to_fit();
            }
            **leaf = Leaf::new(left, leaf.block);
            (low, Body::leaf(Leaf::new(right, leaf.block)))
        }
        Body::Inner(inner) if inner.image_bytes() > INNER_MAX && inner.len() > INNER_CHILDREN => {
            let bytes = (0..inner.len()).map(|at| inner.child_bytes(at));
            let (low, right) = inner.split_off(middle(bytes, inner.image_bytes(), at_end));
            (low, Body::Inner(Box::new(right)))
        }
        Body::Leaf(_) | Body::Inner(_) | Body::Image(_) => return None,
    };
    Some((low, Node::new(body)))
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
    let mut node = edit.writable(tree, link, level)?;
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
            let below = inner.level().saturating_sub(1);
            let at = inner.child_of(key);
            let link = inner.link_mut(at).ok_or_else(wrong_node)?;
            delete(edit, tree, link, Some(below), key)?;
            inner.subtract(at, 1);
            if inner.child_count(at) == 0 {
                let mut empty = inner.remove(at).ok_or_else(wrong_node)?;
                edit.discard(&mut empty.link);
                return Ok(());
            }
            join(edit, tree, inner, at, below)
        }
    }
}

/// Joins a child that was changed with a neighbour, when it is small and both together are not large, each without its
/// common prefix: they may have none in common.
fn join(
    edit: &mut Edit<'_>,
    tree: u64,
    inner: &mut Inner,
    at: usize,
    level: u8,
) -> Result<(), StorageError> {
    let max = if level == 0 { LEAF_MAX } else { INNER_MAX };
    let reading = Reading { tree, source: edit.source, mode: ReadMode::MayBlock };
    let bytes = |link: &Link| reading.with(link, Some(level), |node| Ok(node.image_bytes()));
    let left_at = at.saturating_sub(1);
    let (Some(left), Some(right)) = (inner.link(left_at), inner.link(left_at + 1)) else {
        return Ok(());
    };
    let changed = if left_at == at { left } else { right };
    if bytes(changed)? >= max / 4 || bytes(left)? + bytes(right)? > max / 4 * 3 {
        return Ok(());
    }
    let mut right = inner.remove(left_at + 1).ok_or_else(wrong_node)?;
    let mut taken = edit.writable(tree, &mut right.link, Some(level))?;
    let more = std::mem::replace(&mut taken.body, Body::leaf(Leaf::default()));
    drop(taken);
    let left = inner.link_mut(left_at).ok_or_else(wrong_node)?;
    let mut node = edit.writable(tree, left, Some(level))?;
    match (&mut node.body, more) {
        (Body::Leaf(leaf), Body::Leaf(more)) => {
            leaf.entries.extend(more.entries);
            **leaf = Leaf::new(std::mem::take(&mut leaf.entries), leaf.block + more.block);
        }
        (Body::Inner(below), Body::Inner(more)) => below.append(&right.low, *more),
        // Both have the level that was asked for, and the level decides.
        _ => return Err(wrong_node()),
    }
    drop(node);
    inner.add(left_at, right.count);
    Ok(())
}

fn wrong_node() -> StorageError {
    StorageError::corrupt("memory", "a node of another kind than its place asks for")
}
