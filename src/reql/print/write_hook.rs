//! A write hook as `get_write_hook` and the configuration of its table show it, and back.

use serde::{Deserialize, Serialize};

use crate::catalog::WriteHook;
use crate::datum::Datum;

/// What stands before a function where `get_write_hook` shows it.
const FUNCTION_MAGIC: &[u8] = b"$reql_write_hook_function$";

#[derive(Serialize, Deserialize)]
struct Shown {
    function: String,
    query: String,
}

/// A hook as it is shown, or null.
pub(in crate::reql) fn describe(hook: Option<&WriteHook>) -> Datum {
    let Some(WriteHook { function, query }) = hook else { return Datum::Null };
    let shown =
        Datum::object([("function", function.as_str().into()), ("query", query.as_str().into())]);
    let function = [FUNCTION_MAGIC, shown.to_json().as_bytes()].concat();
    Datum::object([
        ("function", Datum::Binary(function.into())),
        ("query", format!("setWriteHook({query})").into()),
    ])
}

/// The hook that was shown so, if it was; whether its function can be one is not looked at.
pub(in crate::reql) fn parse(shown: &[u8]) -> Option<WriteHook> {
    let Shown { function, query } =
        serde_json::from_slice(shown.strip_prefix(FUNCTION_MAGIC)?).ok()?;
    Some(WriteHook { function, query })
}
