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

/// A box with edges parallel to the axes that an edge, or several, do not leave.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: Vector,
    high: Vector,
}

impl Bounds {
    fn of(a: Vector, b: Vector) -> Bounds {
        let normal = a.stable_cross(b);
        let unit = normal.unit();
        let (low, high) = (lowest(a, b), highest(a, b));
        let mut bounds = Bounds { low, high };
        // The great circle comes nearest to an axis where the plane does; when that is on the arc, it counts.
        for axis in
            [Vector::new(1.0, 0.0, 0.0), Vector::new(0.0, 1.0, 0.0), Vector::new(0.0, 0.0, 1.0)]
        {
            let top = (axis - unit * axis.dot(unit)).unit();
            for extreme in [top, -top] {
                if is_beside(extreme, a, b, normal) {
                    bounds.low = lowest(bounds.low, extreme);
                    bounds.high = highest(bounds.high, extreme);
                }
            }
        }
        let margin = Vector::new(BOX_MARGIN, BOX_MARGIN, BOX_MARGIN);
        Bounds { low: bounds.low - margin, high: bounds.high + margin }
    }

    fn join(&self, other: &Bounds) -> Bounds {
        Bounds { low: lowest(self.low, other.low), high: highest(self.high, other.high) }
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

fn lowest(a: Vector, b: Vector) -> Vector {
    Vector::new(a.x.min(b.x), a.y.min(b.y), a.z.min(b.z))
}

fn highest(a: Vector, b: Vector) -> Vector {
    Vector::new(a.x.max(b.x), a.y.max(b.y), a.z.max(b.z))
}

/// The edges of a chain, with boxes around each, around each two, four and so on: those that may meet a given edge are
/// found without looking at all. Edges that follow each other lie together, so they need no sorting.
#[derive(Debug)]
pub(super) struct EdgeIndex {
    /// The boxes of single edges, of pairs, and so on up to one. Empty when there are too few edges for it to pay.
    levels: Vec<Vec<Bounds>>,
    count: usize,
}

impl EdgeIndex {
    /// Of these edges, numbered as they come.
    pub(super) fn new(edges: impl ExactSizeIterator<Item = (Vector, Vector)>) -> EdgeIndex {
        let count = edges.len();
        let mut levels = Vec::new();
        if count >= INDEXED_FROM {
            let mut level: Vec<Bounds> = edges.map(|(a, b)| Bounds::of(a, b)).collect();
            while level.len() > 1 {
                let pairs = level.chunks(2).filter_map(|pair| match pair {
                    [one, other] => Some(one.join(other)),
                    [one] => Some(*one),
                    _ => None,
                });
                let above = pairs.collect();
                levels.push(std::mem::replace(&mut level, above));
            }
            levels.push(level);
        }
        EdgeIndex { levels, count }
    }

    /// The numbers of the edges from `first` on that may meet this one.
    pub(super) fn near(&self, first: usize, a: Vector, b: Vector) -> Near<'_> {
        let rest = if self.levels.is_empty() { first..self.count } else { 0..0 };
        let to_do = self.levels.len().checked_sub(1).map(|top| (top, 0)).into_iter().collect();
        Near { index: self, bounds: Bounds::of(a, b), first, to_do, rest }
    }
}

/// What [`EdgeIndex::near`] finds.
pub(super) struct Near<'a> {
    index: &'a EdgeIndex,
    bounds: Bounds,
    first: usize,
    /// Boxes still to be looked at, by level and place; at most two of a level.
    to_do: Vec<(usize, usize)>,
    /// Edges to be looked at without boxes.
    rest: std::ops::Range<usize>,
}

impl Iterator for Near<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while let Some((level, place)) = self.to_do.pop() {
            // The last edge in the box comes too early.
            if ((place + 1) << level) <= self.first {
                continue;
            }
            let Some(found) = self.index.levels.get(level).and_then(|boxes| boxes.get(place))
            else {
                continue;
            };
            if !found.meets(&self.bounds) {
                continue;
            }
            match level.checked_sub(1) {
                None => return Some(place),
                Some(below) => self.to_do.extend([(below, 2 * place + 1), (below, 2 * place)]),
            }
        }
        self.rest.next()
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
        assert_eq!(index.levels.len(), 8);
        for (a, b) in [(at(-60.0, 0.0), at(60.0, 1.0)), (at(0.0, -9.0), at(3.0, 9.0))] {
            let near: Vec<usize> = index.near(0, a, b).collect();
            for (i, (c, d)) in edges.iter().enumerate() {
                let meets = meeting(a, b, *c, *d) != Meeting::Apart;
                assert!(!meets || near.contains(&i), "edge {i}");
            }
            let late: Vec<usize> = index.near(33, a, b).collect();
            assert_eq!(late, near.into_iter().filter(|i| *i >= 33).collect::<Vec<_>>());
        }
        assert!(index.near(0, at(0.0, -9.0), at(3.0, 9.0)).count() < 8);
    }

    #[test]
    fn boxes_hold_their_arcs() {
        let ends =
            [at(-50.0, 60.0), at(70.0, 60.0), at(179.0, -5.0), at(0.0, 90.0), at(20.0, -80.0)];
        for a in ends {
            for b in ends.into_iter().filter(|b| *b != a) {
                let bounds = Bounds::of(a, b);
                for step in 0..=64 {
                    let part = f64::from(step) / 64.0;
                    let point = (a * (1.0 - part) + b * part).unit();
                    assert!(
                        bounds.meets(&Bounds { low: point, high: point }),
                        "{a:?} {b:?} {step}"
                    );
                }
            }
        }
    }
}
