//! What a client makes the server hold: counted while it asks, given back when it has its answer.

use serde_json::json;

use super::jobs_tests::Client;
use super::testing::service;
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
