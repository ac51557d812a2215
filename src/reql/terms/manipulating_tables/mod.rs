//! Manipulating tables.

mod changes;
mod tables;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] =
    &[&changes::CHANGES, &tables::TABLE_CREATE, &tables::TABLE_DROP, &tables::TABLE_LIST];
