//! A counted, persistent B-tree in memory: cloning is one reference count, and a change copies only the path to it.
//! Knows keys as bytes; must not know trees by name, commits or locks.
//!
//! Every inner node has, for each child, the number of entries below it and a key that is not greater than any of
//! them (of the first child that key is not looked at). Ranks are therefore found in O(log n), and since a clone never
//! changes, a range of keys is a range of ranks: counting, positioning and scanning both ways all work on ranks.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;

use crate::storage::{Direction, KeyRange};

/// Most entries of a leaf and children of an inner node: a path copy touches about this many counts a level.
const NODE_MAX: usize = 32;
/// Below this a node is joined with a neighbour.
const NODE_MIN: usize = 10;

/// An ordered map from bytes to `V` whose clones are snapshots.
#[derive(Debug)]
pub(in crate::storage) struct CountedTree<V> {
    root: Arc<Node<V>>,
    count: u64,
}

#[derive(Debug, Clone)]
enum Node<V> {
    Leaf(Vec<(Bytes, V)>),
    Inner(Vec<Child<V>>),
}

#[derive(Debug)]
struct Child<V> {
    low: Bytes,
    count: u64,
    node: Arc<Node<V>>,
}

impl<V> Clone for CountedTree<V> {
    fn clone(&self) -> Self {
        Self { root: Arc::clone(&self.root), count: self.count }
    }
}

impl<V> Clone for Child<V> {
    fn clone(&self) -> Self {
        Self { low: self.low.clone(), count: self.count, node: Arc::clone(&self.node) }
    }
}

impl<V: Clone> CountedTree<V> {
    pub(in crate::storage) fn new() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), count: 0 }
    }

    pub(in crate::storage) fn len(&self) -> u64 {
        self.count
    }

    pub(in crate::storage) fn get(&self, key: &[u8]) -> Option<&V> {
        let mut node = &self.root;
        loop {
            match node.as_ref() {
                Node::Inner(children) => node = &children.get(child_of(children, key))?.node,
                Node::Leaf(entries) => {
                    let at = position(entries, key).ok()?;
                    return entries.get(at).map(|(_, value)| value);
                }
            }
        }
    }

    /// Sets a key and returns what it had.
    pub(in crate::storage) fn insert(&mut self, key: Bytes, value: V) -> Option<V> {
        let (old, split) = insert(&mut self.root, key, value);
        if old.is_none() {
            self.count += 1;
        }
        if let Some(right) = split {
            let left = Child {
                low: Bytes::new(),
                count: self.count - right.count,
                node: Arc::clone(&self.root),
            };
            self.root = Arc::new(Node::Inner(vec![left, right]));
        }
        old
    }

    /// Removes a key and returns what it had. An absent key costs no copy.
    pub(in crate::storage) fn remove(&mut self, key: &[u8]) -> Option<V> {
        self.get(key)?;
        let old = remove(&mut self.root, key)?;
        self.count -= 1;
        while let Node::Inner(children) = self.root.as_ref()
            && let [only] = children.as_slice()
        {
            self.root = Arc::clone(&only.node);
        }
        Some(old)
    }

    /// The ranks of the entries in a range: from the first value on, up to but without the second.
    pub(in crate::storage) fn ranks(&self, range: &KeyRange) -> (u64, u64) {
        let start = match &range.start {
            Bound::Unbounded => 0,
            Bound::Included(key) => self.rank(key, false),
            Bound::Excluded(key) => self.rank(key, true),
        };
        let end = match &range.end {
            Bound::Unbounded => self.count,
            Bound::Included(key) => self.rank(key, true),
            Bound::Excluded(key) => self.rank(key, false),
        };
        (start, end.max(start))
    }

    /// The number of entries before `key`, or up to and with it.
    fn rank(&self, key: &[u8], with: bool) -> u64 {
        let mut node = &self.root;
        let mut rank = 0;
        loop {
            match node.as_ref() {
                Node::Inner(children) => {
                    let at = child_of(children, key);
                    rank += children.iter().take(at).map(|child| child.count).sum::<u64>();
                    match children.get(at) {
                        Some(child) => node = &child.node,
                        None => return rank,
                    }
                }
                Node::Leaf(entries) => {
                    return rank
                        + match position(entries, key) {
                            Ok(at) => (at + usize::from(with)) as u64,
                            Err(at) => at as u64,
                        };
                }
            }
        }
    }

    /// Visits the entries from `rank` on, upward, until the visitor breaks.
    pub(in crate::storage) fn visit_up(
        &self,
        rank: u64,
        visit: &mut dyn FnMut(&Bytes, &V) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        visit_from(&self.root, Direction::Forward, rank, visit)
    }

    /// Visits the entries below `rank`, downward, until the visitor breaks.
    pub(in crate::storage) fn visit_down(
        &self,
        rank: u64,
        visit: &mut dyn FnMut(&Bytes, &V) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        visit_from(&self.root, Direction::Backward, self.count.saturating_sub(rank), visit)
    }

    /// Checks counts, order, depth and fill of every node.
    #[cfg(test)]
    pub(in crate::storage) fn check(&self) {
        let (count, _) = check(&self.root, true);
        assert_eq!(count, self.count);
    }
}

impl<V> Node<V> {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(children) => children.len(),
        }
    }

    fn entries(&self) -> u64 {
        match self {
            Self::Leaf(entries) => entries.len() as u64,
            Self::Inner(children) => children.iter().map(|child| child.count).sum(),
        }
    }

    /// Cuts the node and returns its right part from `at` on.
    fn split(&mut self, at: usize) -> Option<Child<V>> {
        let (low, node) = match self {
            Self::Leaf(entries) => {
                let right = entries.split_off(at);
                (right.first()?.0.clone(), Self::Leaf(right))
            }
            Self::Inner(children) => {
                let right = children.split_off(at);
                (right.first()?.low.clone(), Self::Inner(right))
            }
        };
        Some(Child { low, count: node.entries(), node: Arc::new(node) })
    }
}

fn position<V>(entries: &[(Bytes, V)], key: &[u8]) -> Result<usize, usize> {
    entries.binary_search_by(|(other, _)| other.as_ref().cmp(key))
}

/// The index of the child that holds `key` if any does. There is always at least one child.
fn child_of<V>(children: &[Child<V>], key: &[u8]) -> usize {
    let after_first = children.get(1..).unwrap_or_default();
    after_first.partition_point(|child| child.low.as_ref() <= key)
}

/// Sets a key below `node`; what it had, and the right half of the node if it had to be cut.
fn insert<V: Clone>(
    node: &mut Arc<Node<V>>,
    key: Bytes,
    value: V,
) -> (Option<V>, Option<Child<V>>) {
    let node = Arc::make_mut(node);
    let mut at_end = false;
    let old = match node {
        Node::Leaf(entries) => match position(entries, &key) {
            Ok(at) => entries.get_mut(at).map(|(_, held)| std::mem::replace(held, value)),
            Err(at) => {
                at_end = at == entries.len();
                entries.insert(at, (key, value));
                None
            }
        },
        Node::Inner(children) => {
            let at = child_of(children, &key);
            let Some(child) = children.get_mut(at) else { return (None, None) };
            let (old, split) = insert(&mut child.node, key, value);
            child.count += u64::from(old.is_none());
            if let Some(right) = split {
                child.count -= right.count;
                at_end = at + 1 == children.len();
                children.insert(at + 1, right);
            }
            old
        }
    };
    if node.len() <= NODE_MAX {
        return (old, None);
    }
    // Keys that come in order leave full nodes behind them.
    let at = if at_end { NODE_MAX - NODE_MIN } else { NODE_MAX / 2 };
    let right = node.split(at);
    (old, right)
}

fn remove<V: Clone>(node: &mut Arc<Node<V>>, key: &[u8]) -> Option<V> {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => {
            let at = position(entries, key).ok()?;
            Some(entries.remove(at).1)
        }
        Node::Inner(children) => {
            let at = child_of(children, key);
            let child = children.get_mut(at)?;
            let old = remove(&mut child.node, key)?;
            child.count -= 1;
            if child.node.len() < NODE_MIN {
                join(children, at);
            }
            Some(old)
        }
    }
}

/// Joins the child at `at` with a neighbour, and cuts the result again when it is too large.
fn join<V: Clone>(children: &mut Vec<Child<V>>, at: usize) {
    let left_at = at.saturating_sub(1);
    if left_at + 1 >= children.len() {
        return;
    }
    let right = children.remove(left_at + 1);
    let Some(left) = children.get_mut(left_at) else { return };
    left.count += right.count;
    let node = Arc::make_mut(&mut left.node);
    match (&mut *node, Arc::unwrap_or_clone(right.node)) {
        (Node::Leaf(entries), Node::Leaf(more)) => entries.extend(more),
        (Node::Inner(below), Node::Inner(mut more)) => {
            // As a first child its own low key was not kept true.
            if let Some(first) = more.first_mut() {
                first.low = right.low;
            }
            below.extend(more);
        }
        // All leaves are equally deep, so neighbours are of one kind.
        (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => return,
    }
    if node.len() > NODE_MAX {
        let half = node.len() / 2;
        if let Some(cut) = node.split(half) {
            left.count -= cut.count;
            children.insert(left_at + 1, cut);
        }
    }
}

fn visit_from<V>(
    node: &Node<V>,
    direction: Direction,
    mut skip: u64,
    visit: &mut dyn FnMut(&Bytes, &V) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match node {
        Node::Leaf(entries) => {
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            for (key, value) in ordered(entries, direction).skip(skip) {
                visit(key, value)?;
            }
        }
        Node::Inner(children) => {
            for child in ordered(children, direction) {
                if skip >= child.count {
                    skip -= child.count;
                    continue;
                }
                visit_from(&child.node, direction, skip, visit)?;
                skip = 0;
            }
        }
    }
    ControlFlow::Continue(())
}

fn ordered<T>(items: &[T], direction: Direction) -> impl Iterator<Item = &T> {
    (0..items.len()).filter_map(move |at| match direction {
        Direction::Forward => items.get(at),
        Direction::Backward => items.get(items.len() - 1 - at),
    })
}

/// Entries and depth of a subtree whose every rule holds.
#[cfg(test)]
fn check<V>(node: &Node<V>, root: bool) -> (u64, usize) {
    assert!(node.len() <= NODE_MAX);
    assert!(root || node.len() >= NODE_MIN);
    match node {
        Node::Leaf(entries) => {
            assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
            (entries.len() as u64, 0)
        }
        Node::Inner(children) => {
            let mut depths = Vec::new();
            for child in children {
                let (count, depth) = check(&child.node, false);
                assert_eq!(count, child.count);
                depths.push(depth);
            }
            assert!(depths.windows(2).all(|pair| pair[0] == pair[1]), "uneven depth");
            assert!(children[1..].is_sorted_by(|a, b| a.low < b.low));
            (node.entries(), depths[0] + 1)
        }
    }
}
