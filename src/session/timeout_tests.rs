//! Queries whose time is over: they end with an error that says whose bound it was, and what is no evaluation goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::jobs_tests::Client;
use super::testing::{service, service_with};
use crate::reql::Context;

const SHORT: Duration = Duration::from_millis(100);

/// A count that goes on for years.
fn endless() -> Value {
    let range = json!([173, [9_000_000_000_000_000u64]]);
    json!([43, [[39, [range, [69, [[2, [1]], [17, [[10, [1]], -1]]]]]]]])
}

fn with_timeout(term: &Value) -> Value {
    json!([1, term, { "timeout_ms": SHORT.as_millis() as u64 }])
}

fn timed_out(answer: &Value) -> &str {
    assert_eq!((&answer["t"], &answer["e"]), (&json!(18), &json!(4_200_000)), "{answer}");
    answer["r"][0].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_ends_when_its_time_is_over() {
    let mut client = Client::new(&service());
    let began = Instant::now();
    client.send(1, &with_timeout(&endless()));
    let (_, answer) = client.answer().await;
    let text = "Query terminated by its option `timeout_ms` after 100 ms.";
    assert_eq!(timed_out(&answer), text);
    assert!(began.elapsed() < SHORT + Duration::from_millis(500), "{:?}", began.elapsed());
    for (wrong, shown) in [(json!(0), "0"), (json!(-5), "-5"), (json!("1s"), "STRING")] {
        client.send(1, &json!([1, 1, { "timeout_ms": wrong }]));
        let (_, answer) = client.answer().await;
        let text = format!(
            "`timeout_ms` must be a whole number of milliseconds from 1 to 31622400000 (got {shown})."
        );
        assert_eq!(answer["r"][0], text, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bound_of_the_server_cannot_be_lifted_by_a_query() {
    let service = service();
    service.context.set_query_timeout(SHORT);
    let mut client = Client::new(&service);
    let text = "Query terminated by the option `--query-timeout` of the server after 0.1 s.";
    for options in [json!({}), json!({ "timeout_ms": 600_000 })] {
        client.send(1, &json!([1, endless(), options]));
        let (_, answer) = client.answer().await;
        assert_eq!(timed_out(&answer), text);
    }
    let answer = client.ask(2, &json!([24, [1, 1]])).await;
    assert_eq!(answer["r"][0], 2, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_time_is_over_ends_and_counts_no_errors() {
    let mut client = Client::new(&service());
    client.ask(1, &json!([60, ["t"]])).await;
    let rows = json!([38, [[173, [50]], [69, [[2, [1]], { "id": [10, [1]] }]]]]);
    client.ask(1, &json!([56, [[15, ["t"]], rows]])).await;
    let change = json!([69, [[2, [3]], { "x": endless() }]]);
    client.send(1, &with_timeout(&json!([53, [[15, ["t"]], change]])));
    let (_, answer) = client.answer().await;
    timed_out(&answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_and_a_feed_outlive_the_time_of_an_evaluation() {
    let mut client = Client::new(&service());
    client.ask(1, &json!([60, ["t"]])).await;
    client.send(1, &with_timeout(&json!([173, [100_000]])));
    client.send(2, &with_timeout(&json!([152, [[15, ["t"]]]])));
    for _ in 0..2 {
        let (token, answer) = client.answer().await;
        assert_eq!(answer["t"], 3, "{token}: {answer}");
    }
    client.send(2, &json!([2]));
    tokio::time::sleep(2 * SHORT).await;
    client.send(1, &json!([2]));
    let (token, answer) = client.answer().await;
    assert_eq!((token, &answer["t"]), (1, &json!(3)), "{answer}");
    client.ask(3, &json!([56, [[15, ["t"]], { "id": 1 }]])).await;
    let (token, answer) = client.answer().await;
    assert_eq!((token, &answer["r"][0]["new_val"]), (2, &json!({ "id": 1 })), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_thread_is_part_of_the_time() {
    let service = service_with(Context::in_memory("test_server").unwrap(), 1);
    let (mut first, mut second) = (Client::new(&service), Client::new(&service));
    first.start(1, &endless());
    first.begin().await;
    // It would be over long before its time, had that not passed in line.
    let brief = json!([43, [[39, [[173, [100]], [69, [[2, [1]], [17, [[10, [1]], -1]]]]]]]]);
    second.send(1, &with_timeout(&brief));
    second.begin().await;
    tokio::time::sleep(2 * SHORT).await;
    first.send(1, &json!([3]));
    let (_, answer) = second.answer().await;
    timed_out(&answer);
}
