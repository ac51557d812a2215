//! `innerJoin` and `outerJoin`: the pairs of two sequences that satisfy a function.
//!
//! The right sequence is evaluated anew for each element of the left, and read lazily; the function is evaluated when
//! the first pair asks for it.

use std::cell::OnceCell;
use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::eval::{Args, Detached};
use crate::reql::facts::Cost;
use crate::reql::function::{Func, Shortcut};
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::stream::{
    ArrayStream, BoxStream, Expand, Rows, Transform, Transformed, collect_rows, concat,
};
use crate::reql::value::Val;

use super::pair;

pub static INNER_JOIN: TermSpec = TermSpec {
    is_rewritten: true,
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    ..TermSpec::pure(TermType::InnerJoin, "INNER_JOIN", Chapter::Joins, Arity::exactly(3), |args| {
        join(args, false)
    })
};

pub static OUTER_JOIN: TermSpec = TermSpec {
    is_rewritten: true,
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    ..TermSpec::pure(TermType::OuterJoin, "OUTER_JOIN", Chapter::Joins, Arity::exactly(3), |args| {
        join(args, true)
    })
};

fn join(args: &Args<'_>, outer: bool) -> Result<Val> {
    let rows = Rows::of(args.arg(0)?, args.env)?;
    concat(args, rows, Box::new(Join { term: Arc::new(args.detach()), outer }))
}

#[derive(Debug)]
struct Join {
    term: Arc<Detached>,
    /// Whether an element of the left without a partner counts as a pair without a right side.
    outer: bool,
}

impl Expand for Join {
    fn expand(&self, env: &Env, left: Datum) -> Result<BoxStream> {
        let right = self.term.eval(env, &Datum::Null, |args| args.stream(1))?;
        let pairs = Pairs { left: left.clone(), term: self.term.clone(), func: OnceCell::new() };
        let pairs = Box::new(Transformed::new(right, Box::new(pairs), self.term.id()));
        if !self.outer {
            return Ok(pairs);
        }
        let mut pairs = collect_rows(pairs, env)?;
        if pairs.is_empty() {
            pairs.push(pair(left, None));
        }
        Ok(Box::new(ArrayStream::new(Arc::new(pairs))))
    }
}

/// An element of the left with those of the right that it is joined to.
#[derive(Debug)]
struct Pairs {
    left: Datum,
    term: Arc<Detached>,
    func: OnceCell<Func>,
}

impl Pairs {
    fn func(&self, env: &Env) -> Result<&Func> {
        if let Some(func) = self.func.get() {
            return Ok(func);
        }
        let func = self.term.eval(env, &Datum::Null, |args| args.func(2, Shortcut::Constant))?;
        Ok(self.func.get_or_init(|| func))
    }
}

impl Transform for Pairs {
    fn apply(&self, env: &Env, right: Datum, out: &mut Vec<Datum>) -> Result<()> {
        let sides = [self.left.clone(), right];
        if self.func(env)?.call_bool(env, &sides)? {
            let [left, right] = sides;
            out.push(pair(left, Some(right)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    const EQUAL: &str = "[69,[[2,[1,2]],[17,[[10,[1]],[10,[2]]]]]]";

    #[test]
    fn pairs_that_satisfy_the_function() {
        check(
            &format!("[48,[[2,[1,2]],[173,[5]],{EQUAL}]]"),
            r#"[{"left":1,"right":1},{"left":2,"right":2}]"#,
        );
        check(
            &format!("[49,[[2,[1,9]],[173,[5]],{EQUAL}]]"),
            r#"[{"left":1,"right":1},{"left":9}]"#,
        );
        check("[48,[[2,[1]],[2,[2]],true]]", r#"[{"left":1,"right":2}]"#);
        check(&format!("[71,[[48,[[173,[]],[173,[]],{EQUAL}]],1]]"), r#"[{"left":0,"right":0}]"#);
    }

    #[test]
    fn the_right_side_and_the_function_are_looked_at_when_they_are_needed() {
        check("[48,[[2,[]],1,2]]", "[]");
        check("[48,[[2,[1]],[2,[]],[12,[\"never\"]]]]", "[]");
        check_error("[48,[[2,[1]],[2,[1]],[12,[\"now\"]]]]", ErrorKind::User, "now", "[2]");
        check_error(
            "[48,[[2,[1]],1,2]]",
            ErrorKind::Logic,
            "Cannot convert NUMBER to SEQUENCE",
            "[]",
        );
    }

    #[test]
    fn variables_of_outer_functions_are_seen_inside() {
        let above = "[69,[[2,[2,3]],[21,[[24,[[10,[2]],[10,[3]]]],[10,[1]]]]]]";
        check(
            &format!("[64,[[69,[[2,[1]],[48,[[173,[3]],[173,[3]],{above}]]]],3]]"),
            r#"[{"left":2,"right":2}]"#,
        );
    }
}
