//! `delete`: removes documents. RethinkDB makes a `replace` of it, by the function that answers null.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

use super::apply::{Replacing, write_selection};
use super::options::{OPTIONS, WriteOptions};

pub static DELETE: TermSpec = TermSpec {
    is_rewritten: true,
    options: OPTIONS,
    effect: Effect::Write,
    forbids_writes: true,
    ..TermSpec::pure(TermType::Delete, "DELETE", Chapter::WritingData, Arity::exactly(1), delete)
};

fn delete(args: &Args<'_>) -> Result<Val> {
    let target = args.arg(0)?;
    // It changes nothing here, but must be a truth.
    args.optarg_bool("non_atomic", false)?;
    let replacing = Replacing { options: WriteOptions::read(args)?, apart: false };
    write_selection(args, target, replacing, &|_, _| Ok(Datum::Null))
}
