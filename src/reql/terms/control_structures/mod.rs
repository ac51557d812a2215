//! Control structures.

mod binary;
mod branch;
mod coerce_to;
mod default;
mod error;
mod for_each;
mod funcall;
mod http;
mod info;
mod js;
mod json;
mod range;
mod type_of;
mod uuid;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[
    &binary::BINARY,
    &branch::BRANCH,
    &coerce_to::COERCE_TO,
    &info::INFO,
    &json::JSON,
    &json::TO_JSON_STRING,
    &type_of::TYPE_OF,
    &default::DEFAULT,
    &error::ERROR,
    &for_each::FOR_EACH,
    &funcall::FUNCALL,
    &http::HTTP,
    &js::JAVASCRIPT,
    &range::RANGE,
    &uuid::UUID,
];
