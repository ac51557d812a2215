//! What an error of the catalog means to a query.

use crate::catalog::CatalogError;
use crate::reql::error::Error;

/// Names that cannot be are the query's fault; all else is an operation that did not happen.
pub fn catalog_error(error: CatalogError) -> Error {
    match error {
        CatalogError::InvalidName { .. } => Error::logic(error.to_string()),
        error => Error::op_failed(error.to_string()),
    }
}
