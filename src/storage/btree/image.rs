//! Nodes as bytes: reading them. `docs/storage-format.md` has the tables; what is read here is checked against its rule 5.
//! Must not know where the bytes are kept.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::encode::{
    HEAD, INNER, INNER_ENTRY_BYTES, IS_LONG, LEAF, LONG_VALUE_BYTES, NODE_HEADER, ROW, Stored, head,
};
use super::inner::Inner;
use super::link::Link;
use super::long::LongValue;
use super::node::{Body, Entry, Leaf, Node, Origin, Value};
use super::page::shared;
use crate::limits::{STORAGE_KEY_BYTES, STORAGE_NUMBER_MAX};
use crate::storage::ledger::Account;
use crate::storage::slab::{Reference, decode_reference};

/// Rows of a leaf's table that a search looks at together: about a line of the processor's cache.
const BLOCK: usize = 10;

/// A stored leaf, read where it lies. Its shape was checked when it was decoded.
#[derive(Debug, Clone)]
pub(super) struct LeafImage {
    bytes: Bytes,
    count: u16,
    /// Where the prefix ends, and the table begins.
    table: u16,
    /// Whether no two keys have the same head.
    tells_apart: bool,
}

/// An entry of a leaf as it lies there.
struct Raw<'a> {
    /// Of the key without the prefix.
    length: usize,
    /// What the key has behind prefix and head.
    rest: &'a [u8],
    is_long: bool,
    /// Where the value is.
    start: usize,
    end: usize,
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
    let body = match (header.kind, header.level) {
        (LEAF, 0) => {
            let image = LeafImage::new(bytes, &header);
            let image = image.ok_or("the entries of a leaf are not in order (rule 5)")?;
            Body::Image(image)
        }
        (INNER, 1..) => {
            let inner = decode_inner(bytes, &header).ok_or("a damaged inner node (rule 5)")?;
            Body::Inner(Box::new(inner))
        }
        _ => return Err("a node of no kind (rule 5)"),
    };
    Ok(Node::new(body))
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
    fn new(bytes: &Bytes, header: &Header) -> Option<Self> {
        let count = u16::try_from(header.count).ok()?;
        let table = u16::try_from(NODE_HEADER + header.prefix).ok()?;
        let mut image = Self { bytes: bytes.clone(), count, table, tells_apart: true };
        image.tells_apart = image.check()?;
        Some(image)
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Bytes that the image would have at most if its keys had no common prefix.
    pub(super) fn most_bytes(&self) -> usize {
        self.bytes.len() + HEAD + self.prefix().len() * self.len().saturating_sub(1)
    }

    pub(super) fn weight(&self) -> usize {
        shared(self.bytes.len())
    }

    /// The bytes with which every key begins.
    pub(super) fn prefix(&self) -> &[u8] {
        self.bytes.get(NODE_HEADER..usize::from(self.table)).unwrap_or_default()
    }

    fn table(&self) -> &[[u8; ROW]] {
        let start = usize::from(self.table);
        self.bytes.get(start..start + ROW * self.len()).unwrap_or_default().as_chunks().0
    }

    /// Where an entry begins, and where the one before it ends.
    fn offset(&self, index: usize) -> Option<usize> {
        if index == self.len() {
            return Some(self.bytes.len());
        }
        let [.., low, high] = *self.table().get(index)?;
        Some(usize::from(u16::from_le_bytes([low, high])))
    }

    fn entry(&self, index: usize) -> Option<Raw<'_>> {
        let (at, end) = (self.offset(index)?, self.offset(index + 1)?);
        let length = u16::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?);
        let is_long = length & IS_LONG != 0;
        let length = usize::from(length & !IS_LONG);
        let start = at + 2 + length.saturating_sub(HEAD);
        let rest = self.bytes.get(at + 2..start)?;
        (start <= end && end <= self.bytes.len()).then_some(Raw {
            length,
            rest,
            is_long,
            start,
            end,
        })
    }

    /// Appends a key without the prefix.
    pub(super) fn append_suffix(&self, index: usize, key: &mut Vec<u8>) -> Option<()> {
        let entry = self.entry(index)?;
        let head = head_of(self.table().get(index)?).to_be_bytes();
        key.extend_from_slice(head.get(..entry.length).unwrap_or(&head));
        key.extend_from_slice(entry.rest);
        Some(())
    }

    /// The key of an entry.
    pub(super) fn key(&self, index: usize) -> Option<Bytes> {
        let mut key = self.prefix().to_vec();
        self.append_suffix(index, &mut key)?;
        Some(key.into())
    }

    /// A value where it lies.
    pub(super) fn stored(&self, index: usize) -> Option<Stored<'_>> {
        let entry = self.entry(index)?;
        let bytes = self.bytes.get(entry.start..entry.end)?;
        if entry.is_long {
            return long_value(bytes).map(|(length, reference)| Stored::Long(length, reference));
        }
        Some(Stored::Short(bytes))
    }

    /// A part of the image as bytes that keep all of it alive.
    pub(super) fn share(&self, part: &[u8]) -> Bytes {
        self.bytes.slice_ref(part)
    }

    pub(super) fn position(&self, key: &[u8]) -> Result<usize, usize> {
        let prefix = self.prefix();
        let begin = key.get(..prefix.len()).unwrap_or(key);
        let suffix = match begin.cmp(prefix) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.len()),
            Ordering::Equal => key.get(prefix.len()..).unwrap_or_default(),
        };
        let (table, head) = (self.table(), head(suffix));
        // The rows that are looked at do not depend on one another: the processor fetches them all at once.
        let is_less = |row: &&[u8; ROW]| head_of(row) < head;
        let block = table.iter().step_by(BLOCK).filter(is_less).count().saturating_sub(1) * BLOCK;
        let rows = table.get(block..).unwrap_or_default();
        let mut low = block + rows.iter().take(BLOCK).filter(is_less).count();
        let rows = table.get(low..).unwrap_or_default();
        let mut high = low;
        if rows.first().is_some_and(|row| head_of(row) == head) {
            let others = || rows.partition_point(|row| head_of(row) == head);
            high += if self.tells_apart { 1 } else { others() };
        }
        let key = (suffix.get(HEAD..).unwrap_or_default(), suffix.len());
        while low < high {
            let middle = low.midpoint(high);
            let entry = self.entry(middle).map(|entry| (entry.rest, entry.length));
            match entry.unwrap_or_default().cmp(&key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// The leaf in the form in which it can be changed. Its entries share one piece of memory, which is not that of the
    /// image.
    pub(super) fn to_leaf(&self, account: &Arc<Account>) -> Leaf {
        let prefix = self.prefix();
        let all = 0..self.len();
        let most = |raw: Raw<'_>| prefix.len() + raw.length + raw.end - raw.start;
        let mut bytes =
            Vec::with_capacity(all.clone().filter_map(|at| self.entry(at)).map(most).sum());
        let mut entries = Vec::with_capacity(self.len() + 1);
        let mut parts = Vec::with_capacity(self.len());
        for (index, value) in all.filter_map(|at| Some((at, self.stored(at)?))) {
            bytes.extend_from_slice(prefix);
            // What has no shape was not decoded.
            let _ = self.append_suffix(index, &mut bytes);
            let key_end = bytes.len();
            if let Stored::Short(value) = &value {
                bytes.extend_from_slice(value);
            }
            parts.push((key_end, bytes.len(), value));
        }
        let block = account.hold(bytes);
        let mut start = 0;
        for (key_end, end, value) in parts {
            let value = match value {
                Stored::Short(_) => Value::Short(block.slice(key_end..end)),
                Stored::Long(length, reference) => {
                    Value::Long(Arc::new(LongValue::stored(length, reference, account)))
                }
            };
            entries.push(Entry { key: block.slice(start..key_end), value, origin: Origin::Block });
            start = end;
        }
        Leaf::new(entries, block.len())
    }

    /// `Some` when the entries lie one behind another up to the end, and their keys ascend; whether no two of them have
    /// the same head.
    fn check(&self) -> Option<bool> {
        let mut at = usize::from(self.table) + ROW * self.len();
        let (mut before, mut tells_apart) = (None, true);
        for (index, row) in self.table().iter().enumerate() {
            let entry = (self.offset(index)? == at).then(|| self.entry(index))??;
            let head = head_of(row);
            let bytes = head.to_be_bytes();
            let unused = bytes.get(entry.length..).unwrap_or_default();
            // As the whole keys, because what is missing in a head is zero, the least there is.
            let key = Some((head, entry.rest, entry.length));
            if unused.iter().any(|byte| *byte != 0) || before >= key {
                return None;
            }
            if self.prefix().len() + entry.length > STORAGE_KEY_BYTES {
                return None;
            }
            if entry.is_long {
                long_value(self.bytes.get(entry.start..entry.end)?)?;
            }
            tells_apart &= before.is_none_or(|(other, ..)| other != head);
            (at, before) = (entry.end, key);
        }
        (at == self.bytes.len() && self.count > 0).then_some(tells_apart)
    }
}

fn head_of(row: &[u8; ROW]) -> u32 {
    let [a, b, c, d, ..] = *row;
    u32::from_le_bytes([a, b, c, d])
}

/// Length and reference of a long value.
fn long_value(bytes: &[u8]) -> Option<(u64, Reference)> {
    let bytes: &[u8; LONG_VALUE_BYTES] = bytes.try_into().ok()?;
    let (length, reference) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*length), decode_reference(reference.first_chunk()?)?))
}

fn decode_inner(bytes: &[u8], header: &Header) -> Option<Inner> {
    let (prefix, mut rest) = bytes.get(NODE_HEADER..)?.split_at_checked(header.prefix)?;
    let mut inner: Option<Inner> = None;
    let mut low = prefix.to_vec();
    // A number that the image has no room for must not make room for it.
    let children = header.count.min(rest.len() / INNER_ENTRY_BYTES);
    for _ in 0..header.count {
        let (entry, behind) = rest.split_first_chunk::<INNER_ENTRY_BYTES>()?;
        let (length, entry) = entry.split_first_chunk::<2>()?;
        let (count, reference) = entry.split_first_chunk::<8>()?;
        let link = Link::stored(decode_reference(reference.first_chunk()?)?);
        let length = usize::from(u16::from_le_bytes(*length));
        let (suffix, behind) = behind.split_at_checked(length)?;
        if prefix.len() + length > STORAGE_KEY_BYTES {
            return None;
        }
        let count = u64::from_le_bytes(*count);
        let total = inner.as_ref().map_or(0, Inner::count).checked_add(count)?;
        if total > STORAGE_NUMBER_MAX || count == 0 {
            return None;
        }
        match &mut inner {
            None if !suffix.is_empty() => return None,
            None => inner = Some(Inner::new(header.level, children, count, link)),
            Some(inner) => {
                low.truncate(prefix.len());
                low.extend_from_slice(suffix);
                inner.push(&low, count, link);
            }
        }
        rest = behind;
    }
    let mut inner = inner.filter(|_| rest.is_empty())?;
    inner.order().then_some(inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::encode::{InnerBuilder, LEAF_MAX, LeafBuilder};
    use super::*;
    use crate::limits::STORAGE_KEY_BYTES;
    use crate::testing::Random;

    const REFERENCE: Reference = Reference { grain: 9, length: 5_000, sum: 77 };

    /// Keys that meet in their first bytes, are shorter than a head, or much longer.
    fn random_keys(random: &mut Random) -> BTreeSet<Vec<u8>> {
        let mut prefix = random.bytes(12);
        prefix.resize(prefix.len() + [0, 0, 500][random.below(3) as usize], 7);
        let letters = [&[0, 1, 0xff][..], b"ab", &[0]][random.below(3) as usize];
        let lengths = [3, 4, 5, 8, 40][random.below(5) as usize];
        let mut keys = BTreeSet::new();
        for _ in 0..random.below(200) {
            let mut key = prefix.clone();
            let letter = |random: &mut Random| letters[random.below(letters.len() as u64) as usize];
            key.extend((0..random.below(lengths + 1)).map(|_| letter(random)));
            if random.once_in(100) {
                key.resize(STORAGE_KEY_BYTES - random.below(2) as usize, letter(random));
            }
            keys.insert(key);
        }
        if random.once_in(4) {
            keys.insert(Vec::new());
        }
        keys
    }

    fn leaf(image: &Bytes) -> LeafImage {
        match decode(image, 7, Some(0)).unwrap().body {
            Body::Image(image) => image,
            _ => panic!("not a leaf"),
        }
    }

    /// Each would take many times its length in memory.
    #[test]
    fn a_node_with_keys_longer_than_any_is_damaged() {
        for (length, is_sound) in [(STORAGE_KEY_BYTES, true), (STORAGE_KEY_BYTES + 1, false)] {
            let (mut leaf, mut inner) = (LeafBuilder::new(), InnerBuilder::new());
            inner.push(&[], 1, REFERENCE);
            for last in [1, 2] {
                let mut key = vec![7; length - 1];
                key.push(last);
                leaf.push(&key, &Stored::Short(b"value"));
                inner.push(&key, 1, REFERENCE);
            }
            let (leaf, inner) = (leaf.finish(7).unwrap(), inner.finish(7, 1).unwrap());
            for image in [leaf, inner] {
                assert_eq!(decode(&image, 7, None).is_ok(), is_sound, "{length}");
            }
        }
    }

    #[test]
    fn a_count_that_an_inner_node_has_no_room_for_takes_no_memory() {
        let mut builder = InnerBuilder::new();
        builder.push(&[], 1, REFERENCE);
        let mut image = builder.finish(7, 1).unwrap().to_vec();
        let node = decode(&Bytes::from(image.clone()), 7, None).unwrap();
        assert!(node.weight() < 1_000, "{}", node.weight());
        image[2..4].fill(0xff);
        assert!(decode(&Bytes::from(image), 7, None).is_err());
    }

    #[test]
    fn a_leaf_finds_its_keys_and_no_others() {
        let mut random = Random::from_environment();
        let mut builder = LeafBuilder::new();
        let mut most = 0;
        for _ in 0..400 {
            let (mut there, mut others) = (Vec::new(), Vec::new());
            for key in random_keys(&mut random) {
                let value = random.bytes(60);
                let long = Stored::Long(value.len() as u64 + 5_000, REFERENCE);
                let is_long = random.once_in(20);
                let stored = if is_long { long } else { Stored::Short(&value) };
                if random.once_in(3) || !builder.fits(&key, &stored) {
                    others.push(key);
                    continue;
                }
                builder.push(&key, &stored);
                assert_eq!(builder.last_key(), Some(&key[..]));
                there.push((key, value, is_long));
            }
            assert_eq!(builder.len(), there.len());
            let Some(image) = builder.finish(7) else {
                assert!(there.is_empty());
                continue;
            };
            assert!(image.len() <= LEAF_MAX && builder.len() == 0);
            most = most.max(image.len());
            let leaf = leaf(&image);
            assert_eq!(leaf.len(), there.len());
            for (index, (key, value, is_long)) in there.iter().enumerate() {
                assert_eq!(leaf.position(key), Ok(index));
                match leaf.stored(index).unwrap() {
                    Stored::Short(found) => assert!(!is_long && found == value.as_slice()),
                    Stored::Long(length, reference) => {
                        assert!(*is_long);
                        assert_eq!((length, reference), (value.len() as u64 + 5_000, REFERENCE));
                    }
                }
                let mut found = leaf.prefix().to_vec();
                leaf.append_suffix(index, &mut found).unwrap();
                assert_eq!(found, *key);
            }
            others.extend(there.iter().map(|(key, ..)| [key, &b"\0"[..]].concat()));
            others.extend(there.iter().filter_map(|(key, ..)| Some(key.split_last()?.1.to_vec())));
            others.extend(random_keys(&mut random));
            for key in others {
                let expected = there.binary_search_by(|(other, ..)| other.cmp(&key));
                assert_eq!(leaf.position(&key), expected, "{key:?}");
            }
        }
        assert!(most > LEAF_MAX * 9 / 10, "{most}");
    }

    #[test]
    fn what_fits_is_known_to_the_byte() {
        let mut random = Random::from_environment();
        for _ in 0..100 {
            let mut builder = LeafBuilder::new();
            let keys = random_keys(&mut random);
            let Some((last, keys)) = keys
                .iter()
                .collect::<Vec<_>>()
                .split_last()
                .map(|(last, keys)| (*last, keys.to_vec()))
            else {
                continue;
            };
            for key in keys {
                builder.push(key, &Stored::Short(&[]));
            }
            // The longest value that the last key may have fills the leaf.
            let mut value = vec![0; LEAF_MAX];
            while builder.len() > 0 && !builder.fits(last, &Stored::Short(&value)) {
                if value.pop().is_none() {
                    break;
                }
            }
            if builder.len() == 0 || value.is_empty() {
                continue;
            }
            builder.push(last, &Stored::Short(&value));
            assert_eq!(builder.finish(7).unwrap().len(), LEAF_MAX);
        }
    }

    #[test]
    fn an_inner_node_comes_back() {
        let mut random = Random::from_environment();
        let mut builder = InnerBuilder::new();
        for _ in 0..200 {
            let mut children = Vec::new();
            for low in random_keys(&mut random) {
                let low = if children.is_empty() { Vec::new() } else { low };
                if children.last().is_some_and(|(last, _)| *last >= low) || !builder.fits(&low) {
                    continue;
                }
                let count = 1 + random.below(1_000);
                builder.push(&low, count, REFERENCE);
                children.push((low, count));
            }
            let total = children.iter().map(|(_, count)| count).sum::<u64>();
            assert_eq!((builder.len(), builder.count()), (children.len(), total));
            let Some(image) = builder.finish(7, 3) else {
                assert!(children.is_empty());
                continue;
            };
            assert!(image.len() <= super::super::encode::INNER_MAX);
            let node = decode(&image, 7, Some(3)).unwrap();
            assert_eq!((node.len(), node.count()), (children.len(), total));
            let Body::Inner(inner) = node.body else { panic!("not an inner node") };
            for (index, (low, count)) in children.iter().enumerate() {
                assert_eq!((inner.low(index), inner.child_count(index)), (&low[..], *count));
                assert_eq!(inner.child_of(low), index);
            }
        }
    }
}
