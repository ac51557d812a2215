//! Making the images of nodes: builders that take what belongs into a node, in order, and say whether more fits.
//! `docs/storage-format.md` has the tables. Must not know where the images are put.

use bytes::Bytes;

use super::inner::Inner;
use super::node::{Entry, Value};
use crate::storage::slab::{REFERENCE_BYTES, Reference, encode_reference};

/// Bytes of a node before its prefix.
pub(super) const NODE_HEADER: usize = 16;
/// Bytes of a key of a leaf that stand in its table.
pub(super) const HEAD: usize = 4;
/// Bytes that the table of a leaf has for an entry.
pub(super) const ROW: usize = HEAD + 2;
/// Bytes of an entry of a leaf beside its value and what its key has behind the prefix and the head.
pub(super) const LEAF_ENTRY_BYTES: usize = ROW + 2;
/// Bytes of a child beside its low key.
pub(super) const INNER_ENTRY_BYTES: usize = 2 + 8 + REFERENCE_BYTES;
/// What stands in a leaf for a long value.
pub(super) const LONG_VALUE_BYTES: usize = 8 + REFERENCE_BYTES;

pub(super) const LEAF: u8 = 1;
pub(super) const INNER: u8 = 2;
/// In the length of a key: the value is a long one.
pub(super) const IS_LONG: u16 = 1 << 15;

/// A leaf whose image would be longer is cut in two. Long enough that the rounding to whole grains costs little.
pub(super) const LEAF_MAX: usize = 16 * 1024;
/// An inner node whose image would be longer is cut in two. Every change copies one on each level.
pub(super) const INNER_MAX: usize = 6 * 1024;

/// A value as a leaf has it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored<'a> {
    /// The value, of at most [`SHORT_VALUE`](super::long::SHORT_VALUE) bytes.
    Short(&'a [u8]),
    /// A longer one: its length, and its reference once it is stored.
    Long(u64, Reference),
}

/// Makes images of leaves, one after another.
#[derive(Debug)]
pub(crate) struct LeafBuilder {
    keys: Keys,
    values: Vec<u8>,
    /// For each entry where its value ends, and whether it is a long one.
    ends: Vec<(usize, bool)>,
}

/// Makes images of inner nodes, one after another.
#[derive(Debug)]
pub(crate) struct InnerBuilder {
    /// The low keys, without that of the first child.
    lows: Keys,
    children: Vec<(u64, Reference)>,
}

impl LeafBuilder {
    /// With nothing in it.
    pub(crate) fn new() -> Self {
        Self { keys: Keys::new(HEAD), values: Vec::new(), ends: Vec::new() }
    }

    /// Entries in it.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether another entry may follow in the same leaf. An empty leaf takes any.
    pub(crate) fn fits(&self, key: &[u8], value: &Stored<'_>) -> bool {
        let entries = (self.len() + 1) * LEAF_ENTRY_BYTES + self.values.len() + value.bytes();
        self.ends.is_empty() || NODE_HEADER + entries + self.keys.bytes_with(key) <= LEAF_MAX
    }

    /// Adds an entry, whose key is greater than all before it.
    pub(crate) fn push(&mut self, key: &[u8], value: &Stored<'_>) {
        self.keys.push(key);
        value.append_to(&mut self.values);
        self.ends.push((self.values.len(), value.is_long()));
    }

    /// Bytes of the image that it would have.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.len() * LEAF_ENTRY_BYTES + self.values.len();
        NODE_HEADER + entries + self.keys.bytes()
    }

    /// Takes away the entries from an index on.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let (mut left, mut right) = (Self::new(), Self::new());
        let mut start = 0;
        for (index, (end, is_long)) in self.ends.iter().enumerate() {
            let half = if index < at { &mut left } else { &mut right };
            half.keys.push(self.keys.get(index).unwrap_or_default());
            half.values.extend_from_slice(self.values.get(start..*end).unwrap_or_default());
            half.ends.push((half.values.len(), *is_long));
            start = *end;
        }
        *self = left;
        right
    }

    /// The key that was added first.
    pub(crate) fn first_key(&self) -> Option<&[u8]> {
        self.keys.get(0)
    }

    /// The key that was added last.
    pub(crate) fn last_key(&self) -> Option<&[u8]> {
        self.keys.get(self.len().checked_sub(1)?)
    }

    /// The image of the leaf of a tree with what is in it; nothing is in it afterwards. `None` when that is nothing, or
    /// more than a leaf can have.
    pub(crate) fn finish(&mut self, tree: u64) -> Option<Bytes> {
        let image = self.image(tree);
        self.keys.clear();
        self.values.clear();
        self.ends.clear();
        image
    }

    fn image(&self, tree: u64) -> Option<Bytes> {
        let (count, prefix) = (self.len(), self.keys.prefix()?);
        let bytes = count * LEAF_ENTRY_BYTES + self.values.len() + self.keys.bytes();
        let mut image = header(LEAF, 0, tree, count, prefix, NODE_HEADER + bytes)?;
        let suffix = |index| self.keys.get(index)?.get(prefix.len()..);
        let mut at = image.len() + ROW * count;
        let mut start = 0;
        for (index, (end, _)) in self.ends.iter().enumerate() {
            let suffix = suffix(index)?;
            image.extend_from_slice(&head(suffix).to_le_bytes());
            image.extend_from_slice(&u16::try_from(at).ok()?.to_le_bytes());
            at += 2 + suffix.len().saturating_sub(HEAD) + (end - start);
            start = *end;
        }
        start = 0;
        for (index, (end, is_long)) in self.ends.iter().enumerate() {
            let suffix = suffix(index)?;
            let length = u16::try_from(suffix.len()).ok().filter(|length| *length < IS_LONG)?;
            let length = if *is_long { length | IS_LONG } else { length };
            image.extend_from_slice(&length.to_le_bytes());
            image.extend_from_slice(suffix.get(HEAD..).unwrap_or_default());
            image.extend_from_slice(self.values.get(start..*end)?);
            start = *end;
        }
        Some(Bytes::from(image))
    }
}

impl InnerBuilder {
    /// With nothing in it.
    pub(crate) fn new() -> Self {
        Self { lows: Keys::new(0), children: Vec::new() }
    }

    /// Children in it.
    pub(crate) fn len(&self) -> usize {
        self.children.len()
    }

    /// Whether another child may follow in the same node. An empty node takes any.
    pub(crate) fn fits(&self, low: &[u8]) -> bool {
        let children = (self.len() + 1) * INNER_ENTRY_BYTES;
        self.children.is_empty() || NODE_HEADER + children + self.lows.bytes_with(low) <= INNER_MAX
    }

    /// Adds a child with at least one entry. Its low key is greater than every key of the child before it and not
    /// greater than any of its own; that of a first child is not looked at.
    pub(crate) fn push(&mut self, low: &[u8], count: u64, reference: Reference) {
        if !self.children.is_empty() {
            self.lows.push(low);
        }
        self.children.push((count, reference));
    }

    /// Entries beneath what is in it.
    pub(crate) fn count(&self) -> u64 {
        self.children.iter().map(|(count, _)| count).sum()
    }

    /// The image of the inner node of a tree with what is in it; nothing is in it afterwards. `None` when that is
    /// nothing, or more than an inner node can have. `level` is one more than that of the children.
    pub(crate) fn finish(&mut self, tree: u64, level: u8) -> Option<Bytes> {
        let image = self.image(tree, level);
        self.lows.clear();
        self.children.clear();
        image
    }

    fn image(&self, tree: u64, level: u8) -> Option<Bytes> {
        let prefix = self.lows.prefix().unwrap_or_default();
        let bytes = NODE_HEADER + self.len() * INNER_ENTRY_BYTES + self.lows.bytes();
        let mut image = header(INNER, level, tree, self.len(), prefix, bytes)?;
        for (index, (count, reference)) in self.children.iter().enumerate() {
            let suffix = match index.checked_sub(1) {
                None => &[],
                Some(index) => self.lows.get(index)?.get(prefix.len()..)?,
            };
            image.extend_from_slice(&u16::try_from(suffix.len()).ok()?.to_le_bytes());
            image.extend_from_slice(&count.to_le_bytes());
            image.extend_from_slice(&encode_reference(Some(*reference)));
            image.extend_from_slice(suffix);
        }
        Some(Bytes::from(image))
    }
}

impl Stored<'_> {
    fn is_long(&self) -> bool {
        matches!(self, Self::Long(..))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Short(value) => value.len(),
            Self::Long(..) => LONG_VALUE_BYTES,
        }
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Short(value) => bytes.extend_from_slice(value),
            Self::Long(length, reference) => {
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(&encode_reference(Some(*reference)));
            }
        }
    }
}

/// The image of a leaf whose long values all have their references.
pub(super) fn encode_leaf(tree: u64, entries: &[Entry]) -> Option<Bytes> {
    let mut builder = LeafBuilder::new();
    for Entry { key, value, .. } in entries {
        match value {
            Value::Short(value) => builder.push(key, &Stored::Short(value)),
            Value::Long(long) => builder.push(key, &Stored::Long(long.length(), long.reference()?)),
        }
    }
    builder.finish(tree)
}

/// The image of an inner node whose children have these references.
pub(super) fn encode_inner(tree: u64, inner: &Inner, children: &[Reference]) -> Option<Bytes> {
    let mut builder = InnerBuilder::new();
    for (at, reference) in children.iter().enumerate() {
        builder.push(inner.low(at), inner.child_count(at), *reference);
    }
    builder.finish(tree, inner.level())
}

/// What every node begins with, in memory for so many bytes.
fn header(
    kind: u8,
    level: u8,
    tree: u64,
    count: usize,
    prefix: &[u8],
    bytes: usize,
) -> Option<Vec<u8>> {
    let count = u16::try_from(count).ok().filter(|count| *count > 0)?;
    let mut image = Vec::with_capacity(bytes);
    image.extend_from_slice(&[kind, level]);
    image.extend_from_slice(&count.to_le_bytes());
    image.extend_from_slice(&u16::try_from(prefix.len()).ok()?.to_le_bytes());
    image.extend_from_slice(&[0; 2]);
    image.extend_from_slice(&tree.to_le_bytes());
    image.extend_from_slice(prefix);
    Some(image)
}

/// Keys that ascend, one behind the other, and what the part that they have in common saves.
#[derive(Debug)]
struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Bytes that stand elsewhere behind the prefix of each.
    head: usize,
    /// Bytes with which all of them begin.
    prefix: usize,
    /// Bytes of all of them behind the prefix and the head.
    rests: usize,
}

impl Keys {
    fn new(head: usize) -> Self {
        Self { bytes: Vec::new(), ends: Vec::new(), head, prefix: 0, rests: 0 }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        (self.prefix, self.rests) = (0, 0);
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let start =
            index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(start..*self.ends.get(index)?)
    }

    fn prefix(&self) -> Option<&[u8]> {
        self.get(0)?.get(..self.prefix)
    }

    /// Bytes of the prefix and of what all have behind prefix and head.
    fn bytes(&self) -> usize {
        self.prefix + self.rests
    }

    fn bytes_with(&self, key: &[u8]) -> usize {
        let (prefix, rests) = self.with(key);
        prefix + rests
    }

    /// What prefix and rests become with another key.
    fn with(&self, key: &[u8]) -> (usize, usize) {
        let Some(old) = self.prefix() else { return (key.len(), 0) };
        let prefix = common(old, key);
        let rest = |length: usize| length.saturating_sub(prefix + self.head);
        if prefix == self.prefix {
            return (prefix, self.rests + rest(key.len()));
        }
        let starts = std::iter::once(&0).chain(&self.ends);
        let rests = starts.zip(&self.ends).map(|(start, end)| rest(end - start)).sum::<usize>();
        (prefix, rests + rest(key.len()))
    }

    fn push(&mut self, key: &[u8]) {
        (self.prefix, self.rests) = self.with(key);
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }
}

/// The first bytes of a key behind the prefix as a number that sorts as they do; zeros stand for what is missing.
pub(super) fn head(suffix: &[u8]) -> u32 {
    let mut head = [0; HEAD];
    head.iter_mut().zip(suffix).for_each(|(to, from)| *to = *from);
    u32::from_be_bytes(head)
}

/// How many bytes both begin with.
pub(super) fn common(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(a, b)| a == b).count()
}
