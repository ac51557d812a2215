//! `object`, which makes one of names and values by turns; `keys` and `values`, which take it apart.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, Object, ObjectBuilder, pseudo_typed, work};
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

const fn row(
    term: TermType,
    name: &'static str,
    arity: Arity,
    eval: fn(&Args<'_>) -> Result<Val>,
) -> TermSpec {
    TermSpec::pure(term, name, Chapter::DocumentManipulation, arity, eval)
}

pub static OBJECT: TermSpec = row(TermType::Object, "OBJECT", Arity::at_least(0), object);
pub static KEYS: TermSpec = row(TermType::Keys, "KEYS", Arity::exactly(1), keys);
pub static VALUES: TermSpec = row(TermType::Values, "VALUES", Arity::exactly(1), values);

fn object(args: &Args<'_>) -> Result<Val> {
    let found = args.len();
    if !found.is_multiple_of(2) {
        return Err(Error::logic(format!(
            "OBJECT expects an even number of arguments (but found {found})."
        )));
    }
    let mut made = ObjectBuilder::with_capacity(found / 2);
    for i in (0..found).step_by(2) {
        let name = args.str(i)?;
        let value = args.datum(i + 1)?;
        if let Some(before) = made.insert(name.clone(), value.clone()) {
            return Err(Error::logic(format!(
                "Duplicate key {} in object.  (got {} and {} as values)",
                Datum::String(name).try_print()?,
                before.try_truncated_print()?,
                value.try_truncated_print()?
            )));
        }
    }
    args.value(pseudo_typed(made.build())?)
}

fn keys(args: &Args<'_>) -> Result<Val> {
    let object = plain_object(args, "keys")?;
    work::steps(object.len());
    let names = object.iter().map(|(name, _)| Datum::String(Arc::clone(name)));
    args.value(names.collect::<Vec<_>>())
}

fn values(args: &Args<'_>) -> Result<Val> {
    let object = plain_object(args, "values")?;
    work::steps(object.len());
    args.value(object.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>())
}

fn plain_object(args: &Args<'_>, name: &str) -> Result<Object> {
    let val = args.arg(0)?;
    let at = val.at;
    match val.into_datum(args.env)? {
        Datum::Object(object) if object.pseudo_type().is_none() => Ok(object),
        other => {
            let kind = other.type_name();
            let message = format!("Cannot call `{name}` on objects of type `{kind}`.");
            Err(Error::logic(message).at(at))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn objects_are_made_and_taken_apart() {
        check("[143,[\"b\",1,\"a\",[2,[]]]]", "{\"a\":[],\"b\":1}");
        check("[94,[{\"b\":1,\"a\":2}]]", "[\"a\",\"b\"]");
        check("[186,[{\"b\":1,\"a\":2}]]", "[2,1]");
    }

    #[test]
    fn names_come_once_and_with_a_value() {
        let message = "OBJECT expects an even number of arguments (but found 1).";
        check_error("[143,[\"a\"]]", ErrorKind::Logic, message, "[]");
        let message = "Duplicate key \"a\" in object.  (got 1 and 2 as values)";
        check_error("[143,[\"a\",1,\"a\",2]]", ErrorKind::Logic, message, "[]");
        let message = "Cannot call `keys` on objects of type `NULL`.";
        check_error("[94,[null]]", ErrorKind::Logic, message, "[0]");
    }
}
