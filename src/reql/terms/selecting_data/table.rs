//! `table`: a table of a database.

use photondb_protocol::numbers::TermType;

use crate::catalog::{CatalogError, NameKind, SYSTEM_DATABASE, is_valid_name};
use crate::reql::catalog_errors::catalog_error;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::{Cost, Determinism, Effect};
use crate::reql::selection::TableVal;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::system::{self, Look};
use crate::reql::table_ref::TableRef;
use crate::reql::terms::default_database;
use crate::reql::value::{Val, ValKind};

pub static TABLE: TermSpec = TermSpec {
    options: &["read_mode", "use_outdated", "identifier_format"],
    effect: Effect::Read,
    determinism: Determinism::No,
    cost: Cost::Heavy,
    ..TermSpec::pure(TermType::Table, "TABLE", Chapter::SelectingData, Arity::between(1, 2), table)
};

fn table(args: &Args<'_>) -> Result<Val> {
    let look = options(args)?;
    let (database, val) = match args.len() {
        1 => (default_database(args.env)?, args.arg(0)?),
        _ => (args.arg(0)?.into_database(args.env)?, args.arg(1)?),
    };
    let at = val.at;
    let name = val.str(args.env)?;
    if !is_valid_name(&name) {
        let error = CatalogError::InvalidName { kind: NameKind::Table, name: name.to_string() };
        return Err(catalog_error(error).at(at));
    }
    if *database.name == *SYSTEM_DATABASE {
        let table = system::open(args.env, &look, &name)?;
        return args.val(ValKind::Table(TableVal::whole(table, args.node.id)));
    }
    let state = args.env.context.catalog.state();
    let entry = state.table(&database.name, &name).map_err(catalog_error)?;
    let table = TableRef::new(entry, &database.name);
    args.val(ValKind::Table(TableVal::whole(table, args.node.id)))
}

/// With one server every read is as good as a majority's, so the read modes are checked and mean the same. The format of
/// identifiers is for system tables.
fn options<'a>(args: &Args<'a>) -> Result<Look<'a>> {
    if args.optarg("use_outdated")?.is_some() {
        return Err(Error::logic(
            "The `use_outdated` optarg is no longer supported.  Use the `read_mode` optarg instead.",
        ));
    }
    if let Some(mode) = args.optarg_str("read_mode")?
        && !matches!(&*mode, "majority" | "single" | "outdated" | "_debug_direct")
    {
        return Err(Error::logic(format!(
            "Read mode `{mode}` unrecognized (options are \"majority\", \"single\", and \"outdated\")."
        )));
    }
    let Some(format) = args.optarg_str("identifier_format")? else {
        return Ok(Look::by_name(&args.env.context));
    };
    if !matches!(&*format, "name" | "uuid") {
        return Err(Error::logic(format!(
            "Identifier format `{format}` unrecognized (options are \"name\" and \"uuid\")."
        )));
    }
    Ok(Look::formatted(&args.env.context, &format))
}
