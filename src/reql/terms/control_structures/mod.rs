//! Control structures.

mod branch;
mod default;
mod error;
mod for_each;
mod funcall;
mod js;
mod range;
mod uuid;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[
    &branch::BRANCH,
    &default::DEFAULT,
    &error::ERROR,
    &for_each::FOR_EACH,
    &funcall::FUNCALL,
    &js::JAVASCRIPT,
    &range::RANGE,
    &uuid::UUID,
];
