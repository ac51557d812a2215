//! Databases, tables and documents as results of terms.
//!
//! A selection remembers its table, so that update, replace and delete can write to what it reads.

use crate::datum::Datum;

use super::env::Env;
use super::error::Result;
use super::stream::BoxStream;

/// A database.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name.
    pub name: String,
}

/// A table, or a range or an order of one.
#[derive(Debug)]
pub enum TableVal {}

impl TableVal {
    /// Whether a range or an order was applied.
    pub fn is_slice(&self) -> bool {
        match *self {}
    }

    /// Its documents.
    pub fn into_stream(self, _env: &Env) -> Result<BoxStream> {
        match self {}
    }
}

/// Some documents of a table.
#[derive(Debug)]
pub struct Selection {
    /// The table.
    pub table: TableVal,
    /// The documents.
    pub stream: BoxStream,
}

/// One document of a table, there or not.
#[derive(Debug)]
pub enum SingleSelection {}

impl SingleSelection {
    /// The document, or null.
    pub fn read(&self, _env: &Env) -> Result<Datum> {
        match *self {}
    }
}
