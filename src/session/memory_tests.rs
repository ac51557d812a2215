//! What a client makes the server hold: counted while it asks, given back when it has its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use photondb_protocol::query::{self, Query};
use serde_json::{Value, json};

use super::jobs_tests::Client;
use super::testing::{client, service};
use super::{AskBounds, AskError, Asked, Service, ask};
use crate::limits;

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_go_on_are_held_back_like_queries() {
    let service = service();
    let mut client = Client::new(&service);
    let range = json!([173, [9_000_000_000_000_000_u64]]);
    client.start(7, &json!([43, [[39, [range, [69, [[2, [1]], [17, [[10, [1]], -1]]]]]]]]));
    client.begin().await;
    let mut sent = 0;
    while client.has_room() && sent < 2 * limits::QUERIES_PER_CONNECTION {
        client.send(7, &json!([2]));
        sent += 1;
    }
    assert_eq!(sent, limits::QUERIES_PER_CONNECTION);
    // One frame more was under way already, and it stops the query: each request gets its answer.
    client.send(7, &json!([3]));
    for _ in 0..sent + 2 {
        assert_eq!(client.answer().await.0, 7);
    }
    assert!(client.has_room());
    assert_eq!(client.answered(), 0);
}

/// Asks without a connection, as HTTP clients do.
async fn ask_for(service: &Arc<Service>, term: &Value, bytes: usize) -> Result<Asked, AskError> {
    let body = json!([1, term, {}]).to_string();
    let Ok(Query::Start { term, optargs }) = query::parse(body.as_bytes()) else {
        panic!("{body}");
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    ask(service, client(), term, optargs, AskBounds { rows: 10, bytes, deadline }).await
}

/// A value that has 2^`doublings` parts, and two of each array.
fn shared(doublings: usize) -> Value {
    (0..doublings).fold(json!("x"), |value, at| {
        json!([64, [[69, [[2, [at]], [2, [[10, [at]], [10, [at]]]]]], value]])
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_too_long_is_not_written() {
    let service = service();
    let rows = |row| json!([38, [[173, [3]], [69, [[2, [99]], row]]]]);
    let began = Instant::now();
    let asked = ask_for(&service, &rows(shared(30)), 1 << 20).await;
    assert!(matches!(asked, Err(AskError::TooLong(bytes)) if bytes == 1 << 20), "{asked:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let asked = ask_for(&service, &rows(json!("123456")), 20).await.unwrap();
    let json = b"\"123456\",\"123456\"".to_vec();
    assert_eq!(asked, Asked::Rows { json, complete: false });
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_with_long_texts_end_when_others_need_the_memory() {
    let service = service();
    let account = service.holders.account().clone();
    account.set_most(8 << 20);
    let mut other = Client::new(&service);
    other.start(1, &json!([173, []]));
    assert_eq!(other.answer().await.1["t"], 3);
    // Each holds a text that no row is, the first the longest.
    let keeps = |token| {
        let text = "x".repeat((1 << 20) + 1_000 * (20 - token as usize));
        json!([38, [[173, []], [69, [[2, [1]], [17, [[10, [1]], text]]]]]])
    };
    let mut client = Client::new(&service);
    for token in 0..20 {
        client.start(token, &keeps(token));
        assert_eq!(client.answer().await.1["t"], 3);
        assert!(account.held() <= 8 << 20, "{}", account.held());
    }
    let mut ended = 0;
    for token in 0..20 {
        client.send(token, &json!([2]));
        let (found, answer) = client.answer().await;
        assert_eq!(found, token);
        if answer["t"] == 18 {
            let message = "Queries and streams that wait together hold more than 8 of the 32 MB of `--memory-limit` of the server.";
            assert_eq!((&answer["e"], &answer["r"]), (&json!(2_000_000), &json!([message])));
            ended += 1;
        }
    }
    assert_eq!(ended, 13, "seven of them fit");
    other.send(1, &json!([2]));
    assert_eq!(other.answer().await.1["t"], 3, "a small one is not ended");
    drop((client, other));
    is_given_back(&service).await;
}

/// Waits until nothing is charged: what is large is dropped on another thread.
async fn is_given_back(service: &Service) {
    let began = Instant::now();
    while service.holders.account().held() > 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", service.holders.account().held());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parse_trees_of_queries_under_way_are_counted() {
    let service = service();
    let account = service.holders.account().clone();
    account.set_most(8 << 20);
    let mut client = Client::new(&service);
    // An endless count beside many small terms.
    let endless =
        json!([39, [[173, [9_000_000_000_000_000u64]], [69, [[2, [1]], [17, [[10, [1]], -1]]]]]]);
    let terms: Vec<i32> = vec![1; 30_000];
    for token in 0..3 {
        client.start(token, &json!([2, [[2, terms], [43, [endless]]]]));
    }
    client.begin().await;
    let (token, answer) = client.answer().await;
    assert_eq!(
        (answer["t"].as_u64(), answer["e"].as_u64()),
        (Some(18), Some(2_000_000)),
        "{token} {answer}"
    );
    assert!(account.held() > 5 << 20 && account.held() <= 8 << 20, "{}", account.held());
}

/// A client at an address of its own.
fn at(service: &Arc<Service>, address: [u8; 4]) -> Client {
    Client::of(service, super::Client { address: (address, 1).into(), ..client() })
}

/// Opens a stream that holds so many bytes of text; false when it is ended for them at once.
async fn open(client: &mut Client, token: u64, bytes: usize) -> bool {
    let text = "x".repeat(bytes);
    client.start(token, &json!([38, [[173, []], [69, [[2, [1]], [17, [[10, [1]], text]]]]]]));
    is_served(&client.answer().await.1)
}

/// Whether there are rows; otherwise it is the memory that the client is told of.
fn is_served(answer: &Value) -> bool {
    if answer["t"] == 18 {
        let message = answer["r"][0].as_str().unwrap();
        assert!(message.contains("`--memory-limit`"), "{message}");
        return false;
    }
    answer["t"] == 3
}

/// Whether a stream goes on, and is not ended for the memory that it holds.
async fn goes_on(client: &mut Client, token: u64) -> bool {
    client.send(token, &json!([2]));
    let (found, answer) = client.answer().await;
    assert_eq!(found, token, "{answer}");
    is_served(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_streams_keep_between_batches_is_counted() {
    let service = service();
    let account = service.holders.account().clone();
    account.set_most(4 << 20);
    let mut victim = at(&service, [127, 0, 0, 9]);
    assert!(open(&mut victim, 1, 100_000).await);
    let mut client = at(&service, [127, 0, 0, 1]);
    // A short text, and a long value that it keeps for a later batch.
    let long = json!([11, ["'x'.repeat(1000000)"]]);
    let keeps = json!([44, [[173, [1]], [2, [long]], [173, []]]]);
    for token in 0..10 {
        client.send(token, &json!([1, keeps, { "max_batch_rows": 1 }]));
        assert_eq!(client.answer().await.1["t"], 3);
        assert!(account.held() <= 4 << 20, "{}", account.held());
    }
    assert!(account.held() > 3_000_000, "{}", account.held());
    let mut ended = 0;
    for token in 0..10 {
        ended += u32::from(!goes_on(&mut client, token).await);
    }
    assert_eq!(ended, 6);
    assert!(goes_on(&mut victim, 1).await);
    drop((client, victim));
    is_given_back(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_with_short_texts_are_counted() {
    let service = service();
    let account = service.holders.account().clone();
    account.set_most(1 << 20);
    let mut victim = at(&service, [127, 0, 0, 9]);
    assert!(open(&mut victim, 1, 100_000).await);
    let mut client = at(&service, [127, 0, 0, 1]);
    let mut open_ones = Vec::new();
    for token in 0..100 {
        if open(&mut client, token, 30_000).await {
            open_ones.push(token);
        }
        assert!(account.held() <= 1 << 20, "{}", account.held());
    }
    assert!((20..35).contains(&open_ones.len()), "{open_ones:?}");
    for token in open_ones {
        assert!(goes_on(&mut client, token).await, "{token}");
    }
    assert!(goes_on(&mut victim, 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_query_is_the_largest_is_not_ended_for_many_of_others() {
    let service = service();
    let account = service.holders.account().clone();
    account.set_most(4 << 20);
    let mut crowd: Vec<_> = (0..4).map(|_| at(&service, [127, 0, 0, 1])).collect();
    for one in &mut crowd {
        for token in 0..10 {
            open(one, token, 100_000).await;
        }
    }
    let mut victim = at(&service, [127, 0, 0, 9]);
    for token in 0..5 {
        assert!(open(&mut victim, token, 200_000).await);
        open(&mut crowd[0], 10 + token, 100_000).await;
    }
    for token in 0..5 {
        assert!(goes_on(&mut victim, token).await, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_closed_or_read_to_their_end_are_charged_no_more() {
    let service = service();
    let account = service.holders.account().clone();
    let mut client = Client::new(&service);
    for token in 0..40 {
        assert!(open(&mut client, token, 10_000).await);
    }
    assert!(account.held() > 40 * 10_000, "{}", account.held());
    for token in 0..39 {
        client.send(token, &json!([3]));
        assert_eq!(client.answer().await.1["t"], 2);
    }
    assert!(account.held() < 2 * 10_000, "{}", account.held());
    client.send(40, &json!([1, [173, [2]], { "max_batch_rows": 1 }]));
    while client.answer().await.1["t"] == 3 {
        client.send(40, &json!([2]));
    }
    drop(client);
    is_given_back(&service).await;
}
