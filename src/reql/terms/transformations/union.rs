//! `union`: several sequences as one, one after the other or merged by an order they share.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::function::Shortcut;
use crate::reql::sort::SortKey;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{BoxStream, Merge, Union};
use crate::reql::tree::{Node, Op};
use crate::reql::value::Val;

use super::order_by::{check_order, is_descending, refuse_args};

pub static UNION: TermSpec = TermSpec {
    options: &["interleave"],
    ..TermSpec::pure(TermType::Union, "UNION", Chapter::Transformations, Arity::at_least(0), union)
};

fn union(args: &Args<'_>) -> Result<Val> {
    let mut streams = Vec::with_capacity(args.len());
    for i in 0..args.len() {
        streams.push(args.stream(i)?);
    }
    let interleave = args.optarg_node("interleave");
    let order = match interleave {
        Some(node) => interleaving(args, node)?,
        None => Vec::new(),
    };
    let one_by_one =
        interleave.is_some_and(|node| matches!(node.op, Op::Datum(Datum::Bool(false))));
    if streams.iter().any(|stream| stream.feed().is_some()) {
        let message = "A `union` of changefeeds is not supported by this server yet.";
        return Err(Error::logic(message));
    }
    let stream: BoxStream = if order.is_empty() {
        Box::new(if one_by_one { Union::ordered(streams) } else { Union::new(streams) })
    } else {
        Box::new(Merge::new(streams, order, args.node.id))
    };
    args.stream_value(stream)
}

/// What the sequences are merged by: a field or function, or an array of them. A truth value merges nothing.
fn interleaving(args: &Args<'_>, node: &Node) -> Result<Vec<SortKey>> {
    match &node.op {
        Op::Datum(Datum::Bool(_)) => Ok(Vec::new()),
        Op::Call(call) if call.spec.term == TermType::MakeArray => {
            refuse_args(call.args.iter())?;
            call.args.iter().map(|node| sort_key(args, node)).collect()
        }
        _ => {
            refuse_args(std::iter::once(node))?;
            Ok(vec![sort_key(args, node)?])
        }
    }
}

fn sort_key(args: &Args<'_>, node: &Node) -> Result<SortKey> {
    let func = node.eval(args.env, args.scope)?.into_func(Shortcut::GetField, args.env)?;
    check_order(&func)?;
    Ok(SortKey { func, descending: is_descending(node) })
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    const ITSELF: &str = "[69,[[2,[1]],[10,[1]]]]";

    #[test]
    fn sequences_follow_one_another() {
        check("[44,[[2,[3]],[173,[2]],[2,[]]]]", "[3,0,1]");
        check("[44,[]]", "[]");
    }

    #[test]
    fn arrays_give_an_array_and_anything_else_a_stream() {
        check("[24,[[44,[[2,[1]],[2,[2]]]],[2,[]]]]", "[1,2]");
        check_error(
            "[24,[[44,[[2,[1]],[173,[2]]]],[2,[]]]]",
            ErrorKind::Logic,
            "Expected type DATUM but found SEQUENCE:\nVALUE SEQUENCE",
            "[0]",
        );
    }

    #[test]
    fn sorted_sequences_merge() {
        let merged = format!("[44,[[173,[3]],[2,[1,5]]],{{\"interleave\":{ITSELF}}}]");
        check(&merged, "[0,1,1,2,5]");
        let down = format!("[44,[[2,[3,1]],[2,[2]]],{{\"interleave\":[74,[{ITSELF}]]}}]");
        check(&down, "[3,2,1]");
        let row = |a: u8, b: u8| format!("{{\"a\":{a},\"b\":{b}}}");
        let by_both = format!(
            "[44,[[2,[{},{}]],[2,[{}]]],{{\"interleave\":[2,[\"a\",[74,[\"b\"]]]]}}]",
            row(1, 3),
            row(1, 1),
            row(1, 2)
        );
        check(&by_both, &format!("[{},{},{}]", row(1, 3), row(1, 2), row(1, 1)));
        check_error(
            &format!("[44,[[2,[3,1]],[2,[2]]],{{\"interleave\":[2,[{ITSELF}]]}}]"),
            ErrorKind::Logic,
            "The streams given as arguments are not ordered by given ordering.",
            "[]",
        );
    }

    #[test]
    fn sequences_do_not_merge_by_what_varies() {
        let by =
            |term: &str| format!("[44,[[2,[1]],[2,[2]]],{{\"interleave\":[69,[[2,[1]],{term}]]}}]");
        let message = "Sorting by a non-deterministic function is not supported.";
        check_error(&by("[169,[]]"), ErrorKind::Logic, message, "[]");
        check_error(&by("[2,[[151,[]]]]"), ErrorKind::Logic, message, "[]");
        // What varies from machine to machine does not vary here.
        check(&by("[160,[[2,[1,2]],[2,[3,4]]]]"), "[1,2]");
        check(&by("[169,[\"x\"]]"), "[1,2]");
    }

    #[test]
    fn orders_take_no_r_args() {
        let message = "r.args is not supported in an order_by or union command yet.";
        let rows = r#"[2,[{"x":2},{"x":1}]]"#;
        let by = r#"[154,[[2,["x"]]]]"#;
        for query in [
            format!("[41,[{rows},{by}]]"),
            format!("[41,[[154,[[2,[{rows}]]]],\"x\"]]"),
            format!("[44,[{rows}],{{\"interleave\":{by}}}]"),
            format!("[44,[{rows}],{{\"interleave\":[2,[{by}]]}}]"),
        ] {
            check_error(&query, ErrorKind::Logic, message, "[]");
        }
        check("[44,[[154,[[2,[[2,[1]],[2,[2]]]]]]]]", "[1,2]");
    }
}
