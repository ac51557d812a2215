//! `dbCreate`, `dbDrop`, `dbList`.

use photondb_protocol::numbers::TermType;

use crate::catalog::{CatalogError, NameKind, is_valid_name};
use crate::datum::Datum;
use crate::reql::catalog_errors::catalog_error;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::system::database_row;
use crate::reql::value::Val;

pub static DB_CREATE: TermSpec = TermSpec::on_catalog(
    Effect::Meta,
    TermType::DbCreate,
    "DB_CREATE",
    Chapter::ManipulatingDatabases,
    Arity::exactly(1),
    db_create,
);
pub static DB_DROP: TermSpec = TermSpec::on_catalog(
    Effect::Meta,
    TermType::DbDrop,
    "DB_DROP",
    Chapter::ManipulatingDatabases,
    Arity::exactly(1),
    db_drop,
);
pub static DB_LIST: TermSpec = TermSpec::on_catalog(
    Effect::Read,
    TermType::DbList,
    "DB_LIST",
    Chapter::ManipulatingDatabases,
    Arity::exactly(0),
    db_list,
);

fn db_create(args: &Args<'_>) -> Result<Val> {
    let name = database_name(args)?;
    let created = args.env.context.catalog.create_database(&name).map_err(catalog_error)?;
    args.env.note_commit(created.commit);
    args.value(Datum::object([
        ("config_changes", config_changes(Datum::Null, database_row(&created.value))),
        ("dbs_created", Datum::Number(1.0)),
    ]))
}

fn db_drop(args: &Args<'_>) -> Result<Val> {
    let name = database_name(args)?;
    let dropped = args.env.context.catalog.drop_database(&name).map_err(catalog_error)?;
    args.env.note_commit(dropped.commit);
    let tables = dropped.value.tables().count();
    args.value(Datum::object([
        ("config_changes", config_changes(database_row(&dropped.value), Datum::Null)),
        ("dbs_dropped", Datum::Number(1.0)),
        ("tables_dropped", Datum::Number(tables as f64)),
    ]))
}

fn db_list(args: &Args<'_>) -> Result<Val> {
    let names = args.env.context.catalog.state().database_names();
    args.value(Datum::array(names.into_iter().map(Datum::from).collect()))
}

/// The first argument as a database's name; an impossible name blames the argument.
fn database_name(args: &Args<'_>) -> Result<std::sync::Arc<str>> {
    let val = args.arg(0)?;
    let at = val.at;
    let name = val.str(args.env)?;
    if is_valid_name(&name) {
        return Ok(name);
    }
    let error = CatalogError::InvalidName { kind: NameKind::Database, name: name.to_string() };
    Err(catalog_error(error).at(at))
}

/// `[{"new_val": ..., "old_val": ...}]`
pub fn config_changes(old: Datum, new: Datum) -> Datum {
    Datum::array(vec![Datum::object([("new_val", new), ("old_val", old)])])
}
