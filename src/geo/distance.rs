//! Distances on an ellipsoid, by Karney's geodesics, and circles.
//!
//! Lines and polygons have great circles of a sphere as edges here too: the nearest point is found on the sphere, and its
//! distance measured on the ellipsoid, as RethinkDB does. For large distances that is somewhat too far.

use std::f64::consts::PI;

use crate::datum::{Datum, DatumError, number_to_text};

use super::effort::{Effort, GeoError};
use super::geodesic::Geodesic;
use super::geojson::{Shape, kind_of, point_of};
use super::vector::LonLat;

/// The surface on which distances are measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ellipsoid {
    /// Radius of the equator, in meters. Positive.
    pub equator: f64,
    /// By which part the radius of the poles is less. At least 0, less than 1.
    pub flattening: f64,
}

impl Ellipsoid {
    /// The earth, as GPS has it.
    pub const WGS84: Ellipsoid =
        Ellipsoid { equator: 6_378_137.0, flattening: 1.0 / 298.257_223_563 };
    /// A sphere of radius 1; distances on it are radians.
    pub const UNIT_SPHERE: Ellipsoid = Ellipsoid { equator: 1.0, flattening: 0.0 };

    pub(super) fn poles(&self) -> f64 {
        (1.0 - self.flattening) * self.equator
    }

    fn geodesic(&self) -> Geodesic {
        Geodesic::new(self.equator, self.flattening)
    }
}

/// A unit of length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Meters.
    Meter,
    /// Kilometers.
    Kilometer,
    /// International miles.
    Mile,
    /// Nautical miles.
    NauticalMile,
    /// International feet.
    Foot,
}

impl Unit {
    /// By its short name.
    pub fn named(name: &str) -> Result<Unit, DatumError> {
        match name {
            "m" => Ok(Unit::Meter),
            "km" => Ok(Unit::Kilometer),
            "mi" => Ok(Unit::Mile),
            "nm" => Ok(Unit::NauticalMile),
            "ft" => Ok(Unit::Foot),
            other => Err(DatumError::logic(format!("Unrecognized distance unit `{other}`."))),
        }
    }

    /// A length in this unit, in meters.
    pub fn to_meters(self, length: f64) -> f64 {
        length * self.meters()
    }

    /// A length in meters, in this unit.
    pub fn from_meters(self, length: f64) -> f64 {
        length * (1.0 / self.meters())
    }

    fn meters(self) -> f64 {
        match self {
            Unit::Meter => 1.0,
            Unit::Kilometer => 1000.0,
            Unit::Mile => 1609.344,
            Unit::NauticalMile => 1852.0,
            Unit::Foot => 0.3048,
        }
    }
}

/// The distance in meters between two geometries, of which one must be a point.
pub fn distance(
    one: &Datum,
    other: &Datum,
    on: &Ellipsoid,
    effort: &Effort<'_>,
) -> Result<f64, GeoError> {
    let (point, shape) = if kind_of(one)? == "Point" { (one, other) } else { (other, one) };
    let from = point_of(point)?;
    let nearest = match Shape::read(shape, effort)? {
        Shape::Point(point) => point,
        Shape::Line(line) => line.project(from),
        Shape::Polygon(polygon) => {
            effort.done(polygon.project(from, effort))?.ok_or_else(|| {
                DatumError::logic("The polygon is empty. It must have at least an outer shell.")
            })?
        }
    };
    if nearest == from {
        return Ok(0.0);
    }
    Ok(on.geodesic().distance(from.position(), nearest.position()))
}

/// Fails unless a circle may have this radius, in meters: less than a quarter of the way around the poles.
pub fn check_radius(radius: f64, on: &Ellipsoid) -> Result<(), DatumError> {
    if radius <= 0.0 {
        return Err(DatumError::logic("Radius must be positive"));
    }
    let limit = 0.5 * PI * on.equator.min(on.poles());
    if radius < limit {
        return Ok(());
    }
    Err(DatumError::logic(format!(
        "Radius must be smaller than a quarter of the circumference along the minor axis of the \
         reference ellipsoid.  Got {}m, but must be smaller than {}m.",
        number_to_text(radius),
        number_to_text(limit)
    )))
}

/// Fails unless everything this far from a point, in meters, can be looked for in an index at once. RethinkDB looks in an
/// octagon around the point, of which the corners are somewhat farther away; those must be where [`check_radius`] allows.
pub fn check_search_radius(radius: f64, on: &Ellipsoid) -> Result<(), DatumError> {
    const CORNERS: f64 = 8.0;
    const LEEWAY: f64 = 1.01;
    let distortion = on.equator.max(on.poles()) / on.equator.min(on.poles());
    let corner = radius * LEEWAY / (PI / CORNERS).cos() * distortion;
    check_radius(corner, on).map_err(|error| {
        DatumError::logic(format!(
            "The distance has become too large for continuing the indexed nearest traversal.  Consider specifying a \
             smaller `max_dist` parameter.  ({})",
            error.message
        ))
    })
}

/// The corners of a regular polygon whose corners have this distance in meters from a center; the first comes again at
/// the end. Begins in the south and goes on to the west. Not finite when the center is not on the globe.
pub fn circle(center: LonLat, radius: f64, corners: usize, on: &Ellipsoid) -> Vec<LonLat> {
    let geodesic = on.geodesic();
    let mut positions = Vec::with_capacity(corners + 1);
    for i in 0..corners {
        let azimuth = -180.0 + (360.0 / corners as f64 * i as f64);
        positions.push(geodesic.point(center, azimuth, radius));
    }
    positions.extend(positions.first().copied());
    positions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::effort::unbounded;
    use crate::geo::{line, point, polygon};

    fn at(lon: f64, lat: f64) -> LonLat {
        LonLat { lon, lat }
    }

    #[test]
    fn distances_are_geodesics() {
        let (a, b) = (point(at(0.0, 0.0)), point(at(1.0, 1.0)));
        let meters = distance(&a, &b, &Ellipsoid::WGS84, &unbounded()).unwrap();
        assert!((meters - 156_899.568_291_340_26).abs() < 1e-6, "{meters}");
        let radians =
            distance(&a, &point(at(90.0, 0.0)), &Ellipsoid::UNIT_SPHERE, &unbounded()).unwrap();
        assert!((radians - PI / 2.0).abs() < 1e-15, "{radians}");
        assert_eq!(distance(&a, &a, &Ellipsoid::WGS84, &unbounded()).unwrap(), 0.0);
    }

    #[test]
    fn one_of_both_is_a_point() {
        let here = point(at(0.5, 0.5));
        let square = polygon(&[at(0.0, 0.0), at(1.0, 0.0), at(1.0, 1.0), at(0.0, 1.0)]);
        let edge = line(&[at(0.0, 1.0), at(1.0, 1.0)]);
        assert_eq!(distance(&square, &here, &Ellipsoid::WGS84, &unbounded()).unwrap(), 0.0);
        let meters = distance(&edge, &here, &Ellipsoid::WGS84, &unbounded()).unwrap();
        assert!((meters - 55_287.0).abs() < 20.0, "{meters}");
        let error = distance(&square, &edge, &Ellipsoid::WGS84, &unbounded()).unwrap_err();
        assert_eq!(error.to_string(), "Expected geometry of type `Point` but found `LineString`.");
    }

    #[test]
    fn circles_have_bounds() {
        let corners = circle(at(0.0, 0.0), 1000.0, 4, &Ellipsoid::WGS84);
        assert_eq!(corners.len(), 5);
        assert!((corners[1].lon + 0.008_983_152_841_195_214).abs() < 1e-15);
        assert_eq!(corners[0], corners[4]);
        let complaint = |radius| check_radius(radius, &Ellipsoid::UNIT_SPHERE);
        assert_eq!(complaint(0.0).unwrap_err().message, "Radius must be positive");
        assert!(complaint(1.6).unwrap_err().message.ends_with("than 1.570796326794896558m."));
    }

    #[test]
    fn units_convert() {
        assert_eq!(Unit::named("km").unwrap().to_meters(1.5), 1500.0);
        assert_eq!(Unit::named("nm").unwrap().from_meters(1852.0), 1.0);
        assert!(Unit::named("parsec").is_err());
    }
}
