//! Queries side by side, streams, feeds, stops, and the server's end.

use std::time::Duration;

use photondb_protocol::numbers::Version;
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use super::client::{Client, frame, hello};
use super::{on_server, on_server_with};

const ENDLESS: &str = "[1,[173,[]],{\"max_batch_rows\":2}]";
/// Evaluated on the pool, and never done by itself: a script.
const LONG: &str = r#"[1,[11,["while(true){}"],{"timeout":50}],{}]"#;
const LONG_NOREPLY: &str =
    r#"[1,[11,["var end = Date.now() + 300; while (Date.now() < end) {}"]],{"noreply":true}]"#;
const QUICK: &str = "[1,[24,[1,1]],{}]";
const TWO: &str = r#"{"t":1,"r":[2]}"#;
const STOPPED: &str = r#"{"t":2,"r":[],"n":[]}"#;

fn no_stream(token: u64) -> String {
    format!(r#"{{"t":16,"r":["Token {token} not in stream cache."],"b":[]}}"#)
}

/// The frames of a client that does not wait for the handshake to end come with it.
#[test]
fn frames_may_follow_the_handshake_at_once() {
    on_server(|site| async move {
        let mut stream = site.socket().await;
        let together = [hello(Version::V0_4), frame(7, QUICK.as_bytes())].concat();
        stream.write_all(&together).await.unwrap();
        let mut client = Client::log_in_as(site.socket().await, Version::V0_3).await;
        assert_eq!(client.ask(QUICK).await, TWO);
        let mut success = [0; 8];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut success).await.unwrap();
        let answer = tokio::io::AsyncReadExt::read_u64_le(&mut stream).await.unwrap();
        assert_eq!(answer, 7);
    });
}

#[test]
fn light_queries_pass_heavy_ones() {
    on_server(|site| async move {
        let mut client = site.client().await;
        client.send(1, LONG).await;
        client.send(2, QUICK).await;
        assert_eq!(client.receive().await, (2, TWO.to_owned()));
        client.send(1, "[3]").await;
        assert_eq!(client.receive().await, (1, STOPPED.to_owned()));
        assert_eq!(client.receive().await, (1, STOPPED.to_owned()));
        client.send(1, "[2]").await;
        assert_eq!(client.receive().await, (1, no_stream(1)));
    });
}

#[test]
fn a_token_in_use_is_refused() {
    on_server(|site| async move {
        let mut client = site.client().await;
        client.send(1, LONG).await;
        for body in [QUICK, "[4]"] {
            client.send(1, body).await;
            let duplicate = r#"{"t":16,"r":["ERROR: duplicate token 1"],"b":[]}"#;
            assert_eq!(client.receive().await, (1, duplicate.to_owned()));
        }
    });
}

#[test]
fn streams_go_on_until_they_are_stopped() {
    on_server(|site| async move {
        let mut client = site.client().await;
        client.send(5, ENDLESS).await;
        assert_eq!(client.receive().await.1, r#"{"t":3,"r":[0],"n":[]}"#);
        // Asked for more than once before the first is answered.
        client.send(5, "[2]").await;
        client.send(5, "[2]").await;
        assert_eq!(client.receive().await.1, r#"{"t":3,"r":[1,2],"n":[]}"#);
        assert_eq!(client.receive().await.1, r#"{"t":3,"r":[3,4],"n":[]}"#);
        client.send(5, "[3]").await;
        assert_eq!(client.receive().await, (5, STOPPED.to_owned()));
        client.send(5, "[3]").await;
        assert_eq!(client.receive().await, (5, no_stream(5)));
        // The token is free again.
        client.send(5, QUICK).await;
        assert_eq!(client.receive().await, (5, TWO.to_owned()));
    });
}

#[test]
fn a_wait_for_noreply_queries_lasts_until_they_are_done() {
    on_server(|site| async move {
        let mut client = site.client().await;
        client.send(1, LONG_NOREPLY).await;
        client.send(2, "[4]").await;
        client.send(3, QUICK).await;
        assert_eq!(client.receive().await.0, 3);
        client.send(4, LONG).await;
        assert_eq!(client.receive().await, (2, r#"{"t":4,"r":[]}"#.to_owned()));
    });
}

#[test]
fn what_wants_no_reply_gets_none() {
    on_server(|site| async move {
        let mut client = site.client().await;
        for term in ["[24,[1,1]]", "[24,[1,\"a\"]]", "[24]", "[173,[]]", "[99999]"] {
            client.send(1, &format!("[1,{term},{{\"noreply\":true}}]")).await;
        }
        assert_eq!(client.ask("[4]").await, r#"{"t":4,"r":[]}"#);
    });
}

#[test]
fn a_feed_waits_without_holding_anything() {
    on_server(|site| async move {
        let mut client = site.client().await;
        client.ask(r#"[1,[60,["feed"]],{}]"#).await;
        client.send(1, r#"[1,[152,[[15,["feed"]]]],{}]"#).await;
        assert_eq!(client.receive().await, (1, r#"{"t":3,"r":[],"n":[1]}"#.to_owned()));
        client.send(1, "[2]").await;
        let early = timeout(Duration::from_millis(100), client.receive()).await;
        assert!(early.is_err(), "{early:?}");
        let mut writer = site.client().await;
        writer.ask(r#"[1,[56,[[15,["feed"]],{"id":1}]],{}]"#).await;
        let change = r#"{"t":3,"r":[{"new_val":{"id":1},"old_val":null}],"n":[1]}"#;
        assert_eq!(client.receive().await, (1, change.to_owned()));
        // Stopped while it waits: the one that waits and the one that stops are both answered.
        client.send(1, "[2]").await;
        client.send(1, "[3]").await;
        assert_eq!(client.receive().await, (1, STOPPED.to_owned()));
        assert_eq!(client.receive().await, (1, STOPPED.to_owned()));
        assert_eq!(client.ask("[2]").await, no_stream((1 << 32) + 2));
    });
}

#[test]
fn a_v0_3_client_runs_one_query_at_a_time() {
    on_server(|site| async move {
        let mut client = Client::log_in_as(site.socket().await, Version::V0_3).await;
        let first = r#"[1,[11,["var end = Date.now() + 200; while (Date.now() < end) {} 1"]],{}]"#;
        client.send(1, first).await;
        client.send(2, QUICK).await;
        assert_eq!(client.receive().await, (1, r#"{"t":1,"r":[1]}"#.to_owned()));
        assert_eq!(client.receive().await, (2, TWO.to_owned()));
        // A wait of a feed ends without rows, since nothing else can be asked meanwhile.
        client.ask(r#"[1,[60,["quiet"]],{}]"#).await;
        client.send(3, r#"[1,[152,[[15,["quiet"]]]],{}]"#).await;
        client.receive().await;
        client.send(3, "[2]").await;
        assert_eq!(client.receive().await, (3, r#"{"t":3,"r":[],"n":[1]}"#.to_owned()));
    });
}

#[test]
fn a_client_that_leaves_takes_its_queries_with_it() {
    on_server(|site| async move {
        let mut client = site.client().await;
        client.send(1, LONG).await;
        client.send(2, LONG).await;
        assert_eq!(client.ask(QUICK).await, TWO);
        sleep(Duration::from_millis(50)).await;
        assert_eq!(site.doors.service.pool.busy(), 2);
        drop(client);
        while site.doors.service.pool.busy() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn two_thousand_queries_at_once() {
    on_server(|site| async move {
        let mut client = site.client().await;
        let heavy = r#"[1,[11,["1+1"]],{}]"#;
        let frames = |body: &str| -> Vec<u8> {
            (0..2_000).flat_map(|token| frame(token, body.as_bytes())).collect()
        };
        for body in [QUICK, heavy] {
            client.stream.write_all(&frames(body)).await.unwrap();
            let mut answered = Vec::new();
            for _ in 0..2_000 {
                let (token, answer) = client.receive().await;
                assert_eq!(answer, TWO);
                answered.push(token);
            }
            answered.sort_unstable();
            assert_eq!(answered, (0..2_000).collect::<Vec<u64>>());
        }
    });
}

#[test]
fn one_connection_too_many_is_told_so() {
    on_server_with(2, None, |site| async move {
        let mut first = site.client().await;
        let second = site.client().await;
        let mut third = site.socket().await;
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut third, &mut text).await.unwrap();
        // The bound in force, whatever the largest one is.
        assert!(text.starts_with("ERROR: This server serves 2 connections at most"), "{text}");
        drop(second);
        assert_eq!(first.ask(QUICK).await, TWO);
        sleep(Duration::from_millis(50)).await;
        assert_eq!(site.client().await.ask(QUICK).await, TWO);
    });
}

#[test]
fn a_stopping_server_answers_what_is_under_way() {
    on_server(|site| async move {
        let mut idle = site.client().await;
        let mut busy = site.client().await;
        let mut endless = site.client().await;
        busy.send(1, r#"[1,[11,["var e = Date.now() + 200; while (Date.now() < e) {} 5"]],{}]"#)
            .await;
        endless.send(1, LONG).await;
        sleep(Duration::from_millis(50)).await;
        site.doors.shutdown.begin();
        idle.is_closed().await;
        assert_eq!(busy.receive().await, (1, r#"{"t":1,"r":[5]}"#.to_owned()));
        busy.is_closed().await;
        site.doors.shutdown.hurry();
        let (_, answer) = endless.receive().await;
        assert!(answer.contains("Query interrupted."), "{answer}");
        endless.is_closed().await;
        site.doors.shutdown.finished().await;
    });
}

/// A query that was thought to be light, and a server with one network worker that must not wait for it.
#[test]
fn a_light_query_that_takes_long_goes_to_the_pool() {
    on_server(|site| async move {
        let mut slow = site.client().await;
        let many = "1,".repeat(999) + "1";
        // A million additions, without a table or a script.
        let add = "[69,[[2,[2]],[24,[[10,[1]],[10,[2]]]]]]";
        let add_all = format!("[69,[[2,[1]],[145,[[38,[[2,[{many}]],{add}]]]]]]");
        let term = format!("[38,[[2,[{many}]],{add_all}]]");
        slow.send(1, &format!("[1,{term},{{}}]")).await;
        while site.doors.service.pool.busy() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        site.answers().await;
        let (_, answer) = slow.receive().await;
        assert!(answer.starts_with("{\"t\":1"), "{answer:.200}");
    });
}

#[test]
fn a_term_that_reads_a_feed_waits_for_it() {
    on_server(|site| async move {
        let mut client = site.client().await;
        client.ask(r#"[1,[60,["first"]],{}]"#).await;
        client.send(1, r#"[1,[45,[[152,[[15,["first"]]]],0]],{}]"#).await;
        assert_eq!(client.ask(QUICK).await, TWO);
        sleep(Duration::from_millis(50)).await;
        client.send(2, r#"[1,[56,[[15,["first"]],{"id":1}]],{"noreply":true}]"#).await;
        let change = r#"{"t":1,"r":[{"new_val":{"id":1},"old_val":null}]}"#;
        assert_eq!(client.receive().await, (1, change.to_owned()));
        client.send(3, r#"[1,[86,[[152,[[15,["first"]]]]]],{}]"#).await;
        client.send(3, "[3]").await;
        assert_eq!(client.receive().await, (3, STOPPED.to_owned()));
        assert_eq!(client.receive().await, (3, STOPPED.to_owned()));
    });
}
