//! `error`: fails with the user's message. Without one, inside `default`, it stands for the error being handled.

use photondb_protocol::numbers::TermType;

use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

pub static ERROR: TermSpec = TermSpec::pure(
    TermType::Error,
    "ERROR",
    Chapter::ControlStructures,
    Arity::between(0, 1),
    error,
);

fn error(args: &Args<'_>) -> Result<Val> {
    if args.is_empty() {
        let message = "Empty ERROR term outside a default block.";
        return Err(Error::new(ErrorKind::EmptyUser, message));
    }
    Err(Error::new(ErrorKind::User, args.str(0)?.as_ref()))
}
