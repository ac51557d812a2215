//! Manipulating tables.

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[];
