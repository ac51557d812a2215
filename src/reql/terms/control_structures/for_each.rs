//! `forEach`: runs the writes that a function gives for each element, and adds up their answers.

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, DatumError};
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::function::Shortcut;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{BatchSpec, next_rows};
use crate::reql::terms::writing_data::WriteTotals;
use crate::reql::value::Val;

pub static FOR_EACH: TermSpec = TermSpec {
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::ForEach,
        "FOR_EACH",
        Chapter::ControlStructures,
        Arity::exactly(2),
        for_each,
    )
};

const EXPECTED: &str = "FOR_EACH expects one or more basic write queries.";

fn for_each(args: &Args<'_>) -> Result<Val> {
    let mut stream = args.stream(0)?;
    let func = args.func(1, Shortcut::Constant)?;
    let mut totals = WriteTotals::new(args.env.array_limit());
    while !stream.is_exhausted() {
        for row in next_rows(stream.as_mut(), args.env, &BatchSpec::TERMINAL.in_turn())? {
            let answer = func.call(args.env, &[row])?;
            let at = answer.at;
            let answer = answer.into_datum(args.env).map_err(|error| {
                Error::new(error.kind(), EXPECTED).at(error.blamed().unwrap_or(at))
            })?;
            add(&mut totals, &answer)
                .map_err(|error| Error::logic(format!("{EXPECTED}  {}", error.message)).at(at))?;
        }
        args.env.check_interrupt()?;
    }
    args.value(Datum::Object(totals.into_object()))
}

/// One write's answer, or an array of them.
fn add(totals: &mut WriteTotals, answer: &Datum) -> std::result::Result<(), DatumError> {
    match answer {
        Datum::Object(_) => totals.add(answer),
        other => other.as_array()?.iter().try_for_each(|answer| totals.add(answer)),
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn answers_add_up() {
        let func = |body: &str| format!("[68,[[2,[1,2,3]],[69,[[2,[1]],{body}]]]]");
        let expected = "{\"inserted\":6,\"errors\":3,\"first_error\":\"x\",\"keys\":[1,1,1]}";
        let body = "{\"inserted\":[10,[1]],\"errors\":1,\"first_error\":\"x\",\"keys\":[2,[1]]}";
        check(&func(body), expected);
        check(&func("[2,[{\"inserted\":1},{\"inserted\":1}]]"), "{\"inserted\":6}");
        check("[68,[[2,[]],1]]", "{}");
    }

    #[test]
    fn what_is_no_write_is_refused() {
        let message = "FOR_EACH expects one or more basic write queries.  Expected type ARRAY but found NUMBER.";
        check_error("[68,[[2,[3]],0]]", ErrorKind::Logic, message, "[1]");
        check_error("[68,[[2,[3]],[69,[[2,[1]],1]]]]", ErrorKind::Logic, message, "[1,1]");
    }
}
