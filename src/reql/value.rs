//! What a term evaluates to: a value, a stream, a function, a table, a database, grouped data.

use std::sync::Arc;

use crate::datum::{Datum, DatumType, work};

use super::env::Env;
use super::error::{Error, ErrorKind, NodeId, Result};
use super::function::{Func, Shortcut};
use super::grouped::{Grouped, GroupedStream};
use super::selection::{Database, Selection, SingleSelection, TableVal};
use super::stream::{ArrayStream, BoxStream, check_finite, collect_array};
use super::table_ref::TableRef;

/// The result of a term, with the term that is to blame when it has the wrong type.
#[derive(Debug)]
pub struct Val {
    /// The result.
    pub kind: ValKind,
    /// The term that gave it.
    pub at: NodeId,
}

/// Kinds of results.
#[derive(Debug)]
pub enum ValKind {
    /// A value.
    Datum(Datum),
    /// A stream of values, from a table or not, that can no longer be written to.
    Sequence(BoxStream),
    /// A stream of documents of one table.
    Selection(Selection),
    /// One document of a table, there or not.
    SingleSelection(SingleSelection),
    /// A table, or a range or order of one that no transformation has touched.
    Table(TableVal),
    /// A database.
    Database(Database),
    /// A function.
    Func(Func),
    /// Values by group.
    Grouped(Grouped),
    /// A stream whose rows carry groups.
    GroupedStream(GroupedStream),
}

impl Val {
    /// A result of some kind.
    pub fn new(kind: ValKind, at: NodeId) -> Val {
        Val { kind, at }
    }

    /// A value.
    pub fn datum(datum: Datum, at: NodeId) -> Val {
        Val { kind: ValKind::Datum(datum), at }
    }

    /// The kind's name in messages.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            ValKind::Datum(_) => "DATUM",
            ValKind::Sequence(_) => "SEQUENCE",
            ValKind::Selection(_) => "SELECTION",
            ValKind::SingleSelection(_) => "SINGLE_SELECTION",
            ValKind::Table(table) if table.is_slice() => "TABLE_SLICE",
            ValKind::Table(_) => "TABLE",
            ValKind::Database(_) => "DATABASE",
            ValKind::Func(_) => "FUNCTION",
            ValKind::Grouped(_) | ValKind::GroupedStream(_) => "GROUPED_DATA",
        }
    }

    /// `Expected type X but found Y:` and the value, blamed on the term that gave it.
    pub fn type_error(&self, expected: &str, env: &Env) -> Error {
        let found = self.kind_name();
        self.refusal(env, |printed| {
            format!("Expected type {expected} but found {found}:\n{printed}")
        })
    }

    /// An error that shows the result, blamed on the term that gave it. Errors about null are of kind non-existence, all
    /// others of kind query logic. A document is read for it, and where that fails this is the error.
    pub fn refusal(&self, env: &Env, message: impl FnOnce(&str) -> String) -> Error {
        let document = match &self.kind {
            ValKind::Datum(datum) => Ok(Some(datum.clone())),
            ValKind::SingleSelection(single) => single.read(env).map(Some),
            _ => Ok(None),
        };
        let kind = match &document {
            Ok(Some(Datum::Null)) => ErrorKind::NonExistence,
            _ => ErrorKind::Logic,
        };
        let document = document.map_err(|error| error.at(self.at));
        match document.and_then(|document| self.printed(document.as_ref())) {
            Ok(printed) => Error::new(kind, message(&printed)).at(self.at),
            Err(error) => error,
        }
    }

    /// As messages show it, cut to their length, given the value it stands for if it is one. Bounds have no such form,
    /// which is an error of the asking term.
    fn printed(&self, value: Option<&Datum>) -> Result<String> {
        if let Some(datum) = value {
            datum.check_json()?;
            return Ok(datum.truncated_print());
        }
        match &self.kind {
            ValKind::Database(database) => Ok(format!("db(\"{}\")", database.name)),
            ValKind::Table(table) if !table.is_slice() => {
                Ok(format!("table(\"{}\")", table.table.name()))
            }
            ValKind::Table(TableVal { table, .. })
            | ValKind::Selection(Selection { table, .. }) => {
                Ok(format!("SELECTION ON table({})", table.name()))
            }
            _ => Ok(format!("VALUE {}", self.kind_name())),
        }
    }

    /// As a value. A stream is none, unless it is an array in stream's clothes.
    pub fn into_datum(self, env: &Env) -> Result<Datum> {
        let at = self.at;
        match self.kind {
            ValKind::Datum(datum) => Ok(datum),
            ValKind::Sequence(stream) if stream.is_array() => {
                collect_array(stream, env).map_err(|error| error.at(at))
            }
            ValKind::SingleSelection(single) => single.read(env).map_err(|error| error.at(at)),
            ValKind::Sequence(_)
            | ValKind::Selection(_)
            | ValKind::Table(_)
            | ValKind::Database(_)
            | ValKind::Func(_)
            | ValKind::Grouped(_)
            | ValKind::GroupedStream(_) => Err(self.type_error("DATUM", env)),
        }
    }

    /// As a number, blamed on the term that gave it.
    pub fn number(self, env: &Env) -> Result<f64> {
        let at = self.at;
        self.into_datum(env)?.as_number().map_err(|error| Error::from(error).at(at))
    }

    /// As an integer of at most 2^53.
    pub fn integer(self, env: &Env) -> Result<i64> {
        let at = self.at;
        self.into_datum(env)?.as_integer().map_err(|error| Error::from(error).at(at))
    }

    /// As text.
    pub fn str(self, env: &Env) -> Result<Arc<str>> {
        let at = self.at;
        match self.into_datum(env)? {
            Datum::String(text) => {
                work::byte_steps(text.len());
                Ok(text)
            }
            other => Err(Error::from(other.type_error(DatumType::String)).at(at)),
        }
    }

    /// Whether it is the value null.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, ValKind::Datum(Datum::Null))
    }

    /// As [`Val::truthy`], keeping the result.
    pub fn is_truthy(&self, env: &Env) -> Result<bool> {
        match &self.kind {
            ValKind::Datum(datum) => Ok(datum.truthy()),
            ValKind::SingleSelection(single) => {
                Ok(single.read(env).map_err(|error| error.at(self.at))?.truthy())
            }
            _ => Err(self.type_error("DATUM", env)),
        }
    }

    /// ReQL's truth: everything but `false` and `null`.
    pub fn truthy(self, env: &Env) -> Result<bool> {
        Ok(self.into_datum(env)?.truthy())
    }

    /// Whether [`Val::into_stream`] would succeed for reasons of type.
    pub fn is_sequence(&self) -> bool {
        match &self.kind {
            ValKind::Datum(datum) => matches!(datum, Datum::Array(_)),
            ValKind::Sequence(_)
            | ValKind::Selection(_)
            | ValKind::Table(_)
            | ValKind::GroupedStream(_) => true,
            ValKind::SingleSelection(_)
            | ValKind::Database(_)
            | ValKind::Func(_)
            | ValKind::Grouped(_) => false,
        }
    }

    /// As a stream. A value that is no array is an error of the asking term, not of the one that gave the value.
    pub fn into_stream(self, env: &Env) -> Result<BoxStream> {
        match self.kind {
            ValKind::Sequence(stream) => Ok(stream),
            ValKind::Selection(selection) => Ok(selection.stream),
            ValKind::Table(table) => table.into_stream(env),
            ValKind::Datum(Datum::Array(values)) => Ok(Box::new(ArrayStream::new(values))),
            ValKind::Datum(other) => Err(not_a_sequence(&other)),
            ValKind::SingleSelection(single) => Err(not_a_sequence(&single.read(env)?)),
            ValKind::Database(_)
            | ValKind::Func(_)
            | ValKind::Grouped(_)
            | ValKind::GroupedStream(_) => Err(self.type_error("SEQUENCE", env)),
        }
    }

    /// As a stream that is to be read to its end; one without an end is an error of the term that gave it.
    pub fn into_finite_stream(self, env: &Env) -> Result<BoxStream> {
        let at = self.at;
        let stream = self.into_stream(env)?;
        check_finite(stream.as_ref()).map_err(|error| error.at(at))?;
        Ok(stream)
    }

    /// As a whole table.
    pub fn into_table(self, env: &Env) -> Result<TableRef> {
        match self.kind {
            ValKind::Table(table) if !table.is_slice() => Ok(table.table),
            _ => Err(self.type_error("TABLE", env)),
        }
    }

    /// As a table or a range of one.
    pub fn into_table_slice(self, env: &Env) -> Result<TableVal> {
        match self.kind {
            ValKind::Table(table) => Ok(table),
            _ => Err(self.type_error("TABLE_SLICE", env)),
        }
    }

    /// As a database.
    pub fn into_database(self, env: &Env) -> Result<Database> {
        match self.kind {
            ValKind::Database(database) => Ok(database),
            _ => Err(self.type_error("DATABASE", env)),
        }
    }

    /// As a function; `shortcut` says what a plain value stands for.
    pub fn into_func(self, shortcut: Shortcut, env: &Env) -> Result<Func> {
        let at = self.at;
        match self.kind {
            ValKind::Func(func) => Ok(func),
            _ if shortcut == Shortcut::None => Err(self.type_error("FUNCTION", env)),
            ValKind::Sequence(_)
            | ValKind::Selection(_)
            | ValKind::Database(_)
            | ValKind::Table(_)
            | ValKind::Grouped(_)
            | ValKind::GroupedStream(_) => Err(self.type_error("FUNCTION", env)),
            ValKind::Datum(_) | ValKind::SingleSelection(_) => {
                Func::from_datum(self.into_datum(env)?, shortcut, at, env)
            }
        }
    }
}

fn not_a_sequence(datum: &Datum) -> Error {
    let kind =
        if matches!(datum, Datum::Null) { ErrorKind::NonExistence } else { ErrorKind::Logic };
    Error::new(kind, format!("Cannot convert {} to SEQUENCE", datum.type_name()))
}
