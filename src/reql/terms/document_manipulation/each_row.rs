//! Terms that work on one object, and on a sequence row by row.
//!
//! On a sequence such a term is applied to each row, with its other arguments evaluated anew each time (once when they
//! are the same for all rows, which makes no difference); rows must be objects then. What the rows become differs: see
//! [`RowRule`].

use std::cell::OnceCell;
use std::fmt;

use crate::datum::{Datum, Object};
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::eval::{Args, Detached};
use crate::reql::row_rule::{RowRule, Rows};
use crate::reql::stream::{self, Transform, undetermined};
use crate::reql::value::{Val, ValKind};

/// The option that forbids a term to work row by row. RethinkDB sets it on the terms it makes for rows itself.
pub(in crate::reql::terms) const OPTIONS: &[&str] = &[NO_RECURSE];

const NO_RECURSE: &str = "_NO_RECURSE_";

/// A term of this kind.
pub(in crate::reql::terms) struct RowTerm {
    /// What it is called, and what it does with rows.
    pub(in crate::reql::terms) rule: RowRule,
    /// Evaluates it on an object.
    pub(in crate::reql::terms) eval: fn(&Args<'_>, &Object) -> Result<Val>,
    /// The same for many objects, when the other arguments are always the same.
    pub(in crate::reql::terms) prepare: Option<fn(&Args<'_>) -> Result<Prepared>>,
}

/// A term with its arguments evaluated, but for the object.
pub(in crate::reql::terms) type Prepared = Box<dyn Fn(&Env, &Object) -> Result<Datum> + Send>;

impl RowTerm {
    /// Evaluates the term on its first argument.
    pub(in crate::reql::terms) fn eval(&'static self, args: &Args<'_>) -> Result<Val> {
        let first = args.arg(0)?;
        self.eval_on(args, first, self.eval)
    }

    /// As [`RowTerm::eval`] with a first argument that is evaluated already, and with `eval` should it be an object.
    pub(in crate::reql::terms) fn eval_on(
        &'static self,
        args: &Args<'_>,
        first: Val,
        eval: impl FnOnce(&Args<'_>, &Object) -> Result<Val>,
    ) -> Result<Val> {
        let first = read_document(args.env, first)?;
        if let ValKind::Datum(Datum::Object(object)) = &first.kind {
            self.rule.check_object(object).map_err(|error| error.at(first.at))?;
            return eval(args, object);
        }
        if !first.is_sequence() {
            return Err(first.refusal(args.env, |printed| self.rule.neither(printed)));
        }
        if args.optarg_bool(NO_RECURSE, false)? {
            return Err(self.rule.nested());
        }
        let row = Box::new(EachRow {
            term: self,
            detached: args.detach(),
            rest_is_fixed: args.rest_is_fixed(),
            prepared: OnceCell::new(),
        });
        let rows = stream::Rows::of(first, args.env)?;
        match self.rule.rows {
            Rows::Filter => rows.sift(args, row),
            Rows::Map | Rows::MapPresent => rows.transform(args, row),
        }
    }
}

/// A document of a table is read; anything else stays as it is.
fn read_document(env: &Env, val: Val) -> Result<Val> {
    match &val.kind {
        ValKind::SingleSelection(_) => {
            let at = val.at;
            Ok(Val::datum(val.into_datum(env)?, at))
        }
        _ => Ok(val),
    }
}

/// A term applied to each row.
struct EachRow {
    term: &'static RowTerm,
    detached: Detached,
    /// Whether the other arguments are the same for all rows.
    rest_is_fixed: bool,
    /// The term with them evaluated, from the first row on.
    prepared: OnceCell<Prepared>,
}

impl EachRow {
    fn answer(&self, env: &Env, row: &Datum) -> Result<Datum> {
        let object = self.term.rule.row(row)?;
        let Some(prepare) = self.term.prepare.filter(|_| self.rest_is_fixed) else {
            return self
                .detached
                .eval(env, row, |args| (self.term.eval)(args, object)?.into_datum(env));
        };
        match self.prepared.get() {
            Some(prepared) => prepared(env, object),
            None => {
                let prepared = self.detached.eval(env, row, prepare)?;
                self.prepared.get_or_init(|| prepared)(env, object)
            }
        }
    }
}

impl fmt::Debug for EachRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EachRow").field("term", &self.term.rule.name).finish_non_exhaustive()
    }
}

impl Transform for EachRow {
    fn feed_problem(&self) -> Option<Error> {
        undetermined(self.detached.varies(), self.detached.id())
    }

    fn apply(&self, env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        match (self.answer(env, &row), self.term.rule.rows) {
            (Ok(answer), Rows::Map | Rows::MapPresent) => out.push(answer),
            (Ok(answer), Rows::Filter) => out.extend(answer.truthy().then_some(row)),
            (Err(error), Rows::Filter | Rows::MapPresent)
                if error.kind() == ErrorKind::NonExistence => {}
            (Err(error), _) => return Err(error),
        }
        Ok(())
    }
}
