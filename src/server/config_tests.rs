//! What is written to `server_config` counts at once, and after the next start.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use photondb_protocol::query::{self, Query};
use serde_json::{Value, json};

use super::directory::Directory;
use super::numbers::Counted;
use super::{ServerError, open_data, store};
use crate::config::{RawOptions, Settings, find};
use crate::metrics::Metrics;
use crate::reql::ServerFacts;
use crate::session::testing::{client, service_on};
use crate::session::{AskBounds, AskError, Asked, Service, ask};

const ID: &str = "7c8ff3a1-61a5-4d55-8c87-7a3fd0ac4c0b";

/// A server without ports on this folder, started with these options.
fn open(folder: &Path, options: &[(&str, &str)]) -> Arc<Service> {
    let mut raw = RawOptions::new();
    let folder = folder.display().to_string();
    for (option, value) in [("directory", folder.as_str())].iter().chain(options) {
        raw.command_line(find(option).unwrap(), vec![(*value).to_owned()]);
    }
    let settings = Settings::check(&raw).unwrap();
    let began = Instant::now();
    let context = loop {
        let directory = Directory::open(&settings.directory, Some("first")).unwrap();
        match open_data(&settings, &directory, &Metrics::new().unwrap()) {
            Ok(context) => break context,
            // Threads of the server before may need a moment to see that it is gone.
            Err(ServerError::Store(_)) if began.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    };
    context.set_facts(ServerFacts {
        id: ID.to_owned(),
        memory: store::memory_bounds(None, None),
        automatic_cache_bytes: store::automatic_cache_bytes(store::memory(None)),
        cache_bytes_most: store::cache_bytes_most(settings.memory, settings.queries.memory),
        driver_port: 28015,
        http_port: None,
        started: SystemTime::now(),
        log: Arc::default(),
        numbers: Arc::new(Counted(Arc::new(Metrics::new().unwrap()))),
    });
    service_on(context)
}

async fn try_run(service: &Arc<Service>, term: Value) -> Result<Value, String> {
    let body = json!([1, term, {}]).to_string();
    let Ok(Query::Start { term, optargs }) = query::parse(body.as_bytes()) else {
        panic!("{body}");
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let bounds = AskBounds { rows: 1_000, bytes: 1_000_000, deadline };
    let text = match ask(service, client(), term, optargs, bounds).await {
        Ok(Asked::Value(json)) => String::from_utf8(json).unwrap(),
        Ok(Asked::Rows { json, complete: true }) => {
            format!("[{}]", String::from_utf8(json).unwrap())
        }
        Err(AskError::Run(failure)) => return Err(failure.message),
        other => panic!("{body}: {other:?}"),
    };
    Ok(serde_json::from_str(&text).unwrap())
}

async fn run(service: &Arc<Service>, term: Value) -> Value {
    try_run(service, term).await.unwrap()
}

/// The text of the error that a query ends with.
async fn run_error(service: &Arc<Service>, term: Value) -> String {
    try_run(service, term).await.unwrap_err()
}

fn table(name: &str) -> Value {
    json!([15, [[14, ["rethinkdb"]], name]])
}

async fn config(service: &Arc<Service>) -> Value {
    run(service, json!([45, [table("server_config"), 0]])).await
}

async fn update(service: &Arc<Service>, change: Value) -> Value {
    run(service, json!([53, [table("server_config"), change]])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_the_memory_limit_does_not_hold_is_refused_whenever_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let service = open(folder.path(), &[("cache-size", "200")]);
    drop(service);
    let settings = |options: &[(&str, &str)]| {
        let mut raw = RawOptions::new();
        for (option, value) in options {
            raw.command_line(find(option).unwrap(), vec![(*value).to_owned()]);
        }
        Settings::check(&raw).unwrap()
    };
    let began = Instant::now();
    let refused = loop {
        let directory = Directory::open(folder.path(), None).unwrap();
        let settings = settings(&[("memory-limit", "256")]);
        match open_data(&settings, &directory, &Metrics::new().unwrap()) {
            Err(ServerError::Store(store::StoreError::InUse(_)))
                if began.elapsed() < Duration::from_secs(10) =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => break error.to_string(),
            Ok(_) => panic!("it was opened"),
        }
    };
    let text = "a cache of 200 MB is set, and --memory-limit leaves 96 MB for it: raise the limit, or start with --cache-size \
                auto or 96 at most";
    assert_eq!(refused, text);
    let service = open(folder.path(), &[("memory-limit", "256"), ("cache-size", "auto")]);
    assert_eq!(memory(&service), 64);
    let answer = update(&service, json!({ "cache_size_mb": 97 })).await;
    let refused = answer["first_error"].as_str().unwrap();
    assert!(refused.contains("97 MB is larger than `--memory-limit` allows (96 MB)."), "{refused}");
    update(&service, json!({ "cache_size_mb": 96 })).await;
    assert_eq!(memory(&service), 96);
}

/// The megabytes that the engine has.
fn memory(service: &Service) -> u64 {
    service.context.catalog.engine().memory_bytes().unwrap() >> 20
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_counts_at_once_and_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let service = open(folder.path(), &[]);
    let first = json!({ "cache_size_mb": "auto", "id": ID, "name": "first", "tags": ["default"] });
    assert_eq!(config(&service).await, first);
    run(&service, json!([60, ["t"]])).await;
    let change = json!({ "name": "second", "tags": [2, ["b", "a", "b"]], "cache_size_mb": 64.5 });
    let answer = update(&service, change.clone()).await;
    assert_eq!((&answer["replaced"], &answer["errors"]), (&json!(1), &json!(0)), "{answer}");
    let second = json!({ "cache_size_mb": 64.5, "id": ID, "name": "second", "tags": ["a", "b"] });
    assert_eq!(config(&service).await, second);
    assert_eq!(memory(&service), 64);
    // Everything that names the server follows.
    let status = run(&service, json!([45, [table("server_status"), 0]])).await;
    assert_eq!(status["name"], "second");
    assert_eq!(status["process"]["cache_size_mb"], json!(64.5));
    let shards = run(&service, json!([170, [[174, [[15, ["t"]]]], "shards"]])).await;
    assert_eq!(shards[0]["primary_replica"], "second");
    drop(service);
    let service = open(folder.path(), &[]);
    assert_eq!(config(&service).await, second);
    assert_eq!(memory(&service), 64);
    drop(service);
    // What the operator asks for at a start is what is set from then on; the name is for new servers.
    let service = open(folder.path(), &[("cache-size", "16"), ("server-name", "third")]);
    assert_eq!(config(&service).await["cache_size_mb"], 16);
    assert_eq!(config(&service).await["name"], "second");
    assert_eq!(memory(&service), 16);
    drop(service);
    let service = open(folder.path(), &[]);
    assert_eq!(config(&service).await["cache_size_mb"], 16);
    update(&service, json!({ "cache_size_mb": "auto" })).await;
    assert_eq!(config(&service).await["cache_size_mb"], "auto");
    assert_eq!(memory(&service), store::automatic_cache_bytes(store::memory(None)) >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let service = open(folder.path(), &[]);
    let before = config(&service).await;
    let format =
        "The row you're trying to put into `rethinkdb.server_config` has the wrong format. ";
    let change = "Error when trying to change the configuration of server `first`: ";
    for (part, refused) in [
        (json!({ "name": 1 }), "In `name`: Expected a server name; got 1"),
        (
            json!({ "name": "a b" }),
            "In `name`: \"a b\" is not a valid server name; Use A-Z, a-z, 0-9, _ and - only",
        ),
        (json!({ "tags": "a" }), "In `tags`: Expected an array, got \"a\""),
        (json!({ "tags": [2, ["a", null]] }), "In `tags`: Expected a server tag; got null"),
        (
            json!({ "tags": [2, ["a."]] }),
            "In `tags`: \"a.\" is not a valid server tag; Use A-Z, a-z, 0-9, _ and - only",
        ),
        (json!({ "cache_size_mb": 1e15 }), "In `cache_size_mb`: Value is too big."),
        (json!({ "cache_size_mb": -1 }), "In `cache_size_mb`: Cache size cannot be negative."),
        (
            json!({ "cache_size_mb": "much" }),
            "In `cache_size_mb`: Expected a number or 'auto', got \"much\"",
        ),
        (json!({ "color": "red", "name": "other" }), "Unexpected key(s): color"),
    ] {
        let answer = update(&service, part.clone()).await;
        assert_eq!(answer["first_error"], format!("{format}{refused}"), "{part}");
    }
    for (megabytes, refused) in [
        (
            1e12,
            "The proposed cache size of 1000000000000 MB is larger than the maximum legal value for this platform (16777216 MB).",
        ),
        (7.0, "The proposed cache size of 7 MB is smaller than the minimum legal value (8 MB)."),
    ] {
        let answer = update(&service, json!({ "cache_size_mb": megabytes, "name": "x" })).await;
        let refused = format!("{change}{refused} The configuration was not changed.");
        assert_eq!(answer["first_error"], refused);
    }
    let table = || table("server_config");
    for (term, refused) in [
        (
            json!([54, [table()]]),
            "It's illegal to delete rows from the `rethinkdb.server_config` system table.",
        ),
        (
            json!([56, [table(), { "name": "x" }]]),
            "It's illegal to insert new rows into the `rethinkdb.server_config` system table.",
        ),
        (
            json!([55, [[16, [table(), ID]], { "id": ID, "name": "x", "cache_size_mb": "auto" }]]),
            "The row you're trying to put into `rethinkdb.server_config` has the wrong format. Expected a field named `tags`.",
        ),
    ] {
        let answer = run(&service, term).await;
        assert_eq!(answer["first_error"], refused);
    }
    let answer = run(&service, json!([54, [[16, [table(), "nobody"]]]])).await;
    assert_eq!((&answer["skipped"], &answer["errors"]), (&json!(1), &json!(0)));
    let answer = update(&service, json!({ "tags": [2, ["default"]] })).await;
    assert_eq!(answer["unchanged"], 1);
    assert_eq!(config(&service).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_go_by_the_tags_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let service = open(folder.path(), &[]);
    run(&service, json!([60, ["old"]])).await;
    update(&service, json!({ "tags": [2, ["west", "fast"]] })).await;
    let error = run_error(&service, json!([60, ["t"]])).await;
    let none = "Can't put 1 replicas on servers with the tag `default` because there are only 0 servers with the tag \
                `default`. It's impossible to have more replicas of the data than there are servers.";
    assert_eq!(error, none);
    let inserted =
        run(&service, json!([56, [table("table_config"), { "db": "test", "name": "t" }]])).await;
    let automatic = "Unable to automatically generate configuration for new table: ";
    assert_eq!(inserted["first_error"], format!("{automatic}{none}"));
    let both = json!({ "replicas": { "west": 1, "fast": 1 }, "primary_replica_tag": "west" });
    let error = run_error(&service, json!([60, ["t"], both])).await;
    assert_eq!(
        error,
        "Server tags `west` and `fast` overlap; the server `first` has both tags. The server tags used for replication \
         settings for a given table must be non-overlapping."
    );
    let west = json!({ "replicas": { "west": 1 }, "primary_replica_tag": "west" });
    let created = run(&service, json!([60, ["t"], west])).await;
    assert_eq!(created["tables_created"], 1);
    let west = json!({ "shards": 2, "replicas": { "west": 1 }, "primary_replica_tag": "west" });
    let changed = run(&service, json!([176, [[15, ["old"]]], west])).await;
    assert_eq!(changed["reconfigured"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_files_there_is_no_cache() {
    let folder = tempfile::tempdir().unwrap();
    let service = open(folder.path(), &[("storage-engine", "memory")]);
    let answer = update(&service, json!({ "cache_size_mb": 100 })).await;
    let refused = answer["first_error"].as_str().unwrap();
    assert!(refused.contains("All data is in memory: there is no cache."), "{refused}");
    let answer = update(&service, json!({ "name": "other" })).await;
    assert_eq!(answer["replaced"], 1);
    assert_eq!(config(&service).await["name"], "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_find_a_version_that_they_know() {
    let folder = tempfile::tempdir().unwrap();
    let service = open(folder.path(), &[("storage-engine", "memory")]);
    let status = run(&service, json!([45, [table("server_status"), 0]])).await;
    let version = status["process"]["version"].as_str().unwrap();
    // What the Python driver's tools look for before they dump, restore, export or import.
    let number = version.strip_prefix("rethinkdb ").unwrap().split(' ').next().unwrap();
    let parts: Vec<u32> = number.split('.').map(|part| part.parse().unwrap()).collect();
    assert!(parts.len() == 3 && parts >= vec![2, 3, 7], "{version}");
}
