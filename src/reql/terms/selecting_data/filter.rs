//! `filter`: the elements that satisfy a function or match an object.
//!
//! A field that is missing makes a row neither satisfy nor fail the predicate: `default` decides, false unless given;
//! `default: r.error()` lets the error through.

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, LITERAL, LITERAL_VALUE};
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::function::{Func, Shortcut};
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::stream::{Rows, Transform, undetermined};
use crate::reql::value::Val;

pub static FILTER: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    forbids_writes: true,
    options: &["default"],
    ..TermSpec::pure(TermType::Filter, "FILTER", Chapter::SelectingData, Arity::exactly(2), filter)
};

fn filter(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let func = args.arg_with_literals(1)?.into_func(Shortcut::Constant, args.env)?;
    // The default knows nothing of the rows, so that it can be evaluated once; its error counts only where it is needed.
    let default = args
        .optarg_node("default")
        .map(|node| node.eval(args.env, args.scope).and_then(|val| val.truthy(args.env)));
    Rows::of(first, args.env)?
        .sift(args, Box::new(Filter { predicate: Predicate { func, default } }))
}

#[derive(Debug)]
struct Filter {
    predicate: Predicate,
}

impl Transform for Filter {
    fn apply(&self, env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        if self.predicate.matches(env, &row)? {
            out.push(row);
        }
        Ok(())
    }

    fn feed_problem(&self) -> Option<Error> {
        undetermined(self.predicate.func.varies(), self.predicate.func.at)
    }

    fn apply_all(&self, env: &Env, mut rows: Vec<Datum>) -> Result<Vec<Datum>> {
        let mut failure = None;
        rows.retain(|row| match failure {
            Some(_) => false,
            None => self.predicate.matches(env, row).unwrap_or_else(|error| {
                failure = Some(error);
                false
            }),
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(rows),
        }
    }
}

/// What rows must satisfy.
#[derive(Debug)]
pub struct Predicate {
    func: Func,
    default: Option<Result<bool>>,
}

impl Predicate {
    /// A function whose missing fields count as false.
    pub fn new(func: Func) -> Self {
        Predicate { func, default: None }
    }

    /// Whether the row satisfies it.
    pub fn matches(&self, env: &Env, row: &Datum) -> Result<bool> {
        match self.test(env, row) {
            Err(error) if error.kind() == ErrorKind::NonExistence => {
                absent_passes(self.default.as_ref(), error)
            }
            tested => tested,
        }
    }

    fn test(&self, env: &Env, row: &Datum) -> Result<bool> {
        let found =
            self.func.call_with_literals(env, std::slice::from_ref(row))?.into_datum(env)?;
        match &found {
            Datum::Object(_) if self.func.body_is_literal() => {
                matches_object(&found, row).map_err(|error| self.func.blame(error))
            }
            _ => Ok(found.truthy()),
        }
    }
}

/// Whether a row passes for which something is absent: `default` says it, and `r.error()` there lets the error through.
pub fn absent_passes(default: Option<&Result<bool>>, error: Error) -> Result<bool> {
    match default {
        None => Ok(false),
        Some(Err(instead)) if instead.kind() == ErrorKind::EmptyUser => Err(error),
        Some(default) => default.clone(),
    }
}

/// Whether a value has all that the pattern has. Inner objects need only match as well, unless they are literals.
fn matches_object(pattern: &Datum, value: &Datum) -> Result<bool> {
    if pattern.is_pseudo_type(LITERAL) {
        return Ok(pattern.get(LITERAL_VALUE) == Some(value));
    }
    let fields = pattern.as_object()?;
    for (name, wanted) in fields.iter() {
        let Some(found) = value.as_object()?.field(name) else {
            return Err(Error::non_existence(format!("No attribute `{name}` in object.")));
        };
        let equal = match (wanted, &found) {
            (Datum::Object(_), Datum::Object(_)) => matches_object(wanted, &found)?,
            _ => *wanted == found,
        };
        if !equal {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn objects_match_field_by_field() {
        let rows = r#"[2,[{"a":1,"b":{"c":1,"d":2}},{"a":1},{"a":2}]]"#;
        check(&format!(r#"[39,[{rows},{{"a":1}}]]"#), r#"[{"a":1,"b":{"c":1,"d":2}},{"a":1}]"#);
        check(&format!(r#"[39,[{rows},{{"b":{{"c":1}}}}]]"#), r#"[{"a":1,"b":{"c":1,"d":2}}]"#);
        check(&format!(r#"[43,[[39,[{rows},{{"b":{{}}}}],{{"default":true}}]]]"#), "3");
        check_error(
            &format!(r#"[39,[{rows},{{"b":1}}],{{"default":[12,[]]}}]"#),
            ErrorKind::NonExistence,
            "No attribute `b` in object.",
            "[]",
        );
        check_error(
            r#"[39,[[2,[1]],{"b":1}]]"#,
            ErrorKind::Logic,
            "Expected type OBJECT but found NUMBER.",
            "[]",
        );
    }

    #[test]
    fn the_default_decides_about_missing_fields() {
        let over_one = "[69,[[2,[1]],[21,[[45,[[10,[1]],0]],1]]]]";
        let rows = "[2,[[2,[1]],[2,[2]],[2,[]]]]";
        check(&format!("[39,[{rows},{over_one}]]"), "[[2]]");
        check(&format!(r#"[39,[{rows},{over_one}],{{"default":true}}]"#), "[[2],[]]");
        check_error(
            &format!(r#"[39,[{rows},{over_one}],{{"default":[12,["instead"]]}}]"#),
            ErrorKind::User,
            "instead",
            "[\"default\"]",
        );
    }
}
