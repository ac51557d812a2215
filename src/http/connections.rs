//! The connections of HTTP clients: a bounded number, in the server's numbers, each with a deadline for the headers of
//! its next request.
//!
//! Clients that send no request must not keep others out. When every place is taken, the connection that has waited
//! longest for a request is closed for the new one; one whose request is being read or evaluated is not. So health checks,
//! which ask as soon as they are connected, are answered however many clients send nothing. Knows sockets and HTTP; not
//! routes.
//!
//! Not covered yet: clients that send the head of a request and no body hold their places until the body's deadline, and
//! one that reads a long answer slowly counts as waiting for its next request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::limits;
use crate::metrics::{Metrics, Transport};
use crate::shutdown::Shutdown;

/// After a failed accept: out of files, most likely.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The places of all listeners together.
#[derive(Debug)]
pub struct Connections {
    places: usize,
    open: Mutex<Open>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    /// Numbers of connections and of their waits, in the order in which they began.
    next: u64,
    /// Connections that wait for a request, the longest wait first.
    waiting: BTreeMap<u64, CancellationToken>,
}

impl Connections {
    /// So many places, all free.
    pub fn new(places: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { places, open: Mutex::default(), metrics })
    }

    /// Accepts connections until the server stops. Each is served by a task of its own.
    pub async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        routes: Router,
        shutdown: Shutdown,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.begun() => return,
            };
            match accepted {
                Ok((stream, peer)) => match self.enter() {
                    Some(place) => {
                        let routes = routes.clone();
                        shutdown.spawn(serve(stream, peer, routes, place, shutdown.clone()));
                    }
                    None => {
                        warn!(%peer, "every HTTP connection is being answered: one was refused")
                    }
                },
                Err(error) => {
                    warn!(%error, "an HTTP connection could not be accepted");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }

    /// A place, if need be that of the client that has been silent longest. None when all clients are being answered.
    fn enter(self: &Arc<Self>) -> Option<Arc<Place>> {
        let mut open = self.open.lock();
        if open.count >= self.places {
            let (_, silent) = open.waiting.pop_first()?;
            silent.cancel();
        } else {
            open.count += 1;
        }
        let evicted = CancellationToken::new();
        let wait = open.wait(evicted.clone());
        drop(open);
        let connections = self.clone();
        Some(Arc::new(Place { connections, evicted, wait: Mutex::new(Some(wait)) }))
    }
}

impl Open {
    fn wait(&mut self, evicted: CancellationToken) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, evicted);
        number
    }
}

/// The place of one connection; given back when it is dropped.
#[derive(Debug)]
struct Place {
    connections: Arc<Connections>,
    /// Cancelled when another client has got the place.
    evicted: CancellationToken,
    /// The number of its wait, while it waits for a request.
    wait: Mutex<Option<u64>>,
}

impl Place {
    /// A request has come: the place is kept until it is answered.
    fn answering(self: &Arc<Self>) -> Answering {
        if let Some(wait) = self.wait.lock().take() {
            self.connections.open.lock().waiting.remove(&wait);
        }
        Answering(self.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        if let Some(wait) = self.wait.get_mut().take() {
            open.waiting.remove(&wait);
        }
        // A client that has got the place of another counts in its stead.
        if !self.evicted.is_cancelled() {
            open.count -= 1;
        }
    }
}

/// A request that is being answered. Its connection waits for the next one afterwards.
struct Answering(Arc<Place>);

impl Drop for Answering {
    fn drop(&mut self) {
        let Self(place) = self;
        let mut open = place.connections.open.lock();
        // One that has lost its place while its request came in has none to lose again.
        if place.evicted.is_cancelled() {
            return;
        }
        let wait = open.wait(place.evicted.clone());
        drop(open);
        *place.wait.lock() = Some(wait);
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    place: Arc<Place>,
    shutdown: Shutdown,
) {
    let _counted = place.connections.metrics.connected(Transport::Http);
    let evicted = place.evicted.clone();
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = place.answering();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(Peer(peer)));
        let answer = hyper::service::Service::call(&routes, request);
        async move {
            let answer = answer.await;
            drop(answering);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HTTP_HEADERS_TIME)
        .max_buf_size(limits::HTTP_HEADERS_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = evicted.cancelled() => return debug!(%peer, "a silent HTTP client made room"),
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                // A client that keeps its connection does not keep the server.
                () = shutdown.hurried() => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "an HTTP connection ended");
    }
}
