//! Endless queries hold every thread: what a prober on other connections, and on theirs, can still do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::jobs_tests::{Client, jobs, with_text};
use super::testing::{client, service_with};
use super::{AskBounds, Asked, Client as Asker, Service, ask};
use crate::limits;
use crate::reql::Context;

const THREADS: usize = 8;

/// Far more than an answer takes that needs no thread of the pool, and far less than for ever.
const SOON: Duration = Duration::from_secs(2);

/// A count that goes on for years.
fn endless() -> Value {
    let range = json!([173, [9_000_000_000_000_000u64]]);
    json!([43, [[39, [range, [69, [[2, [1]], [17, [[10, [1]], -1]]]]]]]])
}

/// A server whose every thread is taken, and those who took them: each has one query more than threads.
async fn crowded() -> (Arc<Service>, Vec<Client>) {
    let service = service_with(Context::in_memory("test_server").unwrap(), THREADS);
    let mut crowd = Vec::new();
    for _ in 0..2 * THREADS {
        let mut one = Client::new(&service);
        for token in 0..=THREADS as u64 {
            one.start(token, &endless());
        }
        one.begin().await;
        crowd.push(one);
    }
    assert_eq!(service.pool.busy(), THREADS);
    (service, crowd)
}

async fn soon<T>(doing: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, doing).await.expect("an answer although the pool is taken")
}

#[tokio::test(flavor = "multi_thread")]
async fn administration_has_threads_when_all_others_are_taken() {
    let (service, mut crowd) = crowded().await;
    let mut prober = Client::new(&service);
    let answer = soon(prober.ask(1, &json!([24, [1, 1]]))).await;
    assert_eq!(answer["r"][0], 2);
    let answer = soon(prober.ask(2, &json!([43, [jobs()]]))).await;
    // Itself among them.
    assert_eq!(answer["r"][0], 2 * THREADS * (THREADS + 1) + 1, "{answer}");
    // So has a connection that holds some of them, and a client without a connection.
    soon(crowd[0].ask(99, &json!([43, [jobs()]]))).await;
    let body = json!([1, [43, [jobs()]], {}]).to_string();
    let Ok(photondb_protocol::query::Query::Start { term, optargs }) =
        photondb_protocol::query::parse(body.as_bytes())
    else {
        panic!("{body}");
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let bounds = AskBounds { rows: 10, bytes: 1_000, deadline };
    let asked = soon(ask(&service, client(), term, optargs, bounds)).await;
    assert!(matches!(asked, Ok(Asked::Value(_))), "{asked:?}");
    // All of them are ended, those too that no thread has begun.
    let answer = soon(prober.ask(3, &json!([54, [with_text("^r.range")]]))).await;
    assert_eq!(answer["r"][0]["deleted"], 2 * THREADS * (THREADS + 1), "{answer}");
    for one in &mut crowd {
        for _ in 0..=THREADS {
            let (_, answer) = soon(one.answer()).await;
            assert_eq!(answer["e"], 4_200_000, "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_can_be_configured() {
    let (service, _crowd) = crowded().await;
    let mut admin = Client::new(&service);
    let system = |name: &str| json!([15, [[14, ["rethinkdb"]], name]]);
    let row = json!({ "id": "bob", "password": "secret" });
    let answer = soon(admin.ask(1, &json!([56, [system("users"), row]]))).await;
    assert_eq!(answer["r"][0]["inserted"], 1, "{answer}");
    let permission = json!([39, [system("permissions"), { "user": "bob" }]]);
    let answer =
        soon(admin.ask(2, &json!([53, [permission, { "permissions": { "read": true } }]]))).await;
    assert_eq!(answer["r"][0]["errors"], 0, "{answer}");
    soon(admin.ask(3, &json!([60, [[14, ["test"]], "t"]]))).await;
    let config = json!([174, [[15, [[14, ["test"]], "t"]]]]);
    let answer = soon(admin.ask(4, &json!([53, [config, { "name": "u" }]]))).await;
    assert_eq!(answer["r"][0]["replaced"], 1, "{answer}");
    let all = json!([53, [system("server_config"), { "cache_size_mb": 64 }]]);
    let answer = soon(admin.ask(5, &all)).await;
    assert_eq!(answer["r"][0]["errors"], 0, "{answer}");
    let answer = soon(admin.ask(6, &json!([54, [with_text("^r.range")]]))).await;
    assert!(answer["r"][0]["deleted"].as_u64() > Some(0), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_no_thread_has_begun_is_stopped_at_once() {
    let (_service, mut crowd) = crowded().await;
    let last = crowd.last_mut().unwrap();
    // The first waits for a thread of the pool, the others in the session.
    for token in 0..=THREADS as u64 {
        let began = Instant::now();
        last.send(token, &json!([3]));
        for _ in 0..2 {
            let (found, answer) = soon(last.answer()).await;
            assert_eq!((found, &answer["t"], &answer["r"]), (token, &json!(2), &json!([])));
        }
        assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    }
    // Its token is free again.
    let answer = soon(last.ask(0, &json!([24, [1, 1]]))).await;
    assert_eq!(answer["r"][0], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_take_turns() {
    let service = service_with(Context::in_memory("test_server").unwrap(), 1);
    let mut first = Client::new(&service);
    first.start(0, &endless());
    let mut many = Client::new(&service);
    let slow = json!([43, [[39, [[173, [20_000]], [69, [[2, [1]], [17, [[10, [1]], -1]]]]]]]]);
    for token in 0..50 {
        many.start(token, &slow);
    }
    let mut one = Client::new(&service);
    one.start(7, &slow);
    first.begin().await;
    many.begin().await;
    one.begin().await;
    first.send(0, &json!([3]));
    // One query of the others comes before it, not fifty.
    soon(one.answer()).await;
    assert!(many.answered() <= 3, "{}", many.answered());
}

/// A script that would run for days.
fn endless_script() -> Value {
    json!([11, ["while (true) {}"], {"timeout": 1_000_000}])
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_without_end_leave_scripts_to_others() {
    let threads = 4 * limits::SCRIPT_HELPERS;
    let service = service_with(Context::in_memory("test_server").unwrap(), threads);
    let mut crowd = Vec::new();
    for port in 1..=4 {
        let mut one =
            Client::of(&service, Asker { address: ([127, 0, 0, 1], port).into(), ..client() });
        for token in 0..limits::POOL_QUERIES_PER_CONNECTION as u64 {
            one.start(token, &endless_script());
        }
        one.begin().await;
        crowd.push(one);
    }
    let began = Instant::now();
    while service.context.scripts.helpers() < limits::SCRIPT_HELPERS / 2 {
        assert!(began.elapsed() < Duration::from_secs(20), "the scripts do not begin");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut prober =
        Client::of(&service, Asker { address: ([127, 0, 0, 1], 99).into(), user: "alice".into() });
    let answer = prober.ask(1, &json!([11, ["1 + 1"], {"timeout": 20}])).await;
    assert_eq!(answer["r"][0], 2, "{answer}");
    assert!(service.context.scripts.helpers() < limits::SCRIPT_HELPERS);
}

/// A query of administration that takes long: for each of the jobs, which must be some, it looks through a long array.
fn long_administration() -> Value {
    let many = json!([2, (0..20_000).collect::<Vec<_>>()]);
    let both = (0..10).map(|_| json!([93, [many.clone(), [10, [1]]]])).collect::<Vec<_>>();
    json!([39, [jobs(), [69, [[2, [1]], [66, both]]]]])
}

#[tokio::test(flavor = "multi_thread")]
async fn administration_that_takes_long_is_answered_by_the_pool() {
    let service = service_with(Context::in_memory("test_server").unwrap(), THREADS);
    let mut one = Client::new(&service);
    for token in 2..52 {
        // An open stream, which is a job.
        assert_eq!(one.ask(token, &json!([173, [100_000]])).await["t"], 3);
    }
    let answer = one.ask(1, &long_administration()).await;
    assert_eq!((&answer["t"], &answer["r"]), (&json!(2), &json!([])), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_gone_leave_nothing_in_line() {
    let (service, crowd) = crowded().await;
    let queued = service.pool.waiting();
    for _ in 0..100 {
        let mut one = Client::new(&service);
        one.start(1, &endless());
        one.begin().await;
    }
    // Threads may have begun some of those that waited before.
    assert!(service.pool.waiting() <= queued, "{} of {queued}", service.pool.waiting());
    drop(crowd);
}
