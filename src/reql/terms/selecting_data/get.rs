//! `get`: the document with a primary key, or null.

use photondb_protocol::numbers::TermType;

use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::selection::SingleSelection;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::{Val, ValKind};
use crate::table::PrimaryKey;

pub static GET: TermSpec = TermSpec {
    ..TermSpec::on_tables(
        Effect::Read,
        TermType::Get,
        "GET",
        Chapter::SelectingData,
        Arity::exactly(2),
        get,
    )
};

fn get(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
    let key = PrimaryKey::encode(&args.datum(1)?)?;
    args.val(ValKind::SingleSelection(SingleSelection { table, key, found: None }))
}
