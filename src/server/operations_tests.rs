//! Whether `docs/operations.md` tells of every number that a server has, and of no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::directory::Directory;
use super::open_files::ConnectionBounds;
use super::{close, open};
use crate::config::{RawOptions, Settings, find};

/// What a whole server answers to who reads its numbers.
async fn scraped() -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
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
    let (bounds, workers) = (ConnectionBounds { drivers: 8, http: 8 }, Handle::current());
    let doors = open(&settings, &directory, bounds, Arc::default(), workers.clone()).unwrap();
    let port = doors.service.context.facts().unwrap().http_port.unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = b"GET /_metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    doors.shutdown.begin();
    close(&doors, &workers).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_metrics_has_all_that_a_server_answers_and_no_others() {
    let text = scraped().await;
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
