//! `range`: a stream of integers.

use photondb_protocol::numbers::TermType;

use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::RangeStream;
use crate::reql::value::Val;

pub static RANGE: TermSpec = TermSpec::pure(
    TermType::Range,
    "RANGE",
    Chapter::ControlStructures,
    Arity::between(0, 2),
    range,
);

fn range(args: &Args<'_>) -> Result<Val> {
    let (start, end) = match args.len() {
        0 => (0, None),
        1 => (0, Some(args.integer(0)?)),
        _ => (args.integer(0)?, Some(args.integer(1)?)),
    };
    args.stream_value(Box::new(RangeStream::new(start, end)))
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn ranges_end_before_their_end_or_never() {
        check("[173,[3]]", "[0,1,2]");
        check("[173,[-1,2]]", "[-1,0,1]");
        check("[173,[2,1]]", "[]");
        check("[71,[[173,[]],2]]", "[0,1]");
        check("[43,[[173,[1000000000000]]]]", "1000000000000");
        check_error(
            "[43,[[173,[]]]]",
            ErrorKind::Logic,
            "Cannot use an infinite stream with an aggregation function (`reduce`, `count`, etc.) or coerce it to an \
             array.",
            "[0]",
        );
    }
}
