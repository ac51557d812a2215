//! Writing data.

mod write_totals;

pub(super) use write_totals::WriteTotals;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[];
