//! Functions and queries as text: for people, and as terms that can be kept. Knows compiled trees and function values; must
//! not know how they are evaluated.

pub(super) mod javascript;
mod term;
mod text;
pub(super) mod write_hook;

use super::function::{Func, FuncKind};

/// A function as RethinkDB shows it to people.
pub(super) fn source(func: &Func) -> String {
    match func.kind() {
        FuncKind::Reql { node, captured } => text::function_source(node, captured.as_deref()),
        FuncKind::Constant(datum) => {
            format!("function (captures = [(no implicit)]) (args = []) {}", datum.to_json())
        }
        FuncKind::GetField(datum) | FuncKind::Pluck(datum) => {
            format!("function (captures = [(no implicit)]) (args = [row]) {}", datum.to_json())
        }
        FuncKind::Native(native) => native.source(),
    }
}

/// A function as a term that can be kept, and as JavaScript for people; `None` for one that is no term.
pub(super) fn stored_form(func: &Func) -> Option<(String, String)> {
    match func.kind() {
        FuncKind::Reql { node, captured } => {
            let term = term::function_term(node, captured.as_deref());
            Some((term, javascript::function(node)))
        }
        FuncKind::Constant(_)
        | FuncKind::GetField(_)
        | FuncKind::Pluck(_)
        | FuncKind::Native(_) => None,
    }
}
