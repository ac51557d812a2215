//! A service of its own for each test. Only compiled for tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Ended, Identity, Pool, Service};
use crate::limits;
use crate::metrics::Metrics;
use crate::reql::Context;
use crate::reql::running::Client;

/// A service on the runtime of the caller, with an empty server behind it.
pub(crate) fn service() -> Arc<Service> {
    service_on(Context::in_memory("test_server").unwrap())
}

/// As [`service`], with the server behind it given.
pub(crate) fn service_on(context: Context) -> Arc<Service> {
    service_with(context, limits::POOL_THREADS)
}

/// As [`service_on`], with a pool of so many threads.
pub(crate) fn service_with(context: Context, threads: usize) -> Arc<Service> {
    Arc::new(Service {
        holders: context.holders.clone(),
        context: Arc::new(context),
        pool: Pool::new(Handle::current(), threads, 2),
        metrics: Arc::new(Metrics::new().unwrap()),
        unread: Arc::default(),
        ended: Ended::default(),
        slow_query: None,
        identity: Identity {
            id: "7c8ff3a1-61a5-4d55-8c87-7a3fd0ac4c0b".to_owned(),
            name: "test_server".to_owned(),
        },
    })
}

/// A client without a connection.
pub(crate) fn client() -> Client {
    Client { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), user: Arc::from("admin") }
}
