//! Functions that do no more than read fields of their arguments and compare them, as most filters do: evaluated without
//! the ceremony that terms need in general. What cannot be told at a glance, errors above all, is left to the terms.
//! Knows compiled terms and values; must not know rows, and evaluates nothing that could wait or fail.

use std::cmp::Ordering;

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, Object};

use super::error::NodeId;
use super::scope::Scope;
use super::tree::{Call, Node, Op};

/// Whether a term is of this kind.
pub(super) fn is_simple(call: &Call) -> bool {
    if call.splices || !call.optargs.is_empty() {
        return false;
    }
    match call.spec.term {
        TermType::Bracket | TermType::GetField => match call.args.as_slice() {
            [of, name] => is_simple_node(of) && matches!(name.op, Op::Datum(Datum::String(_))),
            _ => false,
        },
        TermType::And | TermType::Or | TermType::Not => call.args.iter().all(is_simple_node),
        term => {
            holds(term).is_some() && call.args.len() == 2 && call.args.iter().all(is_simple_node)
        }
    }
}

fn is_simple_node(node: &Node) -> bool {
    match &node.op {
        Op::Datum(_) | Op::Var(_) | Op::ImplicitVar => true,
        Op::Call(call) => call.is_simple,
        Op::Object(_) | Op::Func(_) => false,
    }
}

/// The value of a simple term and the term that is to blame for it, unless something is wrong.
pub(super) fn value(at: NodeId, call: &Call, scope: &Scope<'_>) -> Option<(Datum, NodeId)> {
    let value = match (call.spec.term, call.args.as_slice()) {
        (TermType::Bracket | TermType::GetField, [of, name]) => {
            let (object, name) = field(of, name, scope)?;
            object.as_ref().field(name)?
        }
        (term @ (TermType::And | TermType::Or), args) => {
            let mut last = (Datum::Bool(term == TermType::And), at);
            for arg in args {
                last = operand(arg, scope)?;
                if last.0.truthy() == (term == TermType::Or) {
                    break;
                }
            }
            return Some(last);
        }
        (TermType::Not, [of]) => Datum::Bool(!operand(of, scope)?.0.truthy()),
        (term, [left, right]) => Datum::Bool(holds(term)?(compare(left, right, scope)?)),
        _ => return None,
    };
    Some((value, at))
}

/// What a comparison makes of an order.
fn holds(term: TermType) -> Option<fn(Ordering) -> bool> {
    match term {
        TermType::Eq => Some(Ordering::is_eq),
        TermType::Ne => Some(Ordering::is_ne),
        TermType::Lt => Some(Ordering::is_lt),
        TermType::Le => Some(Ordering::is_le),
        TermType::Gt => Some(Ordering::is_gt),
        TermType::Ge => Some(Ordering::is_ge),
        _ => None,
    }
}

fn compare(left: &Node, right: &Node, scope: &Scope<'_>) -> Option<Ordering> {
    let owned;
    let right = match lent(right, scope) {
        Some(right) => right,
        None => {
            owned = operand(right, scope)?.0;
            &owned
        }
    };
    if let Op::Call(call) = &left.op
        && let (TermType::Bracket | TermType::GetField, [of, name]) =
            (call.spec.term, call.args.as_slice())
    {
        let (object, name) = field(of, name, scope)?;
        return object.as_ref().compare_field(name, right);
    }
    Some(operand(left, scope)?.0.compare(right))
}

/// An object, and the name of the field that is read of it.
fn field<'a>(of: &'a Node, name: &'a Node, scope: &Scope<'a>) -> Option<(Whole<'a>, &'a str)> {
    let Op::Datum(Datum::String(name)) = &name.op else { return None };
    let object = match lent(of, scope) {
        Some(Datum::Object(object)) => Whole::Lent(object),
        Some(_) => return None,
        None => match operand(of, scope)?.0 {
            Datum::Object(object) => Whole::Owned(object),
            _ => return None,
        },
    };
    object.as_ref().pseudo_type().is_none().then_some((object, &**name))
}

enum Whole<'a> {
    Lent(&'a Object),
    Owned(Object),
}

impl AsRef<Object> for Whole<'_> {
    fn as_ref(&self) -> &Object {
        match self {
            Whole::Lent(object) => object,
            Whole::Owned(object) => object,
        }
    }
}

/// A value that is at hand.
fn lent<'a>(node: &'a Node, scope: &Scope<'a>) -> Option<&'a Datum> {
    match &node.op {
        Op::Datum(datum) => Some(datum),
        Op::Var(name) => scope.var(*name),
        Op::ImplicitVar => scope.implicit(),
        Op::Object(_) | Op::Func(_) | Op::Call(_) => None,
    }
}

fn operand(node: &Node, scope: &Scope<'_>) -> Option<(Datum, NodeId)> {
    match &node.op {
        Op::Call(call) if call.is_simple => value(node.id, call, scope),
        _ => Some((lent(node, scope)?.clone(), node.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reql::terms::testing::{Outcome, compile, run_with};
    use crate::testing::Random;

    /// Whether the body of the function in `map` is simple.
    fn is_simple_body(body: &str) -> bool {
        let query = format!("[38,[[173,[9]],[69,[[2,[1]],{body}]]]]");
        let program = compile(&query, "{}").unwrap();
        let Op::Call(map) = &program.root().op else { panic!("no call") };
        let Op::Func(function) = &map.args[1].op else { panic!("no function") };
        is_simple_node(&function.body)
    }

    const A: &str = r#"[170,[[10,[1]],"a"]]"#;

    #[test]
    fn simple_is_what_reads_and_compares() {
        assert!(is_simple_body(A));
        assert!(is_simple_body(&format!("[21,[{A},5]]")));
        assert!(is_simple_body(&format!("[67,[[17,[{A},null]],[66,[[23,[{A}]],true]]]]")));
        assert!(!is_simple_body(&format!("[24,[{A},5]]")));
        assert!(!is_simple_body(&format!("[21,[{A},5,6]]")));
        assert!(!is_simple_body("[170,[[10,[1]],[24,[0,1]]]]"));
    }

    /// A random body that reads and compares.
    fn body(random: &mut Random, depth: u64) -> String {
        let kind = random.below(if depth == 0 { 6 } else { 14 });
        let leaf = match kind {
            0 => "[10,[1]]",
            1 => "[13,[]]",
            2 => ["1", "2.5", "\"x\"", "null", "false"][random.below(5) as usize],
            3 | 4 => r#"[170,[[10,[1]],"a"]]"#,
            5 => r#"[31,[[13,[]],"b"]]"#,
            _ => "",
        };
        if !leaf.is_empty() {
            return leaf.to_owned();
        }
        let (left, right) = (body(random, depth - 1), body(random, depth - 1));
        match kind {
            6 | 7 => format!("[67,[{left},{right}]]"),
            8 => format!("[66,[{left},{right}]]"),
            9 => format!("[23,[{left}]]"),
            10 => format!("[170,[{left},\"a\"]]"),
            _ => format!("[{},[{left},{right}]]", 17 + random.below(6)),
        }
    }

    #[test]
    fn answers_and_errors_are_those_of_the_terms() {
        let mut random = Random::from_environment();
        let rows = r#"{"a":1},{"a":"x","b":"y"},{},{"a":null,"b":{"a":7}},{"a":{"b":7},"b":2.5}"#;
        let (mut answers, mut errors) = (0, 0);
        for _ in 0..3_000 {
            let body = body(&mut random, 3);
            for query in [
                format!("[39,[[2,[{rows}]],[69,[[2,[1]],{body}]]]]"),
                format!("[38,[[2,[{rows}]],[69,[[2,[1]],[24,[{body},\"x\"]]]]]]"),
            ] {
                // What a profile is made of is evaluated term by term.
                let expected = run_with(&query, r#"{"profile":true}"#);
                match expected {
                    Outcome::Value(_) => answers += 1,
                    _ => errors += 1,
                }
                let found = run_with(&query, "{}");
                assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{query}");
            }
        }
        assert!(answers > 500 && errors > 500, "{answers} answers, {errors} errors");
    }
}
