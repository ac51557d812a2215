//! Functions as values: ReQL functions with what they captured, shortcuts made of plain values, and scripts.

use std::sync::Arc;

use crate::datum::{Datum, work};

use super::env::Env;
use super::error::{Error, NodeId, Result};
use super::facts::{Determinism, Varies};
use super::row_rule;
use super::scope::{Captured, Scope};
use super::tree::{FuncNode, Op};
use super::value::Val;

/// What a plain value stands for where a function is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Nothing: a value is a type error.
    None,
    /// The function that always returns it.
    Constant,
    /// The function that returns that field of its argument.
    GetField,
    /// The function that plucks it from its argument.
    Pluck,
}

/// A function value. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Func {
    kind: FuncKind,
    /// The term to blame for what goes wrong in the call itself: of a ReQL function its body, as in RethinkDB.
    pub at: NodeId,
}

/// What a function is made of.
#[derive(Clone, Debug)]
pub enum FuncKind {
    /// A function term, and what it captured.
    Reql {
        /// The term.
        node: Arc<FuncNode>,
        /// The variables of outer functions; none when it uses none.
        captured: Option<Arc<Captured>>,
    },
    /// Always this value.
    Constant(Datum),
    /// The field of that name.
    GetField(Datum),
    /// The fields at these paths.
    Pluck(Datum),
    /// A script.
    Native(Arc<dyn NativeFunc>),
}

/// A function evaluated by other means than terms (a script).
pub trait NativeFunc: std::fmt::Debug + Send + Sync {
    /// Calls it.
    fn call(&self, env: &Env, args: &[Datum]) -> Result<Datum>;
    /// The function as text, for people.
    fn source(&self) -> String;
}

impl Func {
    /// A function term's value in this scope.
    pub fn close(node: &Arc<FuncNode>, scope: &Scope<'_>) -> Func {
        let captured = if node.captures.is_empty() && !node.captures_implicit {
            None
        } else {
            Some(scope.capture(&node.captures, node.captures_implicit))
        };
        Func { kind: FuncKind::Reql { node: node.clone(), captured }, at: node.body.id }
    }

    /// A function evaluated outside.
    pub fn native(native: Arc<dyn NativeFunc>, at: NodeId) -> Func {
        Func { kind: FuncKind::Native(native), at }
    }

    /// What a plain value stands for.
    pub fn from_datum(datum: Datum, shortcut: Shortcut, at: NodeId, env: &Env) -> Result<Func> {
        let kind = match shortcut {
            Shortcut::None => return Err(Val::datum(datum, at).type_error("FUNCTION", env)),
            Shortcut::Constant => FuncKind::Constant(datum),
            Shortcut::GetField => FuncKind::GetField(datum),
            Shortcut::Pluck => FuncKind::Pluck(datum),
        };
        Ok(Func { kind, at })
    }

    /// Calls it. Errors in the body blame the body's terms; others blame the function.
    pub fn call(&self, env: &Env, args: &[Datum]) -> Result<Val> {
        // Not every body has a term that looks whether the query may go on.
        work::step();
        match &self.kind {
            FuncKind::Reql { node, captured } => {
                check_arity(node, args.len()).map_err(|error| error.at(self.at))?;
                let scope = match captured {
                    Some(captured) => {
                        Scope::call(&node.params, args, captured, node.binds_implicit())
                    }
                    None => Scope::call_closed(&node.params, args, node.binds_implicit()),
                };
                node.body.eval(env, &scope)
            }
            FuncKind::Constant(datum) => Ok(Val::datum(datum.clone(), self.at)),
            FuncKind::GetField(field) => row_rule::get_field_of(first(args), field)
                .map(|datum| Val::datum(datum, self.at))
                .map_err(|error| error.at(self.at)),
            FuncKind::Pluck(paths) => row_rule::pluck_of(first(args), paths)
                .map(|datum| Val::datum(datum, self.at))
                .map_err(|error| error.at(self.at)),
            FuncKind::Native(native) => native
                .call(env, args)
                .map(|datum| Val::datum(datum, self.at))
                .map_err(|error| error.at(self.at)),
        }
    }

    /// Calls it for a value.
    pub fn call_datum(&self, env: &Env, args: &[Datum]) -> Result<Datum> {
        self.call(env, args)?.into_datum(env)
    }

    /// Calls it where its result may hold `r.literal`: for merge and update.
    pub fn call_with_literals(&self, env: &Env, args: &[Datum]) -> Result<Val> {
        env.with_literals(|| self.call(env, args))
    }

    /// Calls it for a truth.
    pub fn call_bool(&self, env: &Env, args: &[Datum]) -> Result<bool> {
        Ok(self.call_datum(env, args)?.truthy())
    }

    /// Blames the function term for what is wrong with a call's result, unless a term is blamed already. What plain
    /// values stand for blames nobody: the term that calls is at fault.
    pub fn blame(&self, error: Error) -> Error {
        match &self.kind {
            FuncKind::Reql { node, .. } => error.at(node.id),
            _ => error,
        }
    }

    /// In which ways the answer for the same arguments may vary.
    pub fn varies(&self) -> Varies {
        match &self.kind {
            FuncKind::Reql { node, .. } => node.body.facts.varies,
            FuncKind::Constant(_) | FuncKind::GetField(_) | FuncKind::Pluck(_) => Varies::NEVER,
            FuncKind::Native(_) => Varies::of(Determinism::No, true),
        }
    }

    /// What it is made of.
    pub fn kind(&self) -> &FuncKind {
        &self.kind
    }

    /// How many parameters it declares; `None` when it takes any number.
    pub fn arity(&self) -> Option<usize> {
        match &self.kind {
            FuncKind::Reql { node, .. } => Some(node.params.len()),
            FuncKind::GetField(_) | FuncKind::Pluck(_) => Some(1),
            FuncKind::Constant(_) | FuncKind::Native(_) => None,
        }
    }

    /// Whether its body is an object or a plain value, which `filter` then compares instead of testing.
    pub fn body_is_literal(&self) -> bool {
        match &self.kind {
            FuncKind::Reql { node, .. } => matches!(node.body.op, Op::Datum(_) | Op::Object(_)),
            FuncKind::Constant(_) => true,
            FuncKind::GetField(_) | FuncKind::Pluck(_) | FuncKind::Native(_) => false,
        }
    }

    /// The name of the one field it reads of its argument, when that is all it does.
    pub fn field_read(&self) -> Option<&Datum> {
        match &self.kind {
            FuncKind::GetField(field) => Some(field),
            _ => None,
        }
    }
}

fn first(args: &[Datum]) -> &Datum {
    args.first().unwrap_or(&Datum::Null)
}

/// A function without parameters takes any number of arguments: some drivers send constants so.
fn check_arity(node: &FuncNode, found: usize) -> Result<()> {
    let expected = node.params.len();
    if expected == 0 || expected == found {
        return Ok(());
    }
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    Err(Error::logic(format!(
        "Expected function with {found} argument{} but found function with {expected} argument{}.",
        plural(found),
        plural(expected)
    )))
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::{check, check_compile_error};

    const NESTED: &str = "Cannot use r.row in nested queries.  Use functions instead.";

    #[test]
    fn r_row_is_the_parameter_of_the_one_function_that_has_one() {
        check("[38,[[2,[1]],[69,[[2,[1]],[24,[[13,[]],1]]]]]]", "[2]");
        // Functions of two or none do not count, nor those with numbers that no driver gives.
        for inner in [
            "[64,[[69,[[2,[1,2]],[13,[]]]],7,8]]",
            "[64,[[69,[[2,[]],[13,[]]]],7,8]]",
            "[64,[[69,[[2,[-1]],[13,[]]]],7]]",
        ] {
            check(&format!("[38,[[2,[5]],[69,[[2,[9]],{inner}]]]]"), "[5]");
        }
    }

    #[test]
    fn r_row_in_nested_functions_is_refused_wherever_it_stands() {
        let inner = "[38,[[2,[2]],[69,[[2,[2]],[24,[[13,[]],[10,[1]]]]]]]]";
        let query = format!("[38,[[2,[1]],[69,[[2,[1]],{inner}]]]]");
        check_compile_error(&query, NESTED, "[1,1,1,1,0]");
        let query = "[38,[[2,[[2,[1]]]],[69,[[2,[1]],[38,[[13,[]],[69,[[2,[2]],[13,[]]]]]]]]]]";
        check_compile_error(query, NESTED, "[1,1,1,1]");
        check_compile_error("[13,[]]", "r.row is not defined in this context.", "[]");
        let message = "Expected no arguments or optional arguments on implicit variable term.";
        check_compile_error("[13,[1]]", message, "[]");
    }
}
