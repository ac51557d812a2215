//! What a calendar and a clock show of a time, where it is: `date`, `timeOfDay`, `year` to `seconds`, `dayOfWeek`,
//! `dayOfYear`.

use photondb_protocol::numbers::TermType;

use crate::datum::time::{Portion, date, portion, time_of_day};
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

use super::pseudo_typed;

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec::pure(term, name, Chapter::DatesAndTimes, Arity::exactly(1), eval)
}

fn one(args: &Args<'_>, which: Portion) -> Result<Val> {
    args.number_value(portion(&pseudo_typed(args.arg(0)?, args.env)?, which)?)
}

pub static DATE: TermSpec =
    row(TermType::Date, "DATE", |args| args.value(date(&pseudo_typed(args.arg(0)?, args.env)?)?));
pub static TIME_OF_DAY: TermSpec = row(TermType::TimeOfDay, "TIME_OF_DAY", |args| {
    args.number_value(time_of_day(&pseudo_typed(args.arg(0)?, args.env)?)?)
});
pub static YEAR: TermSpec = row(TermType::Year, "YEAR", |args| one(args, Portion::Year));
pub static MONTH: TermSpec = row(TermType::Month, "MONTH", |args| one(args, Portion::Month));
pub static DAY: TermSpec = row(TermType::Day, "DAY", |args| one(args, Portion::Day));
pub static DAY_OF_WEEK: TermSpec =
    row(TermType::DayOfWeek, "DAY_OF_WEEK", |args| one(args, Portion::DayOfWeek));
pub static DAY_OF_YEAR: TermSpec =
    row(TermType::DayOfYear, "DAY_OF_YEAR", |args| one(args, Portion::DayOfYear));
pub static HOURS: TermSpec = row(TermType::Hours, "HOURS", |args| one(args, Portion::Hours));
pub static MINUTES: TermSpec =
    row(TermType::Minutes, "MINUTES", |args| one(args, Portion::Minutes));
pub static SECONDS: TermSpec =
    row(TermType::Seconds, "SECONDS", |args| one(args, Portion::Seconds));

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn the_offset_counts() {
        let time = r#"[104,[[101,[1375147296.681]],"-07:00"]]"#;
        for (term, expected) in
            [(126, "66096.681"), (128, "2013"), (129, "7"), (130, "29"), (131, "1"), (132, "210")]
        {
            check(&format!("[{term},[{time}]]"), expected);
        }
        for (term, expected) in [(133, "18"), (134, "21"), (135, "36.681")] {
            check(&format!("[{term},[{time}]]"), expected);
        }
        check(
            &format!("[106,[{time}]]"),
            r#"{"$reql_type$":"TIME","epoch_time":1375081200,"timezone":"-07:00"}"#,
        );
    }

    #[test]
    fn years_have_bounds() {
        let text = "Error in time logic: Year is out of valid range: 1400..9999.";
        check_error("[128,[[101,[253402300800]]]]", ErrorKind::Logic, text, "[]");
    }
}
