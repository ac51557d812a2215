//! Errors about values. They carry no place in a query: the term that meets one adds its own.

use thiserror::Error;

/// Whether `r.default` catches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatumErrorKind {
    /// The query asks something of a value that it cannot give.
    Logic,
    /// Something is absent: a field, an element, a value that is null.
    NonExistence,
    /// A bound was reached (array size).
    ResourceLimit,
    /// RethinkDB fails in a way of its own, which drivers see as an internal error.
    Internal,
}

/// What is wrong with a value, in RethinkDB's words.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct DatumError {
    /// Decides the error's class at the driver.
    pub kind: DatumErrorKind,
    /// The text, as RethinkDB gives it.
    pub message: String,
}

impl DatumError {
    /// An error of kind [`DatumErrorKind::Logic`].
    pub fn logic(message: impl Into<String>) -> Self {
        DatumError { kind: DatumErrorKind::Logic, message: message.into() }
    }

    /// An error of kind [`DatumErrorKind::NonExistence`].
    pub fn non_existence(message: impl Into<String>) -> Self {
        DatumError { kind: DatumErrorKind::NonExistence, message: message.into() }
    }
}
