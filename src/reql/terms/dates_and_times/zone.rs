//! `inTimezone` and `timezone`: the offset a time is shown in.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::datum::time::{in_timezone, timezone};
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

use super::time;

/// `time.inTimezone(offset)`
pub static IN_TIMEZONE: TermSpec = TermSpec::pure(
    TermType::InTimezone,
    "IN_TIMEZONE",
    Chapter::DatesAndTimes,
    Arity::exactly(2),
    in_timezone_term,
);

fn in_timezone_term(args: &Args<'_>) -> Result<Val> {
    // The offset is asked for before the time is looked at.
    let first = args.arg(0)?;
    let zone = args.datum(1)?;
    let time = time(first, args.env)?;
    args.value(in_timezone(&time, zone.as_str()?)?)
}

/// `time.timezone()`
pub static TIMEZONE: TermSpec = TermSpec::pure(
    TermType::Timezone,
    "TIMEZONE",
    Chapter::DatesAndTimes,
    Arity::exactly(1),
    |args| {
        let time = time(args.arg(0)?, args.env)?;
        args.value(Datum::String(timezone(&time)?.clone()))
    },
);

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn the_instant_stays_and_the_offset_changes() {
        check(
            r#"[104,[[101,[5]],"-08"]]"#,
            r#"{"$reql_type$":"TIME","epoch_time":5,"timezone":"-08:00"}"#,
        );
        check(r#"[127,[[104,[[101,[5]],"+0530"]]]]"#, r#""+05:30""#);
    }

    #[test]
    fn the_offset_is_asked_for_first() {
        let text = "Expected type DATUM but found FUNCTION:\nVALUE FUNCTION";
        let query = "[104,[1,[69,[[2,[1]],[10,[1]]]]]]";
        check_error(query, ErrorKind::Logic, text, "[1]");
        check_error("[104,[1,2]]", ErrorKind::Logic, "Not a TIME pseudotype: `1`.", "[0]");
        let text = "Timezone `a` does not start with `-` or `+`.";
        check_error(r#"[104,[[101,[5]],"a"]]"#, ErrorKind::Logic, text, "[]");
    }
}
