//! Writing data.
//!
//! `insert`, `update`, `replace` and `delete` differ in what they make of a document. What they share is here: how a
//! document is replaced under its lock (`apply.rs`), which replacement is legal (`replacement.rs`), the options
//! (`options.rs`) and the counts of the answer (`summary.rs`).

mod apply;
mod delete;
mod insert;
mod options;
mod replace;
mod replacement;
mod summary;
mod sync;
#[cfg(test)]
mod tests;
mod update;
#[cfg(test)]
mod update_tests;
mod write_hooks;

mod write_totals;

pub(super) use write_totals::WriteTotals;

use crate::reql::spec::TermSpec;

pub use options::durability_of;

pub static ROWS: &[&TermSpec] = &[
    &delete::DELETE,
    &insert::INSERT,
    &replace::REPLACE,
    &sync::SYNC,
    &update::UPDATE,
    &write_hooks::GET_WRITE_HOOK,
    &write_hooks::SET_WRITE_HOOK,
];
