//! `setWriteHook`, `getWriteHook`, and what a hook does to a write: it sees the document before and after, and says what
//! is written instead.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::catalog::{CatalogError, WriteHook};
use crate::datum::Datum;
use crate::reql::catalog_errors::catalog_error;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::function::{Func, Shortcut};
use crate::reql::print::{self, write_hook};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stored_function::StoredFunction;
use crate::reql::table_ref::TableRef;
use crate::reql::value::{Val, ValKind};

pub static SET_WRITE_HOOK: TermSpec = TermSpec::on_catalog(
    Effect::Meta,
    TermType::SetWriteHook,
    "SET_WRITE_HOOK",
    Chapter::WritingData,
    Arity::exactly(2),
    set_write_hook,
);
pub static GET_WRITE_HOOK: TermSpec = TermSpec::on_catalog(
    Effect::Read,
    TermType::GetWriteHook,
    "GET_WRITE_HOOK",
    Chapter::WritingData,
    Arity::exactly(1),
    get_write_hook,
);

fn set_write_hook(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
    let hook = given_hook(args)?;
    if table.is_system() {
        let message =
            "Database `rethinkdb` is special; you can't set a write hook on the tables in it.";
        return Err(Error::op_failed(message));
    }
    let removes = hook.is_none();
    let catalog = &args.env.context.catalog;
    let changed = catalog.set_write_hook(table.table.id(), hook).map_err(|error| match error {
        CatalogError::TableGone => table.gone(),
        error => catalog_error(error),
    })?;
    args.env.note_commit(changed.commit);
    let outcome = match (changed.value.write_hook.is_some(), removes) {
        (_, true) => "deleted",
        (true, false) => "replaced",
        (false, false) => "created",
    };
    args.value(Datum::object([(outcome, Datum::Number(1.0))]))
}

fn given_hook(args: &Args<'_>) -> Result<Option<WriteHook>> {
    let val = args.arg(1)?;
    let hook = match &val.kind {
        ValKind::Datum(Datum::Null) => return Ok(None),
        ValKind::Datum(Datum::Binary(bytes)) => return shown_before(bytes).map(Some),
        _ => val.into_func(Shortcut::None, args.env)?,
    };
    if !hook.varies().is_fixed() {
        let message =
            "Could not prove function deterministic.  Write hook functions must be deterministic.";
        return Err(Error::logic(message).at(hook.at));
    }
    if hook.arity().is_some_and(|arity| arity != 3) {
        return Err(Error::logic("Write hook functions must expect 3 arguments."));
    }
    let (function, query) = print::stored_form(&hook)
        .ok_or_else(|| Error::logic("A write hook function cannot be a script."))?;
    Ok(Some(WriteHook { function, query }))
}

fn shown_before(bytes: &[u8]) -> Result<WriteHook> {
    let is_hook = |hook: &WriteHook| {
        StoredFunction::compile(&hook.function)
            .is_ok_and(|function| function.is_deterministic() && function.arity() == 3)
    };
    write_hook::parse(bytes).filter(is_hook).ok_or_else(|| {
        Error::logic(
            "Cannot create a write hook except from a reql_write_hook_function returned from `get_write_hook`.",
        )
    })
}

fn get_write_hook(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
    args.value(write_hook::describe(table.entry.write_hook.as_deref()))
}

/// The hook of a table, ready to be called.
pub struct Hook {
    func: Func,
    primary_key: Arc<str>,
    now: Datum,
}

impl Hook {
    /// That of the table, if it has one.
    pub fn of(args: &Args<'_>, table: &TableRef) -> Result<Option<Hook>> {
        let Some(hook) = &table.entry.write_hook else { return Ok(None) };
        let function = StoredFunction::compile(&hook.function)
            .map_err(|problem| Error::internal(format!("A damaged write hook: {problem}")))?;
        let primary_key = table.table.primary_key().clone();
        Ok(Some(Hook { func: function.func(), primary_key, now: args.env.program.now().clone() }))
    }

    /// What is to be written instead of `new` where `old` is. The hook belongs to the table: no option of the query reaches
    /// it.
    pub fn apply(&self, env: &Env, old: &Datum, new: Datum) -> Result<Datum> {
        let keyed = if matches!(new, Datum::Null) { old } else { &new };
        let key = keyed.get(&self.primary_key).cloned().unwrap_or(Datum::Null);
        let context = [("primary_key", key), ("timestamp", self.now.clone())];
        let arguments = [Datum::object(context), old.clone(), new];
        let called = env.without_options(|| self.func.call_datum(env, &arguments));
        let written = called.map_err(|error| error.prefixed("Error in write hook: "))?;
        match (&arguments, &written) {
            ([_, _, Datum::Null], Datum::Null) => Ok(written),
            ([_, _, Datum::Null], _) => Err(Error::op_failed(
                "A write hook function must not turn a deletion into a replace/insert.",
            )),
            (_, Datum::Null) => Err(Error::op_failed(
                "A write hook function must not turn a replace/insert into a deletion.",
            )),
            _ => Ok(written),
        }
    }
}
