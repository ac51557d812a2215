//! Control structures.

mod js;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[&js::JAVASCRIPT];
