//! `distinct`: each element once, in order.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::selection::TableVal;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{
    BatchSpec, BoxStream, Gathered, IndexRow, Transform, Transformed, for_each_batch, no_origin,
};
use crate::reql::table_ref::TableIndex;
use crate::reql::terms::transformations::ordered_by_index;
use crate::reql::value::{Val, ValKind};

pub static DISTINCT: TermSpec = TermSpec {
    cost: Cost::Heavy,
    options: &["index"],
    ..TermSpec::pure(
        TermType::Distinct,
        "DISTINCT",
        Chapter::Aggregation,
        Arity::exactly(1),
        distinct,
    )
};

fn distinct(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let index = args.optarg("index")?;
    let first = match first.kind {
        ValKind::Table(table) => {
            let index = index.map(|index| index.str(args.env)).transpose()?;
            if is_in_order(&table, index.as_deref()) {
                return of_table(args, table, index.as_ref());
            }
            if index.is_some() {
                return Err(Error::logic("Can only perform an indexed distinct on a TABLE."));
            }
            Val { kind: ValKind::Table(table), ..first }
        }
        _ if index.is_some() => {
            return Err(Error::logic("Can only perform an indexed distinct on a TABLE."));
        }
        _ => first,
    };
    let mut found = BTreeSet::new();
    for_each_batch(first.into_finite_stream(args.env)?, args.env, &BatchSpec::TERMINAL, |rows| {
        for row in rows {
            found.insert(row);
            args.env.check_array_size(found.len())?;
        }
        Ok(())
    })?;
    args.value(found.into_iter().collect::<Vec<_>>())
}

/// Whether the table can be read in the order of the index that is asked for, or is asked for primary keys, which are
/// different in any order. One that is a range or an order of another index is a stream like any other.
fn is_in_order(table: &TableVal, index: Option<&str>) -> bool {
    let key = table.table.table.primary_key();
    match index {
        Some(index) if *index == **key => true,
        index => table.index.is_none() || *table.index_name() == *index.unwrap_or(key),
    }
}

/// Documents differ by their primary keys, and a table gives them in the keys' order: there is nothing to remember.
fn of_table(args: &Args<'_>, table: TableVal, index: Option<&Arc<str>>) -> Result<Val> {
    let key = table.table.table.primary_key().clone();
    let name = index.unwrap_or(&key);
    let table = match table.order {
        None if table.index.is_none() || table.index_name() == *name => {
            ordered_by_index(table, name, false)?
        }
        _ => table,
    };
    let is_key = *name == key;
    if let (false, Some(TableIndex::Secondary(_))) = (is_key, &table.index) {
        let values = table.into_rows(args.env, IndexRow::Value)?;
        let values = Box::new(Gathered(values));
        let once = Transformed::new(values, Box::new(Once::default()), args.node.id);
        return args.val(ValKind::Sequence(Box::new(once)));
    }
    let documents = Box::new(Gathered(table.into_stream(args.env)?));
    let stream: BoxStream = match index {
        None => documents,
        Some(_) => Box::new(Transformed::new(documents, Box::new(KeyOf { key }), args.node.id)),
    };
    args.val(ValKind::Sequence(stream))
}

/// The first of equal rows that follow each other.
#[derive(Debug, Default)]
struct Once {
    last: Mutex<Option<Datum>>,
}

impl Transform for Once {
    fn feed_problem(&self) -> Option<Error> {
        Some(no_origin(true))
    }

    fn apply(&self, _env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&row) {
            *last = Some(row.clone());
            out.push(row);
        }
        Ok(())
    }
}

/// A document's primary key.
#[derive(Debug)]
struct KeyOf {
    key: Arc<str>,
}

impl Transform for KeyOf {
    fn feed_problem(&self) -> Option<Error> {
        Some(no_origin(true))
    }

    fn apply(&self, _env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        out.push(row.field_or_error(&self.key)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Outcome, Server, check, check_error};

    #[test]
    fn each_element_once_in_order() {
        check("[42,[[2,[3,\"a\",1,3,null,1]]]]", "[null,1,3,\"a\"]");
        check("[24,[[42,[[173,[3]]]],[2,[]]]]", "[0,1,2]");
        check_error(
            "[42,[[2,[1]]],{\"index\":\"a\"}]",
            ErrorKind::Logic,
            "Can only perform an indexed distinct on a TABLE.",
            "[]",
        );
    }

    #[test]
    fn a_range_of_another_index_is_a_stream_like_any_other() {
        let server = Server::new();
        let table = "[15,[[14,[\"test\"]],\"t\"]]";
        server.succeed("[60,[[14,[\"test\"]],\"t\"]]");
        server.succeed(&format!("[75,[{table},\"a\"]]"));
        server.succeed(&format!("[75,[{table},\"b\"]]"));
        server.succeed(&format!("[140,[{table}]]"));
        let rows = "[2,[{\"id\":1,\"a\":2},{\"id\":2,\"a\":1},{\"id\":3,\"a\":2}]]";
        server.succeed(&format!("[56,[{table},{rows}]]"));
        let range = format!("[182,[{table},1,9],{{\"index\":\"a\"}}]");
        server.check(
            &format!("[42,[{range}]]"),
            "[{\"id\":2,\"a\":1},{\"id\":1,\"a\":2},{\"id\":3,\"a\":2}]",
        );
        server.check(&format!("[42,[{range}],{{\"index\":\"a\"}}]"), "[1,2]");
        server.check(&format!("[43,[[42,[{range}],{{\"index\":\"id\"}}]]]"), "3");
        match server.run_with(&format!("[42,[{range}],{{\"index\":\"b\"}}]"), "{}") {
            Outcome::Error(ErrorKind::Logic, text, _) => {
                assert_eq!(text, "Can only perform an indexed distinct on a TABLE.");
            }
            other => panic!("{other:?}"),
        }
    }
}
