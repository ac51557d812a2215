//! ISO 8601 texts as RethinkDB reads them: years, calendar dates and ordinal dates (no weeks), basic and extended.
//!
//! The text is split at `T` and at the offset's sign, and each part is checked alone; messages quote the part. What the
//! digits mean is checked by `time`.

use super::time::{
    check_day, check_day_of_month, check_month, check_offset, check_year, checked_offset,
    days_from_civil, logic, offset_text, time_datum,
};
use super::{Datum, DatumError};

/// The time that a text stands for; `default_zone` is taken when it names no offset.
pub fn parse_iso8601(text: &str, default_zone: &str) -> Result<Datum, DatumError> {
    let (date, clock) = match text.split_once('T') {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let date = Date::parse(date)?;
    let (clock, zone) = match clock {
        None => (Clock::default(), None),
        Some(text) => {
            let sign = ['-', '+', 'Z'].into_iter().find_map(|sign| text.find(sign));
            let (clock, zone) = match sign {
                Some(at) => text.split_at(at),
                None => (text, ""),
            };
            let clock = Clock::parse(clock)?;
            let zone = if zone.is_empty() { None } else { Some(offset_text(zone)?) };
            (clock, zone)
        }
    };
    let days = date.days()?;
    let (offset, zone) = match zone {
        Some(zone) => (checked_offset(&zone)?, zone),
        None => default_offset(default_zone)?,
    };
    let seconds = days * 86_400 + clock.seconds - offset;
    time_datum((seconds * 1000 + clock.millis) as f64 / 1000.0, &zone)
}

enum Date {
    Calendar { year: i64, month: i64, day: i64 },
    Ordinal { year: i64, day: i64 },
    Week,
}

impl Date {
    fn parse(text: &str) -> Result<Date, DatumError> {
        let mut digits = Digits::new(text);
        let year = digits.number(4)?;
        if digits.is_done() {
            return Ok(Date::Calendar { year, month: 1, day: 1 });
        }
        // `YYYY-MM` and `YYYYMMDD` are dates, `YYYYMM` is none.
        let first_hyphen = digits.one_of(b"-").is_some();
        let date = if digits.one_of(b"W").is_some() {
            digits.number(2)?;
            if digits.is_done() {
                return Ok(Date::Week);
            }
            digits.one_of(b"-");
            digits.number(1)?;
            Date::Week
        } else if digits.remaining() == 3 {
            Date::Ordinal { year, day: digits.number(3)? }
        } else {
            let month = digits.number(2)?;
            if first_hyphen && digits.is_done() {
                return Ok(Date::Calendar { year, month, day: 1 });
            }
            let second_hyphen = digits.one_of(b"-").is_some();
            if first_hyphen != second_hyphen {
                return Err(DatumError::logic(format!(
                    "Date string `{text}` must have 0 or 2 hyphens."
                )));
            }
            Date::Calendar { year, month, day: digits.number(2)? }
        };
        digits.check_done("date")?;
        Ok(date)
    }

    /// Days since 1970-01-01.
    fn days(&self) -> Result<i64, DatumError> {
        match *self {
            Date::Calendar { year, month, day } => {
                check_year(year)?;
                check_month(month)?;
                check_day(day)?;
                check_day_of_month(year, month, day)?;
                Ok(days_from_civil(year, month, day))
            }
            Date::Ordinal { year, day } => {
                check_year(year)?;
                // Day 366 of a common year is the next one's first.
                if !(1..=366).contains(&day) {
                    return Err(logic("Day of year value is out of range 1..366"));
                }
                Ok(days_from_civil(year, 1, 1) + day - 1)
            }
            Date::Week => Err(DatumError::logic(
                "Due to limitations in the boost time library we use for parsing, we cannot support ISO week dates \
                 right now.  Sorry about that!  Please use years, calendar dates, or ordinal dates instead.",
            )),
        }
    }
}

#[derive(Default)]
struct Clock {
    seconds: i64,
    millis: i64,
}

impl Clock {
    fn parse(text: &str) -> Result<Clock, DatumError> {
        let mut digits = Digits::new(text);
        let hours = digits.number(2)?;
        if digits.is_done() {
            return Ok(Clock { seconds: hours * 3600, millis: 0 });
        }
        let first_colon = digits.one_of(b":").is_some();
        let minutes = digits.number(2)?;
        if digits.is_done() {
            return Ok(Clock { seconds: hours * 3600 + minutes * 60, millis: 0 });
        }
        let second_colon = digits.one_of(b":").is_some();
        if first_colon != second_colon {
            return Err(DatumError::logic(format!(
                "Time string `{text}` must have 0 or 2 colons."
            )));
        }
        let seconds = hours * 3600 + minutes * 60 + digits.number(2)?;
        let mut ten_thousandths = 0;
        if digits.one_of(b".").is_some() {
            let mut scale = 1000;
            while !digits.is_done() {
                ten_thousandths += digits.number(1)? * scale;
                scale /= 10;
            }
        }
        digits.check_done("time")?;
        Ok(Clock { seconds, millis: (ten_thousandths + 5) / 10 })
    }
}

/// A default offset is written as POSIX writes zones: letters, then an offset whose parts need not have two digits.
/// Gives its seconds and its one form.
fn default_offset(text: &str) -> Result<(i64, String), DatumError> {
    // It is read right behind the fraction of the seconds, which takes its digits when it begins with some.
    let text = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let missing = || {
        DatumError::logic(
            "ISO 8601 string has no time zone, and no default time zone was provided.",
        )
    };
    if text.is_empty() {
        return Err(missing());
    }
    let invalid = |text: &str| DatumError::logic(format!("Invalid ISO 8601 timezone: `{text}`."));
    let name_len = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (name, offset) = text.split_at_checked(name_len).unwrap_or((text, ""));
    let mut parts = [0_i64; 3];
    let written = offset.split(['-', ':', ',', '.']).filter(|part| !part.is_empty());
    for (at, part) in written.enumerate() {
        let number = part.parse::<i32>().map_err(|_| invalid(text))?;
        if let Some(slot) = parts.get_mut(at) {
            *slot = i64::from(number);
        }
    }
    let [hours, minutes, seconds] = parts;
    let size = hours * 3600 + minutes * 60 + seconds;
    let offset = check_offset(if offset.starts_with('-') { -size } else { size })?;
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
    match (name, offset) {
        ("UTC", 0) => Err(missing()),
        ("Z", 0) | ("", _) => Ok((offset, format!("{sign}{hours:02}:{minutes:02}"))),
        _ if minutes == 0 => Err(invalid(&format!("{name}{sign}{hours:02}"))),
        _ => Err(invalid(&format!("{name}{sign}{hours:02}:{minutes:02}"))),
    }
}

/// Reads digits and separators off a part of a text.
pub(super) struct Digits<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Digits<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Digits { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Bytes left.
    fn remaining(&self) -> usize {
        self.rest().len()
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest().is_empty()
    }

    /// So many digits as a number.
    pub(super) fn number(&mut self, digits: usize) -> Result<i64, DatumError> {
        let text = self.text;
        let mut number = 0;
        for _ in 0..digits {
            let Some(c) = self.rest().chars().next() else {
                return Err(DatumError::logic(format!(
                    "Invalid time zone string `{text}`. Valid time zones are `+hh:mm`, `-hh:mm`, `+hhmm`, `-hhmm`, \
                     `+hh`, `-hh` and `Z`."
                )));
            };
            let Some(digit) = c.to_digit(10) else {
                return Err(DatumError::logic(format!(
                    "Invalid date string `{text}` (got `{c}` but expected a digit)."
                )));
            };
            self.at += 1;
            number = number * 10 + i64::from(digit);
        }
        Ok(number)
    }

    /// Steps over one of these characters, when it comes next.
    pub(super) fn one_of(&mut self, separators: &[u8]) -> Option<u8> {
        let next = *self.rest().as_bytes().first()?;
        separators.contains(&next).then(|| {
            self.at += 1;
            next
        })
    }

    /// Fails when anything is left; `what` is what the text is.
    pub(super) fn check_done(&self, what: &str) -> Result<(), DatumError> {
        if self.is_done() {
            return Ok(());
        }
        let (rest, text) = (self.rest(), self.text);
        Err(DatumError::logic(format!(
            "Garbage characters `{rest}` at end of {what} string `{text}`."
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datum::time::{epoch_time, timezone};

    fn parsed(text: &str, default_zone: &str) -> (f64, String) {
        let time = parse_iso8601(text, default_zone).unwrap();
        (epoch_time(&time).unwrap(), timezone(&time).unwrap().to_string())
    }

    fn complaint(text: &str, default_zone: &str) -> String {
        parse_iso8601(text, default_zone).unwrap_err().message
    }

    #[test]
    fn every_accepted_form() {
        for (text, epoch) in [
            ("2013-07-30T20:56:05Z", 1_375_217_765.0),
            ("20130730T205605Z", 1_375_217_765.0),
            ("2013-211T20:56:05Z", 1_375_217_765.0),
            ("2013-07-30T20Z", 1_375_214_400.0),
            ("2013-07-30T20:56:05.9999Z", 1_375_217_766.0),
            ("2013-07-30T24:00:00Z", 1_375_228_800.0),
            ("2013-366T00:00:00Z", 1_388_534_400.0),
            ("1969-12-31T23:59:59.5Z", -0.5),
        ] {
            assert_eq!(parsed(text, ""), (epoch, "+00:00".to_owned()), "{text}");
        }
        assert_eq!(parsed("2013-07-30T20:56:05-0730", ""), (1_375_244_765.0, "-07:30".to_owned()));
        assert_eq!(parsed("2013", "-12:00"), (1_357_041_600.0, "-12:00".to_owned()));
        assert_eq!(parsed("2013-07", "Z"), (1_372_636_800.0, "+00:00".to_owned()));
        assert_eq!(parsed("2013-07", "+1:30"), (1_372_631_400.0, "+01:30".to_owned()));
        assert_eq!(parsed("2013-07", "02:00"), (1_372_636_800.0, "+00:00".to_owned()));
    }

    #[test]
    fn faults_quote_the_part() {
        let missing = "ISO 8601 string has no time zone, and no default time zone was provided.";
        assert_eq!(complaint("2013", ""), missing);
        assert_eq!(complaint("2013", "UTC"), missing);
        assert_eq!(
            complaint("2013", "+15:00"),
            "Error in time logic: Offset out of range: 15:00:00."
        );
        assert_eq!(complaint("2013", "z"), "Invalid ISO 8601 timezone: `z+00`.");
        assert_eq!(
            complaint("2013", "America/Los_Angeles"),
            "Invalid ISO 8601 timezone: `America/Los_Angeles`."
        );
        assert_eq!(
            complaint("2013-07-30T20:56:05,5Z", ""),
            "Garbage characters `,5` at end of time string `20:56:05,5`."
        );
        assert_eq!(
            complaint("2013-0730T00Z", ""),
            "Date string `2013-0730` must have 0 or 2 hyphens."
        );
        assert_eq!(
            complaint("2013-02-29T00Z", ""),
            "Error in time logic: Day of month is not valid for year."
        );
    }
}
