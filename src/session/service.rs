//! What all sessions share. Knows what queries are run with, not who asks for them.

use std::sync::Arc;
use std::time::Duration;

use crate::holders::Holders;
use crate::metrics::Metrics;
use crate::reql::Context;
use crate::storage::{Engine, StorageError};
use crate::unread::Unread;

use super::ending::Ended;
use super::pool::Pool;

/// What all sessions share.
#[derive(Debug)]
pub struct Service {
    /// The server as queries see it.
    pub context: Arc<Context>,
    /// Where queries run that may take long.
    pub pool: Arc<Pool>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Answers that clients have not read.
    pub unread: Arc<Unread>,
    /// What queries hold while they wait: that of the context.
    pub holders: Arc<Holders>,
    /// Queries that the server ended by itself.
    pub ended: Ended,
    /// Queries that take longer until their first answer are told in the log.
    pub slow_query: Option<Duration>,
    /// Who the server is.
    pub identity: Identity,
}

impl Service {
    /// What queries write to.
    pub(super) fn engine(&self) -> &Arc<dyn Engine> {
        self.context.catalog.engine()
    }

    /// Whether writes are refused just now because the disk is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.engine().check_writable(), Err(StorageError::DiskFull { .. }))
    }

    /// Whether no write will be taken any more until the server is started anew.
    pub fn has_stopped_writing(&self) -> bool {
        matches!(self.engine().check_writable(), Err(StorageError::Poisoned { .. }))
    }
}

/// Who the server is, as SERVER_INFO tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Drawn once and kept with the data.
    pub id: String,
    /// Chosen by the operator, or drawn; the server may have been given another one since.
    pub name: String,
}
