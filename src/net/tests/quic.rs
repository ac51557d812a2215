//! Drivers over QUIC: the same protocol on each stream.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint};
use rustls::RootCertStore;
use tokio::time::timeout;

use super::client::Client;
use super::{Site, on_changed_server, on_server, on_server_with};
use crate::limits;
use crate::net::quic::PROTOCOL;
use crate::net::{Certificate, listen_quic, quic_config, serve_quic};

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Opens a QUIC port at the site and connects to it, trusting its certificate.
async fn connect(site: &Site) -> (Endpoint, Connection) {
    let certificate = Certificate::self_signed().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.chain[0].clone()).unwrap();
    let config = quic_config(certificate).unwrap();
    let server = listen_quic(SocketAddr::from(LOOPBACK), &config).unwrap();
    let address = server.local_addr().unwrap();
    site.doors.shutdown.spawn(serve_quic(server, site.doors.clone()));

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut endpoint = Endpoint::client(SocketAddr::from(LOOPBACK)).unwrap();
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(address, "localhost").unwrap().await.unwrap();
    (endpoint, connection)
}

type Stream = tokio::io::Join<quinn::RecvStream, quinn::SendStream>;

async fn client(connection: &Connection) -> Client<Stream> {
    let (send, receive) = connection.open_bi().await.unwrap();
    Client::log_in(tokio::io::join(receive, send)).await
}

#[test]
fn each_stream_is_a_connection() {
    on_server(|site| async move {
        let (_endpoint, connection) = connect(&site).await;
        let mut first = client(&connection).await;
        let mut second = client(&connection).await;
        assert_eq!(first.ask("[1,[24,[1,1]],{}]").await, r#"{"t":1,"r":[2]}"#);
        // The same token on two streams is two tokens.
        for stream in [&mut first, &mut second] {
            stream.send(1, r#"[1,[173,[]],{"max_batch_rows":2}]"#).await;
            assert_eq!(stream.receive().await.1, r#"{"t":3,"r":[0],"n":[]}"#);
        }
        first.send(1, "[3]").await;
        assert_eq!(first.receive().await.1, r#"{"t":2,"r":[],"n":[]}"#);
        second.send(1, "[2]").await;
        assert_eq!(second.receive().await.1, r#"{"t":3,"r":[1,2],"n":[]}"#);
        let text = String::from_utf8(site.doors.service.metrics.text().unwrap()).unwrap();
        assert!(text.contains("photondb_connections{transport=\"quic\"} 2"), "{text}");
        assert!(first.ask("[5]").await.contains("test_server"));
    });
}

#[test]
fn large_answers_arrive_whole() {
    on_server(|site| async move {
        let (_endpoint, connection) = connect(&site).await;
        let mut client = client(&connection).await;
        let text = "x".repeat(5_000_000);
        let answer = client.ask(&format!("[1,\"{text}\",{{}}]")).await;
        assert_eq!(answer, format!("{{\"t\":1,\"r\":[\"{text}\"]}}"));
    });
}

#[test]
fn a_stream_too_many_is_refused() {
    on_server_with(1, None, |site| async move {
        let (_endpoint, connection) = connect(&site).await;
        let _first = client(&connection).await;
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        drop(send.write_all(b"hello").await);
        assert!(receive.read_to_end(100).await.is_err());
    });
}

#[test]
fn a_stopping_server_closes_the_connection() {
    on_server(|site| async move {
        let (_endpoint, connection) = connect(&site).await;
        let mut client = client(&connection).await;
        client
            .send(1, r#"[1,[11,["var e = Date.now() + 200; while (Date.now() < e) {} 5"]],{}]"#)
            .await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        site.doors.shutdown.begin();
        assert_eq!(client.receive().await, (1, r#"{"t":1,"r":[5]}"#.to_owned()));
        connection.closed().await;
        site.doors.shutdown.finished().await;
    });
}

#[test]
fn a_client_that_does_not_log_in_has_little_room() {
    on_server(|site| async move {
        let (_endpoint, connection) = connect(&site).await;
        let mut silent = Vec::new();
        for _ in 0..limits::QUIC_STREAMS_BEFORE_LOGIN {
            let (mut send, receive) = connection.open_bi().await.unwrap();
            send.write_all(b"\x20").await.unwrap();
            silent.push((send, receive));
        }
        let soon = Duration::from_millis(300);
        assert!(timeout(soon, connection.open_bi()).await.is_err(), "one stream more");
        // One of them logs in.
        let (send, receive) = silent.pop().unwrap();
        drop((send, receive));
        let mut first = client(&connection).await;
        assert_eq!(first.ask("[1,[24,[1,1]],{}]").await, r#"{"t":1,"r":[2]}"#);
        let mut more = Vec::new();
        for _ in 0..2 * limits::QUIC_STREAMS_BEFORE_LOGIN {
            more.push(client(&connection).await);
        }
        // What is longer than the room before.
        let long = "x".repeat(8 * limits::QUIC_WINDOW_BEFORE_LOGIN_BYTES as usize);
        let answer = first.ask(&format!(r#"[1,"{long}",{{}}]"#)).await;
        assert_eq!(answer.len(), long.len() + r#"{"t":1,"r":[""]}"#.len());
    });
}

#[test]
fn a_client_that_does_not_log_in_in_time_is_left() {
    let time = Duration::from_secs(2);
    let hurry = |doors: &mut crate::net::Doors| doors.login_time = time;
    on_changed_server(limits::CONNECTIONS, None, hurry, |site| async move {
        let began = std::time::Instant::now();
        let (_silent_endpoint, silent) = connect(&site).await;
        let (_slow_endpoint, slow) = connect(&site).await;
        let (_endpoint, connection) = connect(&site).await;
        let mut known = client(&connection).await;
        // One that says something now and then has no more time.
        let (mut send, _receive) = slow.open_bi().await.unwrap();
        let talks = async {
            while send.write_all(b"\x20").await.is_ok() {
                tokio::time::sleep(time / 10).await;
            }
        };
        let (_, ended, ()) = tokio::join!(silent.closed(), slow.closed(), talks);
        let quinn::ConnectionError::ApplicationClosed(close) = ended else { panic!("{ended}") };
        assert_eq!(&close.reason[..], b"no stream has logged in in time");
        assert!(began.elapsed() < 5 * time, "{:?}", began.elapsed());
        // Who has logged in stays, and opens streams that have their own time.
        tokio::time::sleep(time).await;
        assert_eq!(known.ask("[1,[24,[1,1]],{}]").await, r#"{"t":1,"r":[2]}"#);
        let mut further = client(&connection).await;
        assert_eq!(further.ask("[1,[24,[1,1]],{}]").await, r#"{"t":1,"r":[2]}"#);
    });
}
