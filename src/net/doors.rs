//! What all connections of the server share: who may enter, how many at once, when to leave.

use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use photondb_protocol::handshake::NONCE_SIZE;

use crate::auth::Users;
use crate::limits;
use crate::session::Service;
use crate::shutdown::Shutdown;

/// What the server calls itself in the handshake. RethinkDB says `2.4.4` there; what clients of every driver can read
/// is bounded by [`NONCE_SIZE`]: the greeting must stay shorter than the message that follows it.
pub const GREETING_VERSION: &str = "2.4.4-photondb";

/// What all connections share.
#[derive(Debug)]
pub struct Doors {
    /// What queries run with.
    pub service: Arc<Service>,
    /// Who may enter.
    pub users: Arc<Users>,
    /// Says when to stop, and waits for those who have not.
    pub shutdown: Shutdown,
    /// What the handshake tells clients about the server.
    pub server_version: String,
    places: Arc<Semaphore>,
    random: SystemRandom,
}

impl Doors {
    /// Doors that are open to as many connections as the limit allows.
    pub fn new(service: Arc<Service>, users: Arc<Users>, shutdown: Shutdown) -> Arc<Doors> {
        Doors::with_places(service, users, shutdown, limits::CONNECTIONS)
    }

    /// Doors for another number of connections.
    pub fn with_places(
        service: Arc<Service>,
        users: Arc<Users>,
        shutdown: Shutdown,
        places: usize,
    ) -> Arc<Doors> {
        Arc::new(Doors {
            service,
            users,
            shutdown,
            server_version: GREETING_VERSION.to_owned(),
            places: Arc::new(Semaphore::new(places)),
            random: SystemRandom::new(),
        })
    }

    /// A place among the connections for as long as the permit lives, or none when all are taken.
    pub fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Random bytes for one handshake.
    pub(super) fn nonce(&self) -> Option<[u8; NONCE_SIZE]> {
        let mut nonce = [0; NONCE_SIZE];
        self.random.fill(&mut nonce).ok()?;
        Some(nonce)
    }
}
