//! The HTTP server: whether the server lives, what it counts, and queries without a driver. All routes are in
//! [`router`]. Knows sessions' one-query door and the users; nothing of drivers' connections.

mod access;
mod health;
mod listener;
mod query;

use std::future::IntoFuture;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::error;

use crate::auth::Users;
use crate::limits;
use crate::session::Service;
use crate::shutdown::Shutdown;

use listener::{CountedListener, Peer};

/// What all routes share.
#[derive(Clone, Debug)]
pub struct HttpState {
    /// What queries run with, and the server's numbers.
    pub service: Arc<Service>,
    /// Who may ask.
    pub users: Arc<Users>,
    /// Whether the server stops.
    pub shutdown: Shutdown,
    /// Requests whose password is being checked.
    checks: Arc<Semaphore>,
}

impl HttpState {
    /// What all routes share.
    pub fn new(service: Arc<Service>, users: Arc<Users>, shutdown: Shutdown) -> HttpState {
        let checks = Arc::new(Semaphore::new(limits::HTTP_PASSWORD_CHECKS));
        HttpState { service, users, shutdown, checks }
    }
}

/// Every route of the server.
fn router(state: HttpState) -> Router {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/_metrics", get(health::metrics))
        .route("/api/query", post(query::post))
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES))
        .with_state(state)
}

/// Serves HTTP on these listeners, to so many connections at once, until the server stops.
pub fn serve(listeners: Vec<TcpListener>, state: HttpState, connections: usize) {
    let places = Arc::new(Semaphore::new(connections));
    for listener in listeners {
        let listener =
            CountedListener::new(listener, places.clone(), state.service.metrics.clone());
        let routes = router(state.clone()).into_make_service_with_connect_info::<Peer>();
        let (begun, hurried) = (state.shutdown.clone(), state.shutdown.clone());
        let served = axum::serve(listener, routes)
            .with_graceful_shutdown(async move { begun.begun().await });
        state.shutdown.spawn(async move {
            tokio::select! {
                ended = served.into_future() => if let Err(error) = ended {
                    error!(%error, "the HTTP server ended");
                },
                // A client that keeps its connection does not keep the server.
                () = hurried.hurried() => {}
            }
        });
    }
}

#[cfg(test)]
mod tests;
