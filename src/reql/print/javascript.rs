//! Functions and queries as JavaScript that a person could have written: what `index_status`, `get_write_hook` and the
//! table of jobs show.

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, write_json_within};

use super::text::camel_case;
use crate::reql::program::Program;
use crate::reql::running::Shown;
use crate::reql::tree::FuncNode;
use crate::reql::tree::{Call, Node, Op};

/// `function(var1) { return var1("a").add(1); }`
pub(super) fn function(node: &FuncNode) -> String {
    let mut out = Text { text: String::new(), most: usize::MAX, shows_values: true };
    push_function(node, &mut out);
    out.text
}

/// A whole query, no longer than so many bytes: `r.table("t").get(1)`
fn query(node: &Node, most: usize) -> String {
    let mut out = Text { text: String::new(), most, shows_values: true };
    push_receiver(node, &mut out);
    out.cut()
}

/// As [`query`], without the values that stand in it: `r.table("t").get(..)`. For those who may read which queries there
/// are, and not what they are about.
fn outline(node: &Node, most: usize) -> String {
    let mut out = Text { text: String::new(), most, shows_values: false };
    push_receiver(node, &mut out);
    out.cut()
}

impl Program {
    /// Which terms the query is made of, without the values in it; no longer than so many bytes.
    pub fn outline(&self, most: usize) -> String {
        outline(self.root(), most)
    }

    /// The same of a global option, if it was given.
    pub fn outline_of_global(&self, name: &str, most: usize) -> Option<String> {
        self.global(name).map(|node| outline(node, most))
    }
}

impl Shown for Program {
    fn text(&self, most: usize) -> String {
        query(self.root(), most)
    }
}

/// Options whose values are names and words of the language.
const NAMING_OPTIONS: [&str; 8] = [
    "conflict",
    "durability",
    "index",
    "interleave",
    "left_bound",
    "read_mode",
    "right_bound",
    "unit",
];

/// More values in a row, and fields of an object, are counted in an outline.
const OUTLINED: usize = 16;

/// What is written, up to a bound.
struct Text {
    text: String,
    most: usize,
    shows_values: bool,
}

impl Text {
    fn push(&mut self, letter: char) {
        self.text.push(letter);
    }

    fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn is_full(&self) -> bool {
        self.text.len() > self.most
    }

    fn push_value(&mut self, value: &Datum) {
        match value {
            Datum::MinVal => self.push_str("r.minval"),
            Datum::MaxVal => self.push_str("r.maxval"),
            Datum::Null | Datum::Bool(_) => self.push_str(&value.to_json()),
            _ if !self.shows_values => self.push_str(".."),
            _ => {
                let mut json = Vec::new();
                write_json_within(value, &mut json, self.most.saturating_sub(self.text.len()));
                self.push_str(&String::from_utf8_lossy(&json));
            }
        }
    }

    fn cut(mut self) -> String {
        if self.is_full() {
            self.text.truncate(self.text.floor_char_boundary(self.most));
        }
        self.text
    }
}

fn push_function(node: &FuncNode, out: &mut Text) {
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
fn push_receiver(node: &Node, out: &mut Text) {
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

fn push_node(node: &Node, out: &mut Text) {
    if out.is_full() {
        return;
    }
    match &node.op {
        Op::Datum(datum) => out.push_value(datum),
        Op::Var(name) => out.push_str(&variable(*name)),
        Op::ImplicitVar => out.push_str("r.row"),
        Op::Object(fields) => push_fields(fields.iter().map(|(name, node)| (&**name, node)), out),
        Op::Func(func) => push_function(func, out),
        Op::Call(call) => push_call(call, out),
    }
}

fn push_call(call: &Call, out: &mut Text) {
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
    // Names of tables and fields say what a query does; they are no values.
    let shows_values = out.shows_values;
    let are_texts = rest.iter().all(|node| matches!(node.op, Op::Datum(Datum::String(_))));
    out.shows_values |= are_texts && takes_names(term);
    push_list(rest, out);
    out.shows_values = shows_values;
    if !call.optargs.is_empty() {
        if !rest.is_empty() {
            out.push_str(", ");
        }
        push_options(call, out);
    }
    out.push(')');
}

fn push_options(call: &Call, out: &mut Text) {
    let shows_values = out.shows_values;
    let options = call.optargs.iter().map(|(name, node)| {
        let is_name = NAMING_OPTIONS.contains(name);
        (*name, node, shows_values || is_name)
    });
    push_pairs(options, out);
    out.shows_values = shows_values;
}

fn push_list(nodes: &[Node], out: &mut Text) {
    let is_value = |node: &Node| matches!(node.op, Op::Datum(_));
    if !out.shows_values && nodes.len() > OUTLINED && nodes.iter().all(is_value) {
        return out.push_str(&format!(".. ({})", nodes.len()));
    }
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        push_node(node, out);
    }
}

fn push_fields<'a>(fields: impl ExactSizeIterator<Item = (&'a str, &'a Node)>, out: &mut Text) {
    let shows_values = out.shows_values;
    if !shows_values && fields.len() > OUTLINED {
        // So many names are rather keys, which are values.
        return out.push_str(&format!("{{.. ({})}}", fields.len()));
    }
    push_pairs(fields.map(|(name, node)| (name, node, shows_values)), out);
}

/// Names with what belongs to them, each with whether its values are shown.
fn push_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a Node, bool)>, out: &mut Text) {
    out.push('{');
    for (i, (name, node, shows_values)) in pairs.enumerate() {
        out.shows_values = shows_values;
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

/// Whether what a term is given in the query's own text, besides what it is called on, are names.
fn takes_names(term: TermType) -> bool {
    matches!(
        term,
        TermType::Asc
            | TermType::Bracket
            | TermType::Db
            | TermType::Desc
            | TermType::EqJoin
            | TermType::GetField
            | TermType::Group
            | TermType::HasFields
            | TermType::OrderBy
            | TermType::Pluck
            | TermType::Table
            | TermType::WithFields
            | TermType::Without
    )
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
    fn an_outline_has_names_and_no_values() {
        let secret =
            r#"[53,[[16,[[15,[[14,["d"]],"users"]],"bob"]],{"password":"hunter2","pin":4711}]]"#;
        let outlined = |term: &str, most| {
            let body = format!("[69,[[2,[1]],{term}]]");
            outline(&StoredFunction::compile(&body).unwrap().node.body, most)
        };
        assert_eq!(
            outlined(secret, 1_000),
            r#"r.db("d").table("users").get(..).update({"password": .., "pin": ..})"#
        );
        let made = r#"[39,[[15,["t"]],[69,[[2,[2]],[17,[[170,[[10,[2]],"name"]],"bob"]]]]]]"#;
        let text = r#"r.table("t").filter(function(var2) { return var2("name").eq(..); })"#;
        assert_eq!(outlined(made, 1_000), text);
        assert_eq!(outlined(secret, 12), r#"r.db("d").ta"#);
        let keys = vec!["4711"; 90_000].join(",");
        let of_index = format!(r#"[78,[[15,["t"]],{keys}],{{"index":"pin"}}]"#);
        assert_eq!(
            outlined(&of_index, 1_000),
            r#"r.table("t").getAll(.. (90000), {"index": "pin"})"#
        );
        let sorted = r#"[41,[[15,["t"]],"age"]]"#;
        assert_eq!(outlined(sorted, 1_000), r#"r.table("t").orderBy("age")"#);
        let keys: Vec<_> = (0..100).map(|key| format!("\"user{key}@mail\":1")).collect();
        let map = format!("[56,[[15,[\"t\"]],{{{}}}]]", keys.join(","));
        assert_eq!(outlined(&map, 1_000), r#"r.table("t").insert({.. (100)})"#);
        let code = r#"[11,["let token = 'hunter2'"]]"#;
        assert_eq!(outlined(code, 1_000), "r.js(..)");
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
