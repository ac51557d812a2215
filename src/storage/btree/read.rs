//! Reading a tree: single keys, ranks, and entries from a rank on. Takes no lock. Must not know how trees change.
//!
//! Recursion goes from a node to a child, whose level is one less, which [`Source::node`] checks: it ends.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;

use super::node::{Body, Inner, Link, Node, Value};
use super::{Source, Tree};
use crate::storage::slab::Reference;
use crate::storage::{KeyRange, ReadMode, StorageError};

/// Takes entries until it breaks.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>;

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
            Link::Memory(node) => then(node),
            Link::Stored(reference) => then(&*self.load(*reference, level)?),
        }
    }

    pub(super) fn load(
        &self,
        reference: Reference,
        level: Option<u8>,
    ) -> Result<Arc<Node>, StorageError> {
        self.source.node(self.tree, reference, level, self.mode)
    }

    fn value(&self, value: Value) -> Result<Bytes, StorageError> {
        match value {
            Value::Short(bytes) => Ok(bytes),
            Value::Long(long) => long.read(self.source, self.mode),
        }
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
        reading.with(root, None, |node| get(&reading, node, key))
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
        reading.with(root, None, |node| has(&reading, node, key))
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
        let rank = |key: &[u8], with: bool| {
            reading.with(root, None, |node| rank(&reading, node, key, with))
        };
        let start = match &range.start {
            Bound::Unbounded => 0,
            Bound::Included(key) => rank(key, false)?,
            Bound::Excluded(key) => rank(key, true)?,
        };
        let end = match &range.end {
            Bound::Unbounded => self.count,
            Bound::Included(key) => rank(key, true)?,
            Bound::Excluded(key) => rank(key, false)?,
        };
        Ok((start, end.max(start)))
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
        let skip = self.count.saturating_sub(rank);
        reading.with(root, None, |node| visit_down(&reading, node, skip, visit)).map(drop)
    }
}

fn get(reading: &Reading<'_>, node: &Node, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
    let value = match &node.body {
        Body::Inner(inner) => {
            return in_child(reading, node, inner, key, |child| get(reading, child, key));
        }
        Body::Image(image) => image.position(key).ok().and_then(|at| image.value(at)),
        Body::Leaf(leaf) => {
            let found = leaf.position(key).ok().and_then(|at| leaf.entries.get(at));
            found.map(|entry| entry.value.clone())
        }
    };
    value.map(|value| reading.value(value)).transpose()
}

fn has(reading: &Reading<'_>, node: &Node, key: &[u8]) -> Result<bool, StorageError> {
    match &node.body {
        Body::Inner(inner) => in_child(reading, node, inner, key, |child| has(reading, child, key)),
        Body::Image(image) => Ok(image.position(key).is_ok()),
        Body::Leaf(leaf) => Ok(leaf.position(key).is_ok()),
    }
}

fn in_child<T: Default>(
    reading: &Reading<'_>,
    node: &Node,
    inner: &Inner,
    key: &[u8],
    then: impl FnOnce(&Node) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    match inner.children.get(inner.child_of(key)) {
        Some(child) => reading.with(&child.link, Some(node.level.saturating_sub(1)), then),
        None => Ok(T::default()),
    }
}

/// The number of entries before `key`, or up to and with it.
fn rank(reading: &Reading<'_>, node: &Node, key: &[u8], with: bool) -> Result<u64, StorageError> {
    let position = match &node.body {
        Body::Inner(inner) => {
            let at = inner.child_of(key);
            let before = inner.children.iter().take(at).map(|child| child.count).sum::<u64>();
            return Ok(before
                + in_child(reading, node, inner, key, |child| rank(reading, child, key, with))?);
        }
        Body::Image(image) => image.position(key),
        Body::Leaf(leaf) => leaf.position(key),
    };
    Ok(match position {
        Ok(at) => (at + usize::from(with)) as u64,
        Err(at) => at as u64,
    })
}

fn visit_up(
    reading: &Reading<'_>,
    node: &Node,
    mut skip: u64,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, StorageError> {
    let Body::Inner(inner) = &node.body else {
        let first = usize::try_from(skip).unwrap_or(usize::MAX);
        return visit_leaf(reading, node, first..node.len(), visit);
    };
    for child in &inner.children {
        if skip >= child.count {
            skip -= child.count;
            continue;
        }
        let level = Some(node.level.saturating_sub(1));
        let flow = reading
            .with(&child.link, level, |child| visit_up(reading, child, skip, &mut *visit))?;
        if flow.is_break() {
            return Ok(flow);
        }
        skip = 0;
    }
    Ok(ControlFlow::Continue(()))
}

fn visit_down(
    reading: &Reading<'_>,
    node: &Node,
    mut skip: u64,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, StorageError> {
    let Body::Inner(inner) = &node.body else {
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let end = node.len().saturating_sub(skip);
        return visit_leaf(reading, node, (0..end).rev(), visit);
    };
    for child in inner.children.iter().rev() {
        if skip >= child.count {
            skip -= child.count;
            continue;
        }
        let level = Some(node.level.saturating_sub(1));
        let flow = reading
            .with(&child.link, level, |child| visit_down(reading, child, skip, &mut *visit))?;
        if flow.is_break() {
            return Ok(flow);
        }
        skip = 0;
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
            for entry in indexes.filter_map(|index| leaf.entries.get(index)) {
                let value = reading.value(entry.value.clone())?;
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
                let (Some(()), Some(value)) =
                    (image.append_suffix(index, &mut key), image.value(index))
                else {
                    break;
                };
                if visit(&key, reading.value(value)?).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}
