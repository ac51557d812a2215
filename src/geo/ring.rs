//! Rings: closed chains of edges that divide the sphere in two. What lies to the left is inside.
//!
//! Knows points and edges, not polygons with holes.

use std::collections::HashSet;

use super::edge::EdgeIndex;
use super::effort::Effort;
use super::orientation::{
    Corner, Corners, Meeting, Turn, changes_side, meeting, ordered_around, turn,
};
use super::vector::Vector;

/// How much a turning angle may be wrong: a ring that fills half of the sphere still counts as no more than half.
const TURNING_ERROR: f64 = 1e-14;

/// A fixed point far from everything people draw; whether others are inside is counted from it.
fn far_point() -> Vector {
    Vector::new(0.004_57, 1.0, 0.0321).unit()
}

/// A simple ring of at least three points, no two equal.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    points: Vec<Vector>,
    far_point_inside: bool,
}

/// How a ring lies to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// Their boundaries cross.
    Crosses,
    /// It contains the other.
    Contains,
    /// Neither.
    Outside,
}

impl Ring {
    /// Of the points in their order, the first not repeated at the end; none when they make no ring.
    pub(super) fn new(points: Vec<Vector>, effort: &Effort<'_>) -> Option<Ring> {
        let distinct: HashSet<_> = points.iter().map(|point| point.key()).collect();
        if points.len() < 3 || distinct.len() < points.len() {
            return None;
        }
        let ring = Ring::unchecked(points, effort);
        (!ring.crosses_itself(effort)).then_some(ring)
    }

    /// As [`Ring::new`], of points that are known to make a ring.
    pub(super) fn unchecked(points: Vec<Vector>, effort: &Effort<'_>) -> Ring {
        let mut ring = Ring { points, far_point_inside: false };
        let (before, at, after) = (ring.point(0), ring.point(1), ring.point(2));
        // Which side of the corner is inside tells whether counting must begin inside.
        let inside = ordered_around(at, at.perpendicular(), before, after);
        ring.far_point_inside = inside != ring.contains_point(at, effort);
        ring
    }

    /// The smaller of the two parts of the sphere is inside.
    pub(super) fn normalized(mut self) -> Ring {
        if !self.is_normalized() {
            self.points.reverse();
            self.far_point_inside = !self.far_point_inside;
        }
        self
    }

    /// The other part of the sphere is inside.
    pub(super) fn inverted(mut self) -> Ring {
        self.points.reverse();
        self.far_point_inside = !self.far_point_inside;
        self
    }

    /// Whether the inside is no more than half of the sphere.
    pub(super) fn is_normalized(&self) -> bool {
        self.turning_angle() >= -TURNING_ERROR
    }

    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    /// The edges, the last back to the first point.
    pub(super) fn edges(&self) -> impl ExactSizeIterator<Item = (Vector, Vector)> {
        (0..self.len()).map(|i| self.edge(i))
    }

    /// Whether a point is inside. Of a point on the boundary, rings that divide the sphere between them agree on one.
    pub(super) fn contains_point(&self, point: Vector, effort: &Effort<'_>) -> bool {
        if effort.spend(self.len()) {
            return false;
        }
        let from = far_point();
        let changes = self.edges().filter(|(a, b)| changes_side(from, point, *a, *b)).count();
        self.far_point_inside ^ (changes % 2 == 1)
    }

    /// Whether everything in the other is in this. A ring contains itself.
    pub(super) fn contains(&self, other: &Ring, effort: &Effort<'_>) -> bool {
        if !self.may_contain(other, effort) {
            return false;
        }
        let mut all = true;
        let crosses = self.walk(other, effort, |at, ours, theirs| {
            all = ours.contains(at, theirs);
            all
        });
        // Two rings that together cover the sphere contain each other's boundaries, but not each other.
        !crosses && all && !other.strictly_contains(self.point(0), effort)
    }

    /// Whether both have a point inside in common. Rings that only touch do not.
    pub(super) fn intersects(&self, other: &Ring, effort: &Effort<'_>) -> bool {
        if self.strictly_contains(other.point(0), effort) {
            return true;
        }
        let mut any = false;
        let crosses = self.walk(other, effort, |at, ours, theirs| {
            any = ours.intersects(at, theirs);
            !any
        });
        crosses || any || other.strictly_contains(self.point(0), effort)
    }

    /// How the other lies, of which is known that both together do not cover the sphere.
    pub(super) fn relation(&self, other: &Ring, effort: &Effort<'_>) -> Relation {
        let (mut more, mut less, mut disjoint, mut overlap) = (false, false, false, false);
        let crosses = self.walk(other, effort, |at, ours, theirs| {
            match ours.compare(at, theirs) {
                Corners::Equal => {}
                Corners::Contains => more = true,
                Corners::Contained => less = true,
                Corners::Disjoint => disjoint = true,
                Corners::Overlap => overlap = true,
            }
            overlap |= more && less;
            !overlap
        });
        if crosses || overlap {
            Relation::Crosses
        } else if disjoint || less || !self.may_contain(other, effort) {
            Relation::Outside
        } else {
            Relation::Contains
        }
    }

    /// Whether it contains the other, of which is known that it crosses it nowhere and shares no edge with it.
    pub(super) fn contains_nested(&self, other: &Ring, effort: &Effort<'_>) -> bool {
        let at = other.point(1);
        match self.find(at) {
            None => self.contains_point(at, effort),
            Some(i) => self.corner(i).contains(at, other.corner(1)),
        }
    }

    /// Whether the first point of the other is inside or a corner: without that, nothing is contained.
    fn may_contain(&self, other: &Ring, effort: &Effort<'_>) -> bool {
        let first = other.point(0);
        self.contains_point(first, effort) || self.find(first).is_some()
    }

    /// Inside, and no corner.
    fn strictly_contains(&self, point: Vector, effort: &Effort<'_>) -> bool {
        self.contains_point(point, effort) && self.find(point).is_none()
    }

    /// Whether an edge of one crosses one of the other. Until then `visit` is called with the corners of both at each
    /// point that both have, and stops the walk with false.
    fn walk(
        &self,
        other: &Ring,
        effort: &Effort<'_>,
        mut visit: impl FnMut(Vector, Corner, Corner) -> bool,
    ) -> bool {
        let index = EdgeIndex::new(self.edges());
        effort.spend(self.len());
        for (j, (c, d)) in other.edges().enumerate() {
            for i in index.near(0, c, d) {
                if effort.spend(1) {
                    return false;
                }
                let (a, b) = self.edge(i);
                match meeting(c, d, a, b) {
                    Meeting::Apart => {}
                    Meeting::Crossing => return true,
                    Meeting::AtVertex => {
                        if b == d && !visit(b, self.corner(i + 1), other.corner(j + 1)) {
                            return false;
                        }
                    }
                }
            }
        }
        false
    }

    fn crosses_itself(&self, effort: &Effort<'_>) -> bool {
        let index = EdgeIndex::new(self.edges());
        self.edges().enumerate().any(|(i, (a, b))| {
            // Each pair is looked at once; neighbours share a point.
            index.near(i + 2, a, b).any(|j| {
                let (c, d) = self.edge(j);
                effort.spend(1) || meeting(a, b, c, d) == Meeting::Crossing
            })
        })
    }

    /// The sum of the turns at the corners, to the left positive: a whole turn less the area inside.
    fn turning_angle(&self) -> f64 {
        let mut sum = 0.0;
        for i in 0..self.len() {
            let Corner { before, after } = self.corner(i);
            let at = self.point(i);
            let angle = at.stable_cross(before).angle(after.stable_cross(at));
            sum += if turn(before, at, after) == Turn::Left { angle } else { -angle };
        }
        sum
    }

    fn find(&self, point: Vector) -> Option<usize> {
        self.points.iter().position(|have| *have == point)
    }

    fn edge(&self, i: usize) -> (Vector, Vector) {
        (self.point(i), self.point(i + 1))
    }

    fn corner(&self, i: usize) -> Corner {
        Corner { before: self.point(i + self.len() - 1), after: self.point(i + 1) }
    }

    /// A point, counted on around the ring.
    fn point(&self, i: usize) -> Vector {
        let nowhere = Vector::new(0.0, 0.0, 0.0);
        self.points.get(i % self.len().max(1)).copied().unwrap_or(nowhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::effort::unbounded;
    use crate::geo::vector::LonLat;

    fn at(lon: f64, lat: f64) -> Vector {
        Vector::of(LonLat { lon, lat })
    }

    fn ring(points: &[(f64, f64)]) -> Ring {
        Ring::new(points.iter().map(|(lon, lat)| at(*lon, *lat)).collect(), &unbounded())
            .unwrap()
            .normalized()
    }

    fn square(west: f64, south: f64, size: f64) -> Ring {
        let (east, north) = (west + size, south + size);
        ring(&[(west, south), (east, south), (east, north), (west, north)])
    }

    #[test]
    fn what_is_no_ring() {
        let make = |points: &[(f64, f64)]| {
            Ring::new(points.iter().map(|(lon, lat)| at(*lon, *lat)).collect(), &unbounded())
        };
        assert!(make(&[(0.0, 0.0), (1.0, 0.0)]).is_none());
        assert!(make(&[(0.0, 0.0), (1.0, 0.0), (0.0, 0.0)]).is_none());
        assert!(make(&[(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0)]).is_none());
    }

    #[test]
    fn either_direction_has_the_smaller_part_inside() {
        for points in [[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0)], [(4.0, 4.0), (4.0, 0.0), (0.0, 0.0)]] {
            let ring = ring(&points);
            assert!(ring.contains_point(at(3.0, 1.0), &unbounded()));
            assert!(!ring.contains_point(at(1.0, 3.0), &unbounded()));
            assert!(!ring.contains_point(at(0.0, 90.0), &unbounded()));
            assert!(ring.clone().inverted().contains_point(at(0.0, 90.0), &unbounded()));
        }
        let polar = ring(&[(0.0, 80.0), (120.0, 80.0), (-120.0, 80.0)]);
        assert!(
            polar.contains_point(at(0.0, 90.0), &unbounded())
                && !polar.contains_point(at(0.0, -90.0), &unbounded())
        );
    }

    #[test]
    fn a_point_of_two_neighbours_is_in_one() {
        let (left, right) = (square(0.0, 0.0, 1.0), square(1.0, 0.0, 1.0));
        let (below, beside) = (square(0.0, -1.0, 1.0), square(1.0, -1.0, 1.0));
        for point in [at(1.0, 0.0), at(1.0, 0.5), at(0.5, 0.0)] {
            let owners = [&left, &right, &below, &beside];
            assert_eq!(
                owners.iter().filter(|ring| ring.contains_point(point, &unbounded())).count(),
                1
            );
        }
    }

    #[test]
    fn rings_relate() {
        let (large, inner, far) =
            (square(0.0, 0.0, 4.0), square(1.0, 1.0, 1.0), square(9.0, 0.0, 1.0));
        let (across, beside) = (square(3.0, 3.0, 3.0), square(4.0, 0.0, 4.0));
        assert!(
            large.contains(&inner, &unbounded())
                && !inner.contains(&large, &unbounded())
                && large.contains(&large, &unbounded())
        );
        assert!(
            !large.contains(&across, &unbounded())
                && !large.contains(&far, &unbounded())
                && !large.contains(&beside, &unbounded())
        );
        assert!(
            large.intersects(&inner, &unbounded())
                && inner.intersects(&large, &unbounded())
                && large.intersects(&large, &unbounded())
        );
        assert!(large.intersects(&across, &unbounded()) && !large.intersects(&far, &unbounded()));
        assert!(!large.intersects(&beside, &unbounded()), "neighbours only touch");
        assert_eq!(large.relation(&inner, &unbounded()), Relation::Contains);
        assert_eq!(large.relation(&across, &unbounded()), Relation::Crosses);
        assert_eq!(inner.relation(&large, &unbounded()), Relation::Outside);
        assert_eq!(large.relation(&far, &unbounded()), Relation::Outside);
        assert!(
            large.contains_nested(&inner, &unbounded())
                && !inner.contains_nested(&large, &unbounded())
        );
    }
}
