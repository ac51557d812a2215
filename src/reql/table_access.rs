//! How queries open tables, and what a table that fails means to them.

use super::damage;
use super::env::Env;
use super::error::{Error, ErrorKind, Result};
use super::memory_budget::Passed;
use super::table_ref::TableRef;
use crate::storage::{Damage, Lost, StorageError};
use crate::table::{TableError, TableReader};

impl Env {
    /// The table at the last commit point.
    pub fn reader(&self, table: &TableRef) -> Result<TableReader> {
        table.table.reader().map_err(|error| self.table_error(table, error))
    }

    /// As [`Env::reader`], for streams: its commit point is let go of when the client has got a batch.
    pub fn stream_reader(&self, table: &TableRef) -> Result<TableReader> {
        let opened = table.table.renewable_reader();
        let (reader, handle) = opened.map_err(|error| self.table_error(table, error))?;
        self.hold(handle);
        Ok(reader)
    }

    /// What a failing table means to the query.
    pub fn table_error(&self, table: &TableRef, error: TableError) -> Error {
        match error {
            TableError::Storage(StorageError::NotResident) if self.has_written() => {
                Error::internal("A query that has written was to start over.")
            }
            TableError::Storage(StorageError::NotResident) => {
                Error::new(ErrorKind::NotResident, "The answer is not in memory.")
            }
            TableError::Storage(StorageError::NoMemory { most }) => {
                // It may have given up because it was stopped.
                let stopped = self.check_interrupt_now().err();
                let message = Passed::Documents(most).message();
                stopped.unwrap_or_else(|| Error::new(ErrorKind::OutOfMemory, message))
            }
            TableError::Storage(StorageError::NoSuchTree(tree)) if tree != table.table.tree() => {
                // It was dropped since the query found it.
                table.index_not_found(table.entry.index_in(tree).unwrap_or_default())
            }
            TableError::Storage(StorageError::NoSuchTree(_)) => {
                Error::op_failed(format!("Table `{}.{}` does not exist.", table.db, table.name()))
            }
            TableError::Contended { .. } => {
                Error::new(ErrorKind::OpIndeterminate, error.to_string())
            }
            TableError::TooManyCut { .. } => Error::resource_limit(error.to_string()),
            TableError::DamagedIndex { tree, problem } => {
                let name = table.entry.index_in(tree).unwrap_or_default();
                let place = format!("the index `{name}`");
                let text = format!("{place}: {problem}");
                let (problem, lost) = (problem.to_owned(), Lost::Unknown);
                table.table.engine().note_damage(Damage { tree, place, problem, lost });
                unavailable(table, &text)
            }
            TableError::Document { key, error } => {
                damage::note(&table.table, &key, &error.to_string());
                unavailable(table, &TableError::Document { key, error })
            }
            error @ TableError::Storage(_) => unavailable(table, &error),
        }
    }
}

/// What is wrong with a table of which nothing can be read just now.
fn unavailable(table: &TableRef, why: &dyn std::fmt::Display) -> Error {
    Error::op_failed(format!("Table `{}.{}` is not available: {why}", table.db, table.name()))
}
