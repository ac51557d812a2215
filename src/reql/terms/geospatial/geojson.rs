//! `r.geojson` and `toGeojson`: shapes from GeoJSON, and back.

use photondb_protocol::numbers::TermType;

use crate::datum::{GEOMETRY, REQL_TYPE, pseudo_typed};
use crate::geo;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::{Cost, Determinism};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

use super::{geometry, work};

pub static GEOJSON: TermSpec = TermSpec {
    determinism: Determinism::SingleServer,
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::Geojson,
        "GEOJSON",
        Chapter::Geospatial,
        Arity::exactly(1),
        from_geojson,
    )
};

fn from_geojson(args: &Args<'_>) -> Result<Val> {
    let value = args.datum(0)?;
    work(args.env, |effort| geo::check(&value, effort))?;
    let object = value.as_object()?;
    if object.contains(REQL_TYPE) {
        return Err(Error::logic("GeoJSON object already had a $reql_type$ field."));
    }
    // A bounding box is of no use here; it could only come to disagree with the shape.
    let object = object.clone().without("bbox").with(REQL_TYPE.into(), GEOMETRY.into());
    args.value(pseudo_typed(object)?)
}

pub static TO_GEOJSON: TermSpec = TermSpec::pure(
    TermType::ToGeojson,
    "TO_GEOJSON",
    Chapter::Geospatial,
    Arity::exactly(1),
    |args| {
        let shape = geometry(args.arg(0)?, args.env)?;
        args.value(shape.as_object()?.clone().without(REQL_TYPE))
    },
);

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn geojson_comes_and_goes() {
        let point = r#"{"$reql_type$":"GEOMETRY","coordinates":[1,2],"type":"Point"}"#;
        let plain = r#"{"type":"Point","coordinates":[2,[1,2]],"bbox":null}"#;
        check(&format!("[157,[{plain}]]"), point);
        check("[158,[[159,[1,2]]]]", r#"{"coordinates":[1,2],"type":"Point"}"#);
    }

    #[test]
    fn what_is_no_geojson() {
        let logic = |query: &str, message: &str, path: &str| {
            check_error(query, ErrorKind::Logic, message, path);
        };
        logic("[157,[[159,[1,2]]]]", "GeoJSON object already had a $reql_type$ field.", "[]");
        logic(
            r#"[157,[{"type":"Point","coordinates":[2,[1,2]],"more":1}]]"#,
            "Unrecognized field `more` found in geometry object.",
            "[]",
        );
        logic("[157,[1]]", "Expected type OBJECT but found NUMBER.", "[]");
        let missing = "No attribute `type` in object:\n{}";
        check_error("[157,[{}]]", ErrorKind::NonExistence, missing, "[]");
        logic("[158,[{}]]", "Not a GEOMETRY pseudotype: `{}`.", "[0]");
    }
}
