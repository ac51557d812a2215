//! Points of the unit sphere as vectors of three doubles, and their longitudes and latitudes.
//!
//! Knows nothing of edges and shapes. The order of the additions and multiplications is part of what is promised: answers
//! about points that lie exactly on a boundary depend on the last bit.

use std::cmp::Ordering;
use std::f64::consts::PI;
use std::ops::{Add, Mul, Neg, Sub};

/// A vector of space; a point of the sphere when its length is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Vector {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) z: f64,
}

/// A position as GeoJSON writes it, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LonLat {
    /// East of Greenwich, -180 to 180.
    pub lon: f64,
    /// North of the equator, -90 to 90.
    pub lat: f64,
}

impl Vector {
    pub(super) const fn new(x: f64, y: f64, z: f64) -> Vector {
        Vector { x, y, z }
    }

    /// The point of the sphere at a position.
    pub(super) fn of(position: LonLat) -> Vector {
        let lat = position.lat * (PI / 180.0);
        let lon = position.lon * (PI / 180.0);
        let around = lat.cos();
        Vector::new(lon.cos() * around, lon.sin() * around, lat.sin())
    }

    /// The position of a point.
    pub(super) fn position(self) -> LonLat {
        let lat = self.z.atan2((self.x * self.x + self.y * self.y).sqrt());
        let lon = self.y.atan2(self.x);
        LonLat { lon: (180.0 / PI) * lon, lat: (180.0 / PI) * lat }
    }

    pub(super) fn dot(self, other: Vector) -> f64 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub(super) fn cross(self, other: Vector) -> Vector {
        Vector::new(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    /// The square of its length.
    pub(super) fn norm2(self) -> f64 {
        self.dot(self)
    }

    pub(super) fn norm(self) -> f64 {
        self.norm2().sqrt()
    }

    /// The vector of length one in its direction; zero stays zero.
    pub(super) fn unit(self) -> Vector {
        let norm = self.norm();
        if norm == 0.0 { self } else { self * (1.0 / norm) }
    }

    /// The angle between both, in radians.
    pub(super) fn angle(self, other: Vector) -> f64 {
        self.cross(other).norm().atan2(self.dot(other))
    }

    /// A vector at right angles to it, always the same one, in no plane of the axes.
    pub(super) fn perpendicular(self) -> Vector {
        let (x, y, z) = (self.x.abs(), self.y.abs(), self.z.abs());
        let mut helper = Vector::new(0.012, 0.0053, 0.004_57);
        // One of the two axes that are not the nearest.
        if x > y && x > z {
            helper.z = 1.0;
        } else if y > z && y >= x {
            helper.x = 1.0;
        } else {
            helper.y = 1.0;
        }
        self.cross(helper).unit()
    }

    /// Twice their cross product, precise even where they nearly meet or nearly oppose each other; when they do, a
    /// perpendicular of the first.
    pub(super) fn stable_cross(self, other: Vector) -> Vector {
        let cross = (other + self).cross(other - self);
        if cross == Vector::new(0.0, 0.0, 0.0) { self.perpendicular() } else { cross }
    }

    /// By x, then y, then z.
    pub(super) fn lexical(&self, other: &Vector) -> Ordering {
        let by = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or(Ordering::Equal);
        by(self.x, other.x).then(by(self.y, other.y)).then(by(self.z, other.z))
    }

    /// Bits that are the same for equal points, to look them up by.
    pub(super) fn key(self) -> [u64; 3] {
        // Adding zero makes one of the two zeros.
        [(self.x + 0.0).to_bits(), (self.y + 0.0).to_bits(), (self.z + 0.0).to_bits()]
    }
}

impl Add for Vector {
    type Output = Vector;
    fn add(self, other: Vector) -> Vector {
        Vector::new(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl Sub for Vector {
    type Output = Vector;
    fn sub(self, other: Vector) -> Vector {
        Vector::new(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f64> for Vector {
    type Output = Vector;
    fn mul(self, by: f64) -> Vector {
        Vector::new(self.x * by, self.y * by, self.z * by)
    }
}

impl Neg for Vector {
    type Output = Vector;
    fn neg(self) -> Vector {
        Vector::new(-self.x, -self.y, -self.z)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lon: f64, lat: f64) -> Vector {
        Vector::of(LonLat { lon, lat })
    }

    #[test]
    fn positions_come_back() {
        for (lon, lat) in [(0.0, 0.0), (-122.4, 37.7), (179.5, -89.0), (-180.0, 12.0)] {
            let back = at(lon, lat).position();
            assert!((back.lon.abs() - f64::abs(lon)).abs() < 1e-12, "{back:?}");
            assert!((back.lat - lat).abs() < 1e-12, "{back:?}");
        }
    }

    #[test]
    fn perpendiculars_are_perpendicular() {
        for point in [at(0.0, 0.0), at(90.0, 0.0), at(0.0, 90.0), at(-45.0, 33.0), at(10.0, -80.0)]
        {
            assert!(point.perpendicular().dot(point).abs() < 1e-15);
            assert_eq!(point.stable_cross(point), point.perpendicular());
        }
    }
}
