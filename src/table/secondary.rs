//! Keys of the entries of a secondary index: bytes that sort by the value, then by the document's primary key.
//! Knows values and primary keys; must not know trees, documents or what an index is computed from.
//!
//! ```text
//! value    the value in the form of `key.rs`, of which at most `limits::SECONDARY_KEY_BYTES`
//! 1 byte   00 when that is the whole value, 01 when it was cut
//! primary  the document's primary key
//! 4 bytes  tag, big-endian: which of the values of the document this is
//! 1 byte   length of the primary key
//! ```
//!
//! No form of a value is the beginning of another one with 00 behind it, so that entries sort by value first. Values
//! that were cut sort behind the whole one with the same bytes; among themselves the entries say nothing of their order,
//! which whoever scans them finds out from the documents.

use std::ops::Bound;

use bytes::Bytes;

use super::PrimaryKey;
use super::key::{Secondary, encode_secondary};
use crate::datum::{Datum, DatumError};
use crate::limits::SECONDARY_KEY_BYTES;
use crate::storage::KeyRange;

const WHOLE: u8 = 0;
const CUT: u8 = 1;
const BEHIND_CUT: u8 = 2;

/// What an index keeps of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexValue {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl IndexValue {
    /// What is kept of a value, or why it cannot be in an index.
    pub fn encode(value: &Datum) -> Result<Self, DatumError> {
        let Secondary { bytes, is_cut, .. } = encode_secondary(value, SECONDARY_KEY_BYTES)?;
        Ok(Self { bytes, is_cut })
    }

    /// What is kept of a document's value; `None` when it cannot be in an index. Minval and maxval only bound ranges.
    pub fn of_document(value: &Datum) -> Option<Self> {
        let form = encode_secondary(value, SECONDARY_KEY_BYTES).ok()?;
        (!form.has_ends).then_some(Self { bytes: form.bytes, is_cut: form.is_cut })
    }

    /// Bytes that stand for themselves, of which no two are the beginning of each other.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, is_cut: false }
    }

    /// The key of the entry for a document.
    pub(super) fn entry(&self, primary: &PrimaryKey, tag: u32) -> Bytes {
        entry_key(&self.bytes, self.is_cut, primary, tag)
    }

    fn with(&self, last: u8) -> Bytes {
        with(&self.bytes, last)
    }
}

/// The key of an entry, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryKey<'a> {
    pub(super) value: &'a [u8],
    pub(super) is_cut: bool,
    pub(super) primary: &'a [u8],
    pub(super) tag: u32,
}

impl<'a> EntryKey<'a> {
    /// `None` for bytes that are not the key of an entry.
    pub(super) fn split(key: &'a [u8]) -> Option<Self> {
        let (length, rest) = key.split_last()?;
        let (rest, tag) = rest.split_last_chunk::<4>()?;
        let (rest, primary) = rest.split_at_checked(rest.len().checked_sub((*length).into())?)?;
        let (mark, value) = rest.split_last()?;
        let is_cut = match *mark {
            WHOLE => false,
            CUT => true,
            _ => return None,
        };
        Some(Self { value, is_cut, primary, tag: u32::from_be_bytes(*tag) })
    }
}

pub(super) fn entry_key(value: &[u8], is_cut: bool, primary: &PrimaryKey, tag: u32) -> Bytes {
    let primary = primary.as_bytes();
    let mut key = Vec::with_capacity(value.len() + primary.len() + 6);
    key.extend_from_slice(value);
    key.push(if is_cut { CUT } else { WHOLE });
    key.extend_from_slice(primary);
    key.extend_from_slice(&tag.to_be_bytes());
    // A primary key has at most half as many bytes as fit into this one.
    key.push(primary.len() as u8);
    key.into()
}

/// The keys of all entries whose value was cut to the same bytes.
pub(super) fn cut_group(value: &[u8]) -> KeyRange {
    KeyRange::half_open(with(value, CUT), with(value, BEHIND_CUT))
}

fn with(value: &[u8], last: u8) -> Bytes {
    [value, &[last]].concat().into()
}

/// A range of values of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexRange {
    left: Bound<Datum>,
    right: Bound<Datum>,
    keys: KeyRange,
}

impl IndexRange {
    /// Every value.
    pub const ALL: Self =
        Self { left: Bound::Unbounded, right: Bound::Unbounded, keys: KeyRange::ALL };

    /// The values between two bounds; the error says why one of them cannot be in an index.
    pub fn new(left: Bound<Datum>, right: Bound<Datum>) -> Result<Self, DatumError> {
        let start = match &left {
            Bound::Unbounded => Bound::Unbounded,
            Bound::Included(value) => Bound::Included(first_entry(&IndexValue::encode(value)?)),
            Bound::Excluded(value) => {
                let value = IndexValue::encode(value)?;
                // Behind the whole value; among those that were cut the documents decide.
                Bound::Included(value.with(CUT))
            }
        };
        let end = match &right {
            Bound::Unbounded => Bound::Unbounded,
            Bound::Included(value) => {
                let value = IndexValue::encode(value)?;
                Bound::Excluded(value.with(if value.is_cut { BEHIND_CUT } else { CUT }))
            }
            Bound::Excluded(value) => {
                let value = IndexValue::encode(value)?;
                let end = if value.is_cut { value.with(BEHIND_CUT) } else { first_entry(&value) };
                Bound::Excluded(end)
            }
        };
        Ok(Self { left, right, keys: KeyRange::new(start, end) })
    }

    /// One value.
    pub fn value(value: &Datum) -> Result<Self, DatumError> {
        Self::new(Bound::Included(value.clone()), Bound::Included(value.clone()))
    }

    /// Entries that begin with these bytes.
    pub fn beginning_with(bytes: Vec<u8>) -> Self {
        Self { left: Bound::Unbounded, right: Bound::Unbounded, keys: KeyRange::prefix(bytes) }
    }

    /// Entries of exactly these bytes.
    pub fn bytes(value: &IndexValue) -> Self {
        let keys = KeyRange::half_open(value.with(WHOLE), value.with(CUT));
        Self { left: Bound::Unbounded, right: Bound::Unbounded, keys }
    }

    /// The keys of its entries, and of others whose value was cut.
    pub(super) fn keys(&self) -> &KeyRange {
        &self.keys
    }

    /// Whether a value lies in the range.
    pub(super) fn contains(&self, value: &Datum) -> bool {
        let after_left = match &self.left {
            Bound::Unbounded => true,
            Bound::Included(left) => value >= left,
            Bound::Excluded(left) => value > left,
        };
        after_left
            && match &self.right {
                Bound::Unbounded => true,
                Bound::Included(right) => value <= right,
                Bound::Excluded(right) => value < right,
            }
    }

    /// Whether the keys say exactly which entries are in the range.
    pub(super) fn is_exact(&self) -> bool {
        let is_cut = |bound: &Bound<Datum>| match bound {
            Bound::Unbounded => false,
            Bound::Included(value) | Bound::Excluded(value) => {
                IndexValue::encode(value).is_ok_and(|value| value.is_cut)
            }
        };
        !is_cut(&self.left) && !is_cut(&self.right)
    }
}

/// The first key that an entry with this value can have.
fn first_entry(value: &IndexValue) -> Bytes {
    value.with(if value.is_cut { CUT } else { WHOLE })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn text(random: &mut Random) -> Datum {
        let stem = ["a", "ab", "\u{1}", "\u{2}"][random.below(4) as usize];
        let length = [0, 1, 2, SECONDARY_KEY_BYTES - 3, SECONDARY_KEY_BYTES + 5];
        let text = stem.repeat(1 + length[random.below(5) as usize]);
        let last = ["", "x", "y"][random.below(3) as usize];
        Datum::string(&format!("{text}{last}"))
    }

    fn value(random: &mut Random) -> Datum {
        match random.below(4) {
            0 => Datum::Number(random.below(3) as f64 - 1.0),
            1 => Datum::array((0..random.below(3)).map(|_| text(random)).collect()),
            _ => text(random),
        }
    }

    fn primary(random: &mut Random) -> PrimaryKey {
        PrimaryKey::encode(&value(random)).unwrap_or_else(|_| {
            PrimaryKey::encode(&Datum::Number(random.below(9) as f64)).expect("a number")
        })
    }

    #[test]
    fn entries_come_apart_again_and_sort_by_value_and_primary_key() {
        let mut random = Random::from_environment();
        for _ in 0..20_000 {
            let (a, b) = (value(&mut random), value(&mut random));
            let (primary_a, primary_b) = (primary(&mut random), primary(&mut random));
            let (index_a, index_b) =
                (IndexValue::encode(&a).unwrap(), IndexValue::encode(&b).unwrap());
            let entry_a = index_a.entry(&primary_a, 7);
            let entry_b = index_b.entry(&primary_b, 300);
            let split = EntryKey::split(&entry_a).unwrap();
            assert_eq!((split.value, split.is_cut), (&*index_a.bytes, index_a.is_cut));
            assert_eq!((split.primary, split.tag), (&**primary_a.as_bytes(), 7));
            if index_a != index_b {
                assert_eq!(entry_a.cmp(&entry_b), a.cmp(&b), "{a:?} against {b:?}");
            } else if primary_a != primary_b {
                assert_eq!(entry_a.cmp(&entry_b), primary_a.cmp(&primary_b));
            } else {
                assert!(entry_a < entry_b, "by tag");
            }
        }
    }

    #[test]
    fn the_keys_of_a_range_have_all_that_lies_in_it_and_only_cut_ones_beside() {
        let mut random = Random::from_environment();
        let side = |random: &mut Random| match random.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(value(random)),
            _ => Bound::Excluded(value(random)),
        };
        let (mut inside, mut outside, mut beside) = (0, 0, 0);
        for _ in 0..30_000 {
            let range = IndexRange::new(side(&mut random), side(&mut random)).unwrap();
            let value = value(&mut random);
            let encoded = IndexValue::encode(&value).unwrap();
            let entry = encoded.entry(&primary(&mut random), 0);
            match (range.contains(&value), range.keys().contains(&entry)) {
                (true, true) => inside += 1,
                (false, false) => outside += 1,
                (false, true) => {
                    assert!(encoded.is_cut && !range.is_exact());
                    beside += 1;
                }
                (true, false) => panic!("{value:?} is not found in {range:?}"),
            }
        }
        assert!(inside > 1_000 && outside > 1_000 && beside > 10, "{inside} {outside} {beside}");
    }

    #[test]
    fn what_comes_late_in_an_array_may_be_anything() {
        let array = |first: &str, last: Datum| Datum::array(vec![Datum::string(first), last]);
        let long = "z".repeat(260);
        assert!(IndexValue::encode(&array("z", Datum::Null)).is_err());
        let ascending = [
            Datum::Bool(true),
            Datum::Null,
            Datum::Number(1.0),
            Datum::object([("x", Datum::Null)]),
            Datum::string("s"),
        ];
        let entries = ascending.map(|last| {
            let value = IndexValue::encode(&array(&long, last)).unwrap();
            value.entry(&PrimaryKey::encode(&Datum::Number(1.0)).unwrap(), 0)
        });
        assert!(entries.is_sorted());
    }

    #[test]
    fn other_bytes_are_no_entry() {
        for bytes in [&b""[..], b"\x01", b"\0\0\0\0\0", b"Sa\x02Sb\0\0\0\0\x02"] {
            assert_eq!(EntryKey::split(bytes), None);
        }
    }
}
