//! Where the rows of a stream come from: what a changefeed of it listens to, and what it does with the documents.

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::table_ref::TableRef;
use crate::storage::{Direction, KeyRange};

use super::Transform;

/// A range of a table, and what happens to its documents one by one.
#[derive(Debug)]
pub struct Origin {
    /// The table.
    pub table: TableRef,
    /// The primary keys.
    pub range: KeyRange,
    /// The order that was asked for.
    pub order: Option<Direction>,
    /// What is done to each document, in turn.
    pub transforms: Vec<Box<dyn Transform>>,
    /// How many rows of them, at most, from the first.
    pub limit: Option<u64>,
}

impl Origin {
    /// A range of a table as it is.
    pub fn new(table: TableRef, range: KeyRange, order: Option<Direction>) -> Origin {
        Origin { table, range, order, transforms: Vec::new(), limit: None }
    }

    /// What becomes of a document: a row, or none. One that something cannot be done to is none, as in an index; only
    /// what concerns the query as a whole is an error.
    pub fn row(&self, env: &Env, document: Datum) -> Result<Option<Datum>> {
        let mut rows = vec![document];
        for transform in &self.transforms {
            match transform.apply_all(env, rows) {
                Ok(changed) => rows = changed,
                Err(error) if concerns_the_query(&error) => return Err(error),
                Err(_) => return Ok(None),
            }
        }
        Ok(rows.pop())
    }
}

fn concerns_the_query(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Cancelled
            | ErrorKind::TimedOut
            | ErrorKind::NotResident
            | ErrorKind::ResourceLimit
            | ErrorKind::OutOfMemory
    )
}

/// Why a stream has no changes to listen to: it is eager, or this server cannot do that yet.
pub fn no_origin(is_eager: bool) -> Error {
    Error::logic(if is_eager {
        "Cannot call `changes` on an eager stream."
    } else {
        "`changes` on such a stream is not supported by this server yet."
    })
}
