//! `minval` and `maxval`: below and above every other value. They bound ranges; an answer cannot hold them.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::spec::{Arity, Chapter, TermSpec};

pub static MINVAL: TermSpec =
    TermSpec::pure(TermType::Minval, "MINVAL", Chapter::SelectingData, Arity::exactly(0), |args| {
        args.value(Datum::MinVal)
    });

pub static MAXVAL: TermSpec =
    TermSpec::pure(TermType::Maxval, "MAXVAL", Chapter::SelectingData, Arity::exactly(0), |args| {
        args.value(Datum::MaxVal)
    });

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn bounds_lie_outside_of_all_values_and_of_answers() {
        check("[19,[[180,[]],[2,[]],\"z\",[181,[]]]]", "true");
        let message = "Cannot convert `r.minval` to JSON.";
        check_error("[180,[]]", ErrorKind::Logic, message, "[]");
        check_error("[29,[[2,[]],[180,[]]]]", ErrorKind::Logic, message, "[]");
    }
}
