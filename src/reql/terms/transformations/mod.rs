//! Transformations.

mod map;
mod nth;
mod offsets_of;
mod order_by;
mod sample;
mod slice;
mod union;
mod with_fields;

use crate::reql::spec::TermSpec;

pub use nth::element;
pub use order_by::ordered_by_index;

pub static ROWS: &[&TermSpec] = &[
    &map::CONCAT_MAP,
    &map::MAP,
    &nth::IS_EMPTY,
    &nth::NTH,
    &offsets_of::OFFSETS_OF,
    &order_by::ASC,
    &order_by::DESC,
    &order_by::ORDER_BY,
    &sample::SAMPLE,
    &slice::LIMIT,
    &slice::SKIP,
    &slice::SLICE,
    &union::UNION,
    &with_fields::WITH_FIELDS,
];
