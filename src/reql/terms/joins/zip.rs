//! `zip`: the two sides of each result of a join merged into one.

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, merge};
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{Transform, transform};
use crate::reql::value::Val;

pub static ZIP: TermSpec = TermSpec {
    cost: Cost::Heavy,
    ..TermSpec::pure(TermType::Zip, "ZIP", Chapter::Joins, Arity::exactly(1), zip)
};

fn zip(args: &Args<'_>) -> Result<Val> {
    transform(args, args.arg(0)?, Box::new(Zip))
}

#[derive(Debug)]
struct Zip;

impl Transform for Zip {
    fn apply(&self, _env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        let sides = row.as_object()?;
        let left = sides
            .get("left")
            .ok_or_else(|| Error::logic("ZIP can only be called on the result of a join."))?;
        out.push(match sides.get("right") {
            Some(right) => merge(left, right)?,
            None => left.clone(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn sides_merge_and_a_left_side_alone_stays() {
        let joined = r#"[2,[{"left":{"a":1,"b":1},"right":{"b":2}},{"left":{"a":3}}]]"#;
        check(&format!("[72,[{joined}]]"), r#"[{"a":1,"b":2},{"a":3}]"#);
        check_error(
            "[72,[[2,[{}]]]]",
            ErrorKind::Logic,
            "ZIP can only be called on the result of a join.",
            "[]",
        );
    }
}
