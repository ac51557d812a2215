//! The HTTP server: whether the server lives, what it counts, and queries without a driver. All routes are in
//! [`router`]. Knows sessions' one-query door and the users; nothing of drivers' connections.

mod access;
mod body;
mod connections;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod health;
mod places;
mod query;
mod watched;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::addresses::Addresses;
use crate::auth::Users;
use crate::limits;
use crate::session::Service;
use crate::shares::Room;
use crate::shutdown::Shutdown;

use body::Bodies;
use connections::Connections;

/// Who asks a query: a user at an address.
type Asker = (Arc<str>, IpAddr);

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
    /// Those that wait for it as well, by address.
    checked: Arc<Room<IpAddr>>,
    /// Queries that are being evaluated, by user and address.
    queries: Arc<Room<Asker>>,
    /// What the bodies of all requests take.
    bodies: Arc<Bodies>,
}

impl HttpState {
    /// What all routes share.
    pub fn new(service: Arc<Service>, users: Arc<Users>, shutdown: Shutdown) -> HttpState {
        let checks = Arc::new(Semaphore::new(limits::HTTP_PASSWORD_CHECKS));
        let checked = Room::new(limits::HTTP_PASSWORDS_WAITING, limits::HTTP_TIMES_FREE);
        let queries = Room::new(limits::HTTP_QUERIES, limits::HTTP_TIMES_FREE);
        let bodies = Bodies::new(limits::HTTP_BODIES_BYTES);
        HttpState { service, users, shutdown, checks, checked, queries, bodies }
    }

    /// The same, where there are so many connections.
    fn of_connections(self, connections: usize) -> HttpState {
        let most = connections::queries_of(connections);
        HttpState { queries: Room::new(most, limits::HTTP_TIMES_FREE), ..self }
    }
}

/// Every route of the server.
fn router(state: HttpState) -> Router {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/_metrics", get(health::metrics))
        .route("/api/query", post(query::post))
        .with_state(state)
}

/// Serves HTTP on these listeners, to so many connections at once and of each address, until the server is gone.
pub fn serve(
    listeners: Vec<TcpListener>,
    state: HttpState,
    connections: usize,
    addresses: Arc<Addresses>,
) {
    let state = state.of_connections(connections);
    let connections = Connections::new(connections, addresses, &state.service);
    for listener in listeners {
        let (routes, shutdown) = (router(state.clone()), state.shutdown.clone());
        state.shutdown.attend(connections.clone().accept(listener, routes, shutdown));
    }
}

#[cfg(test)]
mod tests;
