//! Times: a number of seconds since 1970 and the offset they are shown in, as an object of type `TIME`.
//!
//! Knows the proleptic Gregorian calendar and fixed offsets; no clock and no zone names. The bounds (years 1400 to 9999,
//! offsets from -12:00 to +14:00) and the texts are those of the library behind RethinkDB. A time outside the bounds can
//! be held, compared and calculated with; only its calendar fields are out of reach.

use std::sync::Arc;

use super::{Datum, DatumError, DatumErrorKind, REQL_TYPE, TIME};

/// The field of a time that holds its seconds.
pub const EPOCH_TIME: &str = "epoch_time";
/// The field of a time that holds its offset, `+hh:mm`.
pub const TIMEZONE: &str = "timezone";

const MICROS: i128 = 1_000_000;
const DAY_MICROS: i128 = 86_400 * MICROS;
const DAY_SECONDS: i64 = 86_400;
const YEARS: std::ops::RangeInclusive<i64> = 1400..=9999;

/// A time of these seconds (rounded to milliseconds) with an offset in its one form.
pub fn time_datum(epoch: f64, zone: &str) -> Result<Datum, DatumError> {
    let epoch = Datum::number(milliseconds(epoch))?;
    Ok(Datum::object([
        (REQL_TYPE, Datum::string(TIME)),
        (EPOCH_TIME, epoch),
        (TIMEZONE, Datum::string(zone)),
    ]))
}

/// The seconds of a time.
pub fn epoch_time(time: &Datum) -> Result<f64, DatumError> {
    time.get_or_error(EPOCH_TIME)?.as_number()
}

/// The offset of a time, as text.
pub fn timezone(time: &Datum) -> Result<&Arc<str>, DatumError> {
    time.get_or_error(TIMEZONE)?.as_str()
}

/// The same instant shown in another offset.
pub fn in_timezone(time: &Datum, zone: &str) -> Result<Datum, DatumError> {
    let object = time.as_object()?.clone().with(Arc::from(TIMEZONE), offset_text(zone)?.into());
    super::pseudo_typed(object)
}

/// A time plus some seconds; either may come first.
pub fn add(left: &Datum, right: &Datum) -> Result<Datum, DatumError> {
    let (time, seconds) = if left.is_pseudo_type(TIME) { (left, right) } else { (right, left) };
    time_datum(epoch_time(time)? + seconds.as_number()?, timezone(time)?)
}

/// A time minus some seconds, or the seconds between two times.
pub fn sub(time: &Datum, other: &Datum) -> Result<Datum, DatumError> {
    if other.is_pseudo_type(TIME) {
        return Datum::number(milliseconds(epoch_time(time)? - epoch_time(other)?));
    }
    time_datum(epoch_time(time)? - other.as_number()?, timezone(time)?)
}

/// Midnight of the time's day, where it is.
pub fn date(time: &Datum) -> Result<Datum, DatumError> {
    let local = Local::of(time)?;
    local.civil()?;
    let seconds = local.days() as f64 * DAY_SECONDS as f64 - local.offset as f64;
    time_datum(seconds, timezone(time)?)
}

/// Seconds since midnight of the time's day, where it is.
pub fn time_of_day(time: &Datum) -> Result<f64, DatumError> {
    let local = Local::of(time)?;
    local.civil()?;
    Ok(milliseconds(local.micros_of_day() as f64 / MICROS as f64))
}

/// What a calendar or a clock on the wall shows of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// 1400 to 9999.
    Year,
    /// 1 to 12.
    Month,
    /// 1 to 31.
    Day,
    /// 1 (Monday) to 7.
    DayOfWeek,
    /// 1 to 366.
    DayOfYear,
    /// 0 to 23.
    Hours,
    /// 0 to 59.
    Minutes,
    /// 0 to 59.999.
    Seconds,
}

/// One portion of a time, where it is.
pub fn portion(time: &Datum, portion: Portion) -> Result<f64, DatumError> {
    let local = Local::of(time)?;
    let seconds = (local.micros_of_day() / MICROS) as i64;
    let whole = match portion {
        Portion::Year => local.civil()?.year,
        Portion::Month => local.civil()?.month,
        Portion::Day => local.civil()?.day,
        Portion::DayOfWeek => {
            local.civil()?;
            // Day 0 was a Thursday.
            (local.days() + 3).rem_euclid(7) + 1
        }
        Portion::DayOfYear => {
            let civil = local.civil()?;
            local.days() - days_from_civil(civil.year, 1, 1) + 1
        }
        Portion::Hours => seconds / 3600,
        Portion::Minutes => seconds / 60 % 60,
        Portion::Seconds => {
            // The fraction keeps the sign of the epoch, as in RethinkDB.
            let fraction = milliseconds(epoch_time(time)?.fract());
            return Ok((seconds % 60) as f64 + fraction);
        }
    };
    Ok(whole as f64)
}

/// `2013-07-30T20:56:05.123-07:00`; the fraction only when there is one.
pub fn to_iso8601(time: &Datum) -> Result<String, DatumError> {
    let local = Local::of(time)?;
    let Civil { year, month, day } = local.civil()?;
    let micros = local.micros_of_day();
    let seconds = micros / MICROS;
    let fraction = match micros % MICROS {
        0 => String::new(),
        micros => format!(".{:03}", micros / 1000),
    };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let zone = timezone(time)?;
    Ok(format!(
        "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}{fraction}{zone}"
    ))
}

/// The fields of a time as a person writes them.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    /// Year, month and day.
    pub date: (i64, i64, i64),
    /// 24 and more run over into the next day.
    pub hours: i64,
    /// 60 and more run over into the next hour.
    pub minutes: i64,
    /// With fraction; may run over too.
    pub seconds: f64,
}

/// The time with these fields, where the offset is.
pub fn from_fields(fields: Fields, zone: &str) -> Result<Datum, DatumError> {
    let (year, month, day) = fields.date;
    check_day(day)?;
    check_month(month)?;
    check_year(year)?;
    check_day_of_month(year, month, day)?;
    let zone = offset_text(zone)?;
    let offset = checked_offset(&zone)?;
    // Of hours and minutes, one that is negative makes both so.
    let clock = fields.hours.unsigned_abs() * 3600 + fields.minutes.unsigned_abs() * 60;
    let negative = fields.hours < 0 || fields.minutes < 0;
    let clock = if negative { -i128::from(clock) } else { i128::from(clock) };
    let days = i128::from(days_from_civil(year, month, day));
    let micros =
        days * DAY_MICROS + clock * MICROS + micros(fields.seconds) - i128::from(offset) * MICROS;
    time_datum(micros as f64 / MICROS as f64, &zone)
}

/// An offset in its one form, `+hh:mm`, from `Z`, `+hh`, `+hhmm` or `+hh:mm`.
pub fn offset_text(zone: &str) -> Result<String, DatumError> {
    if matches!(zone, "-00" | "-00:00") {
        return Err(DatumError::logic(format!("`{zone}` is not a valid time offset.")));
    }
    if zone == "Z" {
        return Ok("+00:00".to_owned());
    }
    let mut digits = super::iso8601::Digits::new(zone);
    let Some(sign) = digits.one_of(b"-+") else {
        return Err(DatumError::logic(format!(
            "Timezone `{zone}` does not start with `-` or `+`."
        )));
    };
    let hours = digits.number(2)?;
    if digits.is_done() {
        // Hours alone are not looked at, here as in RethinkDB: whoever calculates with the offset will.
        return Ok(format!("{}{hours:02}:00", char::from(sign)));
    }
    digits.one_of(b":");
    let minutes = digits.number(2)?;
    digits.check_done("timezone")?;
    if hours > 24 {
        return Err(DatumError::logic(format!("Hours out of range in `{zone}`.")));
    }
    if minutes > 59 {
        return Err(DatumError::logic(format!("Minutes out of range in `{zone}`.")));
    }
    Ok(format!("{}{hours:02}:{minutes:02}", char::from(sign)))
}

/// The seconds of an offset in its one form. Out of the calendar's bounds is an error.
pub(super) fn checked_offset(zone: &str) -> Result<i64, DatumError> {
    let number = |at: std::ops::Range<usize>| {
        zone.get(at).and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(0)
    };
    let seconds = number(1..3) * 3600 + number(4..6) * 60;
    check_offset(if zone.starts_with('-') { -seconds } else { seconds })
}

pub(super) fn check_offset(seconds: i64) -> Result<i64, DatumError> {
    if (-12 * 3600..=14 * 3600).contains(&seconds) {
        return Ok(seconds);
    }
    let sign = if seconds < 0 { "-" } else { "" };
    let size = seconds.abs();
    Err(logic(&format!(
        "Offset out of range: {sign}{:02}:{:02}:{:02}",
        size / 3600,
        size / 60 % 60,
        size % 60
    )))
}

pub(super) fn check_year(year: i64) -> Result<(), DatumError> {
    if YEARS.contains(&year) {
        return Ok(());
    }
    Err(logic("Year is out of valid range: 1400..9999"))
}

pub(super) fn check_month(month: i64) -> Result<(), DatumError> {
    if (1..=12).contains(&month) {
        return Ok(());
    }
    Err(logic("Month number is out of range 1..12"))
}

pub(super) fn check_day(day: i64) -> Result<(), DatumError> {
    if (1..=31).contains(&day) {
        return Ok(());
    }
    Err(logic("Day of month value is out of range 1..31"))
}

pub(super) fn check_day_of_month(year: i64, month: i64, day: i64) -> Result<(), DatumError> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day <= last { Ok(()) } else { Err(logic("Day of month is not valid for year")) }
}

pub(super) fn logic(what: &str) -> DatumError {
    DatumError::logic(format!("Error in time logic: {what}."))
}

/// Days from 1970-01-01 to a date that exists.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the day that comes and goes is a year's last; 400 of them have 146,097 days.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> Civil {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    Civil { year, month, day: day_of_year - (153 * shifted + 2) / 5 + 1 }
}

/// Rounded to milliseconds, as every time is.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// Microseconds, with the fraction cut where the double's last digits would show.
fn micros(seconds: f64) -> i128 {
    let whole = seconds as i64;
    let fraction = seconds * 1e6 - whole.wrapping_mul(1_000_000) as f64;
    i128::from(whole) * MICROS + i128::from(fraction.round() as i64)
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
}

/// An instant as the clocks of its offset show it.
struct Local {
    /// Microseconds since 1970-01-01T00:00 on those clocks.
    micros: i128,
    /// Seconds those clocks are ahead.
    offset: i64,
    /// Whether the seconds are more than RethinkDB's integers hold.
    is_beyond: bool,
}

impl Local {
    fn of(time: &Datum) -> Result<Local, DatumError> {
        let epoch = epoch_time(time)?;
        let offset = checked_offset(timezone(time)?)?;
        let micros = micros(epoch) + i128::from(offset) * MICROS;
        Ok(Local { micros, offset, is_beyond: epoch.abs() >= i64::MAX as f64 })
    }

    fn days(&self) -> i64 {
        // Seconds are an i64, so days fit many times over.
        self.micros.div_euclid(DAY_MICROS) as i64
    }

    fn micros_of_day(&self) -> i128 {
        self.micros.rem_euclid(DAY_MICROS)
    }

    fn civil(&self) -> Result<Civil, DatumError> {
        if self.is_beyond {
            let message = "The time is too far away to have a date.".to_owned();
            return Err(DatumError { kind: DatumErrorKind::Internal, message });
        }
        let civil = civil_from_days(self.days());
        check_year(civil.year)?;
        Ok(civil)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: f64, zone: &str) -> Datum {
        time_datum(epoch, zone).unwrap()
    }

    #[test]
    fn days_and_dates_are_inverse() {
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2000, 2, 29), 11_016);
        for days in (-208_000..2_932_000).step_by(37) {
            let civil = civil_from_days(days);
            assert_eq!(days_from_civil(civil.year, civil.month, civil.day), days);
        }
    }

    #[test]
    fn portions_are_those_of_the_offset() {
        let time = at(1_375_147_296.681, "-07:00");
        let portions = [
            (Portion::Year, 2013.0),
            (Portion::Month, 7.0),
            (Portion::Day, 29.0),
            (Portion::DayOfWeek, 1.0),
            (Portion::DayOfYear, 210.0),
            (Portion::Hours, 18.0),
            (Portion::Minutes, 21.0),
            (Portion::Seconds, 36.681),
        ];
        for (which, expected) in portions {
            assert_eq!(portion(&time, which).unwrap(), expected, "{which:?}");
        }
        assert_eq!(to_iso8601(&time).unwrap(), "2013-07-29T18:21:36.681-07:00");
        assert_eq!(epoch_time(&date(&time).unwrap()).unwrap(), 1_375_081_200.0);
        assert_eq!(time_of_day(&at(-1.0, "+00:00")).unwrap(), 86_399.0);
    }

    #[test]
    fn bounds_hold_for_calendar_fields_alone() {
        let far = at(253_402_300_800.0, "+00:00");
        let text = portion(&far, Portion::Year).unwrap_err().message;
        assert_eq!(text, "Error in time logic: Year is out of valid range: 1400..9999.");
        assert_eq!(portion(&far, Portion::Minutes).unwrap(), 0.0);
        let text = to_iso8601(&at(0.0, "+15:00")).unwrap_err().message;
        assert_eq!(text, "Error in time logic: Offset out of range: 15:00:00.");
    }

    #[test]
    fn a_time_beyond_all_integers_is_an_internal_error() {
        let error = to_iso8601(&at(1e300, "+00:00")).unwrap_err();
        assert_eq!(error.kind, DatumErrorKind::Internal);
        assert_eq!(to_iso8601(&at(9e15, "+00:00")).unwrap_err().kind, DatumErrorKind::Logic);
    }

    #[test]
    fn offsets_have_one_form() {
        for (text, expected) in
            [("Z", "+00:00"), ("-08", "-08:00"), ("+0530", "+05:30"), ("+24:59", "+24:59")]
        {
            assert_eq!(offset_text(text).unwrap(), expected);
        }
        let complaint = |text| offset_text(text).unwrap_err().message;
        assert_eq!(complaint("-00"), "`-00` is not a valid time offset.");
        assert_eq!(complaint("UTC"), "Timezone `UTC` does not start with `-` or `+`.");
        assert_eq!(complaint("+02:60"), "Minutes out of range in `+02:60`.");
        assert_eq!(complaint("+25:00"), "Hours out of range in `+25:00`.");
        assert_eq!(
            complaint("+1:00"),
            "Invalid date string `+1:00` (got `:` but expected a digit)."
        );
    }

    #[test]
    fn every_millisecond_shows() {
        for milliseconds in 0..2_000 {
            let text = to_iso8601(&at(f64::from(milliseconds) / 1000.0, "+00:00")).unwrap();
            let fraction = match milliseconds % 1000 {
                0 => String::new(),
                part => format!(".{part:03}"),
            };
            let seconds = milliseconds / 1000;
            assert_eq!(text, format!("1970-01-01T00:00:0{seconds}{fraction}+00:00"));
        }
    }
}
