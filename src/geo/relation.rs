//! Whether shapes intersect, and whether one includes another.
//!
//! Knows shapes and their GeoJSON; nothing of terms.

use crate::datum::Datum;

use super::effort::{Effort, GeoError};
use super::geojson::{Shape, polygon_of};
use super::polygon::Polygon;

/// Whether two geometries have a point in common. Polygons that only touch do not; a point on their boundary does.
pub fn intersects(one: &Datum, other: &Datum, effort: &Effort<'_>) -> Result<bool, GeoError> {
    let one = Shape::read(one, effort)?;
    let other = Shape::read(other, effort)?;
    effort.done(match (&one, &other) {
        (Shape::Point(one), Shape::Point(other)) => one == other,
        (Shape::Point(point), Shape::Line(line)) | (Shape::Line(line), Shape::Point(point)) => {
            line.project(*point) == *point
        }
        (Shape::Point(point), Shape::Polygon(polygon))
        | (Shape::Polygon(polygon), Shape::Point(point)) => polygon.touches_point(*point, effort),
        (Shape::Line(one), Shape::Line(other)) => one.intersects(other, effort),
        (Shape::Line(line), Shape::Polygon(polygon))
        | (Shape::Polygon(polygon), Shape::Line(line)) => {
            !polygon.is_empty() && polygon.intersects_line(line, effort)
        }
        (Shape::Polygon(one), Shape::Polygon(other)) => {
            !one.is_empty() && !other.is_empty() && one.intersects(other, effort)
        }
    })
}

/// A polygon read from its GeoJSON.
#[derive(Clone, Debug)]
pub struct Area(Polygon);

/// The polygon that a geometry must be.
pub fn read_polygon(value: &Datum, effort: &Effort<'_>) -> Result<Area, GeoError> {
    polygon_of(value, effort).map(Area)
}

impl Area {
    /// Whether it includes the whole of a geometry. A polygon includes itself, and the points of its boundary.
    pub fn includes(&self, other: &Datum, effort: &Effort<'_>) -> Result<bool, GeoError> {
        let other = Shape::read(other, effort)?;
        effort.done(match other {
            Shape::Point(point) => self.0.touches_point(point, effort),
            Shape::Line(line) => self.0.contains_line(&line, effort),
            Shape::Polygon(other) => self.0.contains(&other, effort),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::effort::unbounded;
    use crate::geo::{LonLat, line, point, polygon};

    fn at(lon: f64, lat: f64) -> LonLat {
        LonLat { lon, lat }
    }

    fn unit_square() -> Datum {
        polygon(&[at(0.0, 0.0), at(1.0, 0.0), at(1.0, 1.0), at(0.0, 1.0)])
    }

    fn meet(one: &Datum, other: &Datum) -> bool {
        intersects(one, other, &unbounded()).unwrap()
    }

    fn included(polygon: &Datum, other: &Datum) -> bool {
        read_polygon(polygon, &unbounded()).unwrap().includes(other, &unbounded()).unwrap()
    }

    #[test]
    fn points_of_the_boundary_belong_to_the_shape() {
        let square = unit_square();
        for (lon, lat) in [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.5, 0.0)] {
            let point = point(at(lon, lat));
            assert!(meet(&square, &point), "{lon} {lat}");
            assert!(meet(&point, &square) && included(&square, &point));
        }
        assert!(!included(&square, &point(at(0.5, 1.1))));
        let line = line(&[at(0.0, 0.0), at(2.0, 0.0)]);
        assert!(meet(&line, &point(at(2.0, 0.0))));
        assert!(!meet(&point(at(2.0, 0.1)), &line));
    }

    #[test]
    fn neighbours_do_not_intersect() {
        let beside = polygon(&[at(1.0, 0.0), at(2.0, 0.0), at(2.0, 1.0), at(1.0, 1.0)]);
        assert!(!meet(&unit_square(), &beside));
        assert!(meet(&unit_square(), &unit_square()));
        assert!(included(&unit_square(), &unit_square()) && !included(&unit_square(), &beside));
    }

    #[test]
    fn lines_intersect() {
        let (up, down) = (line(&[at(0.0, 0.0), at(2.0, 2.0)]), line(&[at(0.0, 2.0), at(2.0, 0.0)]));
        assert!(meet(&up, &down));
        assert!(meet(&up, &unit_square()) && !included(&unit_square(), &up));
        assert!(included(&unit_square(), &line(&[at(0.1, 0.1), at(0.9, 0.9)])));
    }
}
