//! A small HTTP server for tests: it answers what the test says, byte by byte, and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// The method and the target, `GET /x?y`.
    pub(crate) line: String,
    /// The header lines, names in lower case.
    pub(crate) header: Vec<(String, String)>,
    /// The body.
    pub(crate) body: String,
}

impl Asked {
    /// The values of a header, joined.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.header.iter().filter(|(have, _)| have == name).map(|(_, v)| v.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// A server on a free port. It ends with the test's process.
pub(crate) struct TestServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl TestServer {
    /// Answers each request with what the function gives, and closes the connection.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> TestServer {
        TestServer::over(|stream, answer| serve(stream, answer), answer)
    }

    /// As [`TestServer::start`], over TLS with a certificate that nobody signed.
    pub(crate) fn start_secure(
        answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static,
    ) -> TestServer {
        let own =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("a key for the certificate");
        let config = Arc::new(config);
        let secure = move |stream: &TcpStream, answer: &dyn Fn(&Asked) -> Vec<u8>| {
            let tls = rustls::ServerConnection::new(config.clone()).ok()?;
            let mut stream = rustls::StreamOwned::new(tls, stream);
            serve(&mut stream, answer)?;
            stream.conn.send_close_notify();
            stream.flush().ok()
        };
        TestServer::over(secure, answer)
    }

    fn over(
        transport: impl Fn(&TcpStream, &dyn Fn(&Asked) -> Vec<u8>) -> Option<()> + Send + Sync + 'static,
        answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static,
    ) -> TestServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (doors, log) = (Arc::new((transport, answer)), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (doors, log) = (doors.clone(), log.clone());
                std::thread::spawn(move || {
                    let answered = |asked: &Asked| {
                        log.lock().expect("no test panics here").push(asked.clone());
                        (doors.1)(asked)
                    };
                    (doors.0)(&stream, &answered);
                    close(&stream);
                });
            }
        });
        TestServer { address, asked }
    }

    /// An address on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics here").clone()
    }
}

/// A response with a body and its length.
pub(crate) fn reply(status: &str, header: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut text =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for line in header {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn serve(mut stream: impl Read + Write, answer: impl Fn(&Asked) -> Vec<u8>) -> Option<()> {
    let asked = read(&mut stream)?;
    // The client may have gone.
    stream.write_all(&answer(&asked)).ok()?;
    stream.flush().ok()
}

/// Ends a connection so that the client gets to read what was written.
fn close(mut stream: &TcpStream) {
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

fn read(stream: &mut impl Read) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let end = loop {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let header: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut asked = Asked { line, header, body: String::new() };
    let length: usize = asked.header("content-length").map_or(0, |n| n.parse().unwrap_or(0));
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        body.extend_from_slice(&chunk[..n]);
    }
    asked.body = String::from_utf8_lossy(&body).into_owned();
    Some(asked)
}
