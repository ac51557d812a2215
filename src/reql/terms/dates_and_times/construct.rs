//! `r.time`, `r.epochTime` and `r.now`: times from their parts.

use photondb_protocol::numbers::TermType;

use crate::datum::time::{Fields, from_fields, time_datum};
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Determinism;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

/// `r.time(year, month, day[, hours, minutes, seconds], timezone)`
pub static TIME: TermSpec =
    TermSpec::pure(TermType::Time, "TIME", Chapter::DatesAndTimes, Arity::between(4, 7), time);

fn time(args: &Args<'_>) -> Result<Val> {
    let count = args.len();
    if count != 4 && count != 7 {
        return Err(Error::logic(format!("Got {count} arguments to TIME (expected 4 or 7).")));
    }
    let mut fields = Fields {
        date: (small(args, 0)?, small(args, 1)?, small(args, 2)?),
        hours: 0,
        minutes: 0,
        seconds: 0.0,
    };
    if count == 7 {
        fields.hours = small(args, 3)?;
        fields.minutes = small(args, 4)?;
        fields.seconds = args.number(5)?;
    }
    let zone = args.datum(count - 1)?;
    args.value(from_fields(fields, zone.as_str()?)?)
}

/// An integer of 32 bits.
fn small(args: &Args<'_>, i: usize) -> Result<i64> {
    let val = args.arg(i)?;
    let at = val.at;
    let number = val.integer(args.env)?;
    if i32::try_from(number).is_err() {
        return Err(Error::logic(format!("Integer too large: {number}")).at(at));
    }
    Ok(number)
}

/// `r.epochTime(seconds)`
pub static EPOCH_TIME: TermSpec = TermSpec::pure(
    TermType::EpochTime,
    "EPOCH_TIME",
    Chapter::DatesAndTimes,
    Arity::exactly(1),
    |args| args.value(time_datum(args.number(0)?, "+00:00")?),
);

/// `r.now()`. The compiler puts the query's one time in its place, unless `r.args` may give the term arguments.
pub static NOW: TermSpec = TermSpec {
    determinism: Determinism::OneQuery,
    ..TermSpec::pure(TermType::Now, "NOW", Chapter::DatesAndTimes, Arity::exactly(0), |args| {
        args.value(args.env.program.now().clone())
    })
};

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn parts_are_checked_day_first() {
        check(
            r#"[136,[2013,7,30,20,56,5.5,"-07:00"]]"#,
            r#"{"$reql_type$":"TIME","epoch_time":1375242965.5,"timezone":"-07:00"}"#,
        );
        check(
            r#"[136,[2013,7,30,"Z"]]"#,
            r#"{"$reql_type$":"TIME","epoch_time":1375142400,"timezone":"+00:00"}"#,
        );
        let logic = |query: &str, message: &str, path: &str| {
            check_error(query, ErrorKind::Logic, message, path);
        };
        logic(
            r#"[136,[-5,13,0,"?"]]"#,
            "Error in time logic: Day of month value is out of range 1..31.",
            "[]",
        );
        logic(
            r#"[136,[2013,2,29,"?"]]"#,
            "Error in time logic: Day of month is not valid for year.",
            "[]",
        );
        logic(r#"[136,[2012.5,2,29,"?"]]"#, "Number not an integer: 2012.5", "[0]");
        logic("[136,[1,2,3,4,5]]", "Got 5 arguments to TIME (expected 4 or 7).", "[]");
    }

    #[test]
    fn epoch_times_are_rounded_to_milliseconds() {
        check("[101,[0.0005]]", r#"{"$reql_type$":"TIME","epoch_time":0.001,"timezone":"+00:00"}"#);
        check("[102,[[103,[]]]]", "1400000000.123");
        let text = "Expected type NUMBER but found NULL.";
        check_error("[101,[null]]", ErrorKind::NonExistence, text, "[0]");
    }

    #[test]
    fn now_counts_the_arguments_that_r_args_gives() {
        let message = "Expected 0 arguments but found 1.";
        check_error("[103,[[154,[[2,[1]]]]]]", ErrorKind::Logic, message, "[]");
        check("[17,[[103,[[154,[[2,[]]]]]],[103,[]]]]", "true");
    }
}
