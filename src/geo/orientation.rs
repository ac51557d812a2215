//! On which side of an edge a point lies, decided exactly, and what follows from it: order around a vertex, crossings.
//!
//! Knows points, not shapes. Three points that lie on one great circle are told apart by a symbolic perturbation: every
//! point is thought to be moved by an amount of its own, too small to change any answer that is not a tie, so that no
//! three points are collinear (Edelsbrunner and Mücke, "Simulation of Simplicity", 1990). Answers therefore never
//! contradict each other, and a point on the edge of two neighbours belongs to exactly one of them.

use std::cmp::Ordering;

use robust::{Coord, Coord3D, orient2d, orient3d};

use super::vector::Vector;

/// The determinant of three points of the sphere, computed in doubles, is wrong by less than this.
const DETERMINANT_ERROR: f64 = 0.8e-15;

/// Which way three points turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// To the left: counterclockwise, seen from outside the sphere.
    Left,
    /// To the right.
    Right,
    /// Two of them are the same point.
    None,
}

impl Turn {
    fn of(sign: f64) -> Option<Turn> {
        match sign.partial_cmp(&0.0) {
            Some(Ordering::Greater) => Some(Turn::Left),
            Some(Ordering::Less) => Some(Turn::Right),
            _ => None,
        }
    }

    fn reversed(self) -> Turn {
        match self {
            Turn::Left => Turn::Right,
            Turn::Right => Turn::Left,
            Turn::None => Turn::None,
        }
    }
}

/// Which way `a`, `b`, `c` turn. `None` only when two of them are equal; turning the points around changes nothing,
/// exchanging two reverses the answer.
pub(super) fn turn(a: Vector, b: Vector, c: Vector) -> Turn {
    let determinant = a.cross(b).dot(c);
    if determinant > DETERMINANT_ERROR {
        Turn::Left
    } else if determinant < -DETERMINANT_ERROR {
        Turn::Right
    } else {
        exact_turn(a, b, c)
    }
}

fn exact_turn(a: Vector, b: Vector, c: Vector) -> Turn {
    if a == b || b == c || c == a {
        return Turn::None;
    }
    let mut points = [a, b, c];
    let mut exchanged = false;
    for (i, j) in [(0, 1), (1, 2), (0, 1)] {
        if let Ok([first, second]) = points.get_disjoint_mut([i, j])
            && first.lexical(second) == Ordering::Greater
        {
            std::mem::swap(first, second);
            exchanged = !exchanged;
        }
    }
    let [low, middle, high] = points;
    let coord = |p: Vector| Coord3D { x: p.x, y: p.y, z: p.z };
    let origin = Coord3D { x: 0.0, y: 0.0, z: 0.0 };
    let determinant = orient3d(coord(low), coord(middle), coord(high), origin);
    let turn = Turn::of(determinant).unwrap_or_else(|| perturbed_turn(low, middle, high));
    if exchanged { turn.reversed() } else { turn }
}

/// The sign of the determinant of three collinear points in lexical order, each moved a little. The coefficients of the
/// perturbations are looked at in order of their size; the first that is not zero decides.
fn perturbed_turn(a: Vector, b: Vector, c: Vector) -> Turn {
    /// The exact sign of `px * qy - py * qx`.
    fn area(px: f64, py: f64, qx: f64, qy: f64) -> f64 {
        orient2d(Coord { x: px, y: py }, Coord { x: qx, y: qy }, Coord { x: 0.0, y: 0.0 })
    }
    let coefficients = [
        // those of a's coordinates, z first
        area(b.x, b.y, c.x, c.y),
        area(b.z, b.x, c.z, c.x),
        area(b.y, b.z, c.y, c.z),
        // b's z, alone and with a's y and x; b's y, alone and with a's x
        area(c.x, c.y, a.x, a.y),
        c.x,
        -c.y,
        area(c.z, c.x, a.z, a.x),
        c.z,
        // c's z, alone, with a's y and x, and with b's y
        area(a.x, a.y, b.x, b.y),
        -b.x,
        b.y,
        a.x,
    ];
    coefficients.into_iter().find_map(Turn::of).unwrap_or(Turn::Left)
}

/// Whether, turning left around `o`, one meets `b` between `a` and `c`. True when `a == b` or `b == c`, else false when
/// `a == c`.
pub(super) fn ordered_around(o: Vector, a: Vector, b: Vector, c: Vector) -> bool {
    let votes =
        [turn(b, o, a) != Turn::Right, turn(c, o, b) != Turn::Right, turn(a, o, c) == Turn::Left];
    votes.into_iter().filter(|vote| *vote).count() >= 2
}

/// How two edges meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// They do not.
    Apart,
    /// They share a vertex.
    AtVertex,
    /// Inside both.
    Crossing,
}

/// How the edges `ab` and `cd` meet.
pub(super) fn meeting(a: Vector, b: Vector, c: Vector, d: Vector) -> Meeting {
    let acb = turn(a, b, c).reversed();
    let bda = turn(a, b, d);
    if acb == Turn::None || bda == Turn::None {
        return Meeting::AtVertex;
    }
    if acb != bda {
        return Meeting::Apart;
    }
    let cbd = turn(c, d, b).reversed();
    let dac = turn(c, d, a);
    if cbd == acb && dac == acb { Meeting::Crossing } else { Meeting::Apart }
}

/// Whether edges that share a vertex count as crossing there. The rule makes counting crossings right: around a vertex, an
/// edge is crossed by those that come after it, turning left from a fixed direction.
pub(super) fn crosses_at_vertex(a: Vector, b: Vector, c: Vector, d: Vector) -> bool {
    if a == b || c == d {
        return false;
    }
    let (shared, first, second) = if a == d {
        (a, c, b)
    } else if b == c {
        (b, d, a)
    } else if a == c {
        (a, d, b)
    } else if b == d {
        (b, c, a)
    } else {
        return false;
    };
    ordered_around(shared, shared.perpendicular(), first, second)
}

/// Whether going from `a` to `b` changes the side of a boundary that has the edge `cd`.
pub(super) fn changes_side(a: Vector, b: Vector, c: Vector, d: Vector) -> bool {
    match meeting(a, b, c, d) {
        Meeting::Apart => false,
        Meeting::Crossing => true,
        Meeting::AtVertex => crosses_at_vertex(a, b, c, d),
    }
}

/// The corner of a ring at a vertex: what lies to the left of the way `before`, vertex, `after`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Corner {
    pub(super) before: Vector,
    pub(super) after: Vector,
}

/// How two corners at one vertex lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Corners {
    Equal,
    /// The first contains more than the second.
    Contains,
    /// The second contains more than the first.
    Contained,
    /// Neither contains the other, and they have something in common.
    Overlap,
    Disjoint,
}

impl Corner {
    /// Whether it contains the other, or is equal to it.
    pub(super) fn contains(self, at: Vector, other: Corner) -> bool {
        ordered_around(at, self.after, other.after, other.before)
            && ordered_around(at, other.before, self.before, self.after)
    }

    /// Whether both have something in common.
    pub(super) fn intersects(self, at: Vector, other: Corner) -> bool {
        !(ordered_around(at, self.before, other.after, other.before)
            && ordered_around(at, other.before, self.after, self.before))
    }

    /// How it lies to the other; where edges coincide, the most specific of the answers that are true.
    pub(super) fn compare(self, at: Vector, other: Corner) -> Corners {
        if self.before == other.before && self.after == other.after {
            return Corners::Equal;
        }
        if ordered_around(at, self.before, self.after, other.after) {
            if ordered_around(at, other.after, other.before, self.before) {
                return Corners::Contains;
            }
            let same = self.after == other.after;
            return if same { Corners::Contained } else { Corners::Overlap };
        }
        if ordered_around(at, self.before, other.before, other.after) {
            return Corners::Contained;
        }
        let apart = ordered_around(at, self.before, other.before, self.after);
        if apart { Corners::Disjoint } else { Corners::Overlap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::vector::LonLat;

    fn at(lon: f64, lat: f64) -> Vector {
        Vector::of(LonLat { lon, lat })
    }

    #[test]
    fn turns_are_left_or_right_even_on_one_circle() {
        let (a, b, c) = (at(0.0, 0.0), at(1.0, 0.0), at(2.0, 0.0));
        let sides = [turn(a, b, c), turn(b, c, a), turn(c, a, b)];
        assert_ne!(sides[0], Turn::None);
        assert!(sides.iter().all(|side| *side == sides[0]), "{sides:?}");
        assert_eq!(turn(c, b, a), sides[0].reversed());
        assert_eq!(turn(a, a, c), Turn::None);
        assert_eq!(turn(a, b, at(1.0, 1.0)), Turn::Left);
        assert_eq!(turn(a, b, at(1.0, -1.0)), Turn::Right);
    }

    #[test]
    fn the_exact_answer_is_that_of_doubles_where_they_are_sure() {
        let points = [at(0.0, 10.0), at(40.0, -20.0), at(80.0, 60.0), at(-170.0, 5.0)];
        for a in points {
            for b in points {
                for c in points {
                    assert_eq!(turn(a, b, c), exact_turn(a, b, c), "{a:?} {b:?} {c:?}");
                }
            }
        }
    }

    #[test]
    fn edges_meet() {
        let (a, b) = (at(0.0, 0.0), at(2.0, 0.0));
        assert_eq!(meeting(a, b, at(1.0, -1.0), at(1.0, 1.0)), Meeting::Crossing);
        assert_eq!(meeting(a, b, at(3.0, -1.0), at(3.0, 1.0)), Meeting::Apart);
        assert_eq!(meeting(a, b, b, at(3.0, 1.0)), Meeting::AtVertex);
        let crossings =
            [meeting(a, b, at(1.0, 0.0), at(1.0, 1.0)), meeting(a, b, at(1.0, 0.0), at(1.0, -1.0))];
        let count = crossings.iter().filter(|one| **one == Meeting::Crossing).count();
        assert_eq!(count, 1, "a vertex on an edge lies on one side of it: {crossings:?}");
    }

    #[test]
    fn corners_compare() {
        let o = at(0.0, 0.0);
        let corner = |before: Vector, after: Vector| Corner { before, after };
        // Quarters of the plane around o: what is left of the way in and out.
        let north_east = corner(at(0.0, 1.0), at(1.0, 0.0));
        let north = corner(at(-1.0, 0.0), at(1.0, 0.0));
        let south_west = corner(at(0.0, -1.0), at(-1.0, 0.0));
        assert_eq!(north.compare(o, north_east), Corners::Contains);
        assert_eq!(north_east.compare(o, north), Corners::Contained);
        assert_eq!(north.compare(o, south_west), Corners::Disjoint);
        assert_eq!(north.compare(o, north), Corners::Equal);
        assert!(north.contains(o, north_east) && !north_east.contains(o, north));
        assert!(north.intersects(o, north_east) && !north.intersects(o, south_west));
    }
}
