//! The options that all writes share: `durability`, `return_changes`, `non_atomic`.

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::selection::TableRef;
use crate::reql::spec::Determinism;
use crate::reql::value::Val;
use crate::storage::Durability;

/// Which changes the answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnChanges {
    /// None: there is no field `changes`.
    No,
    /// Those of documents that changed.
    Changed,
    /// Those of all documents, errors included.
    Always,
}

impl ReturnChanges {
    /// Reads the option.
    pub fn read(args: &Args<'_>) -> Result<ReturnChanges> {
        match args.optarg_datum("return_changes")? {
            None | Some(Datum::Bool(false)) => Ok(ReturnChanges::No),
            Some(Datum::Bool(true)) => Ok(ReturnChanges::Changed),
            Some(Datum::String(text)) if &*text == "always" => Ok(ReturnChanges::Always),
            Some(other) => {
                let shown = match &other {
                    Datum::String(text) => text.to_string(),
                    other => other.print(),
                };
                Err(Error::logic(format!(
                    "Invalid return_changes value `{shown}` (options are `true`, `false`, and `'always'`.)"
                )))
            }
        }
    }
}

/// Reads `durability`; that of the table unless the query or its options say otherwise.
pub fn durability(args: &Args<'_>, table: &TableRef) -> Result<Durability> {
    match args.optarg("durability")? {
        None => Ok(table.entry.config.durability),
        Some(val) => durability_of(args, val),
    }
}

/// Understands a durability by its name.
pub fn durability_of(args: &Args<'_>, val: Val) -> Result<Durability> {
    let at = val.at;
    let text = val.str(args.env)?;
    match &*text {
        "hard" => Ok(Durability::Hard),
        "soft" => Ok(Durability::Soft),
        other => Err(Error::logic(format!(
            "Durability option `{other}` unrecognized (options are \"hard\" and \"soft\")."
        ))
        .at(at)),
    }
}

/// Refuses a change whose outcome may differ from time to time, unless `non_atomic` allows it. Gives whether it may.
pub fn check_determinism(args: &Args<'_>) -> Result<Determinism> {
    // What `r.args` spliced in is a value by now.
    let determinism = args.arg_node(1).map_or(Determinism::Always, |node| node.facts.determinism);
    if determinism < Determinism::No || args.optarg_bool("non_atomic", false)? {
        return Ok(determinism);
    }
    Err(Error::logic(
        "Could not prove argument deterministic.  Maybe you want to use the non_atomic flag?",
    ))
}
