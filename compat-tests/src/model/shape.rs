//! Shapes so coarse that the model can tell exactly which of them meet: points, lines along the axes, and rectangles,
//! some with a hole. They lie where the date line crosses the equator.
//! Knows nothing of documents and queries.
//!
//! A side of a rectangle is a great circle to the server and a parallel to the model. They are less than a twentieth of a
//! degree apart, and the sides of what is stored and the sides of what is asked for are never nearer than a tenth.

use serde_json::{Value, json};

use crate::random::Random;

/// The corner that all shapes are east and north of.
const ORIGIN: [f64; 2] = [174.0, -6.0];
/// Degrees that they lie in.
const DEGREES: usize = 12;
/// Added to the whole degrees of the lines and rectangles that are stored.
const STORED: [f64; 2] = [0.1, 0.3];
/// Added to the whole degrees of those that are asked for.
const ASKED: [f64; 2] = [0.5, 0.7];

/// From one corner to the opposite one, in degrees from [`ORIGIN`]; a line or a point when both are not.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Frame {
    from: [f64; 2],
    to: [f64; 2],
}

/// A shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    outer: Frame,
    hole: Option<Frame>,
}

impl Shape {
    /// One to be stored.
    pub fn stored(random: &mut Random) -> Self {
        let mut shape = Self::any(random, STORED);
        let Frame { from: [x, y], to: [right, top] } = shape.outer;
        if right - x > 2.5 && top - y > 2.5 && random.below(2) == 0 {
            shape.hole = Some(Frame { from: [x + 1.0, y + 1.0], to: [right - 1.0, top - 1.0] });
        }
        shape
    }

    /// One to ask for.
    pub fn asked(random: &mut Random) -> Self {
        Self::any(random, ASKED)
    }

    /// A point.
    pub fn point(random: &mut Random) -> Self {
        let at = [random.below(DEGREES) as f64, random.below(DEGREES) as f64];
        Self { outer: Frame { from: at, to: at }, hole: None }
    }

    /// A rectangle to ask for that all shapes lie in.
    pub fn everywhere() -> Self {
        let most = DEGREES as f64 + 0.5;
        Self { outer: Frame { from: [-0.5, -0.5], to: [most, most] }, hole: None }
    }

    fn any(random: &mut Random, [of_lines, of_rectangles]: [f64; 2]) -> Self {
        let mut shape = Self::point(random);
        let kind = random.below(3);
        let beyond = if kind == 1 { of_lines } else { of_rectangles };
        let along = random.below(2);
        let Frame { from, to } = &mut shape.outer;
        if kind == 0 {
            return shape;
        }
        for (axis, (from, to)) in from.iter_mut().zip(to).enumerate() {
            let room = DEGREES - 1 - from.min(DEGREES as f64 - 2.0) as usize;
            *from = from.min(DEGREES as f64 - 2.0) + beyond;
            *to = *from;
            if kind == 2 || axis == along {
                *to += (1 + random.below(room)) as f64;
            }
        }
        shape
    }

    /// As it is stored and shown.
    pub fn json(&self) -> Value {
        let Frame { from, to } = self.outer;
        let (kind, coordinates) = match (from == to, from[0] == to[0] || from[1] == to[1]) {
            (true, _) => ("Point", position(from)),
            (_, true) => ("LineString", json!([position(from), position(to)])),
            _ => {
                let rings: Vec<Value> =
                    [Some(self.outer), self.hole].into_iter().flatten().map(ring).collect();
                ("Polygon", json!(rings))
            }
        };
        json!({ "$reql_type$": "GEOMETRY", "type": kind, "coordinates": coordinates })
    }

    /// What [`Shape::json`] has made.
    pub fn of_json(value: &Value) -> Option<Self> {
        let frame = |positions: &[Value]| {
            let places: Vec<[f64; 2]> = positions.iter().filter_map(place).collect();
            let of = |axis: usize, pick: fn(f64, f64) -> f64| {
                places.iter().filter_map(|place| place.get(axis)).copied().reduce(pick)
            };
            let from = [of(0, f64::min)?, of(1, f64::min)?];
            Some(Frame { from, to: [of(0, f64::max)?, of(1, f64::max)?] })
        };
        let coordinates = value.get("coordinates")?;
        match value.get("type")?.as_str()? {
            "Point" => {
                let at = std::slice::from_ref(coordinates);
                Some(Self { outer: frame(at)?, hole: None })
            }
            "LineString" => Some(Self { outer: frame(coordinates.as_array()?)?, hole: None }),
            _ => {
                let ring = |at: usize| frame(coordinates.get(at)?.as_array()?);
                Some(Self { outer: ring(0)?, hole: ring(1) })
            }
        }
    }

    /// Whether two shapes meet, of which the other one has no hole.
    pub fn intersects(&self, other: &Self) -> bool {
        let axes = || [0, 1].into_iter().map(|axis| self.outer.along(&other.outer, axis));
        let meets =
            axes().all(|[from, to, other_from, other_to]| from <= other_to && other_from <= to);
        let in_hole = self.hole.is_some_and(|hole| {
            [0, 1].into_iter().all(|axis| {
                let [from, to, other_from, other_to] = hole.along(&other.outer, axis);
                from < other_from && other_to < to
            })
        });
        meets && !in_hole
    }

    /// How far it is from a point, on a sphere of radius one.
    pub fn distance(&self, point: &Self) -> f64 {
        if self.intersects(point) {
            return 0.0;
        }
        let from = vector(point.outer.from);
        let sides = [Some(self.outer), self.hole].into_iter().flatten().flat_map(|frame| {
            let corners = frame.corners();
            let next = corners.into_iter().cycle().skip(1);
            corners.into_iter().zip(next).collect::<Vec<_>>()
        });
        sides.map(|(a, b)| to_side(from, vector(a), vector(b))).fold(f64::INFINITY, f64::min)
    }
}

impl Frame {
    fn along(&self, other: &Self, axis: usize) -> [f64; 4] {
        let on = |place: [f64; 2]| if axis == 0 { place[0] } else { place[1] };
        [on(self.from), on(self.to), on(other.from), on(other.to)]
    }

    fn corners(&self) -> [[f64; 2]; 4] {
        let ([x, y], [right, top]) = (self.from, self.to);
        [[x, y], [right, y], [right, top], [x, top]]
    }
}

/// Longitude and latitude.
fn position([x, y]: [f64; 2]) -> Value {
    let longitude = ORIGIN[0] + x;
    let longitude = if longitude > 180.0 { longitude - 360.0 } else { longitude };
    json!([longitude, ORIGIN[1] + y])
}

fn place(position: &Value) -> Option<[f64; 2]> {
    let longitude = position.get(0)?.as_f64()?;
    let longitude = if longitude < 0.0 { longitude + 360.0 } else { longitude };
    Some([longitude - ORIGIN[0], position.get(1)?.as_f64()? - ORIGIN[1]])
}

fn ring(frame: Frame) -> Value {
    let corners = frame.corners();
    corners.into_iter().chain([corners[0]]).map(position).collect()
}

type Vector = [f64; 3];

fn vector([x, y]: [f64; 2]) -> Vector {
    let (longitude, latitude) = ((ORIGIN[0] + x).to_radians(), (ORIGIN[1] + y).to_radians());
    let (sin, cos) = longitude.sin_cos();
    [latitude.cos() * cos, latitude.cos() * sin, latitude.sin()]
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn angle(a: Vector, b: Vector) -> f64 {
    let sin = cross(a, b);
    dot(sin, sin).sqrt().atan2(dot(a, b))
}

/// From a point to the nearest one of a side.
fn to_side(point: Vector, a: Vector, b: Vector) -> f64 {
    let normal = cross(a, b);
    let length = dot(normal, normal).sqrt();
    let is_beside = dot(cross(normal, a), point) > 0.0 && dot(cross(b, normal), point) > 0.0;
    if length > 0.0 && is_beside {
        return (dot(point, normal) / length).asin().abs();
    }
    angle(point, a).min(angle(point, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(from: [f64; 2], to: [f64; 2]) -> Shape {
        Shape { outer: Frame { from, to }, hole: None }
    }

    #[test]
    fn a_shape_is_what_its_json_says() {
        let mut random = Random::new(3, 0);
        for _ in 0..1_000 {
            for shape in [Shape::stored(&mut random), Shape::asked(&mut random)] {
                let again = Shape::of_json(&shape.json()).unwrap();
                assert!(again.json().get("type") == shape.json().get("type"));
                for (a, b) in again.outer.corners().into_iter().zip(shape.outer.corners()) {
                    assert!((a[0] - b[0]).abs() < 1e-9 && (a[1] - b[1]).abs() < 1e-9);
                }
                assert_eq!(again.hole.is_some(), shape.hole.is_some());
                assert!(shape.intersects(&Shape::everywhere()));
            }
        }
    }

    #[test]
    fn shapes_meet_where_they_share_a_point() {
        let mut ring = shape([0.3, 0.3], [5.3, 5.3]);
        ring.hole = Some(Frame { from: [1.3, 1.3], to: [4.3, 4.3] });
        assert!(ring.intersects(&shape([1.0, 1.0], [1.0, 1.0])));
        assert!(!ring.intersects(&shape([2.0, 2.0], [2.0, 2.0])));
        assert!(ring.intersects(&shape([2.7, 2.7], [4.7, 3.7])));
        assert!(ring.intersects(&shape([2.5, -1.5], [2.5, 9.5])));
        assert!(!ring.intersects(&shape([5.7, 0.7], [6.7, 1.7])));
    }

    #[test]
    fn distances_are_angles() {
        let line = shape([0.0, 6.0], [6.0, 6.0]);
        let point = |x: f64, y: f64| shape([x, y], [x, y]);
        let degrees = |a: f64| a.to_degrees();
        assert!((degrees(line.distance(&point(3.0, 8.0))) - 2.0).abs() < 1e-9);
        assert!((degrees(line.distance(&point(9.0, 6.0))) - 3.0).abs() < 1e-9);
        let mut ring = shape([0.3, 0.3], [9.3, 9.3]);
        assert!(ring.distance(&point(5.0, 5.0)).abs() < 1e-12);
        ring.hole = Some(Frame { from: [1.3, 1.3], to: [8.3, 8.3] });
        assert!((degrees(ring.distance(&point(2.0, 6.0))) - 0.7).abs() < 1e-3);
    }
}
