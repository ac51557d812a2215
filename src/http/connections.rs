//! The connections of HTTP clients: a bounded number, in the server's numbers, each with a deadline for the headers of
//! its next request.
//!
//! Clients that send no request, or take no answer, must not keep others out. When every place is taken, the connection
//! whose client has been silent longest is closed for the new one; one whose request is being evaluated is not. So health
//! checks, which ask as soon as they are connected, are answered however many clients send nothing. However many ask
//! queries, some places are left that only health checks and metrics may use.
//!
//! A server that stops goes on to accept and answer until it is gone, so that those who watch over it see that it stops. It
//! waits for requests that came before, and for no connection. Knows sockets and HTTP; not routes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::addresses::{Addresses, Counted};
use crate::limits;
use crate::metrics::{Closed, Connected, Metrics, Refusal, Transport};
use crate::seldom::Seldom;
use crate::session::Service;
use crate::shutdown::Shutdown;
use crate::unread::Unread;

use super::places::{Place, Places};
use super::watched::{AnswerBody, RequestBody, WatchedStream};

/// After a failed accept: out of files, most likely.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Where a connection comes from, and what it may ask.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The other end.
    pub address: SocketAddr,
    /// Whether it has a place of the reserve, which is for what is answered at once.
    pub is_reserved: bool,
}

/// The connections of all listeners together.
#[derive(Debug)]
pub struct Connections {
    places: Arc<Places>,
    addresses: Arc<Addresses>,
    metrics: Arc<Metrics>,
    unread: Arc<Unread>,
    turned_away: Seldom,
    not_accepted: Seldom,
    closed: Seldom,
}

impl Connections {
    /// So many places, all free and some of them in reserve, and bounds for each address.
    pub fn new(places: usize, addresses: Arc<Addresses>, service: &Service) -> Arc<Self> {
        let (metrics, unread) = (service.metrics.clone(), service.unread.clone());
        let (most, reserved) = divided(places);
        let places = Places::new(most, reserved);
        let (turned_away, not_accepted, closed) = Default::default();
        Arc::new(Self { places, addresses, metrics, unread, turned_away, not_accepted, closed })
    }

    /// Accepts connections until the server is gone. Each is served by a task of its own.
    pub async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        routes: Router,
        shutdown: Shutdown,
    ) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match self.enter(peer) {
                    Ok((place, counted)) => {
                        let (routes, unread) = (routes.clone(), self.unread.clone());
                        let served = serve(stream, peer, routes, place, unread, shutdown.clone());
                        let there = self.clone();
                        shutdown.attend(async move {
                            if let Some(why) = served.await {
                                there.tell_of_closed(peer, why);
                            }
                            drop(counted);
                        });
                    }
                    Err(why) => {
                        self.metrics.refused(why);
                        let message = refusal(why);
                        self.turned_away.tell(move |count| {
                            warn!(%peer, count, "HTTP connections were refused, the last one: {message}");
                        });
                        shutdown.attend(turn_away(stream, peer, message));
                    }
                },
                Err(error) => {
                    self.not_accepted.tell(move |count| {
                        warn!(%error, count, "HTTP connections could not be accepted");
                    });
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Counts a connection that the server closed by itself, and tells the operator.
    fn tell_of_closed(&self, peer: SocketAddr, why: Closed) {
        self.metrics.closed(why);
        self.closed.tell(move |count| {
            warn!(
                %peer, count,
                "HTTP connections were closed, the last one because its client did not read its answer while others \
                 needed the memory (--memory-limit)"
            );
        });
    }

    fn enter(&self, peer: SocketAddr) -> Result<(Arc<Place>, (Counted, Connected)), Refusal> {
        let address = self.addresses.enter(peer.ip()).ok_or(Refusal::Address)?;
        let place = self.places.enter().ok_or(Refusal::Full)?;
        Ok((place, (address, self.metrics.connected(Transport::Http))))
    }
}

/// Of so many places, those for anybody and those in reserve.
fn divided(places: usize) -> (usize, usize) {
    let reserved = (places / limits::HTTP_RESERVED_PART).max(1).min(places.saturating_sub(1));
    (places - reserved, reserved)
}

/// Queries that so many connections may ask at a time: they never have all places.
pub fn queries_of(places: usize) -> usize {
    limits::HTTP_QUERIES.min(divided(places).0 / 2).max(1)
}

/// What a client is told that has no place.
fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::Full => "Every HTTP connection of the server is being answered.",
        Refusal::Address => {
            "Your address has as many HTTP connections as one may have (--max-connections-per-address)."
        }
    }
}

/// Tells a client that it has no place.
async fn turn_away(mut stream: TcpStream, peer: SocketAddr, message: &str) {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{message}\n",
        message.len() + 1
    );
    // The socket's own buffer takes it, or nobody reads it.
    let told = timeout(PAUSE_AFTER_FAILURE, stream.write_all(answer.as_bytes())).await;
    if !matches!(told, Ok(Ok(()))) {
        debug!(%peer, "it did not read why");
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    place: Arc<Place>,
    unread: Arc<Unread>,
    shutdown: Shutdown,
) -> Option<Closed> {
    // What the system holds of an answer says nothing of the client: with little there, its pace is seen.
    if let Err(error) = SockRef::from(&stream).set_send_buffer_size(limits::HTTP_SEND_BYTES) {
        debug!(%peer, %error, "the send buffer of an HTTP connection keeps its size");
    }
    converse(stream, peer, routes, place, unread, shutdown).await
}

/// Serves the connection of a client, whatever carries its bytes. Gives why the server closed it by itself, if it did for want of
/// memory.
pub(super) async fn converse<S>(
    stream: S,
    peer: SocketAddr,
    routes: Router,
    place: Arc<Place>,
    unread: Arc<Unread>,
    shutdown: Shutdown,
) -> Option<Closed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (evicted, closed) = (place.evicted().clone(), place.closed().clone());
    let (asking, stopping) = (place.clone(), shutdown.clone());
    let stream = WatchedStream::new(stream, place.clone());
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |request: Request<Incoming>| {
        place.begins(shutdown.under_way());
        let body = |body| Body::new(RequestBody::new(body, place.clone()));
        let mut request = request.map(body);
        let is_reserved = place.is_reserved();
        request.extensions_mut().insert(ConnectInfo(Peer { address: peer, is_reserved }));
        let answer = hyper::service::Service::call(&routes, request);
        let (place, unread) = (place.clone(), unread.clone());
        async move {
            // A client that sends one request after another gives the thread to others between them.
            tokio::task::yield_now().await;
            let answer = answer.await?;
            let bytes = answer.body().size_hint().lower();
            place.answers(&unread, usize::try_from(bytes).unwrap_or(usize::MAX));
            Ok::<_, Infallible>(answer.map(|body| AnswerBody::new(body, place)))
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
        () = evicted.cancelled() => {
            debug!(%peer, "a silent HTTP client made room");
            return None;
        }
        () = closed.cancelled() => return Some(Closed::Unread),
        () = keeps_server(&asking, &stopping) => return None,
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "an HTTP connection ended");
    }
    None
}

/// Ends when a server that stops has waited long enough for the request of a client. One whose query was interrupted has been
/// told by then, if it reads.
async fn keeps_server(place: &Place, shutdown: &Shutdown) {
    shutdown.hurried().await;
    tokio::time::sleep(limits::STOP_FLUSH_HTTP).await;
    if !place.is_under_way() {
        std::future::pending().await
    }
}
