//! `difference`: the elements that are not in another sequence, which is evaluated for each of them.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt;

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::eval::{Args, Detached};
use crate::reql::facts::{Cost, Effect};
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::stream::{BatchSpec, BoxStream, Rows, Transform, next_rows, undetermined};
use crate::reql::terms::selecting_data::absent_passes;
use crate::reql::value::{Val, ValKind};

pub static DIFFERENCE: TermSpec = TermSpec {
    is_rewritten: true,
    options: &["default"],
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::Difference,
        "DIFFERENCE",
        Chapter::DocumentManipulation,
        Arity::exactly(2),
        difference,
    )
};

fn difference(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let constant = args
        .arg_node(1)
        .is_none_or(|node| node.facts.varies.is_fixed() && node.facts.effect == Effect::None);
    // It is read where it is needed, and knows nothing of the rows.
    let absent = args
        .optarg_node("default")
        .map(|node| node.eval(args.env, args.scope).and_then(|val| val.truthy(args.env)));
    let keep = NotIn { detached: args.detach(), absent, constant, seen: OnceCell::new() };
    Rows::of(first, args.env)?.sift(args, Box::new(keep))
}

/// Keeps what is not in the other sequence.
struct NotIn {
    detached: Detached,
    /// Whether a row stays for which something is absent.
    absent: Option<Result<bool>>,
    /// Whether the other sequence is always the same: then it is evaluated once.
    constant: bool,
    seen: OnceCell<BTreeSet<Datum>>,
}

impl fmt::Debug for NotIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotIn").finish_non_exhaustive()
    }
}

impl NotIn {
    fn holds(&self, env: &Env, row: &Datum) -> Result<bool> {
        if let Some(seen) = self.seen.get() {
            return Ok(seen.contains(row));
        }
        self.detached.eval(env, row, |args| {
            let other = args.arg(1)?;
            match &other.kind {
                ValKind::Datum(Datum::Array(values)) if self.constant => {
                    let seen = self.seen.get_or_init(|| values.iter().cloned().collect());
                    Ok(seen.contains(row))
                }
                _ => found(env, other.into_stream(env)?, row),
            }
        })
    }
}

fn found(env: &Env, mut stream: BoxStream, row: &Datum) -> Result<bool> {
    while !stream.is_exhausted() {
        if next_rows(stream.as_mut(), env, &BatchSpec::TERMINAL.in_turn())?.contains(row) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Transform for NotIn {
    fn apply(&self, env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        match self.holds(env, &row) {
            Ok(found) => out.extend((!found).then_some(row)),
            Err(error) if error.kind() == ErrorKind::NonExistence => {
                let stays = absent_passes(self.absent.as_ref(), error)?;
                out.extend(stays.then_some(row));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn feed_problem(&self) -> Option<Error> {
        undetermined(self.detached.varies(), self.detached.id())
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn all_that_are_in_the_other_go() {
        check("[95,[[2,[1,2,2,3,1]],[2,[2,9]]]]", "[1,3,1]");
        check("[95,[[2,[1]],null]]", "[]");
        check("[95,[[2,[]],5]]", "[]");
        // It is a filter: what is absent is dropped, unless the option says otherwise.
        let absent = r#"[95,[[2,[1]],[170,[{},"a"]]]"#;
        check(&format!("{absent}]"), "[]");
        check(&format!(r#"{absent},{{"default":true}}]"#), "[1]");
        let message = "Cannot convert NUMBER to SEQUENCE";
        check_error("[95,[[2,[1]],5]]", ErrorKind::Logic, message, "[]");
    }
}
