//! Functions as text, the way RethinkDB shows them: what was captured, the parameters, and the body as JavaScript.

use crate::reql::scope::Captured;
use crate::reql::tree::FuncNode;
use crate::reql::tree::{Call, Node, Op};

/// `function (captures = [(no implicit)]) (args = [var1]) r.add(var1, 1)`
pub(super) fn function_source(node: &FuncNode, captured: Option<&Captured>) -> String {
    let mut out = "function (captures = [".to_owned();
    match captured.and_then(Captured::implicit) {
        Some(value) => out.push_str(&format!("implicit: {}", value.print())),
        None => out.push_str("(no implicit)"),
    }
    for (name, value) in captured.map(Captured::vars).unwrap_or_default() {
        out.push_str(&format!(", var{name}: {}", value.print()));
    }
    out.push_str("]) (args = [");
    push_params(node, &mut out);
    out.push_str("]) ");
    push_node(&node.body, &mut out);
    out
}

fn push_function(node: &FuncNode, out: &mut String) {
    out.push_str("function(");
    push_params(node, out);
    out.push_str(") { return ");
    push_node(&node.body, out);
    out.push_str("; }");
}

fn push_params(node: &FuncNode, out: &mut String) {
    let params: Vec<String> = node.params.iter().map(|name| format!("var{name}")).collect();
    out.push_str(&params.join(", "));
}

fn push_node(node: &Node, out: &mut String) {
    match &node.op {
        Op::Datum(datum) => out.push_str(&datum.to_json()),
        Op::Var(name) => out.push_str(&format!("var{name}")),
        Op::ImplicitVar => out.push_str("r.row"),
        Op::Object(fields) => {
            let fields = fields.iter().map(|(name, node)| (name.as_ref(), node));
            push_fields(fields, out);
        }
        Op::Func(func) => push_function(func, out),
        Op::Call(call) => push_call(call, out),
    }
}

fn push_call(call: &Call, out: &mut String) {
    let is_array = call.spec.name == "MAKE_ARRAY";
    if is_array {
        out.push('[');
    } else {
        out.push_str("r.");
        out.push_str(&camel_case(call.spec.name));
        out.push('(');
    }
    for (i, arg) in call.args.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        push_node(arg, out);
    }
    if !call.optargs.is_empty() {
        if !call.args.is_empty() {
            out.push_str(", ");
        }
        push_fields(call.optargs.iter().map(|(name, node)| (*name, node)), out);
    }
    out.push(if is_array { ']' } else { ')' });
}

fn push_fields<'a>(fields: impl Iterator<Item = (&'a str, &'a Node)>, out: &mut String) {
    out.push('{');
    for (i, (name, node)) in fields.enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        out.push_str(&crate::datum::Datum::string(name).to_json());
        out.push_str(": ");
        push_node(node, out);
    }
    out.push('}');
}

/// `ORDER_BY` as `orderBy`.
pub(super) fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (i, word) in name.split('_').enumerate() {
        let lower = word.to_ascii_lowercase();
        match lower.chars().next() {
            Some(first) if i > 0 => {
                out.push(first.to_ascii_uppercase());
                out.push_str(lower.get(1..).unwrap_or_default());
            }
            _ => out.push_str(&lower),
        }
    }
    out
}
