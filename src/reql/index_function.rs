//! What an index is computed from: a function kept as its term, compiled when the index is opened.
//!
//! An index function is deterministic, so it needs nothing of the server, and it runs on whatever thread writes a
//! document. A document for which it fails, or does more work than it may, has no value.

use std::sync::{Arc, OnceLock};

use photondb_protocol::numbers::TermType;
use photondb_protocol::raw_term::RawTerm;

use crate::cancel::CancelFlag;
use crate::catalog::{CompiledIndex, IndexDefinition, IndexFunctions};
use crate::datum::{Datum, GEOMETRY};
use crate::geo::{self, Effort};
use crate::limits::INDEX_FUNCTION_LOOKS;
use crate::table::{Document, IndexFunction, IndexKind, IndexValue, Ordered};

use super::context::Context;
use super::damage::caught;
use super::env::Env;
use super::function::Func;
use super::program::Program;
use super::stored_function::StoredFunction;
use super::tree::FuncNode;
use super::tree::Op;
use super::walk_watch::bounded;

/// Compiles the functions that the catalog keeps.
#[derive(Debug)]
pub struct ReqlFunctions;

impl IndexFunctions for ReqlFunctions {
    fn compile(&self, definition: &IndexDefinition) -> Result<CompiledIndex, String> {
        let stored = StoredFunction::compile(&definition.function)?;
        let function: Arc<dyn IndexFunction> = match field_of(&stored.node) {
            Some(field) => Arc::new(FieldIndex { field }),
            None => Arc::new(TermIndex { func: stored.func(), program: empty_program()? }),
        };
        let kind: Box<dyn IndexKind> =
            if definition.geo { Box::new(Geospatial) } else { Box::new(Ordered) };
        Ok((function, kind))
    }
}

/// What an index function runs in: a query without anything.
fn empty_program() -> Result<Arc<Program>, String> {
    let program = Program::compile(RawTerm::Null, Vec::new(), &Datum::Null);
    program.map(Arc::new).map_err(|error| error.to_string())
}

/// The name of the field, when a function does nothing but read one of its argument.
fn field_of(node: &FuncNode) -> Option<Arc<str>> {
    let [param] = node.params.as_slice() else { return None };
    let Op::Call(call) = &node.body.op else { return None };
    let reads = matches!(call.spec.term, TermType::GetField | TermType::Bracket);
    let [of, name] = call.args.as_slice() else { return None };
    let of_row = match &of.op {
        Op::Var(name) => name == param,
        Op::ImplicitVar => true,
        _ => false,
    };
    match &name.op {
        Op::Datum(Datum::String(field)) if reads && of_row => Some(field.clone()),
        _ => None,
    }
}

/// The kind whose values are shapes: an entry for each cell that a shape may be in. What is no shape is left out.
#[derive(Debug, Clone, Copy)]
struct Geospatial;

impl IndexKind for Geospatial {
    fn entries(&self, value: &Datum, entries: &mut Vec<IndexValue>) {
        if !value.is_pseudo_type(GEOMETRY) {
            return;
        }
        // A document is written however long that takes.
        let effort = Effort::new(&|| true);
        let cells = geo::cover(value, &effort).unwrap_or_default();
        entries.extend(cells.into_iter().map(IndexValue::from_bytes));
    }
}

/// One field of the document, read without its neighbours.
#[derive(Debug)]
struct FieldIndex {
    field: Arc<str>,
}

impl IndexFunction for FieldIndex {
    fn value(&self, document: &Document) -> Option<Datum> {
        // A damaged document is an error to whoever reads it; here it only cannot be found.
        document.field(&self.field).ok().flatten()
    }

    fn is_unchanged(&self, old: &Document, new: &Document) -> bool {
        let json = |document| Document::field_json(document, &self.field);
        matches!((json(old), json(new)), (Ok(old), Ok(new)) if old == new)
    }
}

/// Any function.
#[derive(Debug)]
struct TermIndex {
    func: Func,
    program: Arc<Program>,
}

impl IndexFunction for TermIndex {
    fn value(&self, document: &Document) -> Option<Datum> {
        let row = document.brief_value();
        let context = detached()?;
        let env = Env::new(context, self.program.clone(), CancelFlag::default(), true).ok()?;
        // As with a field: whoever reads a damaged document is told, and an index goes on without it.
        let value = || caught(|| self.func.call_datum(&env, &[row]));
        bounded(INDEX_FUNCTION_LOOKS, value)?.ok()?.ok()
    }
}

/// A server around functions that know of none: empty, the same for all.
fn detached() -> Option<Arc<Context>> {
    static DETACHED: OnceLock<Option<Arc<Context>>> = OnceLock::new();
    DETACHED.get_or_init(|| Context::in_memory("").ok().map(Arc::new)).clone()
}

/// The function that reads a field, as a term and as people read it.
pub(super) fn field_function(field: &str) -> (String, String) {
    let name = Datum::string(field).to_json();
    let term = format!("[69,[[2,[-19]],[31,[[10,[-19]],{name}]]]]");
    (term, format!("function(_var19) {{ return _var19.getField({name}); }}"))
}

/// Whether a text is the term of a function that an index can be computed from: one that gives the same answer for the
/// same document, always.
pub(super) fn is_index_function(text: &str) -> bool {
    StoredFunction::compile(text).is_ok_and(|function| function.is_deterministic())
}
