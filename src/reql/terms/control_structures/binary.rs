//! `r.binary`: a byte string, from text or as it is.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::{Val, ValKind};

/// `r.binary(data)`
pub static BINARY: TermSpec = TermSpec::pure(
    TermType::Binary,
    "BINARY",
    Chapter::ControlStructures,
    Arity::exactly(1),
    binary,
);

fn binary(args: &Args<'_>) -> Result<Val> {
    let val = args.arg(0)?;
    if matches!(val.kind, ValKind::Datum(Datum::Binary(_))) {
        return Ok(val);
    }
    let datum = val.into_datum(args.env)?;
    args.value(Datum::Binary(datum.as_str()?.as_bytes().into()))
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn texts_and_byte_strings_are_accepted() {
        check(r#"[155,["YQ"]]"#, r#"{"$reql_type$":"BINARY","data":"WVE="}"#);
        check(
            r#"[155,[[155,[{"$reql_type$":"BINARY","data":"A QI"}]]]]"#,
            r#"{"$reql_type$":"BINARY","data":"AQI="}"#,
        );
    }

    #[test]
    fn faults_of_base64_are_the_objects() {
        let text = "Invalid base64 character found: '*'.";
        let query = r#"[155,[{"$reql_type$":"BINARY","data":"****"}]]"#;
        check_error(query, ErrorKind::Logic, text, "[0]");
        let text = "Expected type STRING but found NUMBER.";
        check_error("[155,[5]]", ErrorKind::Logic, text, "[]");
    }
}
