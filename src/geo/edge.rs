//! Edges: the shorter arcs of great circles between two points, their distance from points, where they cross, and which of
//! many lie near one.
//!
//! Knows points, not shapes.

use super::orientation::ordered_around;
use super::vector::Vector;

/// Below so many edges, looking at all is quicker than to sort them first.
const INDEXED_FROM: usize = 32;

/// What a box is widened by: more than the rounding of a coordinate.
const BOX_MARGIN: f64 = 1e-14;

/// How far a point is from an edge, in radians. Precise where it is small.
pub(super) fn distance(x: Vector, a: Vector, b: Vector) -> f64 {
    let normal = a.stable_cross(b);
    if is_beside(x, a, b, normal) {
        let sine = x.dot(normal).abs() / normal.norm();
        return sine.min(1.0).asin();
    }
    let nearest = (x - a).norm2().min((x - b).norm2());
    2.0 * (0.5 * nearest.sqrt()).min(1.0).asin()
}

/// The point of an edge that is nearest to a point.
pub(super) fn closest_point(x: Vector, a: Vector, b: Vector) -> Vector {
    let normal = a.stable_cross(b);
    let projected = x - normal * (x.dot(normal) / normal.norm2());
    if is_beside(projected, a, b, normal) {
        projected.unit()
    } else if (x - a).norm2() <= (x - b).norm2() {
        a
    } else {
        b
    }
}

/// Whether the nearest point of the edge's circle is on the edge.
fn is_beside(x: Vector, a: Vector, b: Vector, normal: Vector) -> bool {
    x.cross(normal).dot(a) > 0.0 && normal.cross(x).dot(b) > 0.0
}

/// Where two edges cross that are known to. Within 1.5e-15 of both.
pub(super) fn intersection(a0: Vector, a1: Vector, b0: Vector, b1: Vector) -> Vector {
    let a_normal = a0.stable_cross(a1).unit();
    let b_normal = b0.stable_cross(b1).unit();
    let mut x = a_normal.stable_cross(b_normal).unit();
    if x.dot((a0 + a1) + (b0 + b1)) < 0.0 {
        x = -x;
    }
    let on_a = |point: Vector| ordered_around(a_normal, a0, point, a1);
    let on_b = |point: Vector| ordered_around(b_normal, b0, point, b1);
    if on_a(x) && on_b(x) {
        return x;
    }
    // The edges are nearly parallel: the nearest end of one that lies on the other.
    let ends = [(a0, on_b(a0)), (a1, on_b(a1)), (b0, on_a(b0)), (b1, on_a(b1))];
    let near = |end: &Vector| (x - *end).norm2();
    let nearest = ends.into_iter().filter(|(_, fits)| *fits).map(|(end, _)| end);
    nearest.min_by(|p, q| near(p).total_cmp(&near(q)).then(p.lexical(q))).unwrap_or(x)
}

/// How far along an edge a point on it lies, 0 to 1.
pub(super) fn fraction(x: Vector, a: Vector, b: Vector) -> f64 {
    let before = x.angle(a);
    before / (before + x.angle(b))
}

/// A box with edges parallel to the axes that an edge does not leave.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: Vector,
    high: Vector,
}

impl Bounds {
    fn of(a: Vector, b: Vector) -> Bounds {
        // The arc rises above its chord by the versine of half its angle.
        let rise = 1.0 - (1.0 - (a - b).norm2() / 4.0).max(0.0).sqrt() + BOX_MARGIN;
        let margin = Vector::new(rise, rise, rise);
        let low = Vector::new(a.x.min(b.x), a.y.min(b.y), a.z.min(b.z));
        let high = Vector::new(a.x.max(b.x), a.y.max(b.y), a.z.max(b.z));
        Bounds { low: low - margin, high: high + margin }
    }

    fn meets(&self, other: &Bounds) -> bool {
        self.low.x <= other.high.x
            && other.low.x <= self.high.x
            && self.low.y <= other.high.y
            && other.low.y <= self.high.y
            && self.low.z <= other.high.z
            && other.low.z <= self.high.z
    }
}

/// The edges of a chain of points, sorted so that those that may meet a given edge are found quickly.
#[derive(Debug)]
pub(super) struct EdgeIndex {
    /// By the low end on the axis; empty when there are too few edges to sort.
    sorted: Vec<(Bounds, usize)>,
    /// On which axis they are sorted: the one on which the chain is longest for its edges.
    axis: fn(Vector) -> f64,
    /// The longest extent of an edge on the axis.
    longest: f64,
    count: usize,
}

impl EdgeIndex {
    /// Of these edges, numbered as they come.
    pub(super) fn new(edges: impl ExactSizeIterator<Item = (Vector, Vector)>) -> EdgeIndex {
        let count = edges.len();
        let mut index = EdgeIndex { sorted: Vec::new(), axis: |v| v.x, longest: 0.0, count };
        if count < INDEXED_FROM {
            return index;
        }
        index.sorted = edges.enumerate().map(|(i, (a, b))| (Bounds::of(a, b), i)).collect();
        let axes: [fn(Vector) -> f64; 3] = [|v| v.x, |v| v.y, |v| v.z];
        let best = axes.into_iter().max_by(|a, b| index.spread(*a).total_cmp(&index.spread(*b)));
        index.axis = best.unwrap_or(index.axis);
        index.longest = index.longest_on(index.axis);
        let axis = index.axis;
        index.sorted.sort_by(|(a, _), (b, _)| axis(a.low).total_cmp(&axis(b.low)));
        index
    }

    /// The numbers of the edges that may meet this one.
    pub(super) fn near(&self, a: Vector, b: Vector) -> impl Iterator<Item = usize> {
        let unsorted = if self.sorted.is_empty() { 0..self.count } else { 0..0 };
        let bounds = Bounds::of(a, b);
        let axis = self.axis;
        let from = axis(bounds.low) - self.longest;
        let start = self.sorted.partition_point(|(edge, _)| axis(edge.low) < from);
        let candidates = self.sorted.get(start..).unwrap_or_default().iter();
        let sorted = candidates
            .take_while(move |(edge, _)| axis(edge.low) <= axis(bounds.high))
            .filter(move |(edge, _)| edge.meets(&bounds))
            .map(|(_, i)| *i);
        unsorted.chain(sorted)
    }

    /// The extent of all edges on an axis, for the longest of them.
    fn spread(&self, axis: fn(Vector) -> f64) -> f64 {
        let low = self.sorted.iter().map(|(edge, _)| axis(edge.low)).fold(f64::INFINITY, f64::min);
        let high =
            self.sorted.iter().map(|(edge, _)| axis(edge.high)).fold(f64::NEG_INFINITY, f64::max);
        (high - low) / self.longest_on(axis)
    }

    fn longest_on(&self, axis: fn(Vector) -> f64) -> f64 {
        self.sorted.iter().map(|(edge, _)| axis(edge.high) - axis(edge.low)).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::orientation::{Meeting, meeting};
    use crate::geo::vector::LonLat;

    fn at(lon: f64, lat: f64) -> Vector {
        Vector::of(LonLat { lon, lat })
    }

    #[test]
    fn points_are_projected_onto_edges() {
        let (a, b) = (at(0.0, 0.0), at(10.0, 0.0));
        assert!((distance(at(5.0, 3.0), a, b).to_degrees() - 3.0).abs() < 1e-12);
        assert!((distance(at(12.0, 0.0), a, b).to_degrees() - 2.0).abs() < 1e-12);
        assert_eq!(closest_point(at(12.0, 1.0), a, b), b);
        let foot = closest_point(at(5.0, 3.0), a, b);
        assert!(foot.angle(at(5.0, 0.0)) < 1e-15);
        assert!((fraction(foot, a, b) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn edges_cross_where_they_cross() {
        let x = intersection(at(-1.0, 0.0), at(1.0, 0.0), at(0.0, -1.0), at(0.0, 1.0));
        assert!(x.angle(at(0.0, 0.0)) < 1e-15);
        let x = intersection(at(179.0, 10.0), at(-179.0, 10.0), at(180.0, 0.0), at(180.0, 20.0));
        assert!(x.angle(at(180.0, 10.001_5)) < 1e-5, "{:?}", x.position());
    }

    #[test]
    fn the_index_finds_every_edge_that_meets() {
        let wave = |i: usize| at(i as f64 * 1.7 - 60.0, 20.0 * (i as f64).sin());
        let edges: Vec<_> = (0..70).map(|i| (wave(i), wave(i + 1))).collect();
        let index = EdgeIndex::new(edges.iter().copied());
        assert!(!index.sorted.is_empty());
        for (a, b) in [(at(-60.0, 0.0), at(60.0, 1.0)), (at(0.0, -9.0), at(3.0, 9.0))] {
            let near: Vec<usize> = index.near(a, b).collect();
            for (i, (c, d)) in edges.iter().enumerate() {
                let meets = meeting(a, b, *c, *d) != Meeting::Apart;
                assert!(!meets || near.contains(&i), "edge {i}");
            }
        }
        assert!(index.near(at(0.0, -9.0), at(3.0, 9.0)).count() < edges.len() / 4);
    }
}
