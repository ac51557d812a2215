//! String manipulation.

mod case;
mod compiled;
mod format;
mod match_term;
mod re2;
mod split;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] =
    &[&case::DOWNCASE, &case::UPCASE, &format::FORMAT, &match_term::MATCH, &split::SPLIT];
