//! Functions and queries as JavaScript that a person could have written: what `index_status`, `get_write_hook` and the
//! table of jobs show.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;

use super::eval::{Call, Node, Op};
use super::function::FuncNode;
use super::source::camel_case;

/// `function(var1) { return var1("a").add(1); }`
pub(super) fn function(node: &FuncNode) -> String {
    let mut out = String::new();
    push_function(node, &mut out);
    out
}

/// A whole query: `r.table("t").get(1)`
pub(super) fn query(node: &Node) -> String {
    let mut out = String::new();
    push_receiver(node, &mut out);
    out
}

fn push_function(node: &FuncNode, out: &mut String) {
    let params: Vec<String> = node.params.iter().map(|name| variable(*name)).collect();
    out.push_str(&format!("function({}) {{ return ", params.join(", ")));
    push_receiver(&node.body, out);
    out.push_str("; }");
}

/// Variables that a server made up have negative numbers.
fn variable(name: i64) -> String {
    match name {
        0.. => format!("var{name}"),
        _ => format!("_var{}", name.unsigned_abs()),
    }
}

/// A term where a method may be called on it.
fn push_receiver(node: &Node, out: &mut String) {
    if is_value(node) {
        out.push_str("r.expr(");
        push_node(node, out);
        out.push(')');
    } else {
        push_node(node, out);
    }
}

fn is_value(node: &Node) -> bool {
    match &node.op {
        Op::Datum(_) | Op::Object(_) => true,
        Op::Call(call) => call.spec.term == TermType::MakeArray,
        Op::Var(_) | Op::ImplicitVar | Op::Func(_) => false,
    }
}

fn push_node(node: &Node, out: &mut String) {
    match &node.op {
        Op::Datum(Datum::MinVal) => out.push_str("r.minval"),
        Op::Datum(Datum::MaxVal) => out.push_str("r.maxval"),
        Op::Datum(datum) => out.push_str(&datum.to_json()),
        Op::Var(name) => out.push_str(&variable(*name)),
        Op::ImplicitVar => out.push_str("r.row"),
        Op::Object(fields) => push_fields(fields.iter().map(|(name, node)| (&**name, node)), out),
        Op::Func(func) => push_function(func, out),
        Op::Call(call) => push_call(call, out),
    }
}

fn push_call(call: &Call, out: &mut String) {
    let term = call.spec.term;
    let (receiver, rest) = match call.args.split_first() {
        _ if term == TermType::MakeArray => {
            out.push('[');
            push_list(&call.args, out);
            out.push(']');
            return;
        }
        Some((receiver, rest)) if !stands_alone(term) && !names(term, receiver) => {
            (Some(receiver), rest)
        }
        _ => (None, call.args.as_slice()),
    };
    match receiver {
        Some(receiver) => push_receiver(receiver, out),
        None => out.push('r'),
    }
    if term != TermType::Bracket {
        out.push('.');
        out.push_str(&name(call));
    }
    out.push('(');
    push_list(rest, out);
    if !call.optargs.is_empty() {
        if !rest.is_empty() {
            out.push_str(", ");
        }
        push_fields(call.optargs.iter().map(|(name, node)| (*name, node)), out);
    }
    out.push(')');
}

fn push_list(nodes: &[Node], out: &mut String) {
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        push_node(node, out);
    }
}

fn push_fields<'a>(fields: impl Iterator<Item = (&'a str, &'a Node)>, out: &mut String) {
    out.push('{');
    for (i, (name, node)) in fields.enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        out.push_str(&Datum::string(name).to_json());
        out.push_str(": ");
        push_node(node, out);
    }
    out.push('}');
}

fn name(call: &Call) -> String {
    match call.spec.term {
        TermType::Funcall => "do".to_owned(),
        TermType::Javascript => "js".to_owned(),
        _ => camel_case(call.spec.name),
    }
}

/// Whether a term names something in the default database, or a user, rather than being called on what it is given.
fn names(term: TermType, receiver: &Node) -> bool {
    let may_name = matches!(
        term,
        TermType::DbCreate
            | TermType::DbDrop
            | TermType::Grant
            | TermType::Table
            | TermType::TableCreate
            | TermType::TableDrop
    );
    may_name && matches!(receiver.op, Op::Datum(_))
}

/// Terms that are called on `r`, whatever they are given.
fn stands_alone(term: TermType) -> bool {
    matches!(
        term,
        TermType::Args
            | TermType::Asc
            | TermType::Binary
            | TermType::Branch
            | TermType::Circle
            | TermType::Db
            | TermType::Desc
            | TermType::EpochTime
            | TermType::Error
            | TermType::Funcall
            | TermType::Geojson
            | TermType::Http
            | TermType::Iso8601
            | TermType::Javascript
            | TermType::Json
            | TermType::Line
            | TermType::Literal
            | TermType::Object
            | TermType::Point
            | TermType::Polygon
            | TermType::Random
            | TermType::Range
            | TermType::Time
            | TermType::Uuid
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reql::stored_function::StoredFunction;

    fn shown(term: &str) -> String {
        function(&StoredFunction::compile(term).unwrap().node)
    }

    #[test]
    fn functions_look_as_recorded() {
        for (term, text) in [
            (
                r#"[69,[[2,[1]],[2,[[170,[[13,[]],"x"]],[170,[[13,[]],"y"]]]]]]"#,
                r#"function(var1) { return r.expr([r.row("x"), r.row("y")]); }"#,
            ),
            (
                r#"[69,[[2,[1,2,3]],[35,[[10,[3]],{"hooked":true}]]]]"#,
                r#"function(var1, var2, var3) { return var3.merge({"hooked": true}); }"#,
            ),
            (
                r#"[69,[[2,[-19]],[31,[[10,[-19]],"g"]]]]"#,
                r#"function(_var19) { return _var19.getField("g"); }"#,
            ),
            (
                r#"[69,[[2,[1]],[65,[[17,[[10,[1]],null]],[24,[1,2]],[152,[[2,[]]],{"squash":true}]]]]]"#,
                r#"function(var1) { return r.branch(var1.eq(null), r.expr(1).add(2), r.expr([]).changes({"squash": true})); }"#,
            ),
        ] {
            assert_eq!(shown(term), text);
        }
    }
}
