//! `random`: an integer from the first bound up to, not including, the second; without bounds, or with `float`, a number.

use photondb_protocol::numbers::TermType;

use crate::datum::{number_to_text, safe_integer};
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Determinism;
use crate::reql::random;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

pub static RANDOM: TermSpec = TermSpec {
    options: &["float"],
    determinism: Determinism::No,
    ..TermSpec::pure(
        TermType::Random,
        "RANDOM",
        Chapter::MathAndLogic,
        Arity::between(0, 2),
        random,
    )
};

fn random(args: &Args<'_>) -> Result<Val> {
    if args.optarg_bool("float", args.is_empty())? {
        let (lower, upper) = match args.len() {
            0 => (0.0, 1.0),
            1 => (0.0, args.number(0)?),
            _ => (args.number(0)?, args.number(1)?),
        };
        return args.number_value(between(lower, upper, random::unit()));
    }
    let (lower, upper) = match args.len() {
        0 => {
            let message = "Generating a random integer requires one or two bounds.";
            return Err(Error::logic(message));
        }
        1 => (0, bound(args, 0, "Upper")?),
        _ => (bound(args, 0, "Lower")?, bound(args, 1, "Upper")?),
    };
    if lower >= upper {
        return Err(Error::logic(format!(
            "Lower bound ({lower}) is not less than upper bound ({upper})."
        )));
    }
    // Bounds are at most 2^53 in magnitude, so that neither the difference nor the sum can overflow.
    let offset = random::below(lower.abs_diff(upper));
    args.number_value((lower + offset as i64) as f64)
}

/// The number at a share of the way from one bound to the other. Where their difference is more than a double holds, it is
/// made of shares of both.
fn between(lower: f64, upper: f64, share: f64) -> f64 {
    let width = upper - lower;
    if width.is_finite() {
        return lower + width * share;
    }
    lower * (1.0 - share) + upper * share
}

fn bound(args: &Args<'_>, i: usize, name: &str) -> Result<i64> {
    let bound = args.number(i)?;
    safe_integer(bound).ok_or_else(|| {
        let bound = number_to_text(bound);
        Error::logic(format!("{name} bound ({bound}) could not be safely converted to an integer."))
    })
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Outcome, check, check_error, run};

    fn number(query: &str) -> f64 {
        match run(query) {
            Outcome::Value(value) => value.as_f64().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_lie_between_their_bounds() {
        for _ in 0..100 {
            assert!((0.0..1.0).contains(&number("[151,[]]")));
            assert!([-2.0, -1.0, 0.0].contains(&number("[151,[-2,1]]")));
            assert!((-3.0..=0.5).contains(&number("[151,[0.5,-3],{\"float\":true}]")));
        }
        check("[151,[1,1],{\"float\":true}]", "1");
    }

    #[test]
    fn bounds_are_integers_in_order() {
        let message = "Lower bound (0) is not less than upper bound (0).";
        check_error("[151,[0]]", ErrorKind::Logic, message, "[]");
        let message = "Lower bound (3.5) could not be safely converted to an integer.";
        check_error("[151,[3.5,\"a\"]]", ErrorKind::Logic, message, "[]");
        let message = "Expected type NUMBER but found STRING.";
        check_error("[151,[\"a\"]]", ErrorKind::Logic, message, "[0]");
    }

    #[test]
    fn numbers_between_the_farthest_bounds_are_finite_and_spread() {
        let far = || number("[151,[-1.7e308,1.7e308],{\"float\":true}]");
        let drawn: Vec<f64> = (0..100).map(|_| far()).collect();
        assert!(drawn.iter().all(|number| number.abs() <= 1.7e308));
        assert!(
            drawn.iter().any(|number| *number < 0.0) && drawn.iter().any(|number| *number > 0.0)
        );
    }
}
