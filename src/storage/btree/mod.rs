//! A counted, copy-on-write B+ tree whose nodes are in memory or in the data file.
//! Knows nodes, keys and values; must not know commits, the log, or which trees there are.
//!
//! A [`Tree`] is a root and a count; its clone is a snapshot. Changing a tree copies the path to what is changed, in
//! memory: nothing is written before a checkpoint ([`Tree::store`]), which gives every node that is only in memory a
//! slot, children first. Afterwards [`Tree::settle`] lets go of the nodes in memory and keeps references to the slots.
//!
//! Every inner node has, for each child, the number of entries beneath it and a key that is not greater than any of
//! them (of the first child that key is not looked at). Ranks are therefore found in O(log n), and since a snapshot
//! never changes, a range of keys is a range of ranks: counting, positioning and scanning both ways all work on ranks.
//!
//! Which slots a checkpoint does without: an [`Edit`] notes every node and long value that it replaces. One that has a
//! slot by the time of the next checkpoint is released by it. A node is noted even when it has none, because a
//! checkpoint may be writing it at that moment.

mod build;
mod edit;
mod encode;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod image;
mod inner;
mod link;
mod links;
mod locate;
mod long;
mod node;
mod page;
mod read;
mod store;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub(crate) use self::build::TreeBuilder;
pub(crate) use self::edit::{Edit, Replaced};
pub(crate) use self::image::decode;
use self::link::Link;
pub(crate) use self::link::Place;
pub(crate) use self::long::{LongValue, read_long_value};
pub(crate) use self::node::Origin;
pub(crate) use self::page::{Held, Page};
pub(crate) use self::store::Part;
use super::slab::Reference;
use super::{ReadMode, StorageError};

/// Where nodes come from that are not in memory.
pub(crate) trait Source {
    /// The node of a tree. `level` is what its parent expects; of a root nothing is known.
    fn node(
        &self,
        tree: u64,
        place: &Place,
        level: Option<u8>,
        mode: ReadMode,
    ) -> Result<Held, StorageError>;

    /// A node is not wanted any more, other than by snapshots.
    fn replaced(&self, _place: &Place) {}

    /// A value that is kept outside of its leaf and is in the data file.
    fn long_value(
        &self,
        reference: Reference,
        length: u64,
        mode: ReadMode,
    ) -> Result<Bytes, StorageError>;

    /// The value of an entry could not be read.
    fn note_value(&self, _tree: u64, _key: &[u8], _error: &StorageError) {}

    /// These nodes will be asked for soon, in this order. Nothing depends on it.
    fn will_read(&self, _nodes: Vec<Reference>) {}
}

/// Where a checkpoint puts images.
pub(crate) trait Sink {
    /// Stores the image of a node, and whether it may be wanted again soon.
    fn store_node(
        &self,
        tree: u64,
        image: Bytes,
        is_wanted: bool,
    ) -> Result<Reference, StorageError>;

    /// Stores a part of a long value.
    fn store_part(&self, tree: u64, part: &[u8]) -> Result<Reference, StorageError>;

    /// Takes back a part that was stored for a long value of which another could not be.
    fn discard(&self, reference: Reference);
}

/// One state of a tree.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// Its name, or that of the meta tree.
    name: u64,
    root: Option<Link>,
    count: u64,
}

impl Tree {
    /// A tree without entries.
    pub(crate) fn new(name: u64) -> Self {
        Self { name, root: None, count: 0 }
    }

    /// A tree as a checkpoint left it.
    pub(crate) fn stored(name: u64, root: Option<Reference>, count: u64) -> Self {
        Self { name, root: root.map(Link::stored), count }
    }

    /// Entries.
    pub(crate) fn len(&self) -> u64 {
        self.count
    }
}
