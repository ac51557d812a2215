//! Building a tree from sorted entries: leaf after leaf, and the inner levels above them as they become full.
//! Must not know where images are put, nor who will see the tree.

use super::edit::separator;
use super::encode::{InnerBuilder, LEAF_MAX, LeafBuilder, Stored};
use super::long::{SHORT_VALUE, store_long};
use crate::storage::StorageError;
use crate::storage::slab::{Reference, slot_cost};

/// Puts an image somewhere and says where.
pub(crate) type PutImage<'a> = &'a mut dyn FnMut(&[u8]) -> Result<Reference, StorageError>;

/// A leaf is cut before it is full when that fills its slot better by one part in so many.
const BETTER_PART: u64 = 50;

/// A tree that grows to the right.
pub(crate) struct TreeBuilder {
    tree: u64,
    leaf: LeafBuilder,
    /// The low key of the leaf.
    low: Vec<u8>,
    /// The key that was added last.
    last: Vec<u8>,
    best: Cut,
    levels: Vec<Level>,
    count: u64,
}

/// A node above the leaves that is not full.
struct Level {
    node: InnerBuilder,
    low: Vec<u8>,
}

/// After how many entries a leaf fills its slot best, and how well: bytes of the image in 1/1024 of the slot.
#[derive(Clone, Copy, Default)]
struct Cut {
    entries: usize,
    fill: u64,
}

impl TreeBuilder {
    pub(crate) fn new(tree: u64) -> Self {
        Self {
            tree,
            leaf: LeafBuilder::new(),
            low: Vec::new(),
            last: Vec::new(),
            best: Cut::default(),
            levels: Vec::new(),
            count: 0,
        }
    }

    /// Adds an entry. `NotAscending` when the key is not greater than the one before it.
    pub(crate) fn push(
        &mut self,
        key: &[u8],
        value: &[u8],
        put: PutImage<'_>,
    ) -> Result<(), StorageError> {
        if self.count > 0 && key <= self.last.as_slice() {
            return Err(StorageError::NotAscending);
        }
        let stored = if value.len() > SHORT_VALUE {
            Stored::Long(value.len() as u64, store_long(value, put)?)
        } else {
            Stored::Short(value)
        };
        if !self.leaf.fits(key, &stored) {
            self.cut_leaf(put)?;
        }
        // What was left over of the leaf that was cut may still be too much.
        if !self.leaf.fits(key, &stored) {
            self.finish_leaf(put)?;
        }
        if self.leaf.len() == 0 && self.count > 0 {
            self.low = separator(&self.last, key).to_vec();
        }
        self.leaf.push(key, &stored);
        self.last.clear();
        self.last.extend_from_slice(key);
        self.count += 1;
        self.consider_cut();
        Ok(())
    }

    /// The root, if there is an entry, and the number of entries.
    pub(crate) fn finish(
        mut self,
        put: PutImage<'_>,
    ) -> Result<(Option<Reference>, u64), StorageError> {
        if self.count == 0 {
            return Ok((None, 0));
        }
        let entries = self.leaf.len() as u64;
        let image = self.leaf.finish(self.tree).ok_or_else(no_image)?;
        let mut child = (std::mem::take(&mut self.low), entries, put(&image)?);
        // Adding may make another level on top, which the loop reaches as well.
        let mut level = 0;
        while level < self.levels.len() {
            let (low, count, reference) = child;
            self.add_child(level, low, count, reference, put)?;
            child = self.finish_node(level, put)?;
            level += 1;
        }
        Ok((Some(child.2), self.count))
    }

    /// Notes how well the leaf would fill its slot as it is.
    fn consider_cut(&mut self) {
        let bytes = self.leaf.bytes() as u64;
        let fill = bytes * 1_024 / slot_cost(bytes);
        if bytes >= LEAF_MAX as u64 / 2 && fill >= self.best.fill {
            self.best = Cut { entries: self.leaf.len(), fill };
        }
    }

    /// Finishes a leaf that is full, or as much of it as fills a slot clearly better; the rest begins the next leaf.
    fn cut_leaf(&mut self, put: PutImage<'_>) -> Result<(), StorageError> {
        let bytes = self.leaf.bytes() as u64;
        let fill = bytes * 1_024 / slot_cost(bytes);
        let is_better = self.best.fill > fill + fill / BETTER_PART;
        if !is_better || self.best.entries >= self.leaf.len() {
            return self.finish_leaf(put);
        }
        let rest = self.leaf.split_off(self.best.entries);
        let low = match (self.leaf.last_key(), rest.first_key()) {
            (Some(left), Some(right)) => separator(left, right).to_vec(),
            _ => return Err(no_image()),
        };
        self.finish_leaf(put)?;
        self.leaf = rest;
        self.low = low;
        self.consider_cut();
        Ok(())
    }

    fn finish_leaf(&mut self, put: PutImage<'_>) -> Result<(), StorageError> {
        let count = self.leaf.len() as u64;
        let image = self.leaf.finish(self.tree).ok_or_else(no_image)?;
        self.best = Cut::default();
        let low = std::mem::take(&mut self.low);
        let reference = put(&image)?;
        self.add_child(0, low, count, reference, put)
    }

    /// Adds a child to the node of a level that is being filled; a full one moves up into the next level.
    fn add_child(
        &mut self,
        level: usize,
        low: Vec<u8>,
        count: u64,
        reference: Reference,
        put: PutImage<'_>,
    ) -> Result<(), StorageError> {
        if level == self.levels.len() {
            self.levels.push(Level { node: InnerBuilder::new(), low: Vec::new() });
        }
        let is_full = self.levels.get(level).is_some_and(|level| !level.node.fits(&low));
        if is_full {
            let (low, count, reference) = self.finish_node(level, put)?;
            self.add_child(level + 1, low, count, reference, put)?;
        }
        let level = self.levels.get_mut(level).ok_or_else(no_image)?;
        level.node.push(&low, count, reference);
        if level.node.len() == 1 {
            level.low = low;
        }
        Ok(())
    }

    /// Puts the node of a level, which is empty afterwards: its low key, the entries beneath it, and where it is.
    fn finish_node(
        &mut self,
        level: usize,
        put: PutImage<'_>,
    ) -> Result<(Vec<u8>, u64, Reference), StorageError> {
        let number = u8::try_from(level + 1).map_err(|_| no_image())?;
        let node = self.levels.get_mut(level).ok_or_else(no_image)?;
        let count = node.node.count();
        let low = std::mem::take(&mut node.low);
        let image = node.node.finish(self.tree, number).ok_or_else(no_image)?;
        Ok((low, count, put(&image)?))
    }
}

fn no_image() -> StorageError {
    StorageError::corrupt("memory", "a node that is being built has no image")
}
