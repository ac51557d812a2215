//! `orderBy`, with `asc` and `desc`.
//!
//! Rows are sorted in memory, within the array limit and a limit of bytes. An order by index is an order of the table
//! itself and costs nothing.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::limits;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::function::{Func, Shortcut};
use crate::reql::selection::{Selection, TableVal};
use crate::reql::sort::{FirstRows, SortKey, sort_rows};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{
    ArrayStream, BatchSpec, BoxStream, IndexRow, SortedGroups, check_finite, for_each_batch,
};
use crate::reql::table_ref::TableIndex;
use crate::reql::tree::{Node, Op};
use crate::reql::value::{Val, ValKind};
use crate::storage::Direction;

pub static ORDER_BY: TermSpec = TermSpec {
    options: &["index"],
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::OrderBy,
        "ORDER_BY",
        Chapter::Transformations,
        Arity::at_least(1),
        order_by,
    )
};

pub static ASC: TermSpec =
    TermSpec::pure(TermType::Asc, "ASC", Chapter::Transformations, Arity::exactly(1), direction);

pub static DESC: TermSpec =
    TermSpec::pure(TermType::Desc, "DESC", Chapter::Transformations, Arity::exactly(1), direction);

/// `asc` and `desc` are their argument; the term around them looks for them by name.
fn direction(args: &Args<'_>) -> Result<Val> {
    args.arg(0)
}

/// Refuses an order that may differ from one comparison to the next.
pub(super) fn check_order(func: &Func) -> Result<()> {
    if func.varies().is_fixed_here() {
        return Ok(());
    }
    Err(Error::logic("Sorting by a non-deterministic function is not supported."))
}

fn order_by(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let order = sort_keys(args)?;
    let at = first.at;
    let rows = match first.kind {
        ValKind::Table(table) => Ordered::Table(table),
        ValKind::Selection(selection) => Ordered::Selection(selection),
        _ => Ordered::Stream(first.into_stream(args.env)?),
    };
    let index = args.optarg("index")?;
    if order.is_empty() && index.is_none() {
        return Err(Error::logic("Must specify something to order by."));
    }
    let (table, stream) = match (rows, index) {
        (Ordered::Table(table), Some(index)) => return by_index(args, table, index, order),
        // Of what is known to have no rows nothing is sorted, and it stays what it is.
        (Ordered::Selection(selection), _) if selection.stream.is_exhausted() => {
            return args.val(ValKind::Selection(selection));
        }
        (Ordered::Stream(stream), _) if stream.is_exhausted() => return args.stream_value(stream),
        (_, Some(_)) => {
            return Err(Error::logic(
                "Indexed order_by can only be performed on a TABLE or TABLE_SLICE. Make sure order_by comes before any \
                 transformations (such as map) or filters.",
            ));
        }
        (Ordered::Table(table), None) => {
            let selection = table.into_selection(args.env)?;
            (Some(selection.table), selection.stream)
        }
        (Ordered::Selection(selection), _) => (Some(selection.table), selection.stream),
        (Ordered::Stream(stream), _) => (None, stream),
    };
    check_finite(stream.as_ref()).map_err(|error| error.at(at))?;
    match (table, sorted(args, order, stream)?) {
        (Some(table), Datum::Array(values)) => {
            let stream = Box::new(ArrayStream::new(values));
            args.val(ValKind::Selection(Selection { table, stream }))
        }
        (_, sorted) => args.value(sorted),
    }
}

/// What rows are compared by: the arguments after the first.
fn sort_keys(args: &Args<'_>) -> Result<Vec<SortKey>> {
    refuse_args(args.written().iter())?;
    let mut order = Vec::with_capacity(args.len().saturating_sub(1));
    for i in 1..args.len() {
        let func = args.func(i, Shortcut::GetField)?;
        check_order(&func)?;
        order.push(SortKey { func, descending: args.arg_node(i).is_some_and(is_descending) });
    }
    Ok(order)
}

/// A table in the order of an index; rows of one value of it in the order of the keys, if there are any.
fn by_index(args: &Args<'_>, table: TableVal, index: Val, order: Vec<SortKey>) -> Result<Val> {
    let descending = args.optarg_node("index").is_some_and(is_descending);
    let table = ordered_by_index(table, &index.str(args.env)?, descending)?;
    let table = TableVal { by: args.node.id, ..table };
    args.val(match (order.is_empty(), &table.index) {
        (true, _) => ValKind::Table(table),
        (false, Some(TableIndex::Secondary(_))) => {
            let selected = table.table.clone();
            let pairs = table.into_rows(args.env, IndexRow::Both)?;
            let stream = Box::new(SortedGroups::new(pairs, order));
            ValKind::Selection(Selection { table: selected, stream })
        }
        // Primary keys are unique: there is nothing left to order.
        (false, _) => ValKind::Selection(table.into_selection(args.env)?),
    })
}

/// The rows of a stream sorted in memory: all, or the first of them where no more are read.
fn sorted(args: &Args<'_>, order: Vec<SortKey>, stream: BoxStream) -> Result<Datum> {
    Ok(Datum::array(match args.top().filter(|_| !stream.is_array()) {
        Some(top) => first_rows(args.env, order, stream, top)?,
        None => sort_rows(args.env, &order, collect_to_sort(args.env, stream)?)?,
    }))
}

/// What is to be ordered.
enum Ordered {
    Table(TableVal),
    Selection(Selection),
    Stream(BoxStream),
}

/// Refuses `r.args` among what rows are ordered by, as RethinkDB does: which of its elements is descending could not be told.
pub fn refuse_args<'a>(mut written: impl Iterator<Item = &'a Node>) -> Result<()> {
    if written.any(Node::is_args) {
        let message = "r.args is not supported in an order_by or union command yet.";
        return Err(Error::logic(message));
    }
    Ok(())
}

/// Whether the argument is written as `r.desc(...)`.
pub fn is_descending(node: &Node) -> bool {
    matches!(&node.op, Op::Call(call) if call.spec.term == TermType::Desc)
}

/// The table in the order of an index.
pub fn ordered_by_index(table: TableVal, index: &Arc<str>, descending: bool) -> Result<TableVal> {
    let index = table.table.index_named(index);
    let direction = if descending { Direction::Backward } else { Direction::Forward };
    table.ordered_by(index, direction)
}

fn collect_to_sort(env: &Env, stream: BoxStream) -> Result<Vec<Datum>> {
    // An array is in memory already, and all of it is given at once.
    let measured = !stream.is_array();
    let mut rows = Vec::new();
    let mut bytes = 0;
    for_each_batch(stream, env, &BatchSpec::TERMINAL.in_turn(), |batch| {
        if measured {
            bytes += batch.iter().map(Datum::approximate_size).sum::<usize>();
        }
        rows.extend(batch);
        env.check_array_size(rows.len())?;
        check_bytes(bytes)
    })?;
    Ok(rows)
}

/// The rows that come first, of which there may be as many as an array has; the stream may have more.
fn first_rows(
    env: &Env,
    order: Vec<SortKey>,
    stream: BoxStream,
    wanted: usize,
) -> Result<Vec<Datum>> {
    let mut first = FirstRows::new(order, wanted);
    for_each_batch(stream, env, &BatchSpec::PASSING.in_turn(), |batch| {
        first.add(env, batch)?;
        env.check_array_size(first.len())?;
        check_bytes(first.bytes())
    })?;
    first.finish(env)
}

fn check_bytes(bytes: usize) -> Result<()> {
    if bytes <= limits::SORT_BYTES {
        return Ok(());
    }
    Err(Error::resource_limit(format!(
        "Cannot sort more than {} bytes in memory. Use an index.",
        limits::SORT_BYTES
    )))
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Outcome, Server, check};

    /// 3,000 documents whose field `a` repeats itself, behind a server.
    fn server() -> Server {
        let server = Server::new();
        server.succeed("[57,[\"d\"]]");
        server.succeed("[60,[[14,[\"d\"]],\"t\"]]");
        let row = r#"{"id":[10,[1]],"a":[28,[[26,[[10,[1]],7919]],1009]],"b":[28,[[10,[1]],5]]}"#;
        server.succeed(&format!(
            "[56,[[15,[[14,[\"d\"]],\"t\"]],[51,[[38,[[173,[3000]],[69,[[2,[1]],{row}]]]],\"array\"]]]]"
        ));
        server
    }

    const TABLE: &str = r#"[15,[[14,["d"]],"t"]]"#;

    #[test]
    fn the_first_rows_are_those_of_the_whole_sort() {
        let server = server();
        let orders =
            [r#""a""#, r#"[74,["a"]]"#, r#""b",[74,["a"]]"#, r#""b","none""#, r#"[74,["none"]]"#];
        for order in orders {
            // What is read of the whole sort, and what is kept of it.
            let all = format!("[41,[{TABLE},{order}]]");
            for (part, whole) in [
                (format!("[71,[{all},7]]"), format!("[30,[[51,[{all},\"array\"]],0,7]]")),
                (format!("[71,[{all},2500]]"), format!("[30,[[51,[{all},\"array\"]],0,2500]]")),
                (
                    format!("[71,[[70,[{all},1500]],9]]"),
                    format!("[30,[[51,[{all},\"array\"]],1500,1509]]"),
                ),
                (format!("[30,[{all},3,40]]"), format!("[30,[[51,[{all},\"array\"]],3,40]]")),
            ] {
                server.check(&format!("[17,[[51,[{part},\"array\"]],{whole}]]"), "true");
            }
            server.check(
                &format!("[17,[[45,[{all},1023]],[45,[[51,[{all},\"array\"]],1023]]]]"),
                "true",
            );
            server.check(&format!("[43,[[71,[{all},0]]]]"), "0");
        }
    }

    #[test]
    fn more_than_an_array_holds_can_be_sorted_for_its_first_rows_alone() {
        let server = server();
        let options = r#"{"array_limit":100}"#;
        let sorted = format!(r#"[41,[{TABLE},"a"]]"#);
        let first = format!("[31,[[71,[{sorted},3]],\"a\"]]");
        let Outcome::Value(found) = server.run_with(&first, options) else { panic!("no rows") };
        assert_eq!(found.to_string(), "[0,0,0]");
        for too_many in [sorted.clone(), format!("[71,[{sorted},101]]")] {
            let outcome = server.run_with(&too_many, options);
            let Outcome::Error(kind, message, _) = outcome else { panic!("{outcome:?}") };
            assert_eq!(kind, ErrorKind::ResourceLimit);
            assert!(message.starts_with("Array over size limit `100`."), "{message}");
        }
    }

    #[test]
    fn a_row_without_the_field_comes_first() {
        check(r#"[41,[[2,[{"a":1},{"b":2}]],"a"]]"#, r#"[{"b":2},{"a":1}]"#);
    }
}
