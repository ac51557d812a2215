//! Nodes as bytes. `docs/storage-format.md` has the tables; what is read here is checked against its rule 5.
//! Must not know where the bytes are kept.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::long::LongValue;
use super::node::{Body, Child, Entry, Inner, Leaf, Link, Node, Value};
use crate::storage::slab::{REFERENCE_BYTES, Reference, decode_reference, encode_reference};

/// Bytes of a node before its offsets.
pub(super) const NODE_HEADER: usize = 16;
/// Bytes of an entry of a leaf beside its key and value, its offset included.
pub(super) const LEAF_ENTRY_BYTES: usize = 6;
/// Bytes of a child beside its low key, its offset included.
pub(super) const INNER_ENTRY_BYTES: usize = 4 + 8 + REFERENCE_BYTES;
/// What stands in a leaf for a long value.
pub(super) const LONG_VALUE_BYTES: usize = 8 + REFERENCE_BYTES;

/// Entries of a tree that cannot be: a slot has fewer than so many, and so has a disk.
const MOST_ENTRIES: u64 = 1 << 60;

const LEAF: u8 = 1;
const INNER: u8 = 2;
/// The value length that says that the value is a long one.
const IS_LONG: u16 = u16::MAX;

/// A stored leaf, read where it lies. Its shape was checked when it was decoded.
#[derive(Debug, Clone)]
pub(super) struct LeafImage {
    bytes: Bytes,
    count: usize,
    /// Where the common prefix of the keys ends, and the entries begin.
    entries: usize,
}

/// The header of any node.
struct Header {
    kind: u8,
    level: u8,
    count: usize,
    prefix: usize,
    tree: u64,
}

/// The node of an image; the error says which rule is broken.
pub(crate) fn decode(bytes: &Bytes, tree: u64, level: Option<u8>) -> Result<Node, &'static str> {
    let header = Header::decode(bytes).ok_or("a node without a header (rule 5)")?;
    if header.tree != tree {
        return Err("a node of another tree (rule 5)");
    }
    if level.is_some_and(|level| level != header.level) {
        return Err("a node of another level (rule 5)");
    }
    let entries = NODE_HEADER + 2 * header.count + header.prefix;
    let image = LeafImage { bytes: bytes.clone(), count: header.count, entries };
    let body = match (header.kind, header.level) {
        (LEAF, 0) => {
            image.check_leaf().ok_or("the entries of a leaf are not in order (rule 5)")?;
            Body::Image(image)
        }
        (INNER, 1..) => {
            let inner = decode_inner(&image).ok_or("a damaged inner node (rule 5)")?;
            Body::Inner(inner)
        }
        _ => return Err("a node of no kind (rule 5)"),
    };
    Ok(Node::new(header.level, 0, body))
}

impl Header {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<NODE_HEADER>()?;
        let [kind, level, n0, n1, p0, p1, _, _, tree @ ..] = *header;
        Some(Self {
            kind,
            level,
            count: usize::from(u16::from_le_bytes([n0, n1])),
            prefix: usize::from(u16::from_le_bytes([p0, p1])),
            tree: u64::from_le_bytes(tree),
        })
    }
}

impl LeafImage {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn weight(&self) -> usize {
        self.bytes.len() + size_of::<Node>()
    }

    /// The bytes with which every key begins.
    pub(super) fn prefix(&self) -> &[u8] {
        self.bytes.get(NODE_HEADER + 2 * self.count..self.entries).unwrap_or_default()
    }

    fn number(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..)?.first_chunk::<2>()?;
        Some(u16::from_le_bytes(*bytes))
    }

    /// Where an entry begins.
    fn offset(&self, index: usize) -> Option<usize> {
        (index < self.count)
            .then(|| self.number(NODE_HEADER + 2 * index))
            .flatten()
            .map(usize::from)
    }

    /// A key without the prefix.
    pub(super) fn suffix(&self, index: usize) -> Option<&[u8]> {
        let at = self.offset(index)?;
        let length = usize::from(self.number(at)?);
        self.bytes.get(at + 4..at + 4 + length)
    }

    /// A value, and where it ends.
    fn value_and_end(&self, index: usize) -> Option<(Value, usize)> {
        let at = self.offset(index)?;
        let start = at + 4 + usize::from(self.number(at)?);
        let length = self.number(at + 2)?;
        if length == IS_LONG {
            let stored = self.bytes.get(start..)?.first_chunk::<LONG_VALUE_BYTES>()?;
            let (length, reference) = stored.split_first_chunk::<8>()?;
            let reference = decode_reference(reference.first_chunk()?)?;
            let value = LongValue::stored(u64::from_le_bytes(*length), reference);
            return Some((Value::Long(Arc::new(value)), start + LONG_VALUE_BYTES));
        }
        let end = start + usize::from(length);
        (end <= self.bytes.len()).then(|| (Value::Short(self.bytes.slice(start..end)), end))
    }

    pub(super) fn value(&self, index: usize) -> Option<Value> {
        Some(self.value_and_end(index)?.0)
    }

    pub(super) fn position(&self, key: &[u8]) -> Result<usize, usize> {
        let prefix = self.prefix();
        let head = key.get(..prefix.len()).unwrap_or(key);
        let rest = match head.cmp(prefix) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.count),
            Ordering::Equal => key.get(prefix.len()..).unwrap_or_default(),
        };
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            match self.suffix(middle).unwrap_or_default().cmp(rest) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// The leaf in the form in which it can be changed. Its keys share one piece of memory.
    pub(super) fn to_leaf(&self) -> Leaf {
        let prefix = self.prefix();
        let mut keys = Vec::with_capacity(self.bytes.len() + prefix.len() * self.count);
        let mut ends = Vec::with_capacity(self.count);
        for index in 0..self.count {
            keys.extend_from_slice(prefix);
            keys.extend_from_slice(self.suffix(index).unwrap_or_default());
            ends.push(keys.len());
        }
        let keys = Bytes::from(keys);
        let mut start = 0;
        let mut entries = Vec::with_capacity(self.count + 1);
        for (index, end) in ends.into_iter().enumerate() {
            if let Some(value) = self.value(index) {
                entries.push(Entry { key: keys.slice(start..end), value });
            }
            start = end;
        }
        Leaf::from_entries(entries)
    }

    /// `Some` when the entries lie one behind another up to the end, and their keys ascend.
    fn check_leaf(&self) -> Option<()> {
        let mut at = self.entries;
        for index in 0..self.count {
            let (_, end) = (self.offset(index)? == at).then(|| self.value_and_end(index))??;
            if index > 0 && self.suffix(index - 1)? >= self.suffix(index)? {
                return None;
            }
            at = end;
        }
        (at == self.bytes.len() && self.count > 0).then_some(())
    }
}

/// Reads an inner node, whose entries lie like those of a leaf.
fn decode_inner(image: &LeafImage) -> Option<Inner> {
    const REST: usize = 8 + REFERENCE_BYTES;
    let prefix = image.prefix();
    let mut at = image.entries;
    let mut lows = Vec::with_capacity(image.bytes.len());
    let mut children = Vec::with_capacity(image.count);
    let mut total = 0_u64;
    for index in 0..image.count {
        if image.offset(index)? != at {
            return None;
        }
        let length = usize::from(image.number(at)?);
        let rest = image.bytes.get(at + 2..)?.first_chunk::<REST>()?;
        let (count, reference) = rest.split_first_chunk::<8>()?;
        let reference = decode_reference(reference.first_chunk()?)?;
        let start = lows.len();
        if index > 0 {
            lows.extend_from_slice(prefix);
        }
        lows.extend_from_slice(image.bytes.get(at + 2 + REST..at + 2 + REST + length)?);
        let count = u64::from_le_bytes(*count);
        total = total.checked_add(count).filter(|total| *total < MOST_ENTRIES && count > 0)?;
        children.push((start, lows.len(), count, reference));
        at += 2 + REST + length;
    }
    if at != image.bytes.len() || image.count == 0 {
        return None;
    }
    let lows = Bytes::from(lows);
    let child = |(start, end, count, reference)| {
        let low = lows.slice(start..end);
        Child { low, count, link: Link::Stored(reference) }
    };
    let children: Vec<_> = children.into_iter().map(child).collect();
    let ascends = children.get(1..)?.is_sorted_by(|a, b| a.low < b.low);
    ascends.then(|| Inner::from_children(children))
}

/// The image of a leaf whose long values all have their references.
pub(super) fn encode_leaf(tree: u64, entries: &[Entry]) -> Option<Bytes> {
    let keys = || entries.iter().map(|entry| entry.key.as_ref());
    let prefix = common_prefix(keys());
    let mut writer = Writer::new(LEAF, 0, tree, entries.len(), prefix);
    for (index, entry) in entries.iter().enumerate() {
        let suffix = entry.key.get(prefix.len()..)?;
        writer.begin_entry(index)?;
        writer.bytes.extend_from_slice(&(suffix.len() as u16).to_le_bytes());
        match &entry.value {
            Value::Short(value) => {
                writer.bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
                writer.bytes.extend_from_slice(suffix);
                writer.bytes.extend_from_slice(value);
            }
            Value::Long(value) => {
                writer.bytes.extend_from_slice(&IS_LONG.to_le_bytes());
                writer.bytes.extend_from_slice(suffix);
                writer.bytes.extend_from_slice(&value.length().to_le_bytes());
                let reference = encode_reference(Some(value.reference()?));
                writer.bytes.extend_from_slice(&reference);
            }
        }
    }
    Some(Bytes::from(writer.bytes))
}

/// The image of an inner node whose children have these references.
pub(super) fn encode_inner(
    tree: u64,
    level: u8,
    children: &[(&Child, Reference)],
) -> Option<Bytes> {
    let lows = children.iter().skip(1).map(|(child, _)| child.low.as_ref());
    let prefix = common_prefix(lows);
    let mut writer = Writer::new(INNER, level, tree, children.len(), prefix);
    for (index, (child, reference)) in children.iter().enumerate() {
        let suffix = if index == 0 { &[][..] } else { child.low.get(prefix.len()..)? };
        writer.begin_entry(index)?;
        writer.bytes.extend_from_slice(&(suffix.len() as u16).to_le_bytes());
        writer.bytes.extend_from_slice(&child.count.to_le_bytes());
        writer.bytes.extend_from_slice(&encode_reference(Some(*reference)));
        writer.bytes.extend_from_slice(suffix);
    }
    Some(Bytes::from(writer.bytes))
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn new(kind: u8, level: u8, tree: u64, count: usize, prefix: &[u8]) -> Self {
        let mut bytes = vec![kind, level];
        bytes.extend_from_slice(&(count as u16).to_le_bytes());
        bytes.extend_from_slice(&(prefix.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&tree.to_le_bytes());
        bytes.resize(NODE_HEADER + 2 * count, 0);
        bytes.extend_from_slice(prefix);
        Self { bytes }
    }

    /// Notes where an entry begins; `None` when that cannot be said in two bytes.
    fn begin_entry(&mut self, index: usize) -> Option<()> {
        let offset = u16::try_from(self.bytes.len()).ok()?;
        let at = NODE_HEADER + 2 * index;
        self.bytes.get_mut(at..at + 2)?.copy_from_slice(&offset.to_le_bytes());
        Some(())
    }
}

/// What all keys begin with. They are sorted, so that the first and the last one decide.
fn common_prefix<'a>(mut keys: impl DoubleEndedIterator<Item = &'a [u8]>) -> &'a [u8] {
    let Some(first) = keys.next() else { return &[] };
    let last = keys.next_back().unwrap_or(first);
    let length = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    first.get(..length).unwrap_or_default()
}
