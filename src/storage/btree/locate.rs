//! Finding a node by its place in the data file: which entries are lost with it, and which are beside them.
//! Must not know why somebody looks.

use super::link::Link;
use super::node::{Body, Node};
use super::read::Reading;
use super::{Source, Tree};
use crate::storage::ReadMode;

/// The entries beneath a node, as ranks from the first up to but without the second.
pub(crate) type Ranks = (u64, u64);

impl Tree {
    /// The ranks of the entries that the node with this first grain has, if it is a node of the tree. Reads inner nodes
    /// alone; beneath one that cannot be read nothing is found.
    pub(crate) fn ranks_of_node(&self, source: &dyn Source, grain: u64) -> Option<Ranks> {
        let root = self.root.as_ref()?;
        if is_at(root, grain) {
            return Some((0, self.count));
        }
        let reading = Reading { tree: self.name, source, mode: ReadMode::MayBlock };
        let mut found = None;
        let looked = reading.with(root, None, |node| {
            found = find(&reading, node, grain, 0);
            Ok(())
        });
        looked.ok().and(found)
    }
}

fn is_at(link: &Link, grain: u64) -> bool {
    matches!(link, Link::Stored(place) if place.reference().grain == grain)
}

/// Looks beneath a node that has so many entries before it. Each step down is a level less, so it ends.
fn find(reading: &Reading<'_>, node: &Node, grain: u64, before: u64) -> Option<Ranks> {
    let Body::Inner(inner) = &node.body else { return None };
    let level = node.level();
    for (at, link) in inner.links().enumerate() {
        let start = before + inner.before(at);
        if is_at(link, grain) {
            return Some((start, start + inner.child_count(at)));
        }
        if level <= 1 {
            continue;
        }
        let mut found = None;
        let looked = reading.with(link, Some(level - 1), |child| {
            found = find(reading, child, grain, start);
            Ok(())
        });
        if let (Ok(()), Some(found)) = (looked, found) {
            return Some(found);
        }
    }
    None
}
