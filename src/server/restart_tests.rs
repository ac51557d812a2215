//! What a server has after its next start: everything, whether it ended in order or not.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use photondb_protocol::query::{self, Query};
use serde_json::{Value, json};

use super::directory::Directory;
use super::{ServerError, open_data};
use crate::config::{RawOptions, Settings, find};
use crate::metrics::Metrics;
use crate::session::testing::{client, service_on};
use crate::session::{AskBounds, Asked, Service, ask};

/// A server without ports on this folder.
fn open(folder: &Path) -> Arc<Service> {
    let mut raw = RawOptions::new();
    raw.command_line(find("directory").unwrap(), vec![folder.display().to_string()]);
    raw.command_line(find("cache-size").unwrap(), vec!["8".to_owned()]);
    let settings = Settings::check(&raw).unwrap();
    let began = Instant::now();
    loop {
        let directory = Directory::open(&settings.directory, None).unwrap();
        match open_data(&settings, &directory, &Metrics::new().unwrap()) {
            Ok(context) => return service_on(context),
            // Threads of the server before may need a moment to see that it is gone.
            Err(ServerError::Store(_)) if began.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn run(service: &Arc<Service>, term: Value) -> String {
    let body = json!([1, term, {}]).to_string();
    let Ok(Query::Start { term, optargs }) = query::parse(body.as_bytes()) else {
        panic!("{body}");
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let bounds = AskBounds { rows: 100_000, bytes: 100_000_000, deadline };
    match ask(service, client(), term, optargs, bounds).await {
        Ok(Asked::Value(json)) => String::from_utf8(json).unwrap(),
        Ok(Asked::Rows { json, complete: true }) => {
            format!("[{}]", String::from_utf8(json).unwrap())
        }
        other => panic!("{body}: {other:?}"),
    }
}

/// What clients can see of the server's data.
async fn look(service: &Arc<Service>) -> Vec<String> {
    let films = || json!([15, [[14, ["shop"]], "films"]]);
    let year = json!({ "index": "year" });
    let mut seen = Vec::new();
    for term in [
        json!([59, []]),
        json!([15, [[14, ["rethinkdb"]], "users"]]),
        json!([15, [[14, ["rethinkdb"]], "permissions"]]),
        json!([62, [[14, ["shop"]]]]),
        json!([62, [[14, ["test"]]]]),
        json!([79, [films()]]),
        json!([79, [[15, [[14, ["shop"]], "empty"]]]]),
        json!([77, [films()]]),
        json!([41, [[33, [[139, [films()]], "function"]], "index"]]),
        json!([43, [films()]]),
        json!([51, [[41, [films()], { "index": "title" }], "array"]]),
        json!([51, [[41, [films()], year.clone()], "array"]]),
        json!([51, [[78, [films(), 1979], year.clone()], "array"]]),
        json!([43, [[182, [films(), 1960, 1980], year]]]),
    ] {
        seen.push(run(service, term).await);
    }
    seen
}

async fn fill(service: &Arc<Service>) {
    let films = || json!([15, [[14, ["shop"]], "films"]]);
    run(service, json!([57, ["shop"]])).await;
    run(service, json!([57, ["gone"]])).await;
    run(service, json!([60, [[14, ["gone"]], "t"]])).await;
    run(service, json!([58, ["gone"]])).await;
    let options = json!({ "primary_key": "title", "durability": "soft" });
    run(service, json!([60, [[14, ["shop"]], "films"], options])).await;
    for name in ["empty", "dropped"] {
        run(service, json!([60, [[14, ["shop"]], name]])).await;
    }
    run(service, json!([61, [[14, ["shop"]], "dropped"]])).await;
    run(service, json!([75, [films(), "year"]])).await;
    let lengths =
        json!([69, [[2, [1]], [38, [[170, [[10, [1]], "tags"]], [69, [[2, [2]], [10, [2]]]]]]]]);
    run(service, json!([75, [films(), "tags", lengths], { "multi": true }])).await;
    let rows: Vec<Value> = (0..500)
        .map(|n| {
            let body = "x".repeat(if n % 50 == 0 { 20_000 } else { n });
            json!({ "title": format!("film {n:03}"), "year": 1950 + n % 60, "tags": [2, [n % 7]], "body": body })
        })
        .collect();
    run(service, json!([56, [films(), [2, rows]], { "durability": "hard" }])).await;
    run(service, json!([54, [[78, [films(), 1955], { "index": "year" }]]])).await;
    run(service, json!([140, [films()]])).await;
    let users = || json!([15, [[14, ["rethinkdb"]], "users"]]);
    for (name, password) in [("bob", "secret"), ("eve", "")] {
        run(service, json!([56, [users(), { "id": name, "password": password }]])).await;
    }
    run(service, json!([188, [films(), "bob", { "read": true }]])).await;
    run(service, json!([54, [[16, [users(), "eve"]]]])).await;
    run(service, json!([138, [films()]])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_an_end_of_any_kind() {
    let folder = tempfile::tempdir().unwrap();
    let service = open(folder.path());
    fill(&service).await;
    let before = look(&service).await;
    assert!(before.iter().any(|seen| seen.contains("film 499")), "{before:?}");
    // As if it had been killed: nothing is told that the server ends.
    drop(service);
    let service = open(folder.path());
    assert_eq!(look(&service).await, before);
    service.context.catalog.engine().close().unwrap();
    drop(service);
    let service = open(folder.path());
    assert_eq!(look(&service).await, before);
    let bob = service.context.users.get("bob").unwrap();
    assert!(bob.password.credentials.is_password(b"secret"));
    run(&service, json!([61, [[14, ["shop"]], "empty"]])).await;
    drop(service);
    let service = open(folder.path());
    assert_eq!(run(&service, json!([62, [[14, ["shop"]]]])).await, r#"["films"]"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_whose_building_was_cut_short_is_built_after_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let service = open(folder.path());
    run(&service, json!([60, ["t"]])).await;
    let rows: Vec<Value> = (0..2_000).map(|n| json!({ "id": n, "n": n % 10 })).collect();
    run(&service, json!([56, [[15, ["t"]], [2, rows]]])).await;
    run(&service, json!([75, [[15, ["t"]], "n"]])).await;
    drop(service);
    let service = open(folder.path());
    run(&service, json!([140, [[15, ["t"]]]])).await;
    let found = json!([43, [[78, [[15, ["t"]], 3], { "index": "n" }]]]);
    assert_eq!(run(&service, found).await, "200");
}
