//! Clients that send version and login in one go get the server's two messages one after the other, the shorter
//! first: `rethinkdbdash` looks for the end of the second only behind the length of the first.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use photondb_protocol::numbers::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::on_server;
use crate::metrics::Transport;
use crate::net::connection;

/// A client that has said everything before the first answer. Remembers each write of the server's.
struct Hasty {
    says: Vec<u8>,
    writes: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsyncRead for Hasty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(&std::mem::take(&mut self.says));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Hasty {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.lock().unwrap().push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The shortest second message answers a client without a nonce whose user has an iteration count of one digit.
#[test]
fn greeting_leaves_alone_and_is_shorter_than_any_second_message() {
    on_server(|site| async move {
        let login = concat!(
            r#"{"protocol_version":0,"authentication_method":"SCRAM-SHA-256","#,
            r#""authentication":"n,,n=admin,r="}"#,
            "\0",
        );
        let says = [&Version::V1_0.number().to_le_bytes(), login.as_bytes()].concat();
        let writes = Arc::new(Mutex::new(Vec::new()));
        let client = Hasty { says, writes: writes.clone() };
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        connection::run(client, &site.doors, Transport::Tcp, peer, || {}).await.unwrap();
        let writes = writes.lock().unwrap();
        let texts: Vec<_> = writes.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        let [greeting, second] = texts.as_slice() else { panic!("not two writes: {texts:?}") };
        assert_eq!(
            greeting,
            "{\"max_protocol_version\":0,\"min_protocol_version\":0,\
             \"server_version\":\"2.4.4-photondb\",\"success\":true}\0"
        );
        assert!(second.starts_with("{\"authentication\":\"r="), "{second}");
        assert!(second.ends_with(",i=1\",\"success\":true}\0"), "{second}");
        assert!(greeting.len() < second.len(), "{greeting} and {second}");
    });
}
