//! Selecting data.

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[];
