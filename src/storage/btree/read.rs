//! Reading a tree: single keys, ranks, and entries from a rank on. Takes no lock. Must not know how trees change.
//!
//! A walk goes from a node to a child, whose level is one less, which [`Source::node`] checks: it ends.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use super::encode::Stored;
use super::inner::Inner;
use super::link::{Link, Place};
use super::node::{Body, Node, Value};
use super::{Held, Source, Tree};
use crate::storage::slab::Reference;
use crate::storage::{KeyRange, ReadMode, StorageError};

/// Takes entries until it breaks.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>;

/// A value of a leaf is copied up to so many bytes: it costs less than to count one more reference to the leaf, which
/// is in another place, and lets the leaf go when the cache does.
const COPIED: usize = 512;

/// What a walk needs at every node.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) tree: u64,
    pub(super) source: &'a dyn Source,
    pub(super) mode: ReadMode,
}

impl Reading<'_> {
    /// Does something with the node behind a link.
    pub(super) fn with<T>(
        &self,
        link: &Link,
        level: Option<u8>,
        then: impl FnOnce(&Node) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match link {
            Link::Memory(fresh) => then(fresh.node()),
            Link::Stored(place) => then(self.load(place, level)?.node()?),
        }
    }

    pub(super) fn load(&self, place: &Place, level: Option<u8>) -> Result<Held, StorageError> {
        self.source.node(self.tree, place, level, self.mode)
    }

    /// Does something with the leaf that has a key if any does, and before that with the inner nodes on the way and
    /// the index of the child where it goes on.
    fn descend<T>(
        &self,
        root: &Link,
        key: &[u8],
        mut pass: impl FnMut(&Inner, usize),
        then: impl FnOnce(&Node) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut step = |inner: &Inner| {
            let at = inner.child_of(key);
            pass(inner, at);
            at
        };
        let (mut link, mut level) = (root, None);
        let place = loop {
            match link {
                Link::Stored(place) => break place,
                Link::Memory(fresh) => {
                    let Body::Inner(inner) = &fresh.node().body else { return then(fresh.node()) };
                    link = inner.link(step(inner)).ok_or_else(lost)?;
                    level = Some(fresh.node().level().saturating_sub(1));
                }
            }
        };
        let mut held = self.load(place, level)?;
        loop {
            let node = held.node()?;
            let Body::Inner(inner) = &node.body else { return then(node) };
            // What is stored has no links to memory.
            let Some(Link::Stored(place)) = inner.link(step(inner)) else { return Err(lost()) };
            held = self.load(place, Some(node.level().saturating_sub(1)))?;
        }
    }

    /// The value at an index of a leaf, if there is one, as bytes that outlive the leaf.
    fn value(&self, leaf: &Node, index: usize) -> Result<Option<Bytes>, StorageError> {
        match &leaf.body {
            Body::Inner(_) => Ok(None),
            Body::Leaf(leaf) => match leaf.entries.get(index).map(|entry| &entry.value) {
                None => Ok(None),
                Some(Value::Short(value)) => Ok(Some(value.clone())),
                Some(Value::Long(long)) => match long.read(self.source, self.mode) {
                    Ok(value) => Ok(Some(value)),
                    Err(error) => {
                        let key = leaf.entries.get(index).map(|entry| entry.key.clone());
                        Err(self.noted(key, error))
                    }
                },
            },
            Body::Image(image) => match image.stored(index) {
                None => Ok(None),
                Some(Stored::Short(value)) if value.len() <= COPIED => {
                    Ok(Some(Bytes::copy_from_slice(value)))
                }
                Some(Stored::Short(value)) => Ok(Some(image.share(value))),
                Some(Stored::Long(length, reference)) => {
                    match self.source.long_value(reference, length, self.mode) {
                        Ok(value) => Ok(Some(value)),
                        Err(error) => Err(self.noted(image.key(index), error)),
                    }
                }
            },
        }
    }

    /// The error of a long value that cannot be read; its source knows the entry by now.
    #[cold]
    fn noted(&self, key: Option<Bytes>, error: StorageError) -> StorageError {
        if let Some(key) = key {
            self.source.note_value(self.tree, &key, &error);
        }
        error
    }
}

impl Tree {
    /// The value of a key.
    pub(crate) fn get(
        &self,
        source: &dyn Source,
        key: &[u8],
        mode: ReadMode,
    ) -> Result<Option<Bytes>, StorageError> {
        let Some(root) = &self.root else { return Ok(None) };
        let reading = Reading { tree: self.name, source, mode };
        reading.descend(root, key, ignore, |leaf| match position(leaf, key) {
            Ok(at) => reading.value(leaf, at),
            Err(_) => Ok(None),
        })
    }

    /// Shows the value of a key where it lies, and says whether there is one.
    pub(crate) fn read(
        &self,
        source: &dyn Source,
        key: &[u8],
        mode: ReadMode,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, StorageError> {
        let Some(root) = &self.root else { return Ok(false) };
        let reading = Reading { tree: self.name, source, mode };
        reading.descend(root, key, ignore, |leaf| {
            let Ok(at) = position(leaf, key) else { return Ok(false) };
            if let Body::Image(image) = &leaf.body
                && let Some(Stored::Short(value)) = image.stored(at)
            {
                see(value);
                return Ok(true);
            }
            let value = reading.value(leaf, at)?;
            Ok(value.map(|value| see(&value)).is_some())
        })
    }

    /// Whether the tree has the key. A long value is not read for it.
    pub(super) fn has(
        &self,
        source: &dyn Source,
        key: &[u8],
        mode: ReadMode,
    ) -> Result<bool, StorageError> {
        let Some(root) = &self.root else { return Ok(false) };
        let reading = Reading { tree: self.name, source, mode };
        reading.descend(root, key, ignore, |leaf| Ok(position(leaf, key).is_ok()))
    }

    /// The ranks of the entries in a range: from the first value on, up to but without the second.
    pub(crate) fn ranks(
        &self,
        source: &dyn Source,
        range: &KeyRange,
        mode: ReadMode,
    ) -> Result<(u64, u64), StorageError> {
        let Some(root) = &self.root else { return Ok((0, 0)) };
        let reading = Reading { tree: self.name, source, mode };
        let start = match &range.start {
            Bound::Unbounded => 0,
            Bound::Included(key) => rank(&reading, root, key, false)?,
            Bound::Excluded(key) => rank(&reading, root, key, true)?,
        };
        let end = match &range.end {
            Bound::Unbounded => self.count,
            Bound::Included(key) => rank(&reading, root, key, true)?,
            Bound::Excluded(key) => rank(&reading, root, key, false)?,
        };
        Ok((start, end.max(start)))
    }

    /// Tells the source which leaves have the entries from one rank up to another, so many leaves at most, and returns how
    /// many of the entries they have. May read inner nodes, and none that a visit of these entries does not read.
    pub(crate) fn will_visit(
        &self,
        source: &dyn Source,
        (start, end): (u64, u64),
        leaves: usize,
        from_the_end: bool,
    ) -> Result<u64, StorageError> {
        let (Some(root), true) = (&self.root, start < end) else { return Ok(0) };
        let reading = Reading { tree: self.name, source, mode: ReadMode::MayBlock };
        let mut ahead = Ahead { leaves, from_the_end, found: Vec::new(), entries: 0 };
        reading.with(root, None, |node| ahead.add(&reading, node, (start, end)))?;
        if !ahead.found.is_empty() {
            source.will_read(ahead.found);
        }
        Ok(ahead.entries)
    }

    /// Visits the entries from `rank` on, upward, until the visitor breaks.
    pub(crate) fn visit_up(
        &self,
        source: &dyn Source,
        rank: u64,
        mode: ReadMode,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        let Some(root) = &self.root else { return Ok(()) };
        let reading = Reading { tree: self.name, source, mode };
        reading.with(root, None, |node| visit_up(&reading, node, rank, visit)).map(drop)
    }

    /// Visits the entries below `rank`, downward, until the visitor breaks.
    pub(crate) fn visit_down(
        &self,
        source: &dyn Source,
        rank: u64,
        mode: ReadMode,
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        let Some(root) = &self.root else { return Ok(()) };
        let reading = Reading { tree: self.name, source, mode };
        let end = rank.min(self.count);
        reading.with(root, None, |node| visit_down(&reading, node, end, visit)).map(drop)
    }
}

/// The leaves that will be visited next.
struct Ahead {
    /// How many there may be.
    leaves: usize,
    /// Whether they are visited downward.
    from_the_end: bool,
    found: Vec<Reference>,
    /// Entries of the ranks that these leaves have, or leaves in memory between them.
    entries: u64,
}

impl Ahead {
    /// Adds the leaves of a subtree that have the entries of these ranks, in the order in which they are visited.
    fn add(
        &mut self,
        reading: &Reading<'_>,
        node: &Node,
        (start, end): (u64, u64),
    ) -> Result<(), StorageError> {
        let Body::Inner(inner) = &node.body else {
            // The root is a leaf.
            self.entries += end.min(node.count()).saturating_sub(start);
            return Ok(());
        };
        let Some(last) = end.min(inner.count()).checked_sub(1) else { return Ok(()) };
        let (first, last) = (inner.child_at(start), inner.child_at(last));
        for step in 0..=last.saturating_sub(first) {
            if self.found.len() >= self.leaves {
                break;
            }
            let at = if self.from_the_end { last - step } else { first + step };
            let Some(link) = inner.link(at) else { break };
            let before = inner.before(at);
            let ranks = (start.saturating_sub(before), end.saturating_sub(before));
            if node.level() > 1 {
                let level = Some(node.level() - 1);
                reading.with(link, level, |child| self.add(reading, child, ranks))?;
                continue;
            }
            self.entries += ranks.1.min(inner.child_count(at)).saturating_sub(ranks.0);
            if let Link::Stored(place) = link {
                self.found.push(place.reference());
            }
        }
        Ok(())
    }
}

fn ignore(_: &Inner, _: usize) {}

/// The index of a key in a leaf, or where it would be.
fn position(leaf: &Node, key: &[u8]) -> Result<usize, usize> {
    match &leaf.body {
        Body::Image(image) => image.position(key),
        Body::Leaf(leaf) => leaf.position(key),
        Body::Inner(_) => Err(0),
    }
}

/// The number of entries before `key`, or up to and with it.
fn rank(reading: &Reading<'_>, root: &Link, key: &[u8], with: bool) -> Result<u64, StorageError> {
    let mut before = 0;
    let in_leaf = reading.descend(
        root,
        key,
        |inner, at| before += inner.before(at),
        |leaf| {
            Ok(match position(leaf, key) {
                Ok(at) => at + usize::from(with),
                Err(at) => at,
            })
        },
    )?;
    Ok(before + in_leaf as u64)
}

/// Visits the entries of a subtree from the one on that has so many before it.
fn visit_up(
    reading: &Reading<'_>,
    node: &Node,
    mut rank: u64,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, StorageError> {
    let Body::Inner(inner) = &node.body else {
        let first = usize::try_from(rank).unwrap_or(usize::MAX);
        return visit_leaf(reading, node, first..node.len(), visit);
    };
    let level = Some(node.level().saturating_sub(1));
    let first = inner.child_at(rank);
    rank -= inner.before(first).min(rank);
    for link in inner.links().skip(first) {
        let flow =
            reading.with(link, level, |child| visit_up(reading, child, rank, &mut *visit))?;
        if flow.is_break() {
            return Ok(flow);
        }
        rank = 0;
    }
    Ok(ControlFlow::Continue(()))
}

/// Visits the first `end` entries of a subtree, downward.
fn visit_down(
    reading: &Reading<'_>,
    node: &Node,
    end: u64,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, StorageError> {
    let Body::Inner(inner) = &node.body else {
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(node.len());
        return visit_leaf(reading, node, (0..end).rev(), visit);
    };
    let Some(before_end) = end.checked_sub(1) else { return Ok(ControlFlow::Continue(())) };
    let level = Some(node.level().saturating_sub(1));
    for at in (0..=inner.child_at(before_end)).rev() {
        let end = end.min(inner.before(at + 1)) - inner.before(at);
        let Some(link) = inner.link(at) else { continue };
        let flow =
            reading.with(link, level, |child| visit_down(reading, child, end, &mut *visit))?;
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn visit_leaf(
    reading: &Reading<'_>,
    node: &Node,
    indexes: impl Iterator<Item = usize>,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, StorageError> {
    match &node.body {
        Body::Inner(_) => {}
        Body::Leaf(leaf) => {
            for index in indexes {
                let Some(entry) = leaf.entries.get(index) else { break };
                let Some(value) = reading.value(node, index)? else { break };
                if visit(&entry.key, value).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Body::Image(image) => {
            let mut key = image.prefix().to_vec();
            let prefix = key.len();
            for index in indexes {
                key.truncate(prefix);
                let Some(()) = image.append_suffix(index, &mut key) else { break };
                let Some(value) = reading.value(node, index)? else { break };
                if visit(&key, value).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn lost() -> StorageError {
    StorageError::corrupt("memory", "an inner node does not have the child that it should")
}
