//! Math and logic.

mod arithmetic;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] =
    &[&arithmetic::ADD, &arithmetic::SUB, &arithmetic::MUL, &arithmetic::DIV];
