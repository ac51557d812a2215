//! Dates and times.

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[];
