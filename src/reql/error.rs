//! Errors of a query: what kind, what text, and which term is to blame.

use std::fmt;

use photondb_protocol::numbers::ErrorType;

use crate::auth::UsersError;
use crate::datum::{DatumError, DatumErrorKind};

/// The number of a term within its query; index into the query's backtraces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The query's outermost term. An error there has an empty backtrace.
    pub const ROOT: NodeId = NodeId(0);
}

/// RethinkDB's classes of run-time errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A fault of the server's own.
    Internal,
    /// A bound was reached: array size, length of a text.
    ResourceLimit,
    /// It, or all queries together, take more memory than they may. What it wrote before stays.
    OutOfMemory,
    /// The query asks for what cannot be.
    Logic,
    /// Something is absent or null; `r.default` catches it.
    NonExistence,
    /// An operation did not happen: table missing, name taken, not ready.
    OpFailed,
    /// Whether an operation happened is not known.
    OpIndeterminate,
    /// `r.error(message)`.
    User,
    /// `r.error()` without a message: inside `default` it stands for the error being handled.
    EmptyUser,
    /// The user may not do this.
    Permission,
    /// The query was stopped by its client, by a closing connection or by the server's end.
    Cancelled,
    /// Its time was over. What it wrote before stays.
    TimedOut,
    /// Inline evaluation met a page that is not in memory: start over where waiting is allowed.
    NotResident,
}

impl ErrorKind {
    /// The wire's number for it.
    pub fn error_type(self) -> ErrorType {
        match self {
            ErrorKind::Internal | ErrorKind::NotResident => ErrorType::Internal,
            ErrorKind::ResourceLimit | ErrorKind::OutOfMemory => ErrorType::ResourceLimit,
            ErrorKind::Logic | ErrorKind::EmptyUser => ErrorType::QueryLogic,
            ErrorKind::NonExistence => ErrorType::NonExistence,
            ErrorKind::OpFailed | ErrorKind::Cancelled => ErrorType::OpFailed,
            ErrorKind::OpIndeterminate | ErrorKind::TimedOut => ErrorType::OpIndeterminate,
            ErrorKind::User => ErrorType::User,
            ErrorKind::Permission => ErrorType::PermissionError,
        }
    }
}

/// An error while a query runs. One pointer wide, since results of it are passed everywhere.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    at: Option<NodeId>,
}

/// The result of evaluating something.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The query is evaluated where it was read, or in the lane of administration, and takes too long for that: it starts over
    /// on the pool.
    pub(super) fn too_long_inline() -> Self {
        let message = "The query takes too long to be evaluated here.";
        Self::new(ErrorKind::NotResident, message)
    }

    /// An error of any kind; the term being evaluated is to blame unless [`Error::at`] names another.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), at: None }))
    }

    /// [`ErrorKind::Logic`].
    pub fn logic(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Logic, message)
    }

    /// [`ErrorKind::NonExistence`].
    pub fn non_existence(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::NonExistence, message)
    }

    /// [`ErrorKind::OpFailed`].
    pub fn op_failed(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::OpFailed, message)
    }

    /// [`ErrorKind::Internal`]: a rule of our own that did not hold.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Internal, message)
    }

    /// [`ErrorKind::ResourceLimit`].
    pub fn resource_limit(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::ResourceLimit, message)
    }

    /// Blames a term, unless one is blamed already.
    #[must_use]
    pub fn at(mut self, node: NodeId) -> Self {
        self.0.at.get_or_insert(node);
        self
    }

    /// Blames a term, whoever was blamed before.
    #[must_use]
    pub fn moved_to(mut self, node: NodeId) -> Self {
        self.0.at = Some(node);
        self
    }

    /// The same with something before its text.
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        self.0.message.insert_str(0, prefix);
        self
    }

    /// What kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The term to blame.
    pub fn blamed(&self) -> Option<NodeId> {
        self.0.at
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl From<UsersError> for Error {
    fn from(error: UsersError) -> Self {
        Error::op_failed(error.to_string())
    }
}

impl From<DatumError> for Error {
    fn from(error: DatumError) -> Self {
        let kind = match error.kind {
            DatumErrorKind::Logic => ErrorKind::Logic,
            DatumErrorKind::NonExistence => ErrorKind::NonExistence,
            DatumErrorKind::ResourceLimit => ErrorKind::ResourceLimit,
            DatumErrorKind::Internal => ErrorKind::Internal,
        };
        Error::new(kind, error.message)
    }
}
