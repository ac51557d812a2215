//! The server: puts its parts together, opens its doors, waits for its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::auth::{NoRandom, Users};
use crate::config::Settings;
use crate::limits;
use crate::net::{self, Doors};
use crate::reql::Context;
use crate::session::{Identity, Pool, Service};
use crate::shutdown::Shutdown;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A port is taken, or not ours to take.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
    /// No secrets.
    #[error(transparent)]
    Random(#[from] NoRandom),
}

/// Starts the server and serves until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> Result<(), ServerError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServerError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServerError::Signals)?;
    let shutdown = Shutdown::new();
    let service = Arc::new(Service {
        context: Arc::new(Context::default()),
        pool: Pool::new(Handle::current(), limits::POOL_THREADS),
        identity: Identity {
            id: "00000000-0000-0000-0000-000000000000".to_owned(),
            name: settings.server_name.unwrap_or_else(|| "photondb".to_owned()),
        },
    });
    let users = Arc::new(Users::with_admin("")?);
    let doors = Doors::new(service, users, shutdown.clone());
    for address in settings.bind {
        let address = SocketAddr::new(address, settings.driver_port);
        let failed = |source| ServerError::Listen { address, source };
        let listener = net::listen(address).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        info!("Listening for client driver connections on port {port}");
        shutdown.spawn(net::serve(listener, doors.clone()));
    }
    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!("Server got {signal}; shutting down...");
    shutdown.begin();
    let most = Duration::from_secs(limits::STOP_SECONDS + limits::STOP_FLUSH_SECONDS);
    if timeout(most, shutdown.finished()).await.is_err() {
        warn!("some clients were still being served when their time was over");
    }
    Ok(())
}
