//! `getIntersecting` and `getNearest`: documents found by a geospatial index. There are no such indexes yet; the
//! arguments are checked as far as they can be without one.

use photondb_protocol::numbers::TermType;

use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::selection::TableRef;
use crate::reql::spec::{Arity, Chapter, Determinism, Effect, Status, TermSpec};
use crate::reql::value::Val;

use super::options::{ellipsoid, unit};
use super::{geometry, position};

pub static GET_INTERSECTING: TermSpec = TermSpec {
    options: &["index"],
    ..row(TermType::GetIntersecting, "GET_INTERSECTING", get_intersecting)
};

pub static GET_NEAREST: TermSpec = TermSpec {
    options: &["geo_system", "index", "max_dist", "max_results", "unit"],
    ..row(TermType::GetNearest, "GET_NEAREST", get_nearest)
};

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec {
        effect: Effect::Read,
        determinism: Determinism::No,
        takes_table_whole: true,
        status: Status::Planned,
        ..TermSpec::pure(term, name, Chapter::Geospatial, Arity::exactly(2), eval)
    }
}

fn get_intersecting(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table()?;
    let shape = args.arg(1)?;
    check_index(args, &table, "get_intersecting")?;
    geometry(shape, args.env)?;
    Err(unsupported("GET_INTERSECTING"))
}

fn get_nearest(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table()?;
    let center = args.arg(1)?;
    check_index(args, &table, "get_nearest")?;
    position(&center.into_datum(args.env)?)?;
    ellipsoid(args)?;
    unit(args)?;
    if let Some(val) = args.optarg("max_dist")? {
        let at = val.at;
        if val.number(args.env)? <= 0.0 {
            return Err(Error::logic("max_dist must be positive.").at(at));
        }
    }
    if let Some(val) = args.optarg("max_results")? {
        let at = val.at;
        if val.integer(args.env)? <= 0 {
            return Err(Error::logic("max_results must be positive.").at(at));
        }
    }
    Err(unsupported("GET_NEAREST"))
}

fn check_index(args: &Args<'_>, table: &TableRef, term: &str) -> Result<()> {
    let Some(index) = args.optarg_str("index")? else {
        return Err(Error::logic(format!("{term} requires an index argument.")));
    };
    if index == *table.table.primary_key() {
        return Err(Error::logic(format!("{term} cannot use the primary index.")));
    }
    Ok(())
}

fn unsupported(name: &str) -> Error {
    Error::logic(format!("{name} is not supported by this server yet."))
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Outcome, Server, check_error};

    #[test]
    fn arguments_are_checked() {
        let table = "Expected type TABLE but found DATUM:\n1";
        check_error("[166,[1,1]]", ErrorKind::Logic, table, "[0]");
        check_error("[168,[1,1]]", ErrorKind::Logic, table, "[0]");
        let server = Server::new();
        server.succeed(r#"[57,["db"]]"#);
        server.succeed(r#"[60,[[14,["db"]],"t"]]"#);
        let message = |term: u16, argument: &str, options: &str| {
            let query = format!(r#"[{term},[[15,[[14,["db"]],"t"]],{argument}],{{{options}}}]"#);
            match server.run_with(&query, "{}") {
                Outcome::Error(_, message, _) => message,
                other => panic!("{query}: {other:?}"),
            }
        };
        let (point, index) = ("[159,[1,2]]", r#""index":"i""#);
        assert_eq!(message(166, point, ""), "get_intersecting requires an index argument.");
        let primary = "get_nearest cannot use the primary index.";
        assert_eq!(message(168, point, r#""index":"id""#), primary);
        assert_eq!(message(166, "1", index), "Not a GEOMETRY pseudotype: `1`.");
        let far = r#""index":"i","max_dist":0"#;
        assert_eq!(message(168, point, far), "max_dist must be positive.");
        let built = "GET_NEAREST is not supported by this server yet.";
        assert_eq!(message(168, point, index), built);
    }
}
