//! The TCP listeners: accept, and hand each socket to the connection loop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use photondb_protocol::handshake;

use crate::limits;
use crate::metrics::Transport;

use super::connection;
use super::doors::Doors;

/// After a failed accept: out of files, most likely, and trying again at once would only burn time.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Connections that have not been accepted yet; the system may have a lower bound.
const BACKLOG: i32 = 4_096;

/// A silent connection is asked after this time whether its other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// Takes a port. On the unspecified address of IPv6 it serves IPv4 too.
pub fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A server that is started again need not wait for connections of its last run to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until the server stops. Each is served by a task of its own.
pub async fn serve_tcp(listener: TcpListener, doors: Arc<Doors>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = doors.shutdown.begun() => return,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, &doors),
            Err(error) => {
                doors.not_accepted.tell(move |count| {
                    warn!(%error, count, "connections could not be accepted");
                });
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

fn admit(stream: TcpStream, peer: SocketAddr, doors: &Arc<Doors>) {
    let place = match doors.enter(peer) {
        Ok(place) => place,
        Err(why) => {
            let message = doors.refusal(why);
            doors.tell_of_refusal(peer, &message);
            let room = doors.turned_away.clone().try_acquire_owned().ok();
            doors.shutdown.spawn(async move {
                turn_away(stream, peer, &message, room.is_some()).await;
                drop(room);
            });
            return;
        }
    };
    if let Err(error) = prepare(&stream) {
        debug!(%peer, %error, "a connection was lost before it began");
        return;
    }
    let inside = doors.clone();
    doors.shutdown.spawn(async move {
        match connection::run(stream, &inside, Transport::Tcp, peer, || {}).await {
            Ok(()) => debug!(%peer, "connection closed"),
            Err(error) => debug!(%peer, %error, "connection ended"),
        }
        drop(place);
    });
}

/// Sets what the loop of a connection relies on.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Answers are written whole; waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_notsent_lowat(limits::NOT_SENT_BYTES)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

/// Tells a client that there is no place for it, in the form that it reads, which its first bytes tell if there is time to
/// wait for them.
async fn turn_away(mut stream: TcpStream, peer: SocketAddr, message: &str, may_wait: bool) {
    let mut said = [0; 4];
    let mut is_known = false;
    if may_wait {
        let reading = tokio::time::timeout(PAUSE_AFTER_FAILURE, stream.read_exact(&mut said));
        is_known = matches!(reading.await, Ok(Ok(_)));
    }
    let said = if is_known { &said[..] } else { &[] };
    let message = handshake::turn_away(said, message);
    // The socket's own buffer takes it, or nobody reads it.
    let written = tokio::time::timeout(PAUSE_AFTER_FAILURE, stream.write_all(&message)).await;
    if written.is_err() {
        debug!(%peer, "it did not read why");
    }
    if is_known {
        connection::linger(stream).await;
    }
}
