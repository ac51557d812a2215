//! `count`: how many elements, or how many that equal a value or satisfy a function.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::grouped::{Accumulator, aggregate};
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::stream::{BatchSpec, for_each_batch};
use crate::reql::value::{Val, ValKind};

use super::Wanted;

pub static COUNT: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    ..TermSpec::pure(TermType::Count, "COUNT", Chapter::Aggregation, Arity::between(1, 2), count)
};

fn count(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    if args.len() == 2 {
        let wanted = Wanted::of(args.arg(1)?, args.env)?;
        let counted = aggregate(args, first, &|| {
            Box::new(Counter { rows: 0, wanted: Some(wanted.clone()) })
        })?;
        // What is counted is what this term has filtered.
        return args.val(counted.kind);
    }
    if let Some(size) = size(&first, args.env)? {
        return args.number_value(size as f64);
    }
    if matches!(first.kind, ValKind::GroupedStream(_)) {
        return aggregate(args, first, &|| Box::new(Counter { rows: 0, wanted: None }));
    }
    // The number counts as what was counted: its term is blamed for a wrong type.
    let at = first.at;
    let mut stream = first.into_finite_stream(args.env)?;
    if let Some(rows) = stream.remaining(args.env)? {
        return Ok(Val::datum(Datum::Number(rows as f64), at));
    }
    let mut rows = 0;
    for_each_batch(stream, args.env, &BatchSpec::PASSING, |batch| {
        rows += batch.len() as u64;
        Ok(())
    })?;
    Ok(Val::datum(Datum::Number(rows as f64), at))
}

/// Strings count characters, binaries bytes, objects and documents fields.
fn size(val: &Val, env: &Env) -> Result<Option<usize>> {
    Ok(match &val.kind {
        ValKind::Datum(datum) => size_of_value(datum),
        ValKind::SingleSelection(single) => size_of_value(&single.read(env)?),
        _ => None,
    })
}

fn size_of_value(datum: &Datum) -> Option<usize> {
    match datum {
        Datum::String(text) => Some(text.chars().count()),
        Datum::Binary(bytes) => Some(bytes.len()),
        Datum::Object(object) => Some(object.len()),
        _ => None,
    }
}

struct Counter {
    rows: u64,
    wanted: Option<Wanted>,
}

impl Accumulator for Counter {
    fn lets_go(&self) -> bool {
        true
    }

    fn add(&mut self, env: &Env, row: Datum) -> Result<bool> {
        let counts = match &self.wanted {
            Some(wanted) => wanted.matches(env, &row)?,
            None => true,
        };
        self.rows += u64::from(counts);
        Ok(counts)
    }

    fn finish(self: Box<Self>, _env: &Env) -> Result<Datum> {
        Ok(Datum::Number(self.rows as f64))
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::check;

    #[test]
    fn counts_elements_characters_bytes_and_fields() {
        check("[43,[[2,[1,2,1]]]]", "3");
        check("[43,[[2,[1,2,1]],1]]", "2");
        check("[43,[[173,[10]],[69,[[2,[1]],[21,[[10,[1]],6]]]]]]", "3");
        check("[43,[\"\u{e9}x\"]]", "2");
        check("[43,[{\"a\":1,\"b\":2}]]", "2");
    }
}
