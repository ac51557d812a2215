//! Functions that are kept with a table: for its indexes, for its writes.

use std::sync::Arc;

use photondb_protocol::json;
use photondb_protocol::raw_term::RawTerm;

use crate::datum::Datum;

use super::facts::Facts;
use super::function::Func;
use super::program::Program;
use super::scope::Scope;
use super::tree::FuncNode;
use super::tree::Op;

/// A function that was kept as its term, compiled.
#[derive(Clone, Debug)]
pub struct StoredFunction {
    /// The function.
    pub node: Arc<FuncNode>,
    facts: Facts,
}

impl StoredFunction {
    /// Compiles the term of a function; the error says what is wrong with it.
    pub fn compile(text: &str) -> Result<StoredFunction, String> {
        let json = json::parse(text).map_err(|error| error.to_string())?;
        let term = RawTerm::from_json(json).map_err(|error| error.to_string())?;
        let program = Program::compile(term, Vec::new(), &Datum::Null);
        let program = program.map_err(|error| error.to_string())?;
        match &program.root().op {
            Op::Func(node) => {
                Ok(StoredFunction { node: node.clone(), facts: program.root().facts })
            }
            _ => Err("it is not a function".to_owned()),
        }
    }

    /// Whether it gives the same answer for the same arguments, always.
    pub fn is_deterministic(&self) -> bool {
        self.facts.varies.is_fixed()
    }

    /// How many arguments it takes.
    pub fn arity(&self) -> usize {
        self.node.params.len()
    }

    /// The function as a value. It captured nothing.
    pub fn func(&self) -> Func {
        Func::close(&self.node, &Scope::EMPTY)
    }
}
