//! `count`: how many elements, or how many that equal a value or satisfy a function.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::grouped::{Accumulator, aggregate};
use crate::reql::spec::{Arity, Chapter, Cost, Grouping, TermSpec};
use crate::reql::value::{Val, ValKind};

pub static COUNT: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    ..TermSpec::pure(TermType::Count, "COUNT", Chapter::Aggregation, Arity::between(1, 2), count)
};

fn count(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    // Strings count characters, binaries bytes, objects fields.
    if let ValKind::Datum(datum) = &first.kind {
        let size = match datum {
            Datum::String(text) => Some(text.chars().count()),
            Datum::Binary(bytes) => Some(bytes.len()),
            _ => None,
        };
        if let (Some(size), 1) = (size, args.len()) {
            return args.number_value(size as f64);
        }
    }
    aggregate(args, first, &|| Box::new(Counter { rows: 0 }))
}

struct Counter {
    rows: u64,
}

impl Accumulator for Counter {
    fn add(&mut self, _env: &Env, _row: Datum) -> Result<()> {
        self.rows += 1;
        Ok(())
    }

    fn finish(self: Box<Self>, _env: &Env) -> Result<Datum> {
        Ok(Datum::Number(self.rows as f64))
    }
}
