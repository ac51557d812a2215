//! `contains`: whether a sequence has all of some values, and elements for all of some functions.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::limits;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::function::{Func, Shortcut};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{BatchSpec, next_rows};
use crate::reql::terms::selecting_data::Predicate;
use crate::reql::value::{Val, ValKind};

pub static CONTAINS: TermSpec = TermSpec {
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::Contains,
        "CONTAINS",
        Chapter::Aggregation,
        Arity::at_least(1),
        contains,
    )
};

fn contains(args: &Args<'_>) -> Result<Val> {
    let mut stream = args.stream(0)?;
    let mut values = Vec::new();
    let mut functions: Vec<Func> = Vec::new();
    for i in 1..args.len() {
        let val = args.arg(i)?;
        match val.kind {
            ValKind::Func(func) => functions.push(func),
            _ => values.push(val.into_datum(args.env)?),
        }
    }
    let mut missing = Missing::of(values);
    // The stream may be endless: what has been found ends it.
    let mut batch = BatchSpec::PASSING.at_most(limits::TRANSFORM_FIRST_ROWS);
    while !stream.is_exhausted() {
        for row in next_rows(stream.as_mut(), args.env, &batch)? {
            // An element stands for one value and one function at most.
            missing.remove(&row);
            for i in 0..functions.len() {
                let satisfied = functions
                    .get(i)
                    .map(|func| func.call_bool(args.env, std::slice::from_ref(&row)))
                    .transpose()?;
                if satisfied == Some(true) {
                    functions.remove(i);
                    break;
                }
            }
            if missing.is_empty() && functions.is_empty() {
                return args.value(true);
            }
        }
        batch = BatchSpec::PASSING.at_most(batch.max_rows.saturating_mul(2));
    }
    args.value(false)
}

/// Values that no element has been found for yet, each as often as it is asked for.
struct Missing {
    /// In order, each once, with how often it is missing.
    values: Vec<(Datum, usize)>,
    count: usize,
}

impl Missing {
    fn of(mut all: Vec<Datum>) -> Missing {
        let count = all.len();
        all.sort_unstable();
        let mut values: Vec<(Datum, usize)> = Vec::with_capacity(count);
        for value in all {
            match values.last_mut() {
                Some((last, times)) if *last == value => *times += 1,
                _ => values.push((value, 1)),
            }
        }
        Missing { values, count }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// An element has come.
    fn remove(&mut self, element: &Datum) {
        let found = match self.values.as_mut_slice() {
            // Documents are told apart in their stored form.
            [only] => (only.0 == *element).then_some(only),
            values => {
                let at = values.binary_search_by(|(value, _)| value.cmp(element)).ok();
                at.and_then(|at| values.get_mut(at))
            }
        };
        if let Some((_, times)) = found.filter(|(_, times)| *times > 0) {
            *times -= 1;
            self.count -= 1;
        }
    }
}

/// Elements that `count` and `offsetsOf` look for. Cloning shares it.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Those that equal a value.
    Equal(Datum),
    /// Those that satisfy a function.
    Matching(Arc<Predicate>),
}

impl Wanted {
    /// What an argument asks for.
    pub fn of(val: Val, env: &Env) -> Result<Wanted> {
        match val.kind {
            ValKind::Func(_) => {
                let func = val.into_func(Shortcut::None, env)?;
                Ok(Wanted::Matching(Arc::new(Predicate::new(func))))
            }
            _ => Ok(Wanted::Equal(val.into_datum(env)?)),
        }
    }

    /// Whether an element is one of them.
    pub fn matches(&self, env: &Env, row: &Datum) -> Result<bool> {
        match self {
            Wanted::Equal(value) => Ok(value == row),
            Wanted::Matching(predicate) => predicate.matches(env, row),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::check;

    #[test]
    fn every_value_and_function_needs_an_element() {
        check("[93,[[2,[1,2]],2,1]]", "true");
        check("[93,[[2,[1,2]],1,1]]", "false");
        check("[93,[[2,[1,2]],[69,[[2,[1]],[21,[[10,[1]],1]]]],1]]", "true");
        check("[93,[[173,[]],5000]]", "true");
        check("[93,[[2,[]],1]]", "false");
        check("[93,[[2,[3,1,2,\"a\",1,null]],1,null,\"a\",1]]", "true");
        check("[93,[[2,[3,1,2,\"a\",1,null]],1,null,\"a\",1,1]]", "false");
    }

    #[test]
    fn many_values_are_looked_for_in_many_elements() {
        let all = "[38,[[173,[60000]],[69,[[2,[1]],[26,[[10,[1]],7]]]]]]";
        let values = format!("[154,[[51,[{all},\"ARRAY\"]]]]");
        let began = std::time::Instant::now();
        check(&format!("[93,[{all},{values}]]"), "true");
        check(&format!("[93,[{all},{values},0]]"), "false");
        assert!(began.elapsed().as_secs() < 10, "took {:?}", began.elapsed());
    }
}
