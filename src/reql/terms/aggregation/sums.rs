//! `sum` and `avg`, of the elements or of what a field or function gives of them. Elements without it do not count.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::function::{Func, Shortcut};
use crate::reql::grouped::{Accumulator, aggregate};
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::value::Val;

use super::{present, taken};

pub static SUM: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    options: &["index"],
    ..TermSpec::pure(TermType::Sum, "SUM", Chapter::Aggregation, Arity::between(1, 2), sum)
};

pub static AVG: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    options: &["index"],
    ..TermSpec::pure(TermType::Avg, "AVG", Chapter::Aggregation, Arity::between(1, 2), avg)
};

fn sum(args: &Args<'_>) -> Result<Val> {
    total(args, "sum", |total| Ok(Datum::number(total.sum)?))
}

fn avg(args: &Args<'_>) -> Result<Val> {
    total(args, "avg", |total| {
        if total.count == 0 {
            return Err(Error::non_existence(
                "Cannot take the average of an empty stream.  (If you passed `avg` a field name, it may be that no \
                 elements of the stream had that field.)",
            ));
        }
        Ok(Datum::number(total.sum / total.count as f64)?)
    })
}

fn total(args: &Args<'_>, name: &str, finish: fn(&Total) -> Result<Datum>) -> Result<Val> {
    let first = args.arg(0)?;
    let index = args.optarg("index")?;
    let func = if args.len() == 2 { Some(args.func(1, Shortcut::GetField)?) } else { None };
    if index.is_some() {
        return Err(Error::logic(match func {
            Some(_) => format!("Cannot provide both a function and an index to {name}."),
            None => format!("Cannot call {name} on an index."),
        }));
    }
    aggregate(args, first, &|| Box::new(Total { sum: 0.0, count: 0, func: func.clone(), finish }))
}

struct Total {
    sum: f64,
    count: u64,
    func: Option<Func>,
    finish: fn(&Total) -> Result<Datum>,
}

impl Accumulator for Total {
    fn lets_go(&self) -> bool {
        true
    }

    fn add(&mut self, env: &Env, row: Datum) -> Result<bool> {
        let Some(value) = taken(env, self.func.as_ref(), &row)? else { return Ok(false) };
        let number = value.as_number().map_err(Error::from);
        let Some(number) = present(number)? else { return Ok(false) };
        self.sum += number;
        self.count += 1;
        Ok(true)
    }

    fn finish(self: Box<Self>, _env: &Env) -> Result<Datum> {
        (self.finish)(&self)
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn rows_without_a_number_to_take_are_passed_over() {
        let rows = r#"[2,[{"a":1},{"b":5},{"a":2}]]"#;
        check(&format!("[145,[{rows},\"a\"]]"), "3");
        check(&format!("[146,[{rows},\"a\"]]"), "1.5");
        check("[145,[[2,[1,null,2]]]]", "3");
        check("[145,[[2,[]]]]", "0");
        check_error(
            "[146,[[2,[]]]]",
            ErrorKind::NonExistence,
            "Cannot take the average of an empty stream.  (If you passed `avg` a field name, it may be that no elements \
             of the stream had that field.)",
            "[]",
        );
        check_error(
            "[145,[[2,[1,\"a\"]]]]",
            ErrorKind::Logic,
            "Expected type NUMBER but found STRING.",
            "[]",
        );
    }
}
