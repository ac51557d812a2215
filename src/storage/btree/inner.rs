//! Inner nodes as they are in memory: what a search looks at lies side by side. Must not know where they come from.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::encode::{INNER_ENTRY_BYTES, NODE_HEADER, common};
use super::link::Link;
use super::links::Links;
use crate::storage::ledger::{Account, allocated};

/// Heads that a search looks at together: a line of the processor's cache.
const BLOCK: usize = 8;

/// The children of an inner node, of which there is at least one once the node is part of a tree.
#[derive(Debug, Clone, Default)]
pub(super) struct Inner {
    level: u8,
    /// Of each low key the 8 bytes behind the prefix as a number that sorts as they do, filled up with zeros; 0 for the
    /// first child.
    heads: Vec<u64>,
    /// For each child the entries beneath it and beneath those before it.
    sums: Vec<u64>,
    links: Links,
    /// The low keys, one behind the other, and where each ends. That of the first child is empty.
    lows: Vec<u8>,
    ends: Vec<u32>,
    /// Bytes with which all low keys begin, but for the first.
    prefix: usize,
}

/// A child on its way from one node to another.
#[derive(Debug, Clone)]
pub(super) struct Child {
    /// Not greater than any key beneath it and greater than all before it; of a first child it says nothing.
    pub(super) low: Bytes,
    /// Entries beneath it.
    pub(super) count: u64,
    pub(super) link: Link,
}

impl Inner {
    /// A node with a first child. Others are pushed behind it, and then it is [ordered](Self::order).
    pub(super) fn new(level: u8, children: usize, count: u64, link: Link) -> Self {
        let mut inner = Self {
            level,
            heads: Vec::with_capacity(children),
            sums: Vec::with_capacity(children),
            links: Links::with_capacity(children),
            lows: Vec::new(),
            ends: Vec::with_capacity(children),
            prefix: 0,
        };
        inner.push(&[], count, link);
        inner
    }

    /// One more than that of its children.
    pub(super) fn level(&self) -> u8 {
        self.level
    }

    /// Children in it.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// Entries beneath it.
    pub(super) fn count(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// What its image would have at most.
    pub(super) fn image_bytes(&self) -> usize {
        NODE_HEADER + self.len() * INNER_ENTRY_BYTES + self.lows.len()
    }

    /// What the image would have at most for this child.
    pub(super) fn child_bytes(&self, at: usize) -> usize {
        INNER_ENTRY_BYTES + self.low(at).len()
    }

    /// What is made for changes of it is charged to this account.
    pub(super) fn charge_to(&mut self, account: &Arc<Account>) {
        self.links.charge_to(account);
    }

    /// Bytes that it takes in memory, without what is charged by itself.
    pub(super) fn weight(&self) -> usize {
        allocated(size_of::<Self>())
            + allocated(self.heads.capacity() * size_of::<u64>())
            + allocated(self.sums.capacity() * size_of::<u64>())
            + self.links.weight()
            + allocated(self.lows.capacity())
            + allocated(self.ends.capacity() * size_of::<u32>())
    }

    pub(super) fn link(&self, at: usize) -> Option<&Link> {
        self.links.get(at)
    }

    pub(super) fn link_mut(&mut self, at: usize) -> Option<&mut Link> {
        self.links.get_mut(at)
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter()
    }

    /// The low key of a child, empty for the first.
    pub(super) fn low(&self, at: usize) -> &[u8] {
        let start = self.start(at);
        let end = self.ends.get(at).map_or(start, |end| *end as usize);
        self.lows.get(start..end).unwrap_or_default()
    }

    /// Entries beneath a child.
    pub(super) fn child_count(&self, at: usize) -> u64 {
        self.sums.get(at).map_or(0, |sum| sum - self.before(at))
    }

    /// Entries beneath all children before this one.
    pub(super) fn before(&self, at: usize) -> u64 {
        at.checked_sub(1).and_then(|before| self.sums.get(before)).copied().unwrap_or(0)
    }

    /// The index of the child that has `key` if any does.
    pub(super) fn child_of(&self, key: &[u8]) -> usize {
        let prefix = self.low(1).get(..self.prefix).unwrap_or_default();
        let begin = key.get(..prefix.len()).unwrap_or(key);
        let suffix = match begin.cmp(prefix) {
            Ordering::Less => return 0,
            Ordering::Greater => return self.len().saturating_sub(1),
            Ordering::Equal => key.get(prefix.len()..).unwrap_or_default(),
        };
        let head = head(suffix);
        let heads = self.heads.get(1..).unwrap_or_default();
        let is_less = |other: &&u64| **other < head;
        // What is looked at does not depend on one another: the processor fetches it all at once.
        let block = heads.iter().step_by(BLOCK).filter(is_less).count().saturating_sub(1) * BLOCK;
        let rest = heads.get(block..).unwrap_or_default();
        let mut low = block + rest.iter().take(BLOCK).filter(is_less).count();
        let rest = heads.get(low..).unwrap_or_default();
        let mut high = low + rest.partition_point(|other| *other == head);
        while low < high {
            let middle = low.midpoint(high);
            if self.low(middle + 1) <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The index of the child beneath which the entry with so many before it is; that of none when there are fewer.
    pub(super) fn child_at(&self, rank: u64) -> usize {
        self.sums.partition_point(|sum| *sum <= rank)
    }

    /// Adds a child behind the others, in a node that is not ordered afterwards.
    pub(super) fn push(&mut self, low: &[u8], count: u64, link: Link) {
        self.lows.extend_from_slice(low);
        self.ends.push(self.lows.len() as u32);
        self.sums.push(self.count() + count);
        self.links.push(link);
    }

    /// Makes what is searched of what was pushed; `false` when the low keys do not ascend.
    pub(super) fn order(&mut self) -> bool {
        self.prefix = match self.len() {
            0 | 1 => 0,
            children => common(self.low(1), self.low(children - 1)),
        };
        self.heads.clear();
        for at in 0..self.len() {
            let head = head(self.low(at).get(self.prefix..).unwrap_or_default());
            self.heads.push(head);
        }
        (2..self.len()).all(|at| self.low(at - 1) < self.low(at))
    }

    /// A child has got more entries.
    pub(super) fn add(&mut self, at: usize, count: u64) {
        self.sums.iter_mut().skip(at).for_each(|sum| *sum += count);
    }

    /// A child has lost entries.
    pub(super) fn subtract(&mut self, at: usize, count: u64) {
        self.sums.iter_mut().skip(at).for_each(|sum| *sum -= count);
    }

    /// Puts in the child that was cut off from the one before it, together with its entries.
    pub(super) fn insert_half(&mut self, at: usize, half: Child) {
        let start = self.start(at);
        self.lows.splice(start..start, half.low.iter().copied());
        self.ends.insert(at.min(self.ends.len()), start as u32);
        self.ends.iter_mut().skip(at).for_each(|end| *end += half.low.len() as u32);
        let sum = self.before(at);
        if let Some(before) = at.checked_sub(1).and_then(|before| self.sums.get_mut(before)) {
            *before -= half.count;
        }
        self.sums.insert(at.min(self.sums.len()), sum);
        self.links.insert(at.min(self.links.len()), half.link);
        self.order();
    }

    /// Takes a child out; what comes to be the first one loses its low key.
    pub(super) fn remove(&mut self, at: usize) -> Option<Child> {
        let child = self.take(at)?;
        if at == 0 && self.len() > 0 {
            let low = self.low(0).len();
            self.lows.drain(..low);
            self.ends.iter_mut().for_each(|end| *end -= low as u32);
        }
        self.order();
        Some(child)
    }

    fn take(&mut self, at: usize) -> Option<Child> {
        let low = Bytes::copy_from_slice(self.low(at));
        let count = self.child_count(at);
        let start = self.start(at);
        self.subtract(at, count);
        self.sums.remove((at < self.len()).then_some(at)?);
        self.lows.drain(start..start + low.len());
        self.ends.remove(at);
        self.ends.iter_mut().skip(at).for_each(|end| *end -= low.len() as u32);
        Some(Child { low, count, link: self.links.remove(at)? })
    }

    /// Cuts the node before a child: the low key of that child, and a node with it and all behind it.
    pub(super) fn split_off(&mut self, at: usize) -> (Bytes, Self) {
        let low = Bytes::copy_from_slice(self.low(at));
        let (start, before) = (self.start(at), self.before(at));
        let behind = start + low.len();
        let mut right = Self {
            level: self.level,
            heads: Vec::new(),
            sums: self.sums.split_off(at).into_iter().map(|sum| sum - before).collect(),
            links: self.links.split_off(at),
            lows: self.lows.get(behind..).unwrap_or_default().to_vec(),
            ends: self.ends.split_off(at).into_iter().map(|end| end - behind as u32).collect(),
            prefix: 0,
        };
        self.lows.truncate(start);
        self.order();
        right.order();
        (low, right)
    }

    /// Appends the children of a node, the first of which has this low key.
    pub(super) fn append(&mut self, low: &[u8], other: Self) {
        for (at, link) in other.links.iter().enumerate() {
            let low = if at == 0 { low } else { other.low(at) };
            self.push(low, other.child_count(at), link.clone());
        }
        self.order();
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize)
    }
}

fn head(suffix: &[u8]) -> u64 {
    if let Some(head) = suffix.first_chunk() {
        return u64::from_be_bytes(*head);
    }
    let mut head = [0; 8];
    head.iter_mut().zip(suffix).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(head)
}
