//! `floor`, `ceil`, `round`, and `mod`, which takes integers alone.

use photondb_protocol::numbers::TermType;

use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec::pure(term, name, Chapter::MathAndLogic, Arity::exactly(1), eval)
}

pub static FLOOR: TermSpec =
    row(TermType::Floor, "FLOOR", |args| args.number_value(args.number(0)?.floor()));
pub static CEIL: TermSpec =
    row(TermType::Ceil, "CEIL", |args| args.number_value(args.number(0)?.ceil()));
/// Halves round away from zero.
pub static ROUND: TermSpec =
    row(TermType::Round, "ROUND", |args| args.number_value(args.number(0)?.round()));

pub static MOD: TermSpec =
    TermSpec::pure(TermType::Mod, "MOD", Chapter::MathAndLogic, Arity::exactly(2), modulo);

/// The remainder has the sign of the dividend.
fn modulo(args: &Args<'_>) -> Result<Val> {
    let dividend = args.integer(0)?;
    let divisor = args.integer(1)?;
    if divisor == 0 {
        return Err(Error::logic("Cannot take a number modulo 0."));
    }
    args.number_value((dividend % divisor) as f64)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn halves_round_away_from_zero() {
        check("[185,[2.5]]", "3");
        check("[185,[-2.5]]", "-3");
        check("[183,[-7.25]]", "-8");
        check("[184,[1.1]]", "2");
    }

    #[test]
    fn remainders_are_of_integers() {
        check("[28,[-5,3]]", "-2");
        check_error("[28,[1,0]]", ErrorKind::Logic, "Cannot take a number modulo 0.", "[]");
        check_error("[28,[1,3.5]]", ErrorKind::Logic, "Number not an integer: 3.5", "[1]");
    }
}
