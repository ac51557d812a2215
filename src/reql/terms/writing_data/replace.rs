//! `replace`: puts other documents in the place of documents.

use photondb_protocol::numbers::TermType;

use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::function::Shortcut;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

use super::apply::{Replacing, write_selection};
use super::options::{OPTIONS, check_function};

pub static REPLACE: TermSpec = TermSpec {
    options: OPTIONS,
    effect: Effect::Write,
    forbids_writes: true,
    ..TermSpec::pure(TermType::Replace, "REPLACE", Chapter::WritingData, Arity::exactly(2), replace)
};

/// What is no function is evaluated once: it stands for the function that always answers it.
fn replace(args: &Args<'_>) -> Result<Val> {
    let target = args.arg(0)?;
    let options = check_function(args)?;
    let func = args.func(1, Shortcut::Constant)?;
    let replacing = Replacing { options, apart: !func.varies().is_fixed_in_query() };
    write_selection(args, target, replacing, &|_, old| {
        func.call_datum(args.env, std::slice::from_ref(old))
    })
}
