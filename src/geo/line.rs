//! Lines: open chains of edges.
//!
//! Knows points and edges.

use super::edge::{EdgeIndex, closest_point, distance};
use super::effort::Effort;
use super::orientation::{Meeting, meeting};
use super::vector::Vector;

/// A line of at least two points, of which no two neighbours are equal or opposite.
#[derive(Clone, Debug)]
pub(super) struct Line {
    points: Vec<Vector>,
}

impl Line {
    /// Of the points in their order; none when they make no line.
    pub(super) fn new(points: Vec<Vector>) -> Option<Line> {
        let mut neighbours = points.iter().zip(points.iter().skip(1));
        if points.len() < 2 || neighbours.any(|(a, b)| a == b || *a == -*b) {
            return None;
        }
        Some(Line { points })
    }

    pub(super) fn edges(&self) -> impl ExactSizeIterator<Item = (Vector, Vector)> {
        self.points.iter().copied().zip(self.points.iter().copied().skip(1))
    }

    /// Where it begins.
    pub(super) fn start(&self) -> Option<Vector> {
        self.points.first().copied()
    }

    /// The point of the line that is nearest to a point.
    pub(super) fn project(&self, point: Vector) -> Vector {
        nearest_on(self.edges(), point).unwrap_or(point)
    }

    /// Whether both have a point in common. A line that ends on another need not, unless at a point of it.
    pub(super) fn intersects(&self, other: &Line, effort: &Effort<'_>) -> bool {
        let index = EdgeIndex::new(self.edges());
        let edges: Vec<_> = self.edges().collect();
        other.edges().any(|(c, d)| {
            let mut near = index.near(0, c, d).filter_map(|i| edges.get(i));
            near.any(|(a, b)| effort.spend(1) || meeting(c, d, *a, *b) != Meeting::Apart)
        })
    }
}

/// The point of these edges that is nearest to a point; of several, that of the first edge.
pub(super) fn nearest_on(
    edges: impl Iterator<Item = (Vector, Vector)>,
    point: Vector,
) -> Option<Vector> {
    let measured = edges.map(|(a, b)| (distance(point, a, b), a, b));
    let nearest = measured.min_by(|(one, ..), (other, ..)| one.total_cmp(other));
    nearest.map(|(_, a, b)| closest_point(point, a, b))
}
