//! `db`: a database that exists.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::catalog::{CatalogError, DEFAULT_DATABASE, NameKind, is_valid_name};
use crate::reql::catalog_errors::catalog_error;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::{Determinism, Effect};
use crate::reql::selection::Database;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::{Val, ValKind};

pub static DB: TermSpec = TermSpec {
    effect: Effect::Read,
    determinism: Determinism::No,
    ..TermSpec::pure(TermType::Db, "DB", Chapter::SelectingData, Arity::exactly(1), db)
};

fn db(args: &Args<'_>) -> Result<Val> {
    let val = args.arg(0)?;
    let at = val.at;
    let name = val.str(args.env)?;
    if !is_valid_name(&name) {
        let error = CatalogError::InvalidName { kind: NameKind::Database, name: name.to_string() };
        return Err(catalog_error(error).at(at));
    }
    args.val(ValKind::Database(existing(args.env, name)?))
}

/// The database of terms that name none: the query's option `db`, else `test`.
pub fn default_database(env: &Env) -> Result<Database> {
    match env.global_optarg("db")? {
        Some(val) => val.into_database(env),
        None => existing(env, Arc::from(DEFAULT_DATABASE)),
    }
}

fn existing(env: &Env, name: Arc<str>) -> Result<Database> {
    if env.context.catalog.state().has_database(&name) {
        return Ok(Database { name });
    }
    Err(catalog_error(CatalogError::NoSuchDatabase { database: name.to_string() }))
}
