//! `r.point`, `r.line`, `r.polygon` and `fill`: shapes from positions.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::geo::{self, LonLat};
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::{Cost, Determinism};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

use super::{geometry, position, work};

/// `r.point(longitude, latitude)`. Of all terms that make or compare shapes the only one without mathematics, so its
/// answers are the same everywhere.
pub static POINT: TermSpec =
    TermSpec::pure(TermType::Point, "POINT", Chapter::Geospatial, Arity::exactly(2), |args| {
        let lon = args.number(0)?;
        let lat = args.number(1)?;
        checked(args, geo::point(LonLat { lon, lat }))
    });

/// `r.line(point, point, ...)`
pub static LINE: TermSpec = TermSpec {
    determinism: Determinism::SingleServer,
    ..TermSpec::pure(TermType::Line, "LINE", Chapter::Geospatial, Arity::at_least(2), |args| {
        checked(args, geo::line(&positions(args)?))
    })
};

/// `r.polygon(point, point, point, ...)`
pub static POLYGON: TermSpec = TermSpec {
    determinism: Determinism::SingleServer,
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::Polygon,
        "POLYGON",
        Chapter::Geospatial,
        Arity::at_least(3),
        |args| closed(args, &positions(args)?),
    )
};

/// `line.fill()`: the polygon that a line bounds.
pub static FILL: TermSpec = TermSpec {
    determinism: Determinism::SingleServer,
    cost: Cost::Heavy,
    ..TermSpec::pure(TermType::Fill, "FILL", Chapter::Geospatial, Arity::exactly(1), |args| {
        let line = geometry(args.arg(0)?, args.env)?;
        closed(args, &geo::line_positions(&line)?)
    })
};

/// All arguments, each a point or a pair of coordinates.
fn positions(args: &Args<'_>) -> Result<Vec<LonLat>> {
    (0..args.len()).map(|i| position(&args.datum(i)?)).collect()
}

/// The polygon with this ring, which is closed if it is not.
pub(super) fn closed(args: &Args<'_>, ring: &[LonLat]) -> Result<Val> {
    let is_closed = ring.first() == ring.last();
    args.env.check_array_size(ring.len() + usize::from(!is_closed))?;
    checked(args, geo::polygon(ring))
}

/// The shape, if it makes sense.
pub(super) fn checked(args: &Args<'_>, shape: Datum) -> Result<Val> {
    work(args.env, |effort| geo::check(&shape, effort))?;
    args.value(shape)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    fn logic(query: &str, message: &str, path: &str) {
        check_error(query, ErrorKind::Logic, message, path);
    }

    #[test]
    fn shapes_are_made_of_pairs_and_points() {
        check(
            "[159,[1.5,-2]]",
            r#"{"$reql_type$":"GEOMETRY","coordinates":[1.5,-2],"type":"Point"}"#,
        );
        check(
            "[160,[[2,[0,0]],[159,[1,2]]]]",
            r#"{"$reql_type$":"GEOMETRY","coordinates":[[0,0],[1,2]],"type":"LineString"}"#,
        );
        let triangle = r#"{"$reql_type$":"GEOMETRY","coordinates":[[[0,0],[1,0],[1,1],[0,0]]],"type":"Polygon"}"#;
        check("[161,[[2,[0,0]],[2,[1,0]],[2,[1,1]]]]", triangle);
        check("[167,[[160,[[2,[0,0]],[2,[1,0]],[2,[1,1]]]]]]", triangle);
    }

    #[test]
    fn what_makes_no_shape() {
        logic("[159,[181,0]]", "Longitude must be between -180 and 180.  Got 181.", "[]");
        logic(r#"[159,[1,"a"]]"#, "Expected type NUMBER but found STRING.", "[1]");
        let pair =
            "Expected point coordinate pair.  Got 1 element array instead of a 2 element one.";
        logic("[160,[[2,[0,0]],[2,[1]]]]", pair, "[]");
        logic("[160,[[2,[0,0]],1]]", "Expected type ARRAY but found NUMBER.", "[]");
        let ring = "GeoJSON LinearRing must have at least four positions.";
        logic("[161,[[2,[0,0]],[2,[0,1]],[2,[0,0]]]]", ring, "[]");
        let kind = "Expected geometry of type `LineString` but found `Point`.";
        logic("[167,[[159,[1,1]]]]", kind, "[]");
        logic("[167,[null]]", "Not a GEOMETRY pseudotype: `null`.", "[0]");
    }
}
