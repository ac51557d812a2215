//! `update`: merges into documents.
//!
//! RethinkDB makes a `replace` of it, by a function that calls the argument with the document and merges the answer into
//! it. So the argument is evaluated for each document, its errors are those of a document, and it is not evaluated at all
//! where there is none.

use std::cell::OnceCell;

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::function::{Func, Shortcut};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::tree::{Node, Op};
use crate::reql::value::Val;

use super::apply::{Replacing, write_selection};
use super::options::{OPTIONS, check_function};

pub static UPDATE: TermSpec = TermSpec {
    is_rewritten: true,
    options: OPTIONS,
    effect: Effect::Write,
    forbids_writes: true,
    evaluates_later: Some(1),
    ..TermSpec::pure(TermType::Update, "UPDATE", Chapter::WritingData, Arity::exactly(2), update)
};

fn update(args: &Args<'_>) -> Result<Val> {
    let target = args.arg(0)?;
    let options = check_function(args)?;
    let change = Change { args, once: OnceCell::new() };
    let replacing = Replacing { options, apart: !args.varies(1).is_fixed_in_query() };
    write_selection(args, target, replacing, &|_, old| match old {
        Datum::Null => Ok(Datum::Null),
        old => match change.of(old)? {
            // Null changes nothing; only `replace` deletes by it.
            Datum::Null => Ok(old.clone()),
            change => super::insert::merge_document(old, &change),
        },
    })
}

/// What is merged into documents.
struct Change<'a, 'b> {
    args: &'b Args<'a>,
    /// The argument's value, or what is wrong with it, where it is the same for all documents.
    once: OnceCell<Result<Made>>,
}

/// The value of the argument.
enum Made {
    Func(Func),
    /// That of `r.args`, which takes the document for its last argument: the first of them is the change.
    Spliced(Datum),
}

impl Change<'_, '_> {
    /// What is merged into this document.
    fn of(&self, old: &Datum) -> Result<Datum> {
        if !self.is_fixed() {
            return self.called(&self.make()?, old);
        }
        match self.once.get_or_init(|| self.make()) {
            Ok(made) => self.called(made, old),
            Err(error) => Err(error.clone()),
        }
    }

    /// Whether the argument's value is the same for all documents. That of a function is, whatever its body does.
    fn is_fixed(&self) -> bool {
        let node = self.args.arg_node(1);
        node.is_some_and(|node| matches!(node.op, Op::Func(_)))
            || self.args.varies(1).is_fixed_here()
    }

    fn make(&self) -> Result<Made> {
        let val = self.args.arg_with_literals(1)?;
        if self.args.arg_node(1).is_some_and(Node::is_args) {
            return val.into_datum(self.args.env).map(Made::Spliced);
        }
        val.into_func(Shortcut::Constant, self.args.env).map(Made::Func)
    }

    fn called(&self, made: &Made, old: &Datum) -> Result<Datum> {
        let env = self.args.env;
        match made {
            Made::Func(func) => {
                func.call_with_literals(env, std::slice::from_ref(old))?.into_datum(env)
            }
            Made::Spliced(values) => Ok(values.as_array()?.first().unwrap_or(old).clone()),
        }
    }
}
