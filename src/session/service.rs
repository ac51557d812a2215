//! What all sessions share. Knows what queries are run with, not who asks for them.

use std::sync::Arc;
use std::time::Duration;

use crate::addresses::network;
use crate::holders::Holders;
use crate::metrics::Metrics;
use crate::reql::Context;
use crate::reql::running::Client;
use crate::storage::{Engine, StorageError};
use crate::turns::Whose;
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

/// Whose the queries of a client are. A network of IPv6 is one address: who has one has all of them.
pub fn whose(client: &Client) -> Whose {
    Whose { user: client.user.clone(), address: network(client.address.ip()) }
}

/// Who the server is, as SERVER_INFO tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Drawn once and kept with the data.
    pub id: String,
    /// Chosen by the operator, or drawn; the server may have been given another one since.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_network_are_served_as_one() {
        let of = |address: &str| {
            whose(&Client { address: address.parse().unwrap(), user: "admin".into() })
        };
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::2:3:4:5]:2"));
        assert_eq!(of("[::ffff:192.0.2.1]:1"), of("192.0.2.1:2"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
    }
}
