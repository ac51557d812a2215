//! `bitAnd`, `bitOr`, `bitXor`, `bitNot`, `bitSal`, `bitSar`: integers below 2^53 in magnitude, as 64-bit two's complement.

use photondb_protocol::numbers::TermType;

use crate::datum::{MAX_SAFE_INTEGER, number_to_text};
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

/// A shift by more overflows every number but 0.
const LARGEST_SHIFT: i64 = 4096;

const fn row(
    term: TermType,
    name: &'static str,
    arity: Arity,
    eval: fn(&Args<'_>) -> Result<Val>,
) -> TermSpec {
    TermSpec::pure(term, name, Chapter::MathAndLogic, arity, eval)
}

pub static BIT_AND: TermSpec =
    row(TermType::BitAnd, "BIT_AND", Arity::at_least(1), |args| fold(args, |a, b| a & b));
pub static BIT_OR: TermSpec =
    row(TermType::BitOr, "BIT_OR", Arity::at_least(1), |args| fold(args, |a, b| a | b));
pub static BIT_XOR: TermSpec =
    row(TermType::BitXor, "BIT_XOR", Arity::at_least(1), |args| fold(args, |a, b| a ^ b));
pub static BIT_NOT: TermSpec = row(TermType::BitNot, "BIT_NOT", Arity::exactly(1), |args| {
    args.number_value(!bits(args, 0)? as f64)
});
pub static BIT_SAL: TermSpec =
    row(TermType::BitSal, "BIT_SAL", Arity::exactly(2), |args| shift(args, left));
pub static BIT_SAR: TermSpec =
    row(TermType::BitSar, "BIT_SAR", Arity::exactly(2), |args| shift(args, right));

fn fold(args: &Args<'_>, join: fn(i64, i64) -> i64) -> Result<Val> {
    let mut total = bits(args, 0)?;
    for i in 1..args.len() {
        total = join(total, bits(args, i)?);
    }
    args.number_value(total as f64)
}

fn shift(args: &Args<'_>, by: fn(i64, i64) -> f64) -> Result<Val> {
    let value = bits(args, 0)?;
    let places = args.integer(1)?;
    if places < 0 {
        return Err(Error::logic("Cannot bit-shift by a negative value"));
    }
    args.number_value(by(value, places))
}

fn left(value: i64, places: i64) -> f64 {
    if value == 0 {
        return 0.0;
    }
    // Exact: a power of two only moves the exponent. Past the largest double it is infinite, which the caller refuses.
    value as f64 * f64::powi(2.0, places.min(LARGEST_SHIFT) as i32)
}

fn right(value: i64, places: i64) -> f64 {
    (value >> places.min(63)) as f64
}

fn bits(args: &Args<'_>, i: usize) -> Result<i64> {
    let value = args.integer(i)?;
    if value.unsigned_abs() as f64 >= MAX_SAFE_INTEGER && value > 0 {
        let value = number_to_text(value as f64);
        return Err(Error::logic(format!("Integer too large: {value}")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn integers_are_twos_complement() {
        check("[191,[-5,1024]]", "1024");
        check("[192,[5,3]]", "7");
        check("[193,[5,3,1]]", "7");
        check("[194,[2]]", "-3");
    }

    #[test]
    fn shifts_keep_sign_and_exactness() {
        check("[195,[3,50]]", "3377699720527872");
        check("[195,[0,100000]]", "0");
        check("[196,[-5,100]]", "-1");
        check("[196,[1024,3]]", "128");
        let message = "Cannot bit-shift by a negative value";
        check_error("[195,[1,-1]]", ErrorKind::Logic, message, "[]");
        check_error("[195,[1,5000]]", ErrorKind::Logic, "Non-finite number: inf", "[]");
    }

    #[test]
    fn two_to_the_53_is_too_large_before_the_next_argument_is_looked_at() {
        let message = "Integer too large: 9007199254740992";
        check_error("[191,[9007199254740992,\"x\"]]", ErrorKind::Logic, message, "[]");
    }
}
