//! Numbers: which are integers, and the two ways RethinkDB prints them.
//!
//! In JSON an integer up to 2^53 prints without a point and everything else as digits that read back (`grisu.rs`),
//! laid out as rapidjson lays them out (`1e21` and up with an exponent, `123.0` below). In messages a number prints
//! like C's `%.20g`.

use super::DatumError;
use super::grisu::Digits;

/// 2^53: every integer up to here is a double of its own.
pub const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_992.0;

/// The integer in a double, when it is one and no larger than 2^53.
pub fn safe_integer(value: f64) -> Option<i64> {
    if value.abs() <= MAX_SAFE_INTEGER && value.trunc() == value {
        // In range and whole, so the cast is exact.
        Some(value as i64)
    } else {
        None
    }
}

/// As [`safe_integer`], with RethinkDB's errors.
pub(super) fn integer(value: f64) -> Result<i64, DatumError> {
    match safe_integer(value) {
        Some(integer) => Ok(integer),
        None if value > MAX_SAFE_INTEGER => Err(DatumError::logic(format!(
            "Number not an integer (>2^53): {}",
            number_to_text(value)
        ))),
        None if value < -MAX_SAFE_INTEGER => Err(DatumError::logic(format!(
            "Number not an integer (<-2^53): {}",
            number_to_text(value)
        ))),
        None => Err(DatumError::logic(format!("Number not an integer: {}", number_to_text(value)))),
    }
}

/// How C prints what is not finite.
pub(super) fn non_finite_text(value: f64) -> &'static str {
    if value.is_nan() {
        "nan"
    } else if value > 0.0 {
        "inf"
    } else {
        "-inf"
    }
}

/// Appends the JSON form.
pub fn number_to_json(value: f64, out: &mut Vec<u8>) {
    match safe_integer(value) {
        Some(0) if value.is_sign_negative() => out.extend_from_slice(b"-0.0"),
        Some(integer) => write_integer(integer, out),
        None => write_shortest(value, out),
    }
}

fn write_integer(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut rest = value.unsigned_abs();
    let mut start = digits.len();
    for slot in digits.iter_mut().rev() {
        // A digit is below ten, so it fits a byte.
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
        start -= 1;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// Digits that read back, in rapidjson's layout.
fn write_shortest(value: f64, out: &mut Vec<u8>) {
    let written = Digits::of(value.abs());
    let digits = written.text();
    let count = digits.len() as i32;
    // The decimal point sits after this many digits.
    let point = count + written.exponent;
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let text = if (count..=21).contains(&point) {
        format!("{digits}{}.0", "0".repeat((point - count) as usize))
    } else if point > 0 && point <= 21 {
        let (whole, part) = digits.split_at(point as usize);
        format!("{whole}.{part}")
    } else if point > -6 && point <= 0 {
        format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{first}{dot}{rest}e{}", point - 1)
    };
    out.extend_from_slice(text.as_bytes());
}

/// The form in messages: C's `%.20g`.
pub fn number_to_text(value: f64) -> String {
    const PRECISION: i32 = 20;
    if !value.is_finite() {
        return non_finite_text(value).to_owned();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let scientific = format!("{:.*e}", (PRECISION - 1) as usize, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..PRECISION).contains(&exponent) {
        let plain = format!("{:.*}", (PRECISION - 1 - exponent) as usize, value);
        return trim_fraction(&plain).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim_fraction(mantissa), exponent.abs())
}

fn trim_fraction(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: f64) -> String {
        let mut out = Vec::new();
        number_to_json(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_form_is_rapidjsons() {
        assert_eq!(json(5.0), "5");
        assert_eq!(json(-120.0), "-120");
        assert_eq!(json(-0.0), "-0.0");
        assert_eq!(json(0.5), "0.5");
        assert_eq!(json(9007199254740992.0), "9007199254740992");
        assert_eq!(json(9007199254740994.0), "9007199254740994.0");
        assert_eq!(json(123456789012345678901.0), "123456789012345680000.0");
        assert_eq!(json(1.2345678901234568e29), "1.2345678901234568e29");
        assert_eq!(json(1e22), "1e22");
        assert_eq!(json(0.000001), "0.000001");
        assert_eq!(json(1e-7), "1e-7");
        assert_eq!(json(-7.25), "-7.25");
    }

    #[test]
    fn text_form_is_percent_20g() {
        assert_eq!(number_to_text(1e-7), "9.9999999999999995475e-08");
        assert_eq!(number_to_text(1e16), "10000000000000000");
        assert_eq!(number_to_text(1.5), "1.5");
        assert_eq!(number_to_text(1e300), "1.0000000000000000525e+300");
        assert_eq!(number_to_text(0.1), "0.10000000000000000555");
        assert_eq!(number_to_text(-7.25), "-7.25");
    }

    #[test]
    fn integers_too_low_are_told_from_those_too_high() {
        let complaint = |value| integer(value).unwrap_err().message;
        assert_eq!(
            complaint(-9_007_199_254_740_994.0),
            "Number not an integer (<-2^53): -9007199254740994"
        );
        assert_eq!(
            complaint(9_007_199_254_740_994.0),
            "Number not an integer (>2^53): 9007199254740994"
        );
        assert_eq!(complaint(-1.5), "Number not an integer: -1.5");
    }
}
