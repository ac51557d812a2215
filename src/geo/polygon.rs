//! Polygons: areas bounded by rings, with holes, and how points, lines and other polygons lie to them.
//!
//! Knows points, edges, lines and rings; nothing of GeoJSON. Polygons that share a boundary only touch: their areas do not
//! intersect. A point on the boundary, though, counts as part of the polygon.

use std::collections::HashSet;

use super::assembly::assemble;
use super::edge::{EdgeIndex, fraction, intersection};
use super::effort::Effort;
use super::line::{Line, nearest_on};
use super::orientation::{Meeting, crosses_at_vertex, meeting};
use super::ring::{Relation, Ring};
use super::vector::Vector;

/// An area of the sphere, perhaps empty.
#[derive(Clone, Debug)]
pub(super) struct Polygon {
    rings: Vec<Boundary>,
}

/// A ring of a polygon; with its smaller part inside, even when that is a hole.
#[derive(Clone, Debug)]
struct Boundary {
    ring: Ring,
    is_hole: bool,
}

impl Polygon {
    /// Of an outer ring and of those that bound holes in it. Edges that two rings have in common vanish. None when the
    /// rings cross.
    pub(super) fn new(rings: Vec<Ring>, effort: &Effort<'_>) -> Option<Polygon> {
        let mut rings: Vec<Ring> = rings.into_iter().map(Ring::normalized).collect();
        if rings.len() > 1 {
            let sides = rings.into_iter().enumerate();
            let sides = sides.map(|(i, ring)| if i == 0 { ring } else { ring.inverted() });
            rings = assemble(sides, effort)?.into_iter().map(Ring::normalized).collect();
        }
        if share_an_edge(&rings) || !rings.iter().all(Ring::is_normalized) || cross(&rings, effort)
        {
            return None;
        }
        let depth = |i: usize, ring: &Ring| {
            let others = rings.iter().enumerate().filter(|(j, _)| *j != i && !effort.spend(1));
            others.filter(|(_, other)| other.contains_nested(ring, effort)).count()
        };
        let is_hole: Vec<bool> =
            rings.iter().enumerate().map(|(i, ring)| depth(i, ring) % 2 == 1).collect();
        let boundaries = rings.into_iter().zip(is_hole);
        let rings = boundaries.map(|(ring, is_hole)| Boundary { ring, is_hole }).collect();
        Some(Polygon { rings })
    }

    /// The points at which its boundaries turn.
    pub(super) fn corners(&self) -> Vec<Vector> {
        self.rings().flat_map(|ring| ring.edges().map(|(from, _)| from)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rings.is_empty()
    }

    /// Whether a point is inside; see [`Ring::contains_point`] about the boundary.
    fn contains_point(&self, point: Vector, effort: &Effort<'_>) -> bool {
        self.rings().filter(|ring| ring.contains_point(point, effort)).count() % 2 == 1
    }

    /// The point of the polygon that is nearest to a point; none of an empty one.
    pub(super) fn project(&self, point: Vector, effort: &Effort<'_>) -> Option<Vector> {
        if self.contains_point(point, effort) {
            return Some(point);
        }
        nearest_on(self.edges(), point)
    }

    /// Whether a point is inside or on the boundary.
    pub(super) fn touches_point(&self, point: Vector, effort: &Effort<'_>) -> bool {
        self.project(point, effort) == Some(point)
    }

    /// Whether a part of a line is inside.
    pub(super) fn intersects_line(&self, line: &Line, effort: &Effort<'_>) -> bool {
        self.leaves_of_line(line, false, effort)
    }

    /// Whether the whole line is inside.
    pub(super) fn contains_line(&self, line: &Line, effort: &Effort<'_>) -> bool {
        !self.leaves_of_line(line, true, effort)
    }

    /// Whether another polygon is inside as a whole. A polygon contains itself.
    pub(super) fn contains(&self, other: &Polygon, effort: &Effort<'_>) -> bool {
        if let ([ours], [theirs]) = (self.rings.as_slice(), other.rings.as_slice()) {
            return ours.ring.contains(&theirs.ring, effort);
        }
        if !self.has_holes() && !other.has_holes() {
            return other.rings().all(|ring| self.rings().any(|ours| ours.contains(ring, effort)));
        }
        other.shells().all(|shell| self.side(shell, effort) == Side::Inside)
            && self.holes().all(|hole| other.side(hole, effort) == Side::Outside)
    }

    /// Whether both areas have a point inside in common.
    pub(super) fn intersects(&self, other: &Polygon, effort: &Effort<'_>) -> bool {
        if !self.has_holes() && !other.has_holes() {
            return self
                .rings()
                .any(|ours| other.rings().any(|ring| ours.intersects(ring, effort)));
        }
        self.intersects_shell_of(other, effort) || other.intersects_shell_of(self, effort)
    }

    fn intersects_shell_of(&self, other: &Polygon, effort: &Effort<'_>) -> bool {
        other.shells().any(|shell| {
            let mut inside = false;
            for ring in self.rings() {
                if ring.contains(shell, effort) {
                    inside = !inside;
                } else if !shell.contains(ring, effort) && ring.intersects(shell, effort) {
                    return true;
                }
            }
            inside
        })
    }

    fn side(&self, ring: &Ring, effort: &Effort<'_>) -> Side {
        let mut inside = false;
        for ours in self.rings() {
            match ours.relation(ring, effort) {
                Relation::Crosses => return Side::Both,
                Relation::Contains => inside = !inside,
                Relation::Outside => {}
            }
        }
        if inside { Side::Inside } else { Side::Outside }
    }

    /// Whether anything is left of a line when it is cut to the inside, or to the outside.
    fn leaves_of_line(&self, line: &Line, outside: bool, effort: &Effort<'_>) -> bool {
        let Some(start) = line.start() else { return false };
        let edges: Vec<_> = self.edges().collect();
        let index = EdgeIndex::new(edges.iter().copied());
        let mut inside = self.contains_point(start, effort) ^ outside;
        line.edges().any(|(a, b)| {
            let near = index.near(0, a, b).filter_map(|i| edges.get(i));
            let mut cuts: Vec<(f64, Vector)> =
                near.filter_map(|(c, d)| cut(a, b, *c, *d)).collect();
            if effort.spend(1 + cuts.len()) {
                return true;
            }
            if inside {
                cuts.push((0.0, a));
            }
            inside = cuts.len() % 2 == 1;
            if inside {
                cuts.push((1.0, b));
            }
            cuts.sort_by(|(s, p), (t, q)| s.total_cmp(t).then(p.lexical(q)));
            cuts.chunks(2).any(|piece| match piece {
                [from, to] => from != to,
                _ => false,
            })
        })
    }

    fn rings(&self) -> impl Iterator<Item = &Ring> {
        self.rings.iter().map(|boundary| &boundary.ring)
    }

    fn shells(&self) -> impl Iterator<Item = &Ring> {
        self.rings.iter().filter(|boundary| !boundary.is_hole).map(|boundary| &boundary.ring)
    }

    fn holes(&self) -> impl Iterator<Item = &Ring> {
        self.rings.iter().filter(|boundary| boundary.is_hole).map(|boundary| &boundary.ring)
    }

    fn has_holes(&self) -> bool {
        self.holes().next().is_some()
    }

    fn edges(&self) -> impl Iterator<Item = (Vector, Vector)> {
        self.rings().flat_map(Ring::edges)
    }
}

/// Where a ring lies to a polygon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Inside,
    Outside,
    Both,
}

/// Where the edge `ab` goes over `cd`: how far along, and the point.
fn cut(a: Vector, b: Vector, c: Vector, d: Vector) -> Option<(f64, Vector)> {
    match meeting(a, b, c, d) {
        Meeting::Apart => None,
        Meeting::Crossing => {
            let x = intersection(a, b, c, d);
            Some((fraction(x, a, b), x))
        }
        Meeting::AtVertex if crosses_at_vertex(a, b, c, d) => {
            Some(if a == c || a == d { (0.0, a) } else { (1.0, b) })
        }
        Meeting::AtVertex => None,
    }
}

/// Whether an edge, in either direction, is in two rings or twice in one.
fn share_an_edge(rings: &[Ring]) -> bool {
    if rings.len() < 2 {
        return false;
    }
    let mut seen = HashSet::new();
    rings.iter().flat_map(Ring::edges).any(|(a, b)| {
        let (a, b) = (a.key(), b.key());
        !seen.insert(if a < b { (a, b) } else { (b, a) })
    })
}

fn cross(rings: &[Ring], effort: &Effort<'_>) -> bool {
    rings.iter().enumerate().any(|(i, ring)| {
        rings
            .iter()
            .skip(i + 1)
            .any(|other| effort.spend(1) || ring.relation(other, effort) == Relation::Crosses)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::effort::unbounded;
    use crate::geo::vector::LonLat;

    fn at(lon: f64, lat: f64) -> Vector {
        Vector::of(LonLat { lon, lat })
    }

    fn square(west: f64, south: f64, size: f64) -> Ring {
        let (east, north) = (west + size, south + size);
        Ring::new(
            vec![at(west, south), at(east, south), at(east, north), at(west, north)],
            &unbounded(),
        )
        .unwrap()
    }

    fn area(rings: &[(f64, f64, f64)]) -> Option<Polygon> {
        Polygon::new(
            rings.iter().map(|(west, south, size)| square(*west, *south, *size)).collect(),
            &unbounded(),
        )
    }

    fn line(points: &[(f64, f64)]) -> Line {
        Line::new(points.iter().map(|(lon, lat)| at(*lon, *lat)).collect()).unwrap()
    }

    #[test]
    fn holes_are_not_inside() {
        let frame = area(&[(0.0, 0.0, 4.0), (1.0, 1.0, 1.0)]).unwrap();
        assert!(
            frame.touches_point(at(0.5, 0.5), &unbounded())
                && frame.touches_point(at(1.0, 1.0), &unbounded())
        );
        assert!(
            !frame.touches_point(at(1.5, 1.5), &unbounded())
                && !frame.touches_point(at(9.0, 1.0), &unbounded())
        );
        assert!(frame.contains(&area(&[(2.5, 2.5, 1.0)]).unwrap(), &unbounded()));
        let over_hole = area(&[(0.5, 0.5, 2.0)]).unwrap();
        let in_hole = area(&[(1.2, 1.2, 0.5)]).unwrap();
        assert!(
            !frame.contains(&over_hole, &unbounded()) && frame.intersects(&over_hole, &unbounded())
        );
        assert!(
            !frame.contains(&in_hole, &unbounded()) && !frame.intersects(&in_hole, &unbounded())
        );
        assert!(
            over_hole.intersects(&frame, &unbounded()) && !in_hole.intersects(&frame, &unbounded())
        );
        assert!(frame.contains(&frame, &unbounded()) && frame.intersects(&frame, &unbounded()));
    }

    #[test]
    fn lines_are_cut() {
        let frame = area(&[(0.0, 0.0, 4.0), (1.0, 1.0, 1.0)]).unwrap();
        assert!(frame.contains_line(&line(&[(0.5, 0.5), (3.0, 0.5), (3.0, 3.0)]), &unbounded()));
        let through = line(&[(0.5, 0.5), (3.0, 3.0)]);
        assert!(
            frame.intersects_line(&through, &unbounded())
                && !frame.contains_line(&through, &unbounded())
        );
        let in_hole = line(&[(1.2, 1.2), (1.8, 1.8)]);
        assert!(
            !frame.intersects_line(&in_hole, &unbounded())
                && !frame.contains_line(&in_hole, &unbounded())
        );
        let past = line(&[(-1.0, -1.0), (5.0, -1.0)]);
        assert!(
            !frame.intersects_line(&past, &unbounded())
                && !frame.contains_line(&past, &unbounded())
        );
        let across = line(&[(-1.0, 0.5), (5.0, 0.5)]);
        assert!(
            frame.intersects_line(&across, &unbounded())
                && !frame.contains_line(&across, &unbounded())
        );
    }

    #[test]
    fn rings_that_cross_make_no_polygon() {
        assert!(area(&[(0.0, 0.0, 4.0), (3.0, 3.0, 4.0)]).is_none());
        assert!(area(&[]).unwrap().is_empty());
        assert!(area(&[(0.0, 0.0, 4.0), (0.0, 0.0, 4.0)]).unwrap().is_empty());
    }

    #[test]
    fn a_hole_at_the_edge_is_a_dent() {
        let outer =
            Ring::new(vec![at(0.0, 0.0), at(1.0, 0.0), at(4.0, 0.0), at(2.0, 4.0)], &unbounded());
        let dent = Ring::new(vec![at(0.0, 0.0), at(1.0, 0.0), at(1.0, 1.0)], &unbounded());
        let dented = Polygon::new(vec![outer.unwrap(), dent.unwrap()], &unbounded()).unwrap();
        assert_eq!(dented.rings.len(), 1);
        assert!(
            dented.contains_point(at(2.0, 1.0), &unbounded())
                && !dented.contains_point(at(0.6, 0.3), &unbounded())
        );
    }
}
