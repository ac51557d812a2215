//! A whole server as its operator sees it: the numbers that it answers with, held against `docs/operations.md`, and its end.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::directory::Directory;
use super::open_files::ConnectionBounds;
use super::{close, open, stop_serving};
use crate::config::{RawOptions, Settings, find};
use crate::net::Doors;

/// A server in a folder, on ports that are free.
fn started(folder: &Path) -> Arc<Doors> {
    let path = folder.display().to_string();
    let mut raw = RawOptions::new();
    for (option, value) in [
        ("directory", path.as_str()),
        ("driver-port", "0"),
        ("http-port", "0"),
        ("cache-size", "8"),
    ] {
        raw.command_line(find(option).unwrap(), vec![value.to_owned()]);
    }
    let settings = Settings::check(&raw).unwrap();
    let directory = Directory::open(&settings.directory, None).unwrap();
    let bounds = ConnectionBounds { drivers: 8, http: 8 };
    open(&settings, &directory, bounds, Arc::default(), Handle::current()).unwrap()
}

/// What it answers to who reads its numbers.
async fn scraped(doors: &Doors) -> String {
    answer(doors, "/_metrics").await
}

/// What it answers over HTTP.
async fn answer(doors: &Doors, path: &str) -> String {
    let port = doors.service.context.facts().unwrap().http_port.unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A driver that has asked for something.
async fn asked(doors: &Doors, query: &str) -> TcpStream {
    let port = doors.service.context.facts().unwrap().driver_port;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // Version 0.4 with an empty key, answers as JSON.
    let greeting = [0x400c_2d20_u32, 0, 0x7e69_70c7].map(u32::to_le_bytes).concat();
    stream.write_all(&greeting).await.unwrap();
    while stream.read_u8().await.unwrap() != 0 {}
    let (token, length) = (7_u64.to_le_bytes(), (query.len() as u32).to_le_bytes());
    let frame = [&token[..], &length, query.as_bytes()].concat();
    stream.write_all(&frame).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stops_soon_and_tells_those_whose_queries_it_interrupts() {
    let folder = tempfile::tempdir().unwrap();
    let doors = started(folder.path());
    let endless = "[1,[43,[[39,[[173,[9000000000000000]],[69,[[2,[1]],[17,[[10,[1]],-1]]]]]]]]]";
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(asked(&doors, endless).await);
    }
    while doors.service.context.running.all().len() < clients.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    stop_serving(&doors.shutdown).await;
    close(&doors, &Handle::current()).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    for mut client in clients {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("Query interrupted.  Did you shut down the server?"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_says_that_it_is_not_ready_until_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let doors = started(folder.path());
    let endless = "[1,[43,[[39,[[173,[9000000000000000]],[69,[[2,[1]],[17,[[10,[1]],-1]]]]]]]]]";
    let _client = asked(&doors, endless).await;
    while doors.service.context.running.all().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(answer(&doors, "/health/ready").await.starts_with("HTTP/1.1 200"));
    let there = doors.clone();
    let stopping = tokio::spawn(async move { stop_serving(&there.shutdown).await });
    while !doors.shutdown.has_begun() {
        tokio::task::yield_now().await;
    }
    assert!(answer(&doors, "/health/ready").await.starts_with("HTTP/1.1 503"));
    stopping.await.unwrap();
    close(&doors, &Handle::current()).await.unwrap();
    assert!(answer(&doors, "/health/ready").await.starts_with("HTTP/1.1 503"));
    assert!(answer(&doors, "/health/live").await.starts_with("HTTP/1.1 200"));
    doors.shutdown.end();
    let port = doors.service.context.facts().unwrap().http_port.unwrap();
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_metrics_has_all_that_a_server_answers_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let doors = started(folder.path());
    let text = scraped(&doors).await;
    stop_serving(&doors.shutdown).await;
    close(&doors, &Handle::current()).await.unwrap();
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
    let told: BTreeSet<&str> = helps.filter_map(|line| line.split(' ').next()).collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `photondb_"));
    let rows: Vec<String> =
        rows.filter_map(|row| Some(format!("photondb_{}", row.split('`').next()?))).collect();
    let listed: BTreeSet<&str> = rows.iter().map(String::as_str).collect();
    assert_eq!(listed, told);
    assert_eq!(rows.len(), listed.len(), "one is there twice");
}
