//! Functions as they go over the wire, so that they can be kept and compiled again. What a function captured becomes a
//! part of it.

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, write_json};

use crate::reql::scope::{Captured, VarId};
use crate::reql::tree::FuncNode;
use crate::reql::tree::{Call, Node, Op};

/// `[69,[[2,[1]],[24,[[10,[1]],1]]]]`
pub(super) fn function_term(node: &FuncNode, captured: Option<&Captured>) -> String {
    let mut writer = Writer { out: Vec::new(), captured, functions: Vec::new() };
    writer.function(node);
    // Everything that was written is JSON.
    String::from_utf8(writer.out).unwrap_or_default()
}

struct Writer<'a> {
    out: Vec<u8>,
    captured: Option<&'a Captured>,
    /// The parameters of the functions around the current term, innermost last.
    functions: Vec<&'a [VarId]>,
}

impl<'a> Writer<'a> {
    fn function(&mut self, node: &'a FuncNode) {
        self.begin(TermType::Func);
        self.begin(TermType::MakeArray);
        for (i, name) in node.params.iter().enumerate() {
            self.separate(i);
            self.text(&name.to_string());
        }
        self.text("]],");
        self.functions.push(&node.params);
        self.node(&node.body);
        self.functions.pop();
        self.text("]]");
    }

    fn node(&mut self, node: &'a Node) {
        match &node.op {
            Op::Datum(datum) => self.datum(datum),
            Op::Object(fields) => {
                self.text("{");
                for (i, (name, node)) in fields.iter().enumerate() {
                    self.separate(i);
                    self.name(name);
                    self.node(node);
                }
                self.text("}");
            }
            Op::Var(name) => {
                let is_bound = self.functions.iter().any(|params| params.contains(name));
                let value = self.captured.map(Captured::vars).unwrap_or_default();
                match value.iter().find(|(captured, _)| captured == name) {
                    Some((_, value)) if !is_bound => self.datum(value),
                    _ => {
                        self.begin(TermType::Var);
                        self.text(&name.to_string());
                        self.text("]]");
                    }
                }
            }
            Op::ImplicitVar => {
                let is_bound = self.functions.iter().any(|params| params.len() == 1);
                match self.captured.and_then(Captured::implicit) {
                    Some(value) if !is_bound => self.datum(value),
                    _ => {
                        self.begin(TermType::ImplicitVar);
                        self.text("]]");
                    }
                }
            }
            Op::Func(function) => self.function(function),
            Op::Call(call) => self.call(call),
        }
    }

    fn call(&mut self, call: &'a Call) {
        self.begin(call.spec.term);
        for (i, node) in call.args.iter().enumerate() {
            self.separate(i);
            self.node(node);
        }
        self.text("]");
        if !call.optargs.is_empty() {
            self.text(",{");
            for (i, (name, node)) in call.optargs.iter().enumerate() {
                self.separate(i);
                self.name(name);
                self.node(node);
            }
            self.text("}");
        }
        self.text("]");
    }

    /// A value as a term: only its arrays look different from JSON.
    fn datum(&mut self, datum: &Datum) {
        match datum {
            Datum::Array(elements) => {
                self.begin(TermType::MakeArray);
                for (i, element) in elements.iter().enumerate() {
                    self.separate(i);
                    self.datum(element);
                }
                self.text("]]");
            }
            Datum::Object(fields) => {
                self.text("{");
                for (i, (name, value)) in fields.iter().enumerate() {
                    self.separate(i);
                    self.name(name);
                    self.datum(value);
                }
                self.text("}");
            }
            Datum::MinVal => {
                self.begin(TermType::Minval);
                self.text("]]");
            }
            Datum::MaxVal => {
                self.begin(TermType::Maxval);
                self.text("]]");
            }
            other => write_json(other, &mut self.out),
        }
    }

    fn name(&mut self, name: &str) {
        write_json(&Datum::string(name), &mut self.out);
        self.text(":");
    }

    fn begin(&mut self, term: TermType) {
        self.text(&format!("[{},[", term as u32));
    }

    fn separate(&mut self, at: usize) {
        if at > 0 {
            self.text(",");
        }
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}
