//! Rings from the edges of rings: where one goes there and another back, both edges vanish, and what is left is joined
//! anew.
//!
//! Knows points and rings, not polygons.

use std::collections::HashMap;

use super::effort::Effort;
use super::orientation::ordered_around;
use super::ring::Ring;
use super::vector::Vector;

type Key = [u64; 3];

/// The rings that the edges of these make, each with its area to the left; none when edges are left over.
pub(super) fn assemble(
    rings: impl Iterator<Item = Ring>,
    effort: &Effort<'_>,
) -> Option<Vec<Ring>> {
    let mut edges = Edges::default();
    for ring in rings {
        // The last edge first: what is found first is followed first.
        let ring: Vec<_> = ring.edges().collect();
        let last_first = ring.last().into_iter().chain(ring.iter().rev().skip(1));
        for (a, b) in last_first {
            edges.add(*a, *b);
        }
    }
    let mut found = Vec::new();
    for start in std::mem::take(&mut edges.starts) {
        while let Some(next) = edges.first_from(start) {
            let points = edges.follow(start, next)?;
            for (a, b) in points.iter().zip(points.iter().cycle().skip(1)) {
                edges.remove(*a, *b);
            }
            found.push(Ring::unchecked(points, effort));
        }
    }
    Some(found)
}

/// Directed edges by where they begin.
#[derive(Default)]
struct Edges {
    from: HashMap<Key, Vec<Vector>>,
    /// Where edges begin, in the order in which they came.
    starts: Vec<Vector>,
}

impl Edges {
    /// Adds an edge, unless its opposite is there: then that is taken away.
    fn add(&mut self, a: Vector, b: Vector) {
        if self.remove(b, a) {
            return;
        }
        let ends = self.from.entry(a.key()).or_default();
        if ends.is_empty() {
            self.starts.push(a);
        }
        let at = ends.partition_point(|end| end.lexical(&b).is_le());
        ends.insert(at, b);
    }

    fn remove(&mut self, a: Vector, b: Vector) -> bool {
        let Some(ends) = self.from.get_mut(&a.key()) else { return false };
        let Some(at) = ends.iter().position(|end| *end == b) else { return false };
        ends.remove(at);
        true
    }

    fn first_from(&self, a: Vector) -> Option<Vector> {
        self.from.get(&a.key())?.first().copied()
    }

    /// The first ring on the way that begins with this edge and turns left as far as it can; none at a dead end.
    fn follow(&self, start: Vector, next: Vector) -> Option<Vec<Vector>> {
        let mut path = vec![start, next];
        let mut place = HashMap::from([(next.key(), 1)]);
        let (mut before, mut at) = (start, next);
        loop {
            let onward = self.leftmost(before, at)?;
            if let Some(first) = place.insert(onward.key(), path.len()) {
                path.drain(..first);
                return (path.len() > 2).then_some(path);
            }
            path.push(onward);
            (before, at) = (at, onward);
        }
    }

    fn leftmost(&self, before: Vector, at: Vector) -> Option<Vector> {
        let ends = self.from.get(&at.key())?.iter().copied().filter(|end| *end != before);
        ends.reduce(|best, end| if ordered_around(at, before, best, end) { end } else { best })
    }
}
