//! `r.ISO8601`, `toISO8601` and `toEpochTime`: times from text and back, and to seconds.

use photondb_protocol::numbers::TermType;

use crate::datum::time::{epoch_time, to_iso8601};
use crate::datum::{Datum, parse_iso8601};
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

use super::pseudo_typed;

/// `r.ISO8601(text, {defaultTimezone})`
pub static ISO8601: TermSpec = TermSpec {
    options: &["default_timezone"],
    ..TermSpec::pure(
        TermType::Iso8601,
        "ISO8601",
        Chapter::DatesAndTimes,
        Arity::exactly(1),
        iso8601,
    )
};

fn iso8601(args: &Args<'_>) -> Result<Val> {
    let text = args.arg(0)?;
    let at = text.at;
    let zone = args.optarg_str("default_timezone")?;
    let text = text.str(args.env)?;
    let time = parse_iso8601(&text, zone.as_deref().unwrap_or_default());
    args.value(time.map_err(|error| Error::from(error).at(at))?)
}

/// `time.toISO8601()`
pub static TO_ISO8601: TermSpec = TermSpec::pure(
    TermType::ToIso8601,
    "TO_ISO8601",
    Chapter::DatesAndTimes,
    Arity::exactly(1),
    |args| args.value(Datum::from(to_iso8601(&pseudo_typed(args.arg(0)?, args.env)?)?)),
);

/// `time.toEpochTime()`
pub static TO_EPOCH_TIME: TermSpec = TermSpec::pure(
    TermType::ToEpochTime,
    "TO_EPOCH_TIME",
    Chapter::DatesAndTimes,
    Arity::exactly(1),
    |args| args.number_value(epoch_time(&pseudo_typed(args.arg(0)?, args.env)?)?),
);

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn texts_become_times_and_texts_again() {
        check(
            r#"[99,["2013-07"],{"default_timezone":"-12:00"}]"#,
            r#"{"$reql_type$":"TIME","epoch_time":1372680000,"timezone":"-12:00"}"#,
        );
        check(
            r#"[100,[[99,["20130730T205605.1234-0730"]]]]"#,
            r#""2013-07-30T20:56:05.123-07:30""#,
        );
        check(r#"[102,[[99,["2013-211T20:56:05Z"]]]]"#, "1375217765");
    }

    #[test]
    fn a_bad_text_is_to_blame_and_so_is_what_is_no_time() {
        let text = "Invalid date string `garbage` (got `g` but expected a digit).";
        check_error(r#"[100,[[99,["garbage"]]]]"#, ErrorKind::Logic, text, "[0,0]");
        check_error("[100,[true]]", ErrorKind::Logic, "Not a TIME pseudotype: `true`.", "[0]");
        let bytes = r#"[100,[{"$reql_type$":"BINARY","data":"AQID"}]]"#;
        let text = "Expected type OBJECT but found PTYPE<BINARY>.";
        check_error(bytes, ErrorKind::Logic, text, "[]");
    }
}
