//! Control structures.

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[];
