//! What all connections of the server share: who may enter, how many at once and of one address, when to leave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use photondb_protocol::handshake::NONCE_SIZE;
use tracing::warn;

use crate::addresses::{Addresses, Counted};
use crate::auth::Users;
use crate::limits;
use crate::metrics::{Closed, Refusal};
use crate::seldom::Seldom;
use crate::session::Service;
use crate::shutdown::Shutdown;

use super::arriving::Frames;

/// What the server calls itself in the handshake. RethinkDB says `2.4.4` there; what clients of every driver can read
/// is bounded by [`NONCE_SIZE`]: the greeting must stay shorter than the message that follows it.
pub const GREETING_VERSION: &str = "2.4.4-photondb";

/// A place among the connections, and among those of its address.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _address: Counted,
}

/// What all connections share.
#[derive(Debug)]
pub struct Doors {
    /// What queries run with.
    pub service: Arc<Service>,
    /// Who may enter.
    pub users: Arc<Users>,
    /// Says when to stop, and waits for those who have not.
    pub shutdown: Shutdown,
    /// Large frames that are arriving.
    pub frames: Arc<Frames>,
    /// What the handshake tells clients about the server.
    pub server_version: String,
    /// Clients whose password is being hashed.
    pub(super) password_checks: Arc<Semaphore>,
    /// Those that are turned away and wait to be told in a form that they read.
    pub(super) turned_away: Arc<Semaphore>,
    /// How long a client may take to say who it is.
    pub(super) login_time: Duration,
    /// Connections that were turned away, and that could not be accepted.
    refusals: Seldom,
    /// Connections that were closed, by why.
    unread: Seldom,
    stalled: Seldom,
    pub(super) not_accepted: Seldom,
    /// How many places there are.
    pub(super) most: usize,
    places: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    random: SystemRandom,
}

impl Doors {
    /// Doors that are open to as many connections as the limit allows.
    pub fn new(service: Arc<Service>, users: Arc<Users>, shutdown: Shutdown) -> Arc<Doors> {
        Doors::with_places(service, users, shutdown, limits::CONNECTIONS, Arc::default())
    }

    /// Doors for another number of connections, and so many of each address.
    pub fn with_places(
        service: Arc<Service>,
        users: Arc<Users>,
        shutdown: Shutdown,
        places: usize,
        addresses: Arc<Addresses>,
    ) -> Arc<Doors> {
        Arc::new(Doors {
            service,
            users,
            shutdown,
            frames: Arc::default(),
            server_version: GREETING_VERSION.to_owned(),
            password_checks: Arc::new(Semaphore::new(limits::HANDSHAKE_PASSWORD_CHECKS)),
            turned_away: Arc::new(Semaphore::new(limits::TURNED_AWAY_AT_ONCE)),
            login_time: Duration::from_secs(limits::HANDSHAKE_SECONDS),
            refusals: Seldom::default(),
            unread: Seldom::default(),
            stalled: Seldom::default(),
            not_accepted: Seldom::default(),
            most: places,
            places: Arc::new(Semaphore::new(places)),
            addresses,
            random: SystemRandom::new(),
        })
    }

    /// A place among the connections for as long as it lives; none when all are taken, or the address has as many as one
    /// may have. That is counted.
    pub(super) fn enter(&self, peer: SocketAddr) -> Result<Place, Refusal> {
        let address = self.addresses.enter(peer.ip()).ok_or(Refusal::Address);
        let place = address.and_then(|address| {
            let permit = self.places.clone().try_acquire_owned().map_err(|_| Refusal::Full)?;
            Ok(Place { _permit: permit, _address: address })
        });
        place.inspect_err(|why| self.service.metrics.refused(*why))
    }

    /// How many connections one address may have, if there is a bound.
    pub(super) fn most_of_one_address(&self) -> Option<usize> {
        self.addresses.most()
    }

    /// What a client is told that has no place.
    pub(super) fn refusal(&self, why: Refusal) -> String {
        match (why, self.addresses.most()) {
            (Refusal::Address, Some(most)) => format!(
                "This server serves {most} connections of one address at most (--max-connections-per-address), and has as many of yours."
            ),
            _ => {
                let most = self.most;
                format!(
                    "This server serves {most} connections at most (`ulimit -n`), and has as many."
                )
            }
        }
    }

    /// Tells the operator of a client that was turned away, and how many there were since the last line.
    pub(super) fn tell_of_refusal(&self, peer: SocketAddr, message: &str) {
        let message = message.to_owned();
        self.refusals.tell(move |count| {
            warn!(%peer, count, "connections were turned away, the last one because: {message}");
        });
    }

    /// Counts a connection that the server closed by itself, and tells the operator of it, and how many there were since the
    /// last line.
    pub(super) fn tell_of_closed(&self, peer: SocketAddr, why: Closed) {
        self.service.metrics.closed(why);
        let (seldom, problem) = match why {
            Closed::Unread => (&self.unread, "its client did not read its answers"),
            Closed::Stalled => (&self.stalled, "its client did not send the rest of a large query"),
        };
        seldom.tell(move |count| {
            warn!(
                %peer, count,
                "connections were closed, the last one because {problem} while others needed the memory \
                 (--memory-limit)"
            );
        });
    }

    /// Random bytes for one handshake.
    pub(super) fn nonce(&self) -> Option<[u8; NONCE_SIZE]> {
        let mut nonce = [0; NONCE_SIZE];
        self.random.fill(&mut nonce).ok()?;
        Some(nonce)
    }
}
