//! Queries that are deleted from the table of jobs: whatever they are at, their clients are told, and nobody else.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use photondb_protocol::numbers::Version;
use serde_json::{Value, json};

use super::testing::{client, service};
use super::{Service, Session};

const TERMINATED: &str = "Query terminated by the `rethinkdb.jobs` table.";

pub(super) struct Client {
    session: Session,
    out: Vec<u8>,
}

impl Client {
    pub(super) fn new(service: &Arc<Service>) -> Client {
        Client::of(service, client())
    }

    pub(super) fn of(service: &Arc<Service>, asker: super::Client) -> Client {
        let session = Session::new(service.clone(), Version::V1_0, asker);
        Client { session, out: Vec::new() }
    }

    pub(super) fn send(&mut self, token: u64, body: &Value) {
        self.session.receive(token, body.to_string().as_bytes(), &mut self.out);
    }

    /// Whether frames are taken.
    pub(super) fn has_room(&self) -> bool {
        self.session.has_room()
    }

    /// Whether nothing of it is evaluated, and whether it is to be polled.
    pub(super) fn is_idle(&self) -> (bool, bool) {
        (self.session.is_idle(), self.session.expects_answers())
    }

    pub(super) fn start(&mut self, token: u64, term: &Value) {
        self.send(token, &json!([1, term, {}]));
    }

    /// The next answer, with its token.
    pub(super) async fn answer(&mut self) -> (u64, Value) {
        loop {
            if let Some(length) = self.out.get(8..12) {
                let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
                if self.out.len() >= 12 + length {
                    let frame: Vec<u8> = self.out.drain(..12 + length).collect();
                    let token = u64::from_le_bytes(frame[..8].try_into().unwrap());
                    return (token, serde_json::from_slice(&frame[12..]).unwrap());
                }
            }
            let Client { session, out } = self;
            let polled = poll_fn(|context| session.poll_answers(context, true, out));
            tokio::time::timeout(Duration::from_secs(30), polled).await.expect("an answer");
        }
    }

    /// Puts on the pool what may go there, and waits for nothing.
    pub(super) async fn begin(&mut self) {
        let Client { session, out } = self;
        poll_fn(|context| {
            let _ = session.poll_answers(context, true, out);
            std::task::Poll::Ready(())
        })
        .await;
    }

    /// How many answers there are that were not looked at.
    pub(super) fn answered(&mut self) -> usize {
        let Client { session, out } = self;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = session.poll_answers(&mut context, true, out);
        let (mut at, mut count) = (0, 0);
        while let Some(length) = out.get(at + 8..at + 12) {
            at += 12 + u32::from_le_bytes(length.try_into().unwrap()) as usize;
            count += 1;
        }
        count
    }

    pub(super) async fn ask(&mut self, token: u64, term: &Value) -> Value {
        self.start(token, term);
        let (found, answer) = self.answer().await;
        assert_eq!(found, token, "{answer}");
        answer
    }
}

pub(super) fn jobs() -> Value {
    json!([15, [[14, ["rethinkdb"]], "jobs"]])
}

/// The jobs whose query matches this expression.
pub(super) fn with_text(text: &str) -> Value {
    let query = json!([170, [[170, [[10, [1]], "info"]], "query"]]);
    json!([39, [jobs(), [69, [[2, [1]], [97, [query, text]]]]]])
}

/// Two clients of one server with a table of many rows.
async fn clients() -> (Client, Client) {
    let service = service();
    let (mut one, other) = (Client::new(&service), Client::new(&service));
    one.ask(1, &json!([60, ["t"]])).await;
    let rows = json!([38, [[173, [2_000]], [69, [[2, [1]], { "id": [10, [1]] }]]]]);
    let inserted = one.ask(1, &json!([56, [[15, ["t"]], rows]])).await;
    assert_eq!(inserted["r"][0]["inserted"], 2_000, "{inserted}");
    (one, other)
}

fn is_terminated(answer: &Value) -> bool {
    answer["t"] == 18 && answer["e"] == 4_200_000 && answer["r"] == json!([TERMINATED])
}

async fn delete(admin: &mut Client, text: &str, expected: u64) {
    let answer = admin.ask(99, &json!([54, [with_text(text)]])).await;
    assert_eq!(answer["r"][0]["deleted"], expected, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_sees_itself_and_who_asked() {
    let (mut one, _other) = clients().await;
    for term in [jobs(), json!([45, [jobs(), 0]])] {
        let answer = one.ask(1, &term).await;
        let row = &answer["r"][0];
        assert_eq!(row["info"]["user"], "admin", "{answer}");
        assert_eq!(row["info"]["client_address"], "127.0.0.1");
        assert_eq!((&row["type"], &row["id"][0]), (&json!("query"), &json!("query")));
        let text = row["info"]["query"].as_str().unwrap();
        assert!(text.starts_with("r.db(\"rethinkdb\").table(\"jobs\")"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_runs_ends() {
    let (mut one, mut admin) = clients().await;
    // It would count for years.
    let range = json!([173, [9_000_000_000_000_000u64]]);
    one.start(5, &json!([43, [[39, [range, [69, [[2, [1]], [17, [[10, [1]], -1]]]]]]]]));
    // Polling puts it on the pool.
    let mut out = Vec::new();
    poll_fn(|context| {
        let _ = one.session.poll_answers(context, true, &mut out);
        std::task::Poll::Ready(())
    })
    .await;
    delete(&mut admin, r"^r\.range", 1).await;
    let (token, answer) = one.answer().await;
    assert!(token == 5 && is_terminated(&answer), "{answer}");
    delete(&mut admin, r"^r\.range", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_ends_with_its_next_batch() {
    let (mut one, mut admin) = clients().await;
    let first = one.ask(5, &json!([15, ["t"]])).await;
    assert_eq!(first["t"], 3);
    delete(&mut admin, r#"^r\.table\("t"\)$"#, 1).await;
    one.send(5, &json!([2]));
    let (token, answer) = one.answer().await;
    assert!(token == 5 && is_terminated(&answer), "{answer}");
    // The token is free again.
    assert_eq!(one.ask(5, &json!([24, [1, 1]])).await["r"], json!([2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_an_open_stream_that_was_deleted() {
    let service = service();
    let (mut one, mut admin) = (Client::new(&service), Client::new(&service));
    one.ask(1, &json!([60, ["t"]])).await;
    for (token, body) in [(5, json!([2])), (6, json!([3]))] {
        assert_eq!(one.ask(token, &json!([152, [[15, ["t"]]]])).await["t"], 3);
        assert_eq!(service.context.hub.listeners(), 1);
        delete(&mut admin, r"changes\(\)$", 1).await;
        // Its client sends nothing; the session takes what was put into its inbox.
        assert_eq!(one.answered(), 0);
        assert_eq!(service.context.hub.listeners(), 0);
        one.send(token, &body);
        let (found, answer) = one.answer().await;
        assert_eq!(found, token);
        assert!(is_terminated(&answer) == (token == 5), "{answer}");
        assert!(!one.session.expects_answers());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_many_feeds_leaves_none_of_them() {
    let service = service();
    let mut one = Client::new(&service);
    one.ask(1, &json!([60, ["t"]])).await;
    let feeds = 2 * crate::limits::SLOTS_DROPPED_AT_ONCE;
    for token in 0..feeds as u64 {
        assert_eq!(one.ask(token, &json!([152, [[15, ["t"]]]])).await["t"], 3);
    }
    assert_eq!(service.context.hub.listeners(), feeds);
    drop(one);
    let began = std::time::Instant::now();
    while service.context.hub.listeners() > 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "feeds are left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_waits_ends_at_once() {
    let (mut one, mut admin) = clients().await;
    let first = one.ask(5, &json!([152, [[15, ["t"]]]])).await;
    assert_eq!(first["t"], 3);
    one.send(5, &json!([2]));
    // It waits once there was nothing for it.
    for _ in 0..20 {
        let mut out = Vec::new();
        let polled = poll_fn(|context| one.session.poll_answers(context, true, &mut out));
        let _ = tokio::time::timeout(Duration::from_millis(5), polled).await;
        assert!(out.is_empty());
    }
    delete(&mut admin, r"changes\(\)$", 1).await;
    let (token, answer) = one.answer().await;
    assert!(token == 5 && is_terminated(&answer), "{answer}");
    assert!(!one.session.expects_answers());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_of_jobs_tells_of_queries_that_come_and_go() {
    let (mut one, mut admin) = clients().await;
    let feed = json!([152, [jobs()], { "include_types": true }]);
    assert_eq!(admin.ask(7, &feed).await["t"], 3);
    assert_eq!(one.ask(5, &json!([15, ["t"]])).await["t"], 3);
    let mut seen: Vec<&str> = Vec::new();
    while seen.last() != Some(&"remove") {
        admin.send(7, &json!([2]));
        let (token, answer) = admin.answer().await;
        assert_eq!((token, &answer["t"]), (7, &json!(3)), "{answer}");
        for change in answer["r"].as_array().unwrap() {
            let row = if change["new_val"].is_null() { "old_val" } else { "new_val" };
            if change[row]["info"]["query"] != "r.table(\"t\")" {
                continue;
            }
            seen.push(match change["type"].as_str().unwrap() {
                "add" => {
                    // The client lets go of its stream.
                    one.send(5, &json!([3]));
                    "add"
                }
                "change" => "change",
                _ => "remove",
            });
        }
    }
    assert_eq!(seen.first(), Some(&"add"));
    // So does the client of the feed.
    admin.send(7, &json!([3]));
    let (token, answer) = admin.answer().await;
    assert_eq!((token, &answer["t"]), (7, &json!(2)), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_deletion_is_allowed() {
    let (mut one, _other) = clients().await;
    for term in [
        json!([56, [jobs(), { "id": [2, ["query", "x"]] }]]),
        json!([53, [jobs(), { "type": "index" }]]),
    ] {
        let answer = one.ask(1, &term).await;
        let error = answer["r"][0]["first_error"].as_str().unwrap();
        assert!(error.ends_with("only allows deletions, not inserts or updates."), "{error}");
    }
    // Whoever deletes everything deletes itself.
    assert!(is_terminated(&one.ask(1, &json!([54, [jobs()]])).await));
}
