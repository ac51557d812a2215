//! Ranges of keys and the direction they are read in.

use std::ops::Bound;

use bytes::Bytes;

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key up.
    Forward,
    /// From the largest key down.
    Backward,
}

/// A range of keys, by bytes. May be empty, also by having its start behind its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// Where the range begins.
    pub start: Bound<Bytes>,
    /// Where the range ends.
    pub end: Bound<Bytes>,
}

impl KeyRange {
    /// Every key.
    pub const ALL: Self = Self { start: Bound::Unbounded, end: Bound::Unbounded };

    /// A range from two bounds.
    pub fn new(start: Bound<Bytes>, end: Bound<Bytes>) -> Self {
        Self { start, end }
    }

    /// Keys from `start` on, up to but without `end`.
    pub fn half_open(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: Bound::Included(start.into()), end: Bound::Excluded(end.into()) }
    }

    /// Exactly one key.
    pub fn one(key: impl Into<Bytes>) -> Self {
        let key = key.into();
        Self { start: Bound::Included(key.clone()), end: Bound::Included(key) }
    }

    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let prefix = prefix.into();
        let end = match after_prefix(&prefix) {
            Some(end) => Bound::Excluded(Bytes::from(end)),
            None => Bound::Unbounded,
        };
        Self { start: Bound::Included(prefix), end }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        let after_start = match &self.start {
            Bound::Included(start) => key >= start.as_ref(),
            Bound::Excluded(start) => key > start.as_ref(),
            Bound::Unbounded => true,
        };
        let before_end = match &self.end {
            Bound::Included(end) => key <= end.as_ref(),
            Bound::Excluded(end) => key < end.as_ref(),
            Bound::Unbounded => true,
        };
        after_start && before_end
    }

    /// The part of the range behind a key, in that direction.
    pub fn behind(&self, key: &Bytes, direction: Direction) -> Self {
        let (start, end) = (self.start.clone(), self.end.clone());
        match direction {
            Direction::Forward => Self { start: Bound::Excluded(key.clone()), end },
            Direction::Backward => Self { start, end: Bound::Excluded(key.clone()) },
        }
    }
}

/// The smallest key greater than every key with this prefix; none when the prefix is empty or all 0xff.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_what_begins_with_it_and_nothing_else() {
        let range = KeyRange::prefix(&b"a\xff"[..]);
        assert!(range.contains(b"a\xff"));
        assert!(range.contains(b"a\xff\xff\xff"));
        assert!(!range.contains(b"a"));
        assert!(!range.contains(b"b"));
        assert_eq!(KeyRange::prefix(&b"\xff\xff"[..]).end, Bound::Unbounded);
        assert!(KeyRange::prefix(&b""[..]).contains(b"anything"));
    }

    #[test]
    fn an_inverted_range_holds_nothing() {
        let range = KeyRange::half_open(&b"m"[..], &b"c"[..]);
        assert!(!range.contains(b"a") && !range.contains(b"d") && !range.contains(b"z"));
    }
}
