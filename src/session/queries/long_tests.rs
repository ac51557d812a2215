//! Long queries: read and compiled on the pool, with their tokens from the beginning on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::jobs_tests::Client;
use super::super::testing::service;
use crate::limits;

/// A query that is not read where it arrives, of an array of so many numbers.
fn long(length: usize) -> Value {
    json!([2, vec![10_000_000; length]])
}

const LONG: usize = limits::INLINE_BODY_BYTES;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_query_is_answered_as_a_short_one_is() {
    let service = service();
    let mut client = Client::new(&service);
    client.send(1, &json!([1, [43, [long(LONG)]], { "array_limit": 10 * LONG }]));
    assert_eq!(client.answered(), 0, "it is read elsewhere");
    assert_eq!(client.answer().await, (1, json!({ "t": 1, "r": [LONG] })));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_long_queries_are_those_of_short_ones() {
    let service = service();
    let mut client = Client::new(&service);
    client.send(1, &json!([1, [24, [long(LONG), [999, []]]], {}]));
    let (_, answer) = client.answer().await;
    assert_eq!((&answer["t"], &answer["b"]), (&json!(17), &json!([1])), "{answer}");
    client.send(1, &json!([1, [43, [long(LONG), [10, [1]]]], {}]));
    let (_, answer) = client.answer().await;
    assert_eq!((&answer["t"], &answer["b"]), (&json!(17), &json!([1])), "{answer}");
    client.send(1, &json!([9, long(LONG)]));
    assert_eq!(client.answer().await.1["t"], 16);
    client.send(1, &json!([1, [24, [long(LONG), [999, []]]], { "noreply": true }]));
    client.send(2, &json!([4]));
    assert_eq!(client.answer().await.1["t"], 4, "nothing is answered to the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_query_that_is_read_is_taken() {
    let service = service();
    let mut client = Client::new(&service);
    let body = json!([1, [43, [long(10 * LONG)]], { "array_limit": 10 * LONG }]);
    client.send(1, &body);
    client.start(1, &json!(1));
    let (token, answer) = client.answer().await;
    assert_eq!((token, &answer["t"]), (1, &json!(16)), "{answer}");
    assert_eq!(client.answer().await.1["r"], json!([10 * LONG]));
    client.start(1, &json!(1));
    assert_eq!(client.answer().await.1["r"], json!([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_queries_without_answers_waits_for_one_that_is_read() {
    let service = service();
    let mut client = Client::new(&service);
    client.start(1, &json!([60, ["t"]]));
    client.answer().await;
    let rows: Vec<Value> =
        (0..5_000).map(|id| json!({ "id": id, "text": "x".repeat(20) })).collect();
    let table = json!([15, ["t"]]);
    client.send(2, &json!([1, [56, [table, [2, rows]]], { "noreply": true }]));
    client.send(3, &json!([4]));
    assert_eq!(client.answer().await.0, 3);
    client.start(4, &json!([43, [table]]));
    assert_eq!(client.answer().await.1["r"], json!([5_000]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_read_ends_when_it_is_stopped() {
    let service = service();
    let mut client = Client::new(&service);
    client.send(1, &json!([1, [43, [long(30 * LONG)]], { "array_limit": 100 * LONG }]));
    client.begin().await;
    while service.pool.busy() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let began = Instant::now();
    client.send(1, &json!([3]));
    let stopped = json!({ "t": 2, "r": [] });
    for _ in 0..2 {
        let (token, answer) = client.answer().await;
        assert_eq!((token, &answer["t"]), (1, &stopped["t"]), "{answer}");
    }
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    // Until whoever reads it has noticed, the session is to be polled, or it would never be idle.
    let noticed = Instant::now();
    while client.is_idle() != (true, false) {
        assert_eq!(client.is_idle(), (false, true));
        assert!(noticed.elapsed() < Duration::from_secs(10), "it is still read");
        client.begin().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The token is free.
    client.start(1, &json!(5));
    assert_eq!(client.answer().await.1["r"], json!([5]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_for_a_client_that_has_gone() {
    let service = service();
    let mut clients: Vec<Client> = (0..4).map(|_| Client::new(&service)).collect();
    let body = json!([1, [43, [long(30 * LONG)]], { "array_limit": 100 * LONG }]);
    for client in &mut clients {
        client.send(1, &body);
        client.begin().await;
    }
    let began = Instant::now();
    drop(clients);
    while service.pool.busy() > 0 {
        assert!(began.elapsed() < Duration::from_secs(2), "they are still read");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_long_request_to_go_on_is_not_read() {
    let service = service();
    let mut client = Client::new(&service);
    client.start(1, &json!([173, []]));
    assert_eq!(client.answer().await.1["t"], 3);
    client.send(1, &json!([2, long(LONG)]));
    assert_eq!(client.answer().await.1["t"], 3);
    client.send(1, &json!([3, long(LONG)]));
    assert_eq!(client.answer().await.1["t"], 2);
}
