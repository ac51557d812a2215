//! `distance` and `r.circle`: geometry that measures.

use photondb_protocol::numbers::TermType;

use crate::geo;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::{Cost, Determinism};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

use super::construct::{checked, closed};
use super::options::{ellipsoid, unit};
use super::{geometry, position, work};

/// How many corners a circle has unless the query says otherwise.
const DEFAULT_VERTICES: usize = 32;

pub static DISTANCE: TermSpec = TermSpec {
    options: &["geo_system", "unit"],
    determinism: Determinism::SingleServer,
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::Distance,
        "DISTANCE",
        Chapter::Geospatial,
        Arity::exactly(2),
        distance,
    )
};

fn distance(args: &Args<'_>) -> Result<Val> {
    let (one, other) = (args.arg(0)?, args.arg(1)?);
    let ellipsoid = ellipsoid(args)?;
    let unit = unit(args)?;
    let one = geometry(one, args.env)?;
    // Of which type it is must be known before the second argument is looked at.
    geo::kind_of(&one)?;
    let other = geometry(other, args.env)?;
    let meters = work(args.env, |effort| geo::distance(&one, &other, &ellipsoid, effort))?;
    args.number_value(unit.from_meters(meters))
}

/// `r.circle(center, radius)`: a polygon with corners on a circle, or its outline.
pub static CIRCLE: TermSpec = TermSpec {
    options: &["fill", "geo_system", "num_vertices", "unit"],
    determinism: Determinism::SingleServer,
    cost: Cost::Heavy,
    ..TermSpec::pure(TermType::Circle, "CIRCLE", Chapter::Geospatial, Arity::exactly(2), circle)
};

fn circle(args: &Args<'_>) -> Result<Val> {
    let (center, radius) = (args.arg(0)?, args.arg(1)?);
    let fill = args.optarg_bool("fill", true)?;
    let vertices = vertices(args)?;
    let ellipsoid = ellipsoid(args)?;
    let unit = unit(args)?;
    let center = position(&center.into_datum(args.env)?)?;
    let radius = unit.to_meters(radius.number(args.env)?);
    geo::check_radius(radius, &ellipsoid)?;
    args.env.check_array_size(vertices.saturating_add(1))?;
    let ring = geo::circle(center, radius, vertices, &ellipsoid);
    if ring.iter().any(|corner| !corner.lon.is_finite() || !corner.lat.is_finite()) {
        return Err(Error::logic("Non-finite number: nan"));
    }
    if fill { closed(args, &ring) } else { checked(args, geo::line(&ring)) }
}

fn vertices(args: &Args<'_>) -> Result<usize> {
    let Some(val) = args.optarg("num_vertices")? else { return Ok(DEFAULT_VERTICES) };
    let at = val.at;
    let number = val.integer(args.env)?;
    match u32::try_from(number) {
        Ok(0) => Err(Error::logic("num_vertices must be positive.").at(at)),
        Ok(count) => Ok(count as usize),
        Err(_) => Err(Error::logic(format!("Integer too large: {number}")).at(at)),
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    fn logic(query: &str, message: &str, path: &str) {
        check_error(query, ErrorKind::Logic, message, path);
    }

    #[test]
    fn distances() {
        let meters = "[162,[[159,[0,0]],[159,[1,1]]]]";
        check(&format!("[185,[{meters}]]"), "156900");
        check(&format!("[183,[[25,[{meters},156899.568291]]]]"), "0");
        check(r#"[162,[[159,[0,0]],[159,[0,0]]],{"unit":"km"}]"#, "0");
        let same = r#"{"geo_system":{"a":1,"f":0}}"#;
        check(&format!("[162,[[159,[0,0]],[159,[90,0]]],{same}]"), "1.5707963267948966");
        logic("[162,[[159,[0,0]],1]]", "Not a GEOMETRY pseudotype: `1`.", "[1]");
        logic(
            r#"[162,[1,1],{"geo_system":"mars"}]"#,
            "Unrecognized geo system \"mars\" (valid options: \"WGS84\", \"unit_sphere\").",
            r#"["geo_system"]"#,
        );
    }

    #[test]
    fn circles() {
        let line = r#"[165,[[2,[0,0]],1000],{"num_vertices":4,"fill":false}]"#;
        check(&format!(r#"[31,[[158,[{line}]],"type"]]"#), r#""LineString""#);
        let latitudes = |shape: &str| {
            let corner = "[69,[[2,[1]],[185,[[26,[1000000,[45,[[10,[1]],1]]]]]]]]";
            format!(r#"[38,[[31,[[158,[{shape}]],"coordinates"]],{corner}]]"#)
        };
        check(&latitudes(line), "[-9044,0,9044,0,-9044]");
        let vertices = |count: &str, message: &str| {
            let query = format!(r#"[165,[[2,[0,0]],1],{{"num_vertices":{count}}}]"#);
            logic(&query, message, r#"["num_vertices"]"#);
        };
        vertices("0", "num_vertices must be positive.");
        vertices("-1", "Integer too large: -1");
        logic(r#"[165,[[2,[0,0]],1],{"unit":"x"}]"#, "Unrecognized distance unit `x`.", "[]");
        logic("[165,[[2,[0,0]],0]]", "Radius must be positive", "[]");
    }
}
