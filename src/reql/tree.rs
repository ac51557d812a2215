//! The compiled tree of a query: terms with their arguments, literals, variables and functions. Knows the rows of terms;
//! must not know how they are evaluated.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, REQL_TYPE};

use super::error::NodeId;
use super::facts::Facts;
use super::scope::VarId;
use super::spec::TermSpec;

/// A compiled term. Cloning shares what is below it.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its number, for backtraces.
    pub id: NodeId,
    /// What to do.
    pub op: Op,
    /// The worst of the tree below.
    pub facts: Facts,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum Op {
    /// A literal.
    Datum(Datum),
    /// An object in shorthand form; fields sorted by name.
    Object(Arc<Vec<(Arc<str>, Node)>>),
    /// A variable.
    Var(VarId),
    /// `r.row`.
    ImplicitVar,
    /// A function.
    Func(Arc<FuncNode>),
    /// Any other term.
    Call(Arc<Call>),
}

/// A term with its arguments.
pub struct Call {
    /// Its row.
    pub spec: &'static TermSpec,
    /// The arguments as written; `r.args` among them is not spliced yet.
    pub args: Vec<Node>,
    /// The optional arguments, under the row's own names.
    pub optargs: Vec<(&'static str, Node)>,
    /// Whether an argument is `r.args`.
    pub splices: bool,
    /// Whether it only reads and compares: see [`super::glance`].
    pub is_simple: bool,
    /// How many of its rows are read at most, as far as the query says so: see [`super::top`].
    pub top: Option<usize>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(self.spec.name)
            .field("args", &self.args)
            .field("optargs", &self.optargs)
            .finish()
    }
}

impl Node {
    /// Whether it is `r.table`.
    pub fn is_table(&self) -> bool {
        matches!(&self.op, Op::Call(call) if call.spec.term == TermType::Table)
    }

    /// Whether it is `r.args`.
    pub fn is_args(&self) -> bool {
        matches!(&self.op, Op::Call(call) if call.spec.is_args())
    }

    /// Whether it is written out: no variable in it, nothing that can fail or differ from time to time.
    pub fn is_written_out(&self) -> bool {
        match &self.op {
            Op::Datum(_) | Op::Func(_) => true,
            Op::Object(fields) => {
                fields.iter().all(|(name, node)| &**name != REQL_TYPE && node.is_written_out())
            }
            Op::Call(call) => {
                call.spec.term == TermType::MakeArray
                    && !call.splices
                    && call.args.iter().all(Node::is_written_out)
            }
            Op::Var(_) | Op::ImplicitVar => false,
        }
    }
}

/// A compiled function.
#[derive(Debug)]
pub struct FuncNode {
    /// The function term.
    pub id: NodeId,
    /// Parameters, in order.
    pub params: Vec<VarId>,
    /// What it computes.
    pub body: Node,
    /// Variables of outer functions that the body uses.
    pub captures: Vec<VarId>,
    /// Whether the body uses an outer function's `r.row`.
    pub captures_implicit: bool,
}

impl FuncNode {
    /// Whether its parameter is also `r.row`.
    pub fn binds_implicit(&self) -> bool {
        binds_implicit(&self.params)
    }
}

/// Whether the parameter of a function with these is also `r.row`: it has just one, and a driver gave it its number. Those
/// that RethinkDB makes itself have numbers below zero.
pub fn binds_implicit(params: &[VarId]) -> bool {
    matches!(params, [name] if *name >= 0)
}
