//! The HTTP server on a real port, asked in plain bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::*;
use crate::auth::{ADMIN, Password};
use crate::reql::Context;
use crate::session::{Service, testing};
use crate::storage::disk::{Call, FaultyDisk};
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{Durability, Engine as _, WriteBatch};

struct Site {
    address: SocketAddr,
    state: HttpState,
}

async fn site(password: &str) -> Site {
    site_of(testing::service(), password).await
}

async fn site_of(service: Arc<Service>, password: &str) -> Site {
    site_with(service, password, Arc::default()).await
}

async fn site_with(service: Arc<Service>, password: &str, addresses: Arc<Addresses>) -> Site {
    let users = service.context.users.clone();
    users.set_password(ADMIN, &Password::new(password).unwrap()).unwrap();
    let state = HttpState::new(service, users, Shutdown::new(Handle::current()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    serve(vec![listener], state.clone(), 16, addresses);
    Site { address, state }
}

impl Site {
    async fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            .await
    }

    async fn post(&self, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        self.ask(&format!(
            "POST /api/query HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
             Content-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    async fn query(&self, body: &str) -> (u16, String) {
        self.post("Content-Type: application/json\r\n", body).await
    }
}

#[tokio::test]
async fn it_is_ready_until_it_stops_and_lives_until_it_is_gone() {
    let site = site("").await;
    assert_eq!(site.get("/health/live").await, (200, "live\n".to_owned()));
    assert_eq!(site.get("/health/ready").await, (200, "ready\n".to_owned()));
    assert_eq!(site.get("/nothing").await.0, 404);
    // One that keeps its connection keeps no server.
    let mut open = TcpStream::connect(site.address).await.unwrap();
    let mut ready = async |status: &str| {
        open.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 1_000];
        let length = open.read(&mut answer).await.unwrap();
        assert!(String::from_utf8_lossy(&answer[..length]).starts_with(status), "{status}");
    };
    ready("HTTP/1.1 200").await;
    site.state.shutdown.begin();
    site.state.shutdown.finished().await;
    for hurried in [false, true] {
        assert_eq!(site.get("/health/live").await, (200, "live\n".to_owned()));
        assert_eq!(site.get("/health/ready").await, (503, "stopping\n".to_owned()));
        assert_eq!(site.get("/_metrics").await.0, 200);
        let (status, refused) = site.query("[1]").await;
        assert!(status == 503 && refused.contains("The server is stopping."), "{refused}");
        ready("HTTP/1.1 503").await;
        if !hurried {
            site.state.shutdown.hurry();
            tokio::time::sleep(2 * limits::STOP_FLUSH_HTTP).await;
        }
    }
    site.state.shutdown.end();
    assert_eq!(open.read(&mut [0; 16]).await.unwrap_or(0), 0);
    while TcpStream::connect(site.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn it_is_not_ready_once_the_engine_stopped_writing() {
    let disk = FaultyDisk::new(1);
    let options = SlabOptions { flush_interval: None, ..SlabOptions::new([7; 16], 1 << 20) };
    let engine = Arc::new(SlabEngine::open(Arc::new(disk.clone()), options).unwrap());
    let context = Context::open(engine.clone(), "test_server").unwrap();
    let site = site_of(testing::service_on(context), "").await;
    assert_eq!(site.get("/health/ready").await.0, 200);
    disk.fail_next(Call::Sync, "slab.log");
    engine.wait_durable(engine.last_sequence()).unwrap_err();
    let stopped = "the storage engine stopped writing\n".to_owned();
    assert_eq!(site.get("/health/ready").await, (503, stopped));
    assert_eq!(site.get("/health/live").await.0, 200);
}

#[tokio::test]
async fn it_is_ready_for_reads_alone_while_the_disk_is_full() {
    let disk = FaultyDisk::new(1);
    let options = SlabOptions {
        flush_interval: None,
        reserve_bytes: 1 << 20,
        ..SlabOptions::new([7; 16], 1 << 20)
    };
    let engine = Arc::new(SlabEngine::open(Arc::new(disk.clone()), options).unwrap());
    let context = Context::open(engine.clone(), "test_server").unwrap();
    let site = site_of(testing::service_on(context), "").await;
    assert_eq!(site.get("/health/ready").await, (200, "ready\n".to_owned()));
    disk.set_capacity(disk.used());
    let mut batch = WriteBatch::new(Durability::Hard);
    let tree = engine.new_tree_id().unwrap();
    batch.create_tree(tree);
    batch.put(tree, "key", vec![7; 4 << 20]);
    // There is not even room for it in the reserve.
    engine.wait_durable(engine.apply(batch).unwrap().sequence).unwrap_err();
    let told = "ready for reads; writes are refused: the disk is full\n".to_owned();
    assert_eq!(site.get("/health/ready").await, (200, told));
}

#[tokio::test]
async fn queries_in_every_form() {
    let site = site("").await;
    for (body, answer) in [
        ("[[24,[1,1]]]", "{\"value\":2}\n"),
        ("[[24,[1,1]], {}]", "{\"value\":2}\n"),
        ("{\"query\": [24,[1,1]]}", "{\"value\":2}\n"),
        (
            "{\"options\": {\"array_limit\": 9}, \"query\": {\"a\": null}}",
            "{\"value\":{\"a\":null}}\n",
        ),
        ("[[2,[1,\"x\"]]]", "{\"value\":[1,\"x\"]}\n"),
    ] {
        assert_eq!(site.query(body).await, (200, answer.to_owned()), "{body}");
    }
}

#[tokio::test]
async fn faults_have_a_status_and_say_what() {
    let site = site("").await;
    for (body, status, part) in [
        ("", 400, "malformed JSON"),
        ("5", 400, "must be an array or an object"),
        ("[]", 400, "[term] or [term, options]"),
        ("[1,{},3]", 400, "[term] or [term, options]"),
        ("[1,2]", 400, "options must be an object"),
        ("{}", 400, "`query` is missing"),
        ("{\"query\":1,\"quarry\":1}", 400, "`quarry` is unknown"),
        ("[[24,[1,[99999,[]]]]]", 400, "\"backtrace\":[1]"),
        ("[[24]]", 400, "\"type\":\"COMPILE_ERROR\""),
        ("[[24,[1,\"a\"]]]", 422, "Expected type NUMBER but found STRING."),
        ("[1,{\"array_limit\":0}]", 422, "Illegal array size limit"),
    ] {
        let (found, answer) = site.query(body).await;
        assert_eq!(found, status, "{body}: {answer}");
        assert!(answer.contains(part), "{body}: {answer}");
    }
}

#[tokio::test]
async fn a_long_body_is_read_on_the_pool_and_dropped_before_its_query_runs() {
    let site = site("").await;
    let text = "x".repeat(2 * crate::limits::INLINE_BODY_BYTES);
    let (status, answer) = site.query(&format!("[\"{text}\"]")).await;
    assert_eq!((status, answer.len()), (200, text.len() + "{\"value\":\"\"}\n".len()));
    let (status, answer) = site.query(&format!("[\"{text}\",{{}},3]")).await;
    assert!(status == 400 && answer.contains("CLIENT_ERROR"), "{answer}");
    let (status, answer) = site.query(&format!("[[24,\"{text}\"]]")).await;
    assert!(status == 400 && answer.len() < 1_000, "{answer}");
    let endless = "[43,[[39,[[173,[9e15]],[69,[[2,[1]],[17,[[10,[1]],-1]]]]]]]]";
    let long = format!("[[24,[\"{text}\",{endless}]]]");
    let client = tokio::spawn(async move {
        let head = "POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{long}", long.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let queries = &site.state.service.context.running;
        while queries.all().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(site.state.bodies.is_empty(), "the query runs, and its text is gone");
        assert!(site.state.service.holders.account().held() > text.len() as u64);
        drop(stream);
        while !queries.all().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    client.await.unwrap();
}

#[tokio::test]
async fn a_page_of_another_site_cannot_ask() {
    let site = site("").await;
    for headers in ["", "Content-Type: text/plain\r\n"] {
        assert_eq!(site.post(headers, "[1]").await.0, 415);
    }
    let headers = "content-type: Application/JSON; charset=utf-8\r\n";
    assert_eq!(site.post(headers, "[1]").await.0, 200);
}

#[tokio::test]
async fn the_admins_password_is_asked_for() {
    let site = site("hunter2").await;
    assert_eq!(site.query("[1]").await.0, 401);
    let with = |login: &str| {
        let login = STANDARD.encode(login);
        format!("Content-Type: application/json\r\nAuthorization: Basic {login}\r\n")
    };
    assert_eq!(site.post(&with("admin:hunter2"), "[1]").await.0, 200);
    for login in ["admin:", "admin:hunter", "nobody:hunter2"] {
        let (status, answer) = site.post(&with(login), "[1]").await;
        assert_eq!(status, 401, "{login}");
        assert!(answer.contains("Wrong user or password."), "{answer}");
    }
    assert_eq!(site.get("/health/live").await.0, 200);
}

#[tokio::test]
async fn what_was_asked_is_counted() {
    let site = site("").await;
    site.query("[1]").await;
    site.query("[[24,[1,\"a\"]]]").await;
    let (status, text) = site.get("/_metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("photondb_queries_total{outcome=\"success\"} 1"), "{text}");
    assert!(text.contains("photondb_queries_total{outcome=\"runtime_error\"} 1"), "{text}");
    assert!(text.contains("photondb_connections{transport=\"http\"} 1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_a_stopping_server_interrupts_is_answered() {
    let site = site("").await;
    let shutdown = site.state.shutdown.clone();
    let query = format!("[{ENDLESS}]");
    let (answer, ()) = tokio::join!(site.query(&query), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        shutdown.begin();
        shutdown.hurry();
        tokio::time::timeout(Duration::from_secs(10), shutdown.finished()).await.unwrap();
    });
    assert_eq!(answer.0, 503);
    assert!(answer.1.contains("Query interrupted.  Did you shut down the server?"), "{answer:?}");
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_out() {
    let site = site("").await;
    let mut silent = Vec::new();
    for number in 0..64 {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(b"POST /api/query HTTP/1.1\r\n").await.unwrap();
        silent.push(stream);
        assert_eq!(site.get("/health/live").await.0, 200, "with {number} silent clients");
    }
    // Those that made room were closed.
    let mut first = silent.swap_remove(0);
    assert_eq!(first.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_body_is_not_read_for_a_client_that_is_refused() {
    let site = site("hunter2").await;
    let head = "POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n";
    // Answered although not a byte of the body was sent.
    let (status, _) = site.ask(&format!("{head}Connection: close\r\n\r\n")).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_whatever_it_sends() {
    let site = site("").await;
    let json = "Content-Type: application/json\r\n";
    let (status, answer) = site.post(&format!("{json}Origin: http://evil\r\n"), "[1]").await;
    assert_eq!(status, 403);
    assert!(answer.contains("Origin"), "{answer}");
    let request = format!(
        "POST /api/query HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n{json}Content-Length: 3\r\n\r\n[1]"
    );
    let (status, answer) = site.ask(&request).await;
    assert_eq!(status, 403);
    assert!(answer.contains("Host"), "{answer}");
}

#[tokio::test]
async fn a_name_without_a_password_does_not_make_up_for_another_host() {
    let site = site("").await;
    site.state.users.set_password("alice", &Password::new("secret").unwrap()).unwrap();
    let ask = async |login: &str| {
        let login = STANDARD.encode(login);
        let request = format!(
            "POST /api/query HTTP/1.1\r\nHost: evil.example:8080\r\nOrigin: http://evil.example:8080\r\n\
             Connection: close\r\nContent-Type: application/json\r\nAuthorization: Basic {login}\r\n\
             Content-Length: 3\r\n\r\n[1]"
        );
        site.ask(&request).await
    };
    let (status, answer) = ask("admin:").await;
    assert_eq!(status, 403);
    assert!(answer.contains("Without a password"), "{answer}");
    // Who knows a password may call the server what he likes.
    assert_eq!(ask("alice:secret").await, (200, "{\"value\":1}\n".to_owned()));
}

#[tokio::test]
async fn clients_that_send_heads_and_no_bodies_do_not_keep_others_out() {
    let site = site("").await;
    let head = "POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n[[24,";
    let mut silent = Vec::new();
    for number in 0..64 {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        silent.push(stream);
        assert_eq!(site.get("/health/live").await.0, 200, "with {number} silent clients");
        assert_eq!(site.query("[[24,[1,1]]]").await.0, 200, "with {number} silent clients");
    }
    let mut first = silent.swap_remove(0);
    assert_eq!(first.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_client_that_reads_a_long_answer_slowly_gets_all_of_it() {
    let site = site("").await;
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    // An array of a megabyte of text, eight times.
    let text = "x".repeat(1 << 20);
    let body = format!("[[64,[[69,[[2,[1]],[2,[{}]]]],{text:?}]]]", ["[10,[1]]"; 8].join(","));
    let length = body.len();
    let request = format!(
        "POST /api/query HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 64];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    // It is the oldest of far more connections than there are places.
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(site.address).await.unwrap());
        assert_eq!(site.get("/health/live").await.0, 200);
    }
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.len() > 8 << 20, "{}", answer.len());
    assert!(answer.ends_with(b"]}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_time_is_over_is_told_so() {
    let site = site("").await;
    let (status, answer) = site.query(&format!("[{ENDLESS},{{\"timeout_ms\":50}}]")).await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("Query terminated by its option `timeout_ms`"), "{answer}");
    assert!(answer.contains("\"type\":\"OP_INDETERMINATE\""), "{answer}");
}

#[tokio::test]
async fn an_address_has_no_more_connections_than_it_may_have() {
    let site = site_with(testing::service(), "", Addresses::new(Some(2))).await;
    let held = [(); 2].map(|()| TcpStream::connect(site.address));
    let [first, _second] = held;
    let (first, _second) = (first.await.unwrap(), _second.await.unwrap());
    let mut third = TcpStream::connect(site.address).await.unwrap();
    let mut answer = String::new();
    third.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("Your address has as many HTTP connections as one may have (--max-connections-per-address).\n"));
    drop(first);
    // The server may need a moment to see that it is gone.
    let text = loop {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        let request = "GET /_metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let mut answer = String::new();
        drop(stream.write_all(request.as_bytes()).await);
        drop(stream.read_to_string(&mut answer).await);
        if answer.starts_with("HTTP/1.1 200 ") {
            break answer;
        }
    };
    assert!(text.contains("photondb_connections_refused_total{reason=\"address\"}"), "{text}");
}

const ENDLESS: &str = "[43,[[39,[[173,[9000000000000000]],[69,[[2,[1]],[17,[[10,[1]],-1]]]]]]]]";

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_answered_however_many_queries_are_asked() {
    let site = site("").await;
    let body = format!("[{ENDLESS}]");
    let request = format!(
        "POST /api/query HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut asking = Vec::new();
    for number in 0..64 {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        drop(stream.write_all(request.as_bytes()).await);
        asking.push(stream);
        assert_eq!(site.get("/health/live").await.0, 200, "with {number} queries");
    }
    assert_eq!(site.get("/_metrics").await.0, 200);
    let mut told = String::new();
    asking.last_mut().unwrap().read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    assert!(told.contains("as many queries over HTTP as it does at a time"), "{told}");
}

#[tokio::test]
async fn a_place_of_the_reserve_is_for_health_and_metrics_alone() {
    let site = site("").await;
    let ask = async |request: &str| {
        let place = places::Places::new(0, 1).enter().unwrap();
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let (peer, state) = ((Ipv4Addr::LOCALHOST, 1).into(), site.state.clone());
        let (unread, shutdown) = (state.service.unread.clone(), state.shutdown.clone());
        tokio::spawn(connections::converse(server, peer, router(state), place, unread, shutdown));
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let close = "Host: localhost\r\nConnection: close\r\n\r\n";
    for path in ["/health/live", "/health/ready", "/_metrics"] {
        let answer = ask(&format!("GET {path} HTTP/1.1\r\n{close}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    // It is told, and its connection is closed although it did not ask for that.
    let answer =
        ask("POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("Every HTTP connection that may ask queries is taken."), "{answer}");
}

#[tokio::test]
async fn who_waits_too_long_for_the_check_of_a_password_is_told_so() {
    let site = site("").await;
    let _all = site.state.checks.clone().acquire_many_owned(limits::HTTP_PASSWORD_CHECKS as u32);
    let _all = _all.await.unwrap();
    let since = std::time::Instant::now();
    let (status, answer) = site.query("[1]").await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("as many passwords as it can"), "{answer}");
    assert!(since.elapsed() >= limits::HTTP_PASSWORD_TIME);
    // Those that wait are bounded as well, and the others are told at once.
    let mut waiting = Vec::new();
    while let Some(one) = site.state.checked.enter(Ipv4Addr::LOCALHOST.into()) {
        waiting.push(one);
    }
    let since = std::time::Instant::now();
    assert_eq!(site.query("[1]").await.0, 503);
    assert!(since.elapsed() < limits::HTTP_PASSWORD_TIME);
}
