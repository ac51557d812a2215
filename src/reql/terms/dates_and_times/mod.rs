//! Dates and times.

mod construct;
mod convert;
mod during;
mod names;
mod portions;
mod zone;

use crate::datum::{Datum, TIME};
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::spec::TermSpec;
use crate::reql::value::Val;

pub static ROWS: &[&TermSpec] = &[
    &construct::TIME,
    &construct::EPOCH_TIME,
    &construct::NOW,
    &convert::ISO8601,
    &convert::TO_ISO8601,
    &convert::TO_EPOCH_TIME,
    &during::DURING,
    &portions::DATE,
    &portions::TIME_OF_DAY,
    &portions::YEAR,
    &portions::MONTH,
    &portions::DAY,
    &portions::DAY_OF_WEEK,
    &portions::DAY_OF_YEAR,
    &portions::HOURS,
    &portions::MINUTES,
    &portions::SECONDS,
    &zone::IN_TIMEZONE,
    &zone::TIMEZONE,
    &names::MONDAY,
    &names::TUESDAY,
    &names::WEDNESDAY,
    &names::THURSDAY,
    &names::FRIDAY,
    &names::SATURDAY,
    &names::SUNDAY,
    &names::JANUARY,
    &names::FEBRUARY,
    &names::MARCH,
    &names::APRIL,
    &names::MAY,
    &names::JUNE,
    &names::JULY,
    &names::AUGUST,
    &names::SEPTEMBER,
    &names::OCTOBER,
    &names::NOVEMBER,
    &names::DECEMBER,
];

/// A value of any pseudo type, as RethinkDB asks for it here: that another than a time has no seconds is found later.
fn pseudo_typed(val: Val, env: &Env) -> Result<Datum> {
    let at = val.at;
    let datum = val.into_datum(env)?;
    if datum.pseudo_type().is_some() {
        return Ok(datum);
    }
    Err(not_a_time(&datum).at(at))
}

/// A time and nothing else.
fn time(val: Val, env: &Env) -> Result<Datum> {
    let at = val.at;
    let datum = val.into_datum(env)?;
    if datum.is_pseudo_type(TIME) { Ok(datum) } else { Err(not_a_time(&datum).at(at)) }
}

fn not_a_time(datum: &Datum) -> Error {
    match datum.try_truncated_print() {
        Ok(printed) => Error::logic(format!("Not a TIME pseudotype: `{printed}`.")),
        Err(error) => error.into(),
    }
}
