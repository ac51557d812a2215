//! The bytes of an HTTP connection, over a stream in memory: every answer begins as an answer does, and the connection ends.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Handle, Runtime};

use super::connections::converse;
use super::places::{Awaits, Places};
use super::{HttpState, router};
use crate::metrics::Metrics;
use crate::reql::fuzzing::server;
use crate::session::{Ended, Identity, Pool, Service};
use crate::shutdown::Shutdown;

/// Threads that evaluate: queries are asked one after the other.
const THREADS: usize = 2;
/// Connections that one server serves: queries may have changed it.
const CONNECTIONS: u32 = 64;
/// What the stream takes before it is read, in bytes.
const STREAM_BYTES: usize = 64 * 1024;
/// Turns of the connection in which the server waits for more, after which the client has nothing more to say.
const WAITS: u32 = 20;

thread_local! {
    static SITE: RefCell<Option<Site>> = const { RefCell::new(None) };
}

struct Site {
    runtime: Runtime,
    state: HttpState,
    served: u32,
}

impl Site {
    fn new() -> Result<Site, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let _entered = runtime.enter();
        let context = server()?;
        let users = context.users.clone();
        let service = Service {
            holders: context.holders.clone(),
            context,
            pool: Pool::new(Handle::current(), THREADS, THREADS),
            metrics: Arc::new(Metrics::new().map_err(|error| error.to_string())?),
            unread: Arc::default(),
            ended: Ended::default(),
            slow_query: None,
            identity: Identity { id: "fuzz".to_owned(), name: "fuzz".to_owned() },
        };
        let state = HttpState::new(Arc::new(service), users, Shutdown::new(Handle::current()));
        drop(_entered);
        Ok(Site { runtime, state, served: 0 })
    }
}

/// Sends bytes over a connection and closes it.
pub fn check_http(data: &[u8]) -> Result<(), String> {
    let site = SITE.take().filter(|site| site.served < CONNECTIONS);
    let mut site = site.map_or_else(Site::new, Ok)?;
    site.served += 1;
    let answers = site.runtime.block_on(answers(&site.state, data));
    SITE.set(Some(site));
    let answers = answers?;
    if answers.is_empty() || answers.starts_with(b"HTTP/1.") {
        return Ok(());
    }
    Err(format!("an answer begins {:?}", answers.get(..answers.len().min(100))))
}

async fn answers(state: &HttpState, data: &[u8]) -> Result<Vec<u8>, String> {
    let (mut client, server) = tokio::io::duplex(STREAM_BYTES);
    let place = Places::new(1, 0).enter().ok_or("there is no place")?;
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let unread = state.service.unread.clone();
    let serving = converse(
        server,
        peer,
        router(state.clone()),
        place.clone(),
        unread,
        state.shutdown.clone(),
    );
    let (data, watched) = (data.to_vec(), place.clone());
    let asking = async move {
        let (mut read, mut write) = tokio::io::split(&mut client);
        let writing = async {
            // The server may close before it has read everything.
            drop(write.write_all(&data).await);
            // A client that closes while it is answered is not answered.
            let mut waits = 0;
            while waits < WAITS {
                tokio::task::yield_now().await;
                waits = if watched.awaits_request() { waits + 1 } else { 0 };
            }
            drop(write.shutdown().await);
        };
        let mut answers = Vec::new();
        let reading = async { drop(read.read_to_end(&mut answers).await) };
        tokio::join!(writing, reading);
        answers
    };
    let ((), answers) = tokio::join!(
        async {
            serving.await;
            // Nothing more is answered.
            place.awaits(Awaits::Request);
        },
        asking
    );
    Ok(answers)
}

/// Requests of every kind.
pub fn http_seeds() -> Vec<Vec<u8>> {
    let query = r#"[[24,[1,1]]]"#;
    let post = |headers: &str, body: &str| {
        format!(
            "POST /api/query HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let json = "Content-Type: application/json\r\n";
    let seeds = [
        "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /health/ready HTTP/1.0\r\n\r\n".to_owned(),
        "GET /_metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned(),
        post(json, query),
        post(json, &format!(r#"{{"query":{query},"options":{{"array_limit":3}}}}"#)),
        post(
            &format!("{json}Authorization: Basic YWRtaW46\r\nOrigin: http://localhost\r\n"),
            query,
        ),
        post("Content-Type: text/plain\r\nExpect: 100-continue\r\n", query),
        format!(
            "POST /api/query HTTP/1.1\r\nHost: [::1]:8080\r\n{json}Transfer-Encoding: chunked\r\n\r\nc\r\n{query}\r\n0\r\n\r\n"
        ),
        [post(json, query), post(json, "[[15,[\"t\"]]]"), post(json, "[")].concat(),
    ];
    seeds.into_iter().map(String::into_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_answered() {
        let site = Site::new().unwrap();
        for seed in http_seeds() {
            let answers = site.runtime.block_on(answers(&site.state, &seed)).unwrap();
            assert!(answers.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&seed));
            check_http(&seed).unwrap();
        }
    }
}
