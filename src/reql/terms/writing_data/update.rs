//! `update`: merges into documents.

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, DatumType};
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::function::Shortcut;
use crate::reql::spec::{Arity, Chapter, Determinism, Effect, TermSpec};
use crate::reql::value::Val;

use super::apply::write_selection;
use super::options::check_determinism;

pub static UPDATE: TermSpec = TermSpec {
    options: &["non_atomic", "durability", "return_changes", "ignore_write_hook"],
    effect: Effect::Write,
    determinism: Determinism::No,
    forbids_writes: true,
    ..TermSpec::pure(TermType::Update, "UPDATE", Chapter::WritingData, Arity::exactly(2), update)
};

fn update(args: &Args<'_>) -> Result<Val> {
    let target = args.arg(0)?;
    let func = args.arg_with_literals(1)?.into_func(Shortcut::Constant, args.env)?;
    let determinism = check_determinism(args)?;
    write_selection(args, target, &|_, old| {
        if matches!(old, Datum::Null) {
            // What is not there cannot be updated; RethinkDB calls it skipped where the change is known beforehand.
            return match determinism {
                Determinism::No => Err(old.type_error(DatumType::Object).into()),
                _ => Ok(None),
            };
        }
        let change = func.call_with_literals(args.env, std::slice::from_ref(old))?;
        let change = change.into_datum(args.env)?;
        match change {
            // Null changes nothing; only `replace` deletes by it.
            Datum::Null => Ok(Some(old.clone())),
            change => super::insert::merge_document(old, &change).map(Some),
        }
    })
}
