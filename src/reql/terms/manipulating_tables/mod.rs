//! Manipulating tables.

mod change_stream;
#[cfg(test)]
mod change_stream_tests;
mod changes;
mod indexes;
mod initial;
mod tables;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[
    &changes::CHANGES,
    &indexes::INDEX_CREATE,
    &indexes::INDEX_DROP,
    &indexes::INDEX_LIST,
    &indexes::INDEX_RENAME,
    &indexes::INDEX_STATUS,
    &indexes::INDEX_WAIT,
    &tables::TABLE_CREATE,
    &tables::TABLE_DROP,
    &tables::TABLE_LIST,
];
