//! `intersects`, `includes` and `polygonSub`: how shapes lie to each other.

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, GEOMETRY, Object, REQL_TYPE};
use crate::geo;
use crate::reql::error::{Error, NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::facts::{Cost, Determinism};
use crate::reql::row_rule::{RowRule, Rows};
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::terms::document_manipulation::{OPTIONS, RowTerm};
use crate::reql::value::Val;

use super::construct::checked;
use super::{check_geometry, geometry, work};

/// `shape.intersects(shape)`; of a sequence, the shapes that do.
pub static INTERSECTS: TermSpec =
    row(TermType::Intersects, "INTERSECTS", |args| on_first(args, &INTERSECTING, intersects));

/// `polygon.includes(shape)`; of a sequence, the polygons that do.
pub static INCLUDES: TermSpec =
    row(TermType::Includes, "INCLUDES", |args| on_first(args, &INCLUDING, includes));

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec {
        options: OPTIONS,
        grouping: Grouping::Stream,
        determinism: Determinism::SingleServer,
        cost: Cost::Heavy,
        ..TermSpec::pure(term, name, Chapter::Geospatial, Arity::exactly(2), eval)
    }
}

static INTERSECTING: RowTerm = RowTerm {
    rule: RowRule { name: "intersects", rows: Rows::Filter, pseudo_type: Some(GEOMETRY) },
    prepare: None,
    eval: |args, shape| intersects(args, shape, args.node.id),
};

static INCLUDING: RowTerm = RowTerm {
    rule: RowRule { name: "includes", rows: Rows::Filter, pseudo_type: Some(GEOMETRY) },
    prepare: None,
    eval: |args, shape| includes(args, shape, args.node.id),
};

/// On one shape the first argument is to blame for what it is; on the rows of a sequence the term.
fn on_first(
    args: &Args<'_>,
    term: &'static RowTerm,
    eval: fn(&Args<'_>, &Object, NodeId) -> Result<Val>,
) -> Result<Val> {
    let first = args.arg(0)?;
    let at = first.at;
    term.eval_on(args, first, |args, shape| eval(args, shape, at))
}

fn intersects(args: &Args<'_>, shape: &Object, at: NodeId) -> Result<Val> {
    let other = geometry(args.arg(1)?, args.env)?;
    let shape = Datum::Object(shape.clone());
    check_geometry(&shape).map_err(|error| error.at(at))?;
    args.value(work(args.env, |effort| geo::intersects(&shape, &other, effort))?)
}

fn includes(args: &Args<'_>, shape: &Object, at: NodeId) -> Result<Val> {
    let other = args.arg(1)?;
    let shape = Datum::Object(shape.clone());
    check_geometry(&shape).map_err(|error| error.at(at))?;
    let polygon = work(args.env, |effort| geo::read_polygon(&shape, effort))?;
    let other = geometry(other, args.env)?;
    args.value(work(args.env, |effort| polygon.includes(&other, effort))?)
}

/// `polygon.polygonSub(polygon)`: the first with the second as a hole.
pub static POLYGON_SUB: TermSpec = TermSpec {
    determinism: Determinism::SingleServer,
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::PolygonSub,
        "POLYGON_SUB",
        Chapter::Geospatial,
        Arity::exactly(2),
        polygon_sub,
    )
};

fn polygon_sub(args: &Args<'_>) -> Result<Val> {
    let whole = without_holes(args, 0)?;
    let hole = without_holes(args, 1)?;
    let fits = work(args.env, |effort| geo::read_polygon(&whole, effort)?.includes(&hole, effort));
    if !fits? {
        return Err(Error::logic(
            "The second argument to `polygon_sub` is not contained in the first one.",
        ));
    }
    let mut rings = whole.get_or_error("coordinates")?.as_array()?.as_ref().clone();
    let hole = hole.get_or_error("coordinates")?.as_array()?.first().cloned();
    rings.extend(hole);
    let shape = Datum::object([
        (REQL_TYPE, GEOMETRY.into()),
        ("coordinates", Datum::array(rings)),
        ("type", "Polygon".into()),
    ]);
    checked(args, shape)
}

/// An argument that is a polygon without holes.
fn without_holes(args: &Args<'_>, i: usize) -> Result<Datum> {
    let val = args.arg(i)?;
    let at = val.at;
    let shape = geometry(val, args.env)?;
    let kind = geo::kind_of(&shape)?;
    if kind != "Polygon" {
        let message = format!("Expected a Polygon but found a {kind}.");
        return Err(Error::logic(message).at(at));
    }
    if shape.get_or_error("coordinates")?.as_array()?.len() > 1 {
        return Err(Error::logic(
            "Expected a Polygon with only an outer shell.  This one has holes.",
        )
        .at(at));
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    const SQUARE: &str = "[161,[[2,[0,0]],[2,[4,0]],[2,[4,4]],[2,[0,4]]]]";
    const INNER: &str = "[161,[[2,[1,1]],[2,[2,1]],[2,[2,2]],[2,[1,2]]]]";

    fn logic(query: &str, message: &str, path: &str) {
        check_error(query, ErrorKind::Logic, message, path);
    }

    #[test]
    fn shapes_relate() {
        check(&format!("[163,[{SQUARE},[159,[4,4]]]]"), "true");
        check(&format!("[163,[[159,[9,9]],{SQUARE}]]"), "false");
        check(&format!("[164,[{SQUARE},{INNER}]]"), "true");
        check(&format!("[164,[{INNER},{SQUARE}]]"), "false");
        check(&format!("[164,[[171,[{SQUARE},{INNER}]],[159,[1.5,1.5]]]]"), "false");
    }

    #[test]
    fn sequences_are_sifted() {
        let point = r#"[{"$reql_type$":"GEOMETRY","coordinates":[1,1],"type":"Point"}]"#;
        check(&format!("[163,[[2,[[159,[1,1]],[159,[9,9]]]],{SQUARE}]]"), point);
        check(&format!("[43,[[164,[[2,[{SQUARE},{INNER}]],[159,[3,3]]]]]]"), "1");
    }

    #[test]
    fn holes_are_cut() {
        check(
            &format!("[158,[[171,[{SQUARE},{INNER}]]]]"),
            r#"{"coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]],[[1,1],[2,1],[2,2],[1,2],[1,1]]],
                "type":"Polygon"}"#,
        );
        let outside = "The second argument to `polygon_sub` is not contained in the first one.";
        logic(&format!("[171,[{INNER},{SQUARE}]]"), outside, "[]");
        let kind = "Expected a Polygon but found a Point.";
        logic(&format!("[171,[{SQUARE},[159,[1,1]]]]"), kind, "[1]");
        let holes = "Expected a Polygon with only an outer shell.  This one has holes.";
        logic(&format!("[171,[[171,[{SQUARE},{INNER}]],{INNER}]]"), holes, "[0]");
    }

    #[test]
    fn what_is_no_shape() {
        logic("[163,[{},[159,[1,1]]]]", "Not a GEOMETRY pseudotype: `{}`.", "[0]");
        logic("[163,[{},null]]", "Not a GEOMETRY pseudotype: `null`.", "[1]");
        logic("[164,[[2,[{}]],null]]", "Not a GEOMETRY pseudotype: `{}`.", "[]");
        let kind = "Expected geometry of type `Polygon` but found `Point`.";
        logic("[164,[[159,[1,1]],null]]", kind, "[]");
        let time = "Cannot call `intersects` on objects of type `PTYPE<TIME>`.";
        logic("[163,[[101,[1]],null]]", time, "[0]");
    }
}
