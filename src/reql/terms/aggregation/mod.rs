//! Aggregation.

mod count;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[&count::COUNT];
