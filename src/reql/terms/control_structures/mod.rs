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

use crate::datum::Datum;
use crate::limits::JSON_BYTES;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
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

/// A value as JSON text.
fn json_text(env: &Env, value: &Datum) -> Result<Datum> {
    let size = value.approximate_size();
    env.reserve(size)?;
    if size <= JSON_BYTES {
        value.check_json()?;
        let text = value.to_json();
        if text.len() <= JSON_BYTES {
            return Ok(Datum::from(text));
        }
    }
    Err(Error::resource_limit(format!("The value is longer than {JSON_BYTES} bytes as JSON.")))
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::check_error;

    #[test]
    fn a_value_that_holds_itself_many_times_is_not_written_out() {
        let doubled = "[187,[[173,[31]],[2,[1]],[69,[[2,[1,2]],[2,[[10,[1]],[10,[1]]]]]]]]";
        let message = "The value is longer than 1073741824 bytes as JSON.";
        check_error(&format!("[172,[{doubled}]]"), ErrorKind::ResourceLimit, message, "[]");
        check_error(
            &format!("[51,[{doubled},\"string\"]]"),
            ErrorKind::ResourceLimit,
            message,
            "[]",
        );
    }
}
