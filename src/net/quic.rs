//! The QUIC listeners: each bidirectional stream that a client opens is a connection of its own, and speaks exactly
//! what a TCP connection speaks, from the handshake on. The streams of a client share one UDP flow and its encryption
//! (TLS 1.3, protocol name `reql`).

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use crate::addresses::Addresses;
use crate::limits;
use crate::metrics::{Refusal, Transport};

use super::connection;
use super::doors::Doors;
use super::tls::{self, Certificate};

/// The name of the protocol inside, told in the TLS handshake.
pub const PROTOCOL: &[u8] = b"reql";

/// What clients are told when the server stops, and when it has no place for them.
const STOPPING: VarInt = VarInt::from_u32(1);
const FULL: VarInt = VarInt::from_u32(2);

/// What a client is told that has not logged in.
const SILENT: VarInt = VarInt::from_u32(3);

/// Between packets that ask a silent client whether it is still there; well below the idle bound.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// The settings of all QUIC listeners.
pub fn quic_config(certificate: Certificate) -> io::Result<ServerConfig> {
    let tls = tls::server_config(certificate, PROTOCOL).map_err(tls::invalid)?;
    let crypto = QuicServerConfig::try_from(tls).map_err(tls::invalid)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    transport
        // Until a stream has logged in, after which a client has the room it needs: see [`welcome`].
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::QUIC_STREAMS_BEFORE_LOGIN))
        // The protocol has no use for one-way streams and loose packets.
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(limits::QUIC_STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(limits::QUIC_WINDOW_BEFORE_LOGIN_BYTES))
        .send_window(u64::from(limits::QUIC_WINDOW_BEFORE_LOGIN_BYTES))
        .keep_alive_interval(Some(KEEPALIVE));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Takes a UDP port.
pub fn listen_quic(address: SocketAddr, config: &ServerConfig) -> io::Result<Endpoint> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    let socket: UdpSocket = socket.into();
    let (endpoint, config) = (EndpointConfig::default(), config.clone());
    Endpoint::new(endpoint, Some(config), socket, Arc::new(TokioRuntime))
}

/// Accepts clients until the server stops.
pub async fn serve_quic(endpoint: Endpoint, doors: Arc<Doors>) {
    // A client without a stream is none of the connections.
    let clients = Addresses::new(doors.most_of_one_address());
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            () = doors.shutdown.begun() => None,
        };
        let Some(incoming) = incoming else { break };
        // Anybody can write any address on a packet. Only who answers what is sent there is at that address: nothing is
        // kept, and nobody counted, before that, at the price of one round trip.
        if !incoming.remote_address_validated() {
            if incoming.retry().is_err() {
                debug!("a QUIC client was not asked for a sign that it is there");
            }
            continue;
        }
        let peer = incoming.remote_address();
        let counted = clients.enter(peer.ip());
        if counted.is_none() || endpoint.open_connections() > doors.most {
            let why = if counted.is_none() { Refusal::Address } else { Refusal::Full };
            doors.tell_of_refusal(peer, &doors.refusal(why));
            doors.service.metrics.refused(why);
            incoming.refuse();
            continue;
        }
        let inside = doors.clone();
        doors.shutdown.spawn(async move {
            client(incoming, inside).await;
            drop(counted);
        });
    }
    // The packets of connections that end need the endpoint until they are sent.
    endpoint.set_server_config(None);
    let most = limits::STOP_GRACE + limits::STOP_FLUSH;
    if tokio::time::timeout(most, endpoint.wait_idle()).await.is_err() {
        debug!("QUIC clients were left behind");
    }
}

/// Serves the streams of one client. It lasts until the client leaves; a stopping server waits for its streams alone.
async fn client(incoming: Incoming, doors: Arc<Doors>) {
    let peer = incoming.remote_address();
    let login = Instant::now() + doors.login_time;
    let connection = match timeout_at(login, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            return debug!(%peer, %error, "a QUIC client did not finish its handshake");
        }
        Err(_) => return debug!(%peer, "a QUIC client took too long for its handshake"),
    };
    let logged_in = Arc::new(AtomicBool::new(false));
    let streams = tokio_util::task::TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept_bi() => accepted,
            () = doors.shutdown.begun() => break,
            () = sleep_until(login), if !logged_in.load(Ordering::Relaxed) => {
                if logged_in.load(Ordering::Relaxed) {
                    continue;
                }
                debug!(%peer, "a QUIC client did not log in");
                connection.close(SILENT, b"no stream has logged in in time");
                break;
            }
        };
        match accepted {
            Ok((send, receive)) => {
                admit(Stream { send, receive }, &connection, &doors, &streams, &logged_in);
            }
            Err(error) => {
                debug!(%peer, %error, "a QUIC client left");
                break;
            }
        }
    }
    streams.close();
    streams.wait().await;
    connection.close(STOPPING, b"the server stops");
}

fn admit(
    stream: Stream,
    connection: &Connection,
    doors: &Arc<Doors>,
    streams: &tokio_util::task::TaskTracker,
    logged_in: &Arc<AtomicBool>,
) {
    let peer = connection.remote_address();
    let place = match doors.enter(peer) {
        Ok(place) => place,
        Err(why) => {
            doors.tell_of_refusal(peer, &doors.refusal(why));
            let Stream { mut send, mut receive } = stream;
            // Both fail only when the stream is gone already.
            drop((send.reset(FULL), receive.stop(FULL)));
            return;
        }
    };
    let inside = doors.clone();
    let (connection, logged_in) = (connection.clone(), logged_in.clone());
    let welcome = move || {
        if !logged_in.swap(true, Ordering::Relaxed) {
            welcome(&connection);
        }
    };
    streams.spawn(async move {
        let mut stream = stream;
        match connection::run(&mut stream, &inside, Transport::Quic, peer, welcome).await {
            Ok(()) => debug!(%peer, "stream closed"),
            Err(error) => debug!(%peer, %error, "stream ended"),
        }
        stream.finish().await;
        drop(place);
    });
}

/// Gives a client that has logged in the room that it needs.
fn welcome(connection: &Connection) {
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(limits::QUIC_STREAMS));
    connection.set_receive_window(VarInt::from_u32(limits::QUIC_WINDOW_BYTES));
    connection.set_send_window(u64::from(limits::QUIC_SEND_WINDOW_BYTES));
}

/// Both directions of a stream as one.
struct Stream {
    send: SendStream,
    receive: RecvStream,
}

impl Stream {
    /// Waits until the client has what was sent: a connection that is closed forgets what is on its way.
    async fn finish(&mut self) {
        if self.send.finish().is_err() {
            return;
        }
        let most = Duration::from_secs(limits::LINGER_SECONDS);
        if tokio::time::timeout(most, self.send.stopped()).await.is_err() {
            debug!("a QUIC client did not take what was sent to it");
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.send), context)
    }
}
