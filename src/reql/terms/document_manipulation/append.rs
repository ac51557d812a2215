//! `append` and `prepend`.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec::pure(term, name, Chapter::DocumentManipulation, Arity::exactly(2), eval)
}

pub static APPEND: TermSpec =
    row(TermType::Append, "APPEND", |args| add(args, |array, value| array.push(value)));
pub static PREPEND: TermSpec =
    row(TermType::Prepend, "PREPEND", |args| add(args, |array, value| array.insert(0, value)));

fn add(args: &Args<'_>, add: fn(&mut Vec<Datum>, Datum)) -> Result<Val> {
    let array = args.datum(0)?;
    let value = args.datum(1)?;
    let mut array = array.into_array()?;
    add(&mut array, value);
    args.env.check_array_size(array.len())?;
    args.value(array)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn values_come_to_either_end() {
        check("[29,[[2,[1]],[2,[]]]]", "[1,[]]");
        check("[80,[[2,[1]],0]]", "[0,1]");
        let message = "Expected type ARRAY but found NUMBER.";
        check_error("[29,[1,2]]", ErrorKind::Logic, message, "[]");
    }
}
