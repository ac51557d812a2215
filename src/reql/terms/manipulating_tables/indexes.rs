//! `indexCreate`, `indexDrop`, `indexList`, `indexRename`, `indexStatus`, `indexWait`.

use std::collections::BTreeSet;
use std::sync::Arc;

use photondb_protocol::numbers::TermType;
use serde::{Deserialize, Serialize};

use crate::catalog::{CatalogError, IndexDefinition, IndexEntry};
use crate::datum::Datum;
use crate::limits::INDEX_WAIT_POLL;
use crate::reql::catalog_errors::catalog_error;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::function::Shortcut;
use crate::reql::index_function::{field_function, is_index_function};
use crate::reql::print;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::table_ref::TableRef;
use crate::reql::value::{Val, ValKind};
use crate::turns;

pub static INDEX_CREATE: TermSpec = TermSpec {
    options: &["multi", "geo"],
    ..TermSpec::on_tables(
        Effect::Meta,
        TermType::IndexCreate,
        "INDEX_CREATE",
        Chapter::ManipulatingTables,
        Arity::between(2, 3),
        index_create,
    )
};
pub static INDEX_DROP: TermSpec = TermSpec::on_tables(
    Effect::Meta,
    TermType::IndexDrop,
    "INDEX_DROP",
    Chapter::ManipulatingTables,
    Arity::exactly(2),
    index_drop,
);
pub static INDEX_LIST: TermSpec = TermSpec::on_tables(
    Effect::Read,
    TermType::IndexList,
    "INDEX_LIST",
    Chapter::ManipulatingTables,
    Arity::exactly(1),
    index_list,
);
pub static INDEX_RENAME: TermSpec = TermSpec {
    options: &["overwrite"],
    ..TermSpec::on_tables(
        Effect::Meta,
        TermType::IndexRename,
        "INDEX_RENAME",
        Chapter::ManipulatingTables,
        Arity::exactly(3),
        index_rename,
    )
};
pub static INDEX_STATUS: TermSpec = TermSpec::on_tables(
    Effect::Read,
    TermType::IndexStatus,
    "INDEX_STATUS",
    Chapter::ManipulatingTables,
    Arity::at_least(1),
    index_status,
);
pub static INDEX_WAIT: TermSpec = TermSpec::on_tables(
    Effect::Read,
    TermType::IndexWait,
    "INDEX_WAIT",
    Chapter::ManipulatingTables,
    Arity::at_least(1),
    index_wait,
);

fn index_create(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
    let name = args.str(1)?;
    if table.is_system() {
        return Err(Error::op_failed(
            "Database `rethinkdb` is special; you can't create secondary indexes on the tables in it.",
        ));
    }
    check_name(&table, &name)?;
    let mut definition = match args.len() {
        2 => plain(field_function(&name)),
        _ => given_definition(args)?,
    };
    definition.multi = flag(args, "multi", definition.multi)?;
    definition.geo = flag(args, "geo", definition.geo)?;
    let catalog = &args.env.context.catalog;
    let created = catalog
        .create_index(table.table.id(), &name, &definition)
        .map_err(|error| index_error(&table, error))?;
    args.env.note_commit(created.commit);
    args.value(Datum::object([("created", Datum::Number(1.0))]))
}

fn plain((function, query): (String, String)) -> IndexDefinition {
    IndexDefinition { function, query, multi: false, geo: false }
}

/// By a function, or by what `index_status` shows of an index.
fn given_definition(args: &Args<'_>) -> Result<IndexDefinition> {
    let val = args.arg(2)?;
    if let ValKind::Datum(Datum::Binary(bytes)) = &val.kind {
        return shown_before(bytes).map_err(|error| error.at(val.at));
    }
    let func = val.into_func(Shortcut::None, args.env)?;
    if !func.varies().is_fixed() {
        let message =
            "Could not prove function deterministic.  Index functions must be deterministic.";
        return Err(Error::logic(message).at(func.at));
    }
    let stored = print::stored_form(&func);
    stored.map(plain).ok_or_else(|| Error::logic("An index function cannot be a script."))
}

fn flag(args: &Args<'_>, name: &'static str, default: bool) -> Result<bool> {
    args.optarg(name)?.map_or(Ok(default), |val| val.truthy(args.env))
}

fn check_name(table: &TableRef, name: &str) -> Result<()> {
    if *name == **table.table.primary_key() {
        return Err(Error::logic(format!(
            "Index name conflict: `{name}` is the name of the primary key."
        )));
    }
    Ok(())
}

fn index_error(table: &TableRef, error: CatalogError) -> Error {
    match error {
        CatalogError::TableGone => table.gone(),
        error => catalog_error(error),
    }
}

fn index_drop(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
    let name = args.str(1)?;
    let catalog = &args.env.context.catalog;
    let dropped =
        catalog.drop_index(table.table.id(), &name).map_err(|error| index_error(&table, error))?;
    args.env.note_commit(dropped.commit);
    args.value(Datum::object([("dropped", Datum::Number(1.0))]))
}

fn index_list(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
    let names = table.entry.indexes.keys().map(|name| name.as_str().into());
    args.value(Datum::array(names.collect()))
}

fn index_rename(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
    let (old, new) = (args.str(1)?, args.str(2)?);
    check_name(&table, &old)?;
    check_name(&table, &new)?;
    let overwrite = flag(args, "overwrite", false)?;
    let catalog = &args.env.context.catalog;
    let renamed = catalog
        .rename_index(table.table.id(), &old, &new, overwrite)
        .map_err(|error| index_error(&table, error))?;
    args.env.note_commit(renamed.commit);
    let count = if old == new { 0.0 } else { 1.0 };
    args.value(Datum::object([("renamed", Datum::Number(count))]))
}

/// The state of the indexes named, or of all.
fn index_status(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
    let found = named(&names(args)?, &table)?;
    args.value(Datum::array(found.iter().map(|(name, entry)| status(name, entry)).collect()))
}

/// The same, once they are all complete. Of the indexes that it was not told by name, one that is dropped meanwhile is not
/// waited for.
fn index_wait(args: &Args<'_>) -> Result<Val> {
    let mut table = args.arg(0)?.into_table(args.env)?;
    let names = names(args)?;
    loop {
        let found = named(&names, &table)?;
        if found.iter().all(|(_, entry)| entry.index.is_ready()) {
            let states = found.iter().map(|(name, entry)| status(name, entry));
            return args.value(Datum::array(states.collect()));
        }
        if !args.env.may_wait() {
            let message = "An index is being built.";
            return Err(Error::new(ErrorKind::NotResident, message));
        }
        args.env.check_interrupt_now()?;
        let _pause = turns::pause();
        std::thread::sleep(INDEX_WAIT_POLL);
        let state = args.env.context.catalog.state();
        let entry = state.table_by_id(table.table.id()).ok_or_else(|| table.gone())?;
        table = TableRef::new(entry, &table.db);
    }
}

fn names(args: &Args<'_>) -> Result<BTreeSet<Arc<str>>> {
    (1..args.len()).map(|i| args.str(i)).collect()
}

/// The indexes of these names, or all.
fn named(names: &BTreeSet<Arc<str>>, table: &TableRef) -> Result<Vec<(String, IndexEntry)>> {
    let all = &table.entry.indexes;
    if names.is_empty() {
        return Ok(all.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect());
    }
    let find = |name: &Arc<str>| match all.get(&**name) {
        Some(entry) => Ok((name.to_string(), entry.clone())),
        None => Err(table.index_not_found(name)),
    };
    names.iter().map(find).collect()
}

fn status(name: &str, entry: &IndexEntry) -> Datum {
    let definition = &entry.definition;
    let mut options = Vec::new();
    if definition.multi {
        options.push("multi: true");
    }
    if definition.geo {
        options.push("geo: true");
    }
    let options = match options.is_empty() {
        true => String::new(),
        false => format!(", {{{}}}", options.join(", ")),
    };
    let query = format!("indexCreate('{name}', {}{options})", definition.query);
    let mut fields = vec![
        ("function", Datum::Binary(shown_function(definition).into())),
        ("geo", Datum::Bool(definition.geo)),
        ("index", name.into()),
        ("multi", Datum::Bool(definition.multi)),
        ("outdated", Datum::Bool(false)),
        ("query", query.into()),
        ("ready", Datum::Bool(entry.index.is_ready())),
    ];
    if !entry.index.is_ready() {
        fields.push(("progress", Datum::Number(entry.index.progress())));
        // RethinkDB has no such field: there, nothing but a stop ends a building.
        fields.extend(entry.index.problem().map(|problem| ("error", Datum::string(&problem))));
    }
    Datum::object(fields)
}

/// What stands before a function where `index_status` shows it.
const FUNCTION_MAGIC: &[u8] = b"$reql_index_function$";

#[derive(Serialize, Deserialize)]
struct ShownFunction {
    function: String,
    query: String,
    #[serde(default)]
    multi: bool,
    #[serde(default)]
    geo: bool,
}

fn shown_function(definition: &IndexDefinition) -> Vec<u8> {
    let shown = Datum::object([
        ("function", definition.function.as_str().into()),
        ("geo", Datum::Bool(definition.geo)),
        ("multi", Datum::Bool(definition.multi)),
        ("query", definition.query.as_str().into()),
    ]);
    [FUNCTION_MAGIC, shown.to_json().as_bytes()].concat()
}

/// An index as it was shown: tools that restore a table hand back nothing else of it.
fn shown_before(bytes: &[u8]) -> Result<IndexDefinition> {
    let read = || {
        let shown = bytes.strip_prefix(FUNCTION_MAGIC)?;
        let shown: ShownFunction = serde_json::from_slice(shown).ok()?;
        let ShownFunction { function, query, multi, geo } = shown;
        is_index_function(&function).then_some(IndexDefinition { function, query, multi, geo })
    };
    read().ok_or_else(|| {
        Error::logic(
            "Cannot create an index except from a reql_index_function returned from `index_status` in the field \
             `function`.",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Outcome, Server};

    const TABLE: &str = r#"[15,[[14,["test"]],"t"]]"#;

    fn with_documents(count: u32) -> Server {
        let server = Server::new();
        server.succeed(r#"[60,[[14,["test"]],"t"]]"#);
        let rows =
            format!(r#"[38,[[173,[{count}]],[69,[[2,[1]],{{"id":[10,[1]],"a":[2,[1]]}}]]]]"#);
        server.succeed(&format!("[56,[{TABLE},{rows}]]"));
        server
    }

    #[test]
    fn a_wait_ends_with_its_table_and_its_index() {
        for (drop, gone) in [
            (r#"[61,[[14,["test"]],"t"]]"#.to_owned(), "Table `test.t` does not exist."),
            (format!(r#"[76,[{TABLE},"a"]]"#), "Index `a` was not found on table `test.t`."),
        ] {
            let server = with_documents(20_000);
            server.succeed(&format!(r#"[75,[{TABLE},"a"]]"#));
            thread::scope(|scope| {
                let waiting =
                    scope.spawn(|| server.run_with(&format!(r#"[140,[{TABLE},"a"]]"#), "{}"));
                server.succeed(&drop);
                match waiting.join().unwrap() {
                    Outcome::Error(ErrorKind::OpFailed, text, _) => assert_eq!(text, gone),
                    // It was built before that.
                    Outcome::Value(states) => assert_eq!(states[0]["ready"], true),
                    other => panic!("{other:?}"),
                }
            });
        }
    }

    #[test]
    fn what_is_shown_of_an_index_makes_one_of_the_same_kind() {
        let server = with_documents(3);
        server.succeed(&format!(r#"[75,[{TABLE},"a"],{{"multi":true}}]"#));
        let shown = format!(r#"[31,[[45,[[139,[{TABLE},"a"]],0]],"function"]]"#);
        server.succeed(&format!(r#"[75,[{TABLE},"b",{shown}]]"#));
        server.succeed(&format!(r#"[75,[{TABLE},"c",{shown}],{{"multi":false,"geo":true}}]"#));
        let kinds = format!(r#"[33,[[140,[{TABLE},"b","c"]],"multi","geo"]]"#);
        server.check(&kinds, r#"[{"multi":true,"geo":false},{"multi":false,"geo":true}]"#);
        server.check(&format!(r#"[43,[[78,[{TABLE},1],{{"index":"b"}}]]]"#), "3");
    }
}
