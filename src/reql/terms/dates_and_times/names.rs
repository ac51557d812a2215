//! The days of the week and the months of the year by name: `r.monday` to `r.december`.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec::pure(term, name, Chapter::DatesAndTimes, Arity::exactly(0), eval)
}

fn number(args: &Args<'_>, number: u8) -> Result<Val> {
    args.value(Datum::Number(f64::from(number)))
}

pub static MONDAY: TermSpec = row(TermType::Monday, "MONDAY", |args| number(args, 1));
pub static TUESDAY: TermSpec = row(TermType::Tuesday, "TUESDAY", |args| number(args, 2));
pub static WEDNESDAY: TermSpec = row(TermType::Wednesday, "WEDNESDAY", |args| number(args, 3));
pub static THURSDAY: TermSpec = row(TermType::Thursday, "THURSDAY", |args| number(args, 4));
pub static FRIDAY: TermSpec = row(TermType::Friday, "FRIDAY", |args| number(args, 5));
pub static SATURDAY: TermSpec = row(TermType::Saturday, "SATURDAY", |args| number(args, 6));
pub static SUNDAY: TermSpec = row(TermType::Sunday, "SUNDAY", |args| number(args, 7));
pub static JANUARY: TermSpec = row(TermType::January, "JANUARY", |args| number(args, 1));
pub static FEBRUARY: TermSpec = row(TermType::February, "FEBRUARY", |args| number(args, 2));
pub static MARCH: TermSpec = row(TermType::March, "MARCH", |args| number(args, 3));
pub static APRIL: TermSpec = row(TermType::April, "APRIL", |args| number(args, 4));
pub static MAY: TermSpec = row(TermType::May, "MAY", |args| number(args, 5));
pub static JUNE: TermSpec = row(TermType::June, "JUNE", |args| number(args, 6));
pub static JULY: TermSpec = row(TermType::July, "JULY", |args| number(args, 7));
pub static AUGUST: TermSpec = row(TermType::August, "AUGUST", |args| number(args, 8));
pub static SEPTEMBER: TermSpec = row(TermType::September, "SEPTEMBER", |args| number(args, 9));
pub static OCTOBER: TermSpec = row(TermType::October, "OCTOBER", |args| number(args, 10));
pub static NOVEMBER: TermSpec = row(TermType::November, "NOVEMBER", |args| number(args, 11));
pub static DECEMBER: TermSpec = row(TermType::December, "DECEMBER", |args| number(args, 12));

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::{check, check_compile_error};

    #[test]
    fn weeks_begin_on_monday_and_years_in_january() {
        check("[107,[]]", "1");
        check("[113,[]]", "7");
        check("[114,[]]", "1");
        check("[125,[]]", "12");
        check_compile_error("[107,[1]]", "Expected 0 arguments but found 1.", "[]");
    }
}
