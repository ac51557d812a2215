//! Document manipulation.

mod append;
mod bracket;
mod difference;
mod each_row;
mod fields;
mod get_field;
mod merge;
mod object;
mod positions;
mod sets;

use crate::reql::spec::TermSpec;

pub(super) use each_row::{OPTIONS, RowTerm};
pub(super) use fields::{having_fields, plucked};

pub static ROWS: &[&TermSpec] = &[
    &append::APPEND,
    &append::PREPEND,
    &bracket::BRACKET,
    &difference::DIFFERENCE,
    &fields::HAS_FIELDS,
    &fields::PLUCK,
    &fields::WITHOUT,
    &get_field::GET_FIELD,
    &merge::LITERAL_TERM,
    &merge::MERGE,
    &object::KEYS,
    &object::OBJECT,
    &object::VALUES,
    &positions::CHANGE_AT,
    &positions::DELETE_AT,
    &positions::INSERT_AT,
    &positions::SPLICE_AT,
    &sets::SET_DIFFERENCE,
    &sets::SET_INSERT,
    &sets::SET_INTERSECTION,
    &sets::SET_UNION,
];
