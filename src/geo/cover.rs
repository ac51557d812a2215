//! Cells of the sphere, to look shapes up by: a cube around it whose faces are quartered again and again.
//!
//! A cell is named by its path: a digit for the face, one for each quarter within a quarter. What is within a cell has
//! the cell's path before its own. A shape is covered by the few cells that a cap around it touches, which are about as
//! large as the cap: the cover says where the shape may be, never where it certainly is.

use std::f64::consts::{FRAC_PI_2, PI};

use crate::datum::Datum;

use super::distance::Ellipsoid;
use super::effort::{Effort, GeoError};
use super::geojson::Shape;
use super::vector::{LonLat, Vector};

/// The deepest level: cells of about half a meter on the earth.
const DEEPEST: u32 = 24;
/// Angles are taken to be off by as much, in radians: far more than they are.
const MARGIN: f64 = 1e-12;

/// The path of a cell.
pub type Cell = Vec<u8>;

/// The cells in which a shape is.
pub fn cover(value: &Datum, effort: &Effort<'_>) -> Result<Vec<Cell>, GeoError> {
    let cap = match Shape::read(value, effort)? {
        Shape::Point(point) => Cap { center: point, radius: 0.0 },
        Shape::Line(line) => Cap::around(line.edges().flat_map(|(from, to)| [from, to]).collect()),
        Shape::Polygon(polygon) => Cap::around(polygon.corners()),
    };
    Ok(cap.cells())
}

/// The cells of everything that is no farther from a position than that, in meters.
pub fn cover_around(position: LonLat, meters: f64, on: &Ellipsoid) -> Vec<Cell> {
    // The ellipsoid is nowhere curved so much more than this that an angle would be wider.
    let narrow = on.equator.min(on.poles()) * (1.0 - 2.0 * on.flattening);
    let radius = if narrow > 0.0 { meters / narrow } else { PI };
    Cap { center: Vector::of(position), radius }.cells()
}

/// What is within an angle of a point.
struct Cap {
    center: Vector,
    radius: f64,
}

impl Cap {
    /// One that has all these points, and what shorter arcs between them enclose. Where that would be half of the sphere
    /// or more, the whole of it.
    fn around(points: Vec<Vector>) -> Cap {
        let sum = points.iter().fold(Vector::new(0.0, 0.0, 0.0), |sum, point| sum + *point);
        let center = sum.unit();
        let radius = points.iter().map(|point| center.angle(*point)).fold(0.0, f64::max);
        let encloses = sum.norm() > 1e-6 && radius < FRAC_PI_2 - MARGIN;
        Cap { center, radius: if encloses { radius } else { PI } }
    }

    fn cells(&self) -> Vec<Cell> {
        let level = if self.radius >= FRAC_PI_2 {
            0
        } else {
            let levels = (FRAC_PI_2 / (2.0 * self.radius)).log2().floor();
            if levels < f64::from(DEEPEST) { levels.max(0.0) as u32 } else { DEEPEST }
        };
        let mut cells = Vec::new();
        for face in 0..6 {
            let square = Square { face, u: (-1.0, 1.0), v: (-1.0, 1.0) };
            self.descend(&square, &mut vec![b'0' + face], level, &mut cells);
        }
        cells
    }

    /// Adds the cells of a level that the cap touches. Goes no deeper than [`DEEPEST`].
    fn descend(&self, square: &Square, path: &mut Cell, level: u32, cells: &mut Vec<Cell>) {
        if !square.may_touch(self) {
            return;
        }
        if level == 0 {
            cells.push(path.clone());
            return;
        }
        for (number, quarter) in square.quarters().iter().enumerate() {
            path.push(b'0' + number as u8);
            self.descend(quarter, path, level - 1, cells);
            path.pop();
        }
    }
}

/// A part of a face of the cube.
struct Square {
    face: u8,
    u: (f64, f64),
    v: (f64, f64),
}

impl Square {
    fn at(&self, u: f64, v: f64) -> Vector {
        let vector = match self.face {
            0 => Vector::new(1.0, u, v),
            1 => Vector::new(-1.0, u, v),
            2 => Vector::new(u, 1.0, v),
            3 => Vector::new(u, -1.0, v),
            4 => Vector::new(u, v, 1.0),
            _ => Vector::new(u, v, -1.0),
        };
        vector.unit()
    }

    fn middle(&self) -> (f64, f64) {
        ((self.u.0 + self.u.1) / 2.0, (self.v.0 + self.v.1) / 2.0)
    }

    /// False only when cap and square have no point in common.
    fn may_touch(&self, cap: &Cap) -> bool {
        let (u, v) = self.middle();
        let center = self.at(u, v);
        let corners = [
            (self.u.0, self.v.0),
            (self.u.0, self.v.1),
            (self.u.1, self.v.0),
            (self.u.1, self.v.1),
        ];
        // Of a square seen from the center of the sphere the corners are farthest from its middle.
        let reach =
            corners.map(|(u, v)| center.angle(self.at(u, v))).into_iter().fold(0.0, f64::max);
        center.angle(cap.center) <= reach + cap.radius + MARGIN
    }

    fn quarters(&self) -> [Square; 4] {
        let (u, v) = self.middle();
        let face = self.face;
        let (left, right) = ((self.u.0, u), (u, self.u.1));
        let (low, high) = ((self.v.0, v), (v, self.v.1));
        [(left, low), (left, high), (right, low), (right, high)].map(|(u, v)| Square { face, u, v })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::effort::unbounded;
    use crate::geo::{distance, intersects, line, point, polygon};
    use crate::testing::Random;

    fn is_related(one: &Cell, other: &Cell) -> bool {
        one.starts_with(other) || other.starts_with(one)
    }

    fn share_a_cell(one: &[Cell], other: &[Cell]) -> bool {
        one.iter().any(|one| other.iter().any(|other| is_related(one, other)))
    }

    fn position(random: &mut Random, region: u64, spread: f64) -> LonLat {
        let mut part = || random.below(1 << 30) as f64 / f64::from(1 << 30) - 0.5;
        let (lon, lat) = (part() * spread, part() * spread);
        // Across the date line, over a pole, and where no face of the cube ends.
        match region {
            0 => LonLat { lon: if lon < 0.0 { lon + 180.0 } else { lon - 180.0 }, lat },
            1 => LonLat { lon: lon * 180.0 / spread, lat: 90.0 - lat.abs() },
            _ => LonLat { lon: lon + 45.0, lat: lat.clamp(-80.0, 80.0) },
        }
    }

    fn shape(random: &mut Random, region: u64, spread: f64) -> Datum {
        let first = position(random, region, spread);
        let step = spread * 0.7;
        let near = |lon: f64, lat: f64| LonLat {
            lon: (first.lon + lon * step).clamp(-180.0, 180.0),
            lat: (first.lat + lat * step).clamp(-90.0, 90.0),
        };
        match random.below(3) {
            0 => point(first),
            1 => line(&[first, near(1.0, 0.3), near(0.5, -1.0)]),
            _ => polygon(&[first, near(1.0, 0.0), near(1.0, -1.0), first]),
        }
    }

    #[test]
    fn shapes_that_meet_share_a_cell() {
        let mut random = Random::from_environment();
        let (mut meet, mut most, mut apart) = (0, 0, 0);
        for round in 0..6_000 {
            let spread = [0.001, 0.5, 20.0, 60.0][round % 4];
            let region = random.below(3);
            let one = shape(&mut random, region, spread);
            let other = shape(&mut random, region, spread);
            let effort = unbounded();
            let (Ok(cells_one), Ok(cells_other)) = (cover(&one, &effort), cover(&other, &effort))
            else {
                continue;
            };
            most = most.max(cells_one.len());
            let shares = share_a_cell(&cells_one, &cells_other);
            apart += usize::from(!shares);
            if matches!(intersects(&one, &other, &effort), Ok(true)) {
                meet += 1;
                assert!(shares, "{} and {}", one.to_json(), other.to_json());
            }
        }
        assert!(meet > 300 && apart > 300 && most <= 24, "{meet} {apart} {most}");
    }

    #[test]
    fn what_is_near_is_in_the_cells_around() {
        let mut random = Random::from_environment();
        let mut near = 0;
        for round in 0..4_000 {
            let spread = [0.001, 0.5, 20.0][round % 3];
            let region = random.below(3);
            let center = position(&mut random, region, spread);
            let other = shape(&mut random, region, spread);
            let effort = unbounded();
            let (Ok(meters), Ok(cells)) = (
                distance(&point(center), &other, &Ellipsoid::WGS84, &effort),
                cover(&other, &effort),
            ) else {
                continue;
            };
            for within in [meters * 1.000_001, meters * 3.0, 1e7] {
                if meters <= within {
                    near += 1;
                    let around = cover_around(center, within, &Ellipsoid::WGS84);
                    assert!(share_a_cell(&around, &cells), "{center:?} {}", other.to_json());
                }
            }
        }
        assert!(near > 5_000);
    }
}
