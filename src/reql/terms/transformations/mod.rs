//! Transformations.

mod map;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[&map::MAP];
