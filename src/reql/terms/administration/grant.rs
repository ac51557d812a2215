//! `grant`: what a user may do. The only user is `admin`, whose permissions cannot be changed; others are not
//! supported yet.

use photondb_protocol::numbers::TermType;

use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, Effect, Status, TermSpec};
use crate::reql::value::Val;

pub static GRANT: TermSpec = TermSpec {
    status: Status::Planned,
    ..TermSpec::on_tables(
        Effect::Meta,
        TermType::Grant,
        "GRANT",
        Chapter::Administration,
        Arity::between(2, 3),
        grant,
    )
};

/// The scope, when there is one, stands before the user's name.
fn grant(args: &Args<'_>) -> Result<Val> {
    let user = args.str(args.len() - 2)?;
    args.datum(args.len() - 1)?;
    Err(Error::op_failed(if &*user == "admin" {
        "The permissions of the user `admin` can't be modified.".to_owned()
    } else {
        format!("User `{user}` not found.")
    }))
}
