//! `min` and `max`: the element itself that is least or greatest, by its value or by a field, function or index. Of
//! equals the first.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::function::{Func, Shortcut};
use crate::reql::grouped::{Accumulator, aggregate};
use crate::reql::selection::{SingleSelection, TableVal};
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::stream::BatchSpec;
use crate::reql::terms::transformations::ordered_by_index;
use crate::reql::value::{Val, ValKind};

use super::taken;

pub static MIN: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    options: &["index"],
    ..TermSpec::pure(TermType::Min, "MIN", Chapter::Aggregation, Arity::between(1, 2), |args| {
        extreme(args, Which::Min)
    })
};

pub static MAX: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    options: &["index"],
    ..TermSpec::pure(TermType::Max, "MAX", Chapter::Aggregation, Arity::between(1, 2), |args| {
        extreme(args, Which::Max)
    })
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Min,
    Max,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Which::Min => "min",
            Which::Max => "max",
        }
    }

    fn better(self, value: &Datum, than: &Datum) -> bool {
        match self {
            Which::Min => value < than,
            Which::Max => value > than,
        }
    }
}

fn extreme(args: &Args<'_>, which: Which) -> Result<Val> {
    let first = args.arg(0)?;
    let index = args.optarg("index")?;
    let func = if args.len() == 2 { Some(args.func(1, Shortcut::GetField)?) } else { None };
    match (&func, index, first.kind) {
        (None, Some(index), kind) => {
            let table = TableVal::whole(Val::new(kind, first.at).into_table(args.env)?, first.at);
            let index = index.str(args.env)?;
            end_of_index(args, which, table, &index)
        }
        (None, None, ValKind::Table(table)) if !table.is_slice() => {
            let key = table.table.table.primary_key().clone();
            end_of_index(args, which, table, &key)
        }
        (Some(_), Some(_), _) => {
            let name = which.name();
            let message = format!("Cannot provide both a function and an index to {name}.");
            Err(Error::logic(message))
        }
        (_, None, kind) => aggregate(args, Val::new(kind, first.at), &|| {
            Box::new(Best { which, func: func.clone(), best: None })
        }),
    }
}

/// The first or last document in the order of an index, without reading any other.
fn end_of_index(args: &Args<'_>, which: Which, table: TableVal, index: &Arc<str>) -> Result<Val> {
    let ordered = ordered_by_index(table, index, which == Which::Max)?;
    let mut selection = ordered.into_selection(args.env)?;
    let rows = selection.stream.next_batch(args.env, &BatchSpec::TERMINAL.at_most(1))?;
    let document = rows.into_iter().next().ok_or_else(|| {
        let name = which.name();
        Error::logic(format!("`{name}` found no entries in the specified index."))
    })?;
    let found = SingleSelection::of_document(selection.table, document)?;
    args.val(ValKind::SingleSelection(found))
}

struct Best {
    which: Which,
    func: Option<Func>,
    /// The best value so far, and the row that has it.
    best: Option<(Datum, Datum)>,
}

impl Accumulator for Best {
    fn lets_go(&self) -> bool {
        true
    }

    fn add(&mut self, env: &Env, row: Datum) -> Result<bool> {
        let Some(value) = taken(env, self.func.as_ref(), &row)? else { return Ok(false) };
        if self.best.as_ref().is_none_or(|(best, _)| self.which.better(&value, best)) {
            self.best = Some((value.detached(), row.detached()));
        }
        Ok(true)
    }

    fn finish(self: Box<Self>, _env: &Env) -> Result<Datum> {
        let name = self.which.name();
        self.best.map(|(_, row)| row).ok_or_else(|| {
            Error::non_existence(format!(
                "Cannot take the {name} of an empty stream.  (If you passed `{name}` a field name, it may be that no \
                 elements of the stream had that field.)"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn the_element_itself_is_the_answer() {
        check("[147,[[2,[3,1,2]]]]", "1");
        check("[148,[[2,[{\"a\":1},{\"b\":9},{\"a\":2}]],\"a\"]]", "{\"a\":2}");
        check("[148,[[173,[5]],[69,[[2,[1]],[27,[[10,[1]],2]]]]]]", "4");
        check_error(
            "[147,[[2,[]]]]",
            ErrorKind::NonExistence,
            "Cannot take the min of an empty stream.  (If you passed `min` a field name, it may be that no elements of \
             the stream had that field.)",
            "[]",
        );
    }
}
