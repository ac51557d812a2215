//! The options of writes. RethinkDB makes a `replace` of `update` and of `delete`, so those three have the same ones.

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
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
    /// Reads the option. Its name of old is refused, whatever it says.
    pub fn read(args: &Args<'_>) -> Result<ReturnChanges> {
        if args.optarg("return_vals")?.is_some() {
            return Err(Error::logic(
                "Error: encountered obsolete optarg `return_vals`.  Use `return_changes` instead.",
            ));
        }
        match args.optarg_datum("return_changes")? {
            Some(Datum::String(text)) if &*text == "always" => Ok(ReturnChanges::Always),
            Some(Datum::String(text)) => Err(Error::logic(format!(
                "Invalid return_changes value `{text}` (options are `true`, `false`, and `'always'`.)"
            ))),
            Some(other) if other.truthy() => Ok(ReturnChanges::Changed),
            _ => Ok(ReturnChanges::No),
        }
    }
}

/// The options of `replace`, `update` and `delete`.
pub const OPTIONS: &[&str] =
    &["non_atomic", "durability", "return_changes", "return_vals", "ignore_write_hook"];

/// How a write is to be carried out.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// Which changes the answer carries.
    pub return_changes: ReturnChanges,
    /// That of the table, unless the query says otherwise.
    pub durability: Option<Durability>,
    /// Whether the table's write hook is passed over.
    pub ignore_hook: bool,
}

impl WriteOptions {
    /// Reads them, in RethinkDB's order: the first that is wrong is complained of.
    pub fn read(args: &Args<'_>) -> Result<WriteOptions> {
        WriteOptions::with_changes(args, ReturnChanges::read(args)?)
    }

    /// As [`WriteOptions::read`], with `return_changes` read already.
    pub fn with_changes(args: &Args<'_>, return_changes: ReturnChanges) -> Result<WriteOptions> {
        let durability = args.optarg("durability")?.map(|val| durability_of(args, val));
        let durability = durability.transpose()?;
        let ignore_hook = args.optarg_bool("ignore_write_hook", false)?;
        Ok(WriteOptions { return_changes, durability, ignore_hook })
    }
}

/// Reads the options of a write whose documents a function makes, and refuses a function that may make another one on
/// another replica, unless `non_atomic` allows it. Nothing of the function has been evaluated then.
pub fn check_function(args: &Args<'_>) -> Result<WriteOptions> {
    let non_atomic = args.optarg_bool("non_atomic", false)?;
    let options = WriteOptions::read(args)?;
    if non_atomic || args.varies(1).is_fixed_in_query() {
        return Ok(options);
    }
    Err(Error::logic(
        "Could not prove argument deterministic.  Maybe you want to use the non_atomic flag?",
    ))
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
