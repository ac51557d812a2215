//! How the compiled tree and the arguments of its terms are evaluated.

use std::cell::RefCell;
use std::sync::Arc;

use crate::datum::edit::STRAY_LITERAL;
use crate::datum::{Datum, LITERAL, ObjectBuilder, pseudo_typed};

use super::env::Env;
use super::error::{Error, NodeId, Result};
use super::facts::Varies;
use super::function::{Func, Shortcut};
use super::scope::{Captured, Scope};
use super::spec::{Grouping, TermSpec};
use super::stream::{BoxStream, collect_array};
use super::tree::{Call, Node, Op};
use super::value::{Val, ValKind};
use super::{glance, grouped};

impl Node {
    /// Evaluates the term. An error without a blamed term blames this one.
    pub fn eval(&self, env: &Env, scope: &Scope<'_>) -> Result<Val> {
        match &self.op {
            Op::Datum(datum) => Ok(Val::datum(datum.clone(), self.id)),
            Op::Var(name) => match scope.var(*name) {
                Some(value) => Ok(Val::datum(value.clone(), self.id)),
                None => Err(Error::internal("A variable is not in scope.").at(self.id)),
            },
            Op::ImplicitVar => match scope.implicit() {
                Some(value) => Ok(Val::datum(value.clone(), self.id)),
                None => Err(Error::internal("r.row is not in scope.").at(self.id)),
            },
            Op::Func(func) => Ok(Val::new(ValKind::Func(Func::close(func, scope)), self.id)),
            Op::Object(fields) => object(env, scope, fields)
                .map(|datum| Val::datum(datum, self.id))
                .map_err(|error| error.at(self.id)),
            Op::Call(call) => {
                env.check_interrupt()?;
                if call.is_simple
                    && !env.is_traced()
                    && let Some((value, at)) = glance::value(self.id, call, scope)
                {
                    return Ok(Val::datum(value, at));
                }
                let _task = env.trace_enter(call.spec.name);
                let forbidden = env.forbid_literals();
                let result = self.call(call, env, scope, forbidden.before());
                drop(forbidden);
                // A term that hands on an argument's result leaves the blame where it was.
                result.map_err(|error| error.at(self.id))
            }
        }
    }

    fn call(&self, call: &Call, env: &Env, scope: &Scope<'_>, literals_legal: bool) -> Result<Val> {
        let args = Args::new(self, call, env, scope, literals_legal)?;
        if call.spec.grouping != Grouping::Whole && !args.is_empty() {
            let first = args.arg_where_it_stands(0)?;
            match grouped::apply(&args, first)? {
                grouped::Applied::Done(val) => return Ok(val),
                grouped::Applied::NotGrouped(first) => *args.first.borrow_mut() = Some(first),
            }
        }
        (call.spec.eval)(&args)
    }
}

/// An object in shorthand. A `$reql_type$` among its fields makes it a pseudo type, whose rules it must obey.
fn object(env: &Env, scope: &Scope<'_>, fields: &[(Arc<str>, Node)]) -> Result<Datum> {
    let mut builder = ObjectBuilder::with_capacity(fields.len());
    for (name, node) in fields {
        builder.insert(name.clone(), node.eval(env, scope)?.into_datum(env)?);
    }
    let made = pseudo_typed(builder.build())?;
    if made.is_pseudo_type(LITERAL) && !env.literals_legal() {
        return Err(Error::logic(STRAY_LITERAL));
    }
    Ok(made)
}

/// The arguments of a term that is being evaluated. Each is evaluated when it is asked for, once.
pub struct Args<'a> {
    /// The query's environment.
    pub env: &'a Env,
    /// The variables in scope.
    pub scope: &'a Scope<'a>,
    /// The term.
    pub node: &'a Node,
    call: &'a Call,
    /// The first argument when it has been evaluated already.
    first: RefCell<Option<Val>>,
    /// The arguments after `r.args` was spliced in; `None` when there is none to splice.
    spliced: Option<Vec<Slot<'a>>>,
    /// Whether the term may answer `r.literal`.
    literals_legal: bool,
}

enum Slot<'a> {
    Node(&'a Node),
    /// An element of an array that `r.args` holds; the array varies so.
    Value(Datum, Varies),
}

impl<'a> Args<'a> {
    fn new(
        node: &'a Node,
        call: &'a Call,
        env: &'a Env,
        scope: &'a Scope<'a>,
        literals_legal: bool,
    ) -> Result<Self> {
        let spliced = match call.splices {
            true if literals_legal || call.spec.takes_literals => {
                Some(env.with_literals(|| splice(call, env, scope))?)
            }
            true => Some(splice(call, env, scope)?),
            false => None,
        };
        let first = RefCell::new(None);
        let args = Args { env, scope, node, call, first, spliced, literals_legal };
        if args.spliced.is_some() && !call.spec.arity.allows(args.len()) {
            return Err(Error::logic(call.spec.arity.complaint(args.len())));
        }
        Ok(args)
    }

    /// The same term with another first argument, for one group of many.
    pub(super) fn with_first(&self, first: Val) -> Result<Args<'a>> {
        let args = Args::new(self.node, self.call, self.env, self.scope, self.literals_legal)?;
        *args.first.borrow_mut() = Some(first);
        Ok(args)
    }

    /// The term with its variables, to be evaluated later with other first arguments.
    pub fn detach(&self) -> Detached {
        Detached { node: self.node.clone(), captured: self.scope.capture_all() }
    }

    /// Whether all arguments but the first are the same whatever the first is, so that they need to be evaluated only once.
    pub fn rest_is_fixed(&self) -> bool {
        let rest = self.call.args.iter().skip(1);
        rest.map(|node| node.facts.varies).all(Varies::is_fixed_here)
    }

    /// How many rows of the term's answer are read at most, where that is known beforehand.
    pub fn top(&self) -> Option<usize> {
        self.call.top
    }

    /// Whether the term stands where `r.literal` is legal.
    pub fn literals_legal(&self) -> bool {
        self.literals_legal
    }

    /// Evaluates an argument in which `r.literal` may stand where the term itself may be one: what an array is made of,
    /// and the first argument of each term that can be applied to groups.
    pub fn arg_where_it_stands(&self, i: usize) -> Result<Val> {
        if self.literals_legal { self.arg_with_literals(i) } else { self.arg(i) }
    }

    /// Evaluates an argument in which `r.literal` may stand.
    pub fn arg_with_literals(&self, i: usize) -> Result<Val> {
        self.env.with_literals(|| self.arg(i))
    }

    /// Evaluates the term itself on these arguments.
    pub(super) fn eval_term(&self) -> Result<Val> {
        (self.call.spec.eval)(self)
    }

    /// The term's row.
    pub fn spec(&self) -> &'static TermSpec {
        self.call.spec
    }

    /// How many arguments there are, `r.args` spliced in.
    pub fn len(&self) -> usize {
        self.spliced.as_ref().map_or(self.call.args.len(), Vec::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The compiled argument, when it was written as such (not spliced in by `r.args`).
    pub fn arg_node(&self, i: usize) -> Option<&'a Node> {
        match &self.spliced {
            None => self.call.args.get(i),
            Some(slots) => match slots.get(i)? {
                Slot::Node(node) => Some(node),
                Slot::Value(..) => None,
            },
        }
    }

    /// The arguments as they were written, `r.args` among them.
    pub fn written(&self) -> &'a [Node] {
        &self.call.args
    }

    /// In which ways an argument may vary. `r.args` hides nothing, and of an argument that is missing nothing is sure.
    pub fn varies(&self, i: usize) -> Varies {
        let written = match &self.spliced {
            None => self.call.args.get(i),
            Some(slots) => match slots.get(i) {
                Some(Slot::Node(node)) => Some(*node),
                Some(Slot::Value(_, varies)) => return *varies,
                None => None,
            },
        };
        written.map_or(Varies::ANYHOW, |node| node.facts.varies)
    }

    /// Evaluates an argument.
    pub fn arg(&self, i: usize) -> Result<Val> {
        if i == 0
            && let Some(first) = self.first.borrow_mut().take()
        {
            return Ok(first);
        }
        let missing = || Error::internal(format!("Argument {i} is missing."));
        match &self.spliced {
            None => self.call.args.get(i).ok_or_else(missing)?.eval(self.env, self.scope),
            Some(slots) => match slots.get(i).ok_or_else(missing)? {
                Slot::Node(node) => node.eval(self.env, self.scope),
                Slot::Value(value, _) => Ok(Val::datum(value.clone(), self.node.id)),
            },
        }
    }

    /// An argument as a value; a stream that is no array is an error of its term.
    pub fn datum(&self, i: usize) -> Result<Datum> {
        self.arg(i)?.into_datum(self.env)
    }

    /// An argument as a number.
    pub fn number(&self, i: usize) -> Result<f64> {
        self.arg(i)?.number(self.env)
    }

    /// An argument as an integer of at most 2^53.
    pub fn integer(&self, i: usize) -> Result<i64> {
        self.arg(i)?.integer(self.env)
    }

    /// An argument as text.
    pub fn str(&self, i: usize) -> Result<Arc<str>> {
        self.arg(i)?.str(self.env)
    }

    /// An argument's truth.
    pub fn bool(&self, i: usize) -> Result<bool> {
        self.arg(i)?.truthy(self.env)
    }

    /// An argument as a stream.
    pub fn stream(&self, i: usize) -> Result<BoxStream> {
        self.arg(i)?.into_stream(self.env)
    }

    /// An argument as a function; `shortcut` says what a plain value stands for.
    pub fn func(&self, i: usize, shortcut: Shortcut) -> Result<Func> {
        self.arg(i)?.into_func(shortcut, self.env)
    }

    /// An optional argument of this term, or the query's global one of that name.
    pub fn optarg(&self, name: &'static str) -> Result<Option<Val>> {
        match self.optarg_node(name) {
            Some(node) => node.eval(self.env, self.scope).map(Some),
            None => self.env.global_optarg(name),
        }
    }

    /// The compiled optional argument as written at this term.
    pub fn optarg_node(&self, name: &'static str) -> Option<&'a Node> {
        self.call.optargs.iter().find(|(have, _)| *have == name).map(|(_, node)| node)
    }

    /// An optional argument's truth.
    pub fn optarg_bool(&self, name: &'static str, default: bool) -> Result<bool> {
        match self.optarg(name)? {
            Some(val) => val.truthy(self.env),
            None => Ok(default),
        }
    }

    /// An optional argument as a value.
    pub fn optarg_datum(&self, name: &'static str) -> Result<Option<Datum>> {
        self.optarg(name)?.map(|val| val.into_datum(self.env)).transpose()
    }

    /// An optional argument as text.
    pub fn optarg_str(&self, name: &'static str) -> Result<Option<Arc<str>>> {
        self.optarg(name)?.map(|val| val.str(self.env)).transpose()
    }

    /// The term's answer as a value.
    pub fn value(&self, datum: impl Into<Datum>) -> Result<Val> {
        Ok(Val::datum(datum.into(), self.node.id))
    }

    /// The term's answer as a number; not finite is an error.
    pub fn number_value(&self, number: f64) -> Result<Val> {
        Ok(Val::datum(Datum::number(number)?, self.node.id))
    }

    /// The term's answer as a stream. What is made of an array is an array, read at once: only then do its errors and
    /// its size blame this term.
    pub fn stream_value(&self, stream: BoxStream) -> Result<Val> {
        if stream.is_array() {
            return self.value(collect_array(stream, self.env)?);
        }
        Ok(Val::new(ValKind::Sequence(stream), self.node.id))
    }

    /// The term's answer of another kind.
    pub fn val(&self, kind: ValKind) -> Result<Val> {
        Ok(Val::new(kind, self.node.id))
    }
}

/// A term that is evaluated once for each row of a sequence, with the row as its first argument. Its other arguments are
/// evaluated each time anew.
#[derive(Debug)]
pub struct Detached {
    node: Node,
    captured: Arc<Captured>,
}

impl Detached {
    /// The term's number.
    pub fn id(&self) -> NodeId {
        self.node.id
    }

    /// In which ways the answer for the same first argument may vary. Of what cannot be evaluated nothing is sure.
    pub fn varies(&self) -> Varies {
        let Op::Call(call) = &self.node.op else { return Varies::ANYHOW };
        let others = call.args.iter().skip(1).chain(call.optargs.iter().map(|(_, node)| node));
        others
            .fold(Varies::of(call.spec.determinism, true), |all, node| all.join(node.facts.varies))
    }

    /// Evaluates `eval` on the term's arguments, of which the first is this value.
    pub fn eval<T>(
        &self,
        env: &Env,
        first: &Datum,
        eval: impl FnOnce(&Args<'_>) -> Result<T>,
    ) -> Result<T> {
        let Op::Call(call) = &self.node.op else {
            return Err(Error::internal("Only a term with arguments can be detached."));
        };
        let scope = Scope::call(&[], &[], &self.captured, false);
        let args = Args::new(&self.node, call, env, &scope, false)?;
        *args.first.borrow_mut() = Some(Val::datum(first.clone(), self.node.id));
        eval(&args)
    }
}

/// Replaces each `r.args` by the elements of its array.
fn splice<'a>(call: &'a Call, env: &'a Env, scope: &'a Scope<'a>) -> Result<Vec<Slot<'a>>> {
    let mut slots = Vec::new();
    for node in &call.args {
        if node.is_args() {
            let value = node.eval(env, scope)?.into_datum(env)?;
            let varies = node.facts.varies;
            let elements = value.as_array()?.iter().cloned();
            slots.extend(elements.map(|element| Slot::Value(element, varies)));
        } else {
            slots.push(Slot::Node(node));
        }
    }
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reql::facts::Facts;

    #[test]
    fn what_is_no_term_with_arguments_may_vary_in_any_way() {
        let node = Node { id: NodeId::ROOT, op: Op::Datum(Datum::Null), facts: Facts::LITERAL };
        let detached = Detached { node, captured: Scope::EMPTY.capture_all() };
        assert!(!detached.varies().is_fixed_here());
        assert!(!detached.varies().is_fixed_in_query());
    }
}
