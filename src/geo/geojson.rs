//! Shapes as values: GeoJSON objects marked as geometry, made from positions, read into shapes.
//!
//! The texts of the errors are RethinkDB's. Of GeoJSON, points, lines and polygons are known.

use crate::datum::{Datum, DatumError, GEOMETRY, REQL_TYPE, number_to_text};

use super::effort::{Effort, GeoError};
use super::line::Line;
use super::polygon::Polygon;
use super::ring::Ring;
use super::vector::{LonLat, Vector};

const POINT: &str = "Point";
const LINE: &str = "LineString";
const POLYGON: &str = "Polygon";

/// Types of GeoJSON that are not known here, as opposed to those that do not exist.
const OTHER_TYPES: [&str; 6] = [
    "MultiPoint",
    "MultiLineString",
    "MultiPolygon",
    "GeometryCollection",
    "Feature",
    "FeatureCollection",
];

/// The geometry of a point. Not checked.
pub fn point(position: LonLat) -> Datum {
    geometry(POINT, pair(position))
}

/// The geometry of a line. Not checked.
pub fn line(positions: &[LonLat]) -> Datum {
    geometry(LINE, pairs(positions))
}

/// The geometry of a polygon without holes; the ring is closed if it is not. Not checked.
pub fn polygon(shell: &[LonLat]) -> Datum {
    let mut shell = shell.to_vec();
    if let (Some(first), Some(last)) = (shell.first().copied(), shell.last())
        && first != *last
    {
        shell.push(first);
    }
    geometry(POLYGON, Datum::array(vec![pairs(&shell)]))
}

/// Fails unless the value is GeoJSON of a shape that makes sense.
pub fn check(value: &Datum, effort: &Effort<'_>) -> Result<(), GeoError> {
    if !matches!(value.as_object()?.get("crs"), None | Some(Datum::Null)) {
        return Err(DatumError::logic(
            "Non-default coordinate reference systems are not supported in GeoJSON objects.  \
             Make sure the `crs` field of the geometry is null or non-existent.",
        )
        .into());
    }
    Shape::read(value, effort).map(drop)
}

/// The position of a point.
pub fn point_position(value: &Datum) -> Result<LonLat, DatumError> {
    position(coordinates_of(value, POINT)?)
}

/// The positions of a line.
pub fn line_positions(value: &Datum) -> Result<Vec<LonLat>, DatumError> {
    positions(coordinates_of(value, LINE)?)
}

/// The point that a value must be.
pub(super) fn point_of(value: &Datum) -> Result<Vector, DatumError> {
    read_point(coordinates_of(value, POINT)?)
}

/// The polygon that a value must be.
pub(super) fn polygon_of(value: &Datum, effort: &Effort<'_>) -> Result<Polygon, GeoError> {
    read_polygon(coordinates_of(value, POLYGON)?, effort)
}

/// A shape on the sphere.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Point(Vector),
    Line(Line),
    Polygon(Polygon),
}

impl Shape {
    pub(super) fn read(value: &Datum, effort: &Effort<'_>) -> Result<Shape, GeoError> {
        let kind = kind_of(value)?;
        let coordinates = value.get_or_error("coordinates")?;
        match kind {
            POINT => Ok(Shape::Point(read_point(coordinates)?)),
            LINE => Ok(Shape::Line(read_line(coordinates)?)),
            POLYGON => read_polygon(coordinates, effort).map(Shape::Polygon),
            known if OTHER_TYPES.contains(&known) => {
                Err(DatumError::logic(format!("GeoJSON type `{known}` is not supported.")).into())
            }
            unknown => {
                Err(DatumError::logic(format!("Unrecognized GeoJSON type `{unknown}`.")).into())
            }
        }
    }
}

/// What a GeoJSON object says that it is.
pub fn kind_of(value: &Datum) -> Result<&str, DatumError> {
    Ok(value.get_or_error("type")?.as_str()?)
}

/// The coordinates of an object that must be of that type.
fn coordinates_of<'a>(value: &'a Datum, kind: &str) -> Result<&'a Datum, DatumError> {
    let found = kind_of(value)?;
    if found != kind {
        let message = format!("Expected geometry of type `{kind}` but found `{found}`.");
        return Err(DatumError::logic(message));
    }
    value.get_or_error("coordinates")
}

/// The positions of an array of coordinate pairs.
fn positions(coordinates: &Datum) -> Result<Vec<LonLat>, DatumError> {
    coordinates.as_array()?.iter().map(position).collect()
}

fn position(coordinates: &Datum) -> Result<LonLat, DatumError> {
    match coordinates.as_array()?.as_slice() {
        [lon, lat] => Ok(LonLat { lon: lon.as_number()?, lat: lat.as_number()? }),
        [] | [_] => {
            Err(DatumError::logic("Too few coordinates.  Need at least longitude and latitude."))
        }
        [_, _, _] => Err(DatumError::logic(
            "A third altitude coordinate in GeoJSON positions was found, but is not supported.",
        )),
        more => Err(DatumError::logic(format!(
            "Too many coordinates.  GeoJSON position should have no more than three \
             coordinates, but got {}.",
            more.len()
        ))),
    }
}

fn read_point(coordinates: &Datum) -> Result<Vector, DatumError> {
    let LonLat { lon, lat } = position(coordinates)?;
    let outside = |name: &str, limit: f64, found: f64| {
        DatumError::logic(format!(
            "{name} must be between -{limit} and {limit}.  Got {}.",
            number_to_text(found)
        ))
    };
    if !(-180.0..=180.0).contains(&lon) {
        return Err(outside("Longitude", 180.0, lon));
    }
    if !(-90.0..=90.0).contains(&lat) {
        return Err(outside("Latitude", 90.0, lat));
    }
    // The date line is one line, whichever side it is reached from.
    let lon = if lon == 180.0 { -180.0 } else { lon };
    Ok(Vector::of(LonLat { lon, lat }))
}

fn read_points(coordinates: &[Datum]) -> Result<Vec<Vector>, DatumError> {
    coordinates.iter().map(read_point).collect()
}

fn read_line(coordinates: &Datum) -> Result<Line, DatumError> {
    let coordinates = coordinates.as_array()?;
    if coordinates.len() < 2 {
        return Err(DatumError::logic("GeoJSON LineString must have at least two positions."));
    }
    Line::new(read_points(coordinates)?).ok_or_else(|| {
        DatumError::logic("Invalid LineString.  Are there antipodal or duplicate vertices?")
    })
}

fn read_ring(coordinates: &Datum, effort: &Effort<'_>) -> Result<Ring, GeoError> {
    let coordinates = coordinates.as_array()?;
    if coordinates.len() < 4 {
        return Err(
            DatumError::logic("GeoJSON LinearRing must have at least four positions.").into()
        );
    }
    let mut points = read_points(coordinates)?;
    if points.pop() != points.first().copied() {
        return Err(DatumError::logic(
            "First and last vertex of GeoJSON LinearRing must be identical.",
        )
        .into());
    }
    effort.done(Ring::new(points, effort))?.ok_or_else(|| {
        DatumError::logic(
            "Invalid LinearRing.  Are there antipodal or duplicate vertices? \
             Is it self-intersecting?",
        )
        .into()
    })
}

fn read_polygon(coordinates: &Datum, effort: &Effort<'_>) -> Result<Polygon, GeoError> {
    let rings = coordinates.as_array()?.iter().map(|ring| read_ring(ring, effort));
    let rings: Result<Vec<Ring>, GeoError> = rings.collect();
    effort.done(Polygon::new(rings?, effort))?.ok_or_else(|| {
        DatumError::logic(
            "Some edges in GeoJSON polygon could not be used.  Are they intersecting?",
        )
        .into()
    })
}

fn geometry(kind: &str, coordinates: Datum) -> Datum {
    Datum::object([
        (REQL_TYPE, GEOMETRY.into()),
        ("coordinates", coordinates),
        ("type", kind.into()),
    ])
}

fn pair(position: LonLat) -> Datum {
    Datum::array(vec![Datum::Number(position.lon), Datum::Number(position.lat)])
}

fn pairs(positions: &[LonLat]) -> Datum {
    Datum::array(positions.iter().copied().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datum::DatumErrorKind;
    use crate::geo::effort::unbounded;

    fn at(lon: f64, lat: f64) -> LonLat {
        LonLat { lon, lat }
    }

    fn complaint(value: &Datum) -> String {
        check(value, &unbounded()).unwrap_err().to_string()
    }

    #[test]
    fn shapes_that_make_sense() {
        let corners = [at(0.0, 0.0), at(1.0, 0.0), at(1.0, 1.0)];
        check(&point(at(180.0, -90.0)), &unbounded()).unwrap();
        check(&line(&corners), &unbounded()).unwrap();
        check(&polygon(&corners), &unbounded()).unwrap();
        let json = polygon(&corners).to_json();
        assert!(json.contains("[[[0,0],[1,0],[1,1],[0,0]]]"), "{json}");
        assert_eq!(line_positions(&line(&corners)).unwrap(), corners);
    }

    #[test]
    fn positions_have_bounds() {
        assert_eq!(
            complaint(&point(at(180.5, 0.0))),
            "Longitude must be between -180 and 180.  Got 180.5."
        );
        assert_eq!(
            complaint(&point(at(0.0, -91.0))),
            "Latitude must be between -90 and 90.  Got -91."
        );
        let with = |numbers: &[f64]| {
            let numbers = numbers.iter().map(|number| Datum::Number(*number)).collect();
            complaint(&geometry(POINT, Datum::array(numbers)))
        };
        assert!(with(&[1.0]).starts_with("Too few coordinates."));
        assert!(with(&[1.0, 2.0, 3.0]).starts_with("A third altitude coordinate"));
        assert!(with(&[0.0; 5]).ends_with("three coordinates, but got 5."));
    }

    #[test]
    fn shapes_that_make_none() {
        let twice = line(&[at(0.0, 0.0), at(0.0, 0.0)]);
        assert!(complaint(&twice).starts_with("Invalid LineString."));
        let opposite = line(&[at(0.0, 0.0), at(180.0, 0.0)]);
        assert!(check(&opposite, &unbounded()).is_ok(), "only nearly opposite in doubles");
        let bow = polygon(&[at(0.0, 0.0), at(1.0, 1.0), at(0.0, 1.0), at(1.0, 0.0)]);
        assert!(complaint(&bow).starts_with("Invalid LinearRing."));
        let open = geometry(POLYGON, Datum::array(vec![pairs(&[at(0.0, 0.0); 4][..3])]));
        assert!(complaint(&open).ends_with("at least four positions."));
        let many = geometry("MultiPoint", Datum::array(vec![]));
        assert_eq!(complaint(&many), "GeoJSON type `MultiPoint` is not supported.");
        assert_eq!(complaint(&geometry("X", many)), "Unrecognized GeoJSON type `X`.");
        let nothing = check(&Datum::Null, &unbounded());
        assert!(
            matches!(nothing, Err(GeoError::Shape(error)) if error.kind == DatumErrorKind::NonExistence)
        );
    }
    #[test]
    fn a_check_can_be_called_off() {
        let zigzag = |i: i32| at(f64::from(i % 2 * 100 - 50), f64::from(i) * 0.01);
        let mut corners: Vec<LonLat> = (0..500).map(zigzag).collect();
        corners.extend([at(-60.0, 5.0), at(-60.0, 0.0)]);
        check(&polygon(&corners), &unbounded()).unwrap();
        let stopped = check(&polygon(&corners), &Effort::new(&|| false));
        assert!(matches!(stopped, Err(GeoError::Stopped)));
    }
}
