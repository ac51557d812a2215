//! Bytes that no driver sends, and clients that no server wants.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use photondb_protocol::numbers::{Protocol, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::client::{Client, frame, hello};
use super::{PATIENCE, Site, on_server, on_server_with};
use crate::addresses::Addresses;
use crate::auth::{ADMIN, Password};
use crate::limits;
use crate::metrics::Transport;
use crate::net::connection;
use crate::testing::Random;

/// The server closes, whatever it says before.
async fn read_to_the_end(stream: &mut tokio::net::TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    answer
}

#[test]
fn random_bytes() {
    on_server(|site| async move {
        let mut random = Random::from_environment();
        for _ in 0..300 {
            let mut stream = site.socket().await;
            if random.once_in(2) {
                stream.write_all(&hello(Version::V0_4)).await.unwrap();
            }
            // The server may close before it has read everything.
            drop(stream.write_all(&random.bytes(20_000)).await);
            drop(stream.shutdown().await);
            read_to_the_end(&mut stream).await;
        }
        site.answers().await;
    });
}

#[test]
fn random_bodies_in_sound_frames() {
    on_server(|site| async move {
        let mut random = Random::from_environment();
        let mut client = site.client().await;
        for token in 0..2_000 {
            let mut body = br#"[1,[24,[1,[177,[[2,["a","b"]]]]]],{"array_limit":5}]"#.to_vec();
            for _ in 0..=random.below(3) {
                let at = random.below(body.len() as u64) as usize;
                body[at] = random.next() as u8;
            }
            // A mutation may ask for no reply.
            client.stream.write_all(&frame(token, &body)).await.unwrap();
            client.stream.write_all(&frame(u64::MAX, b"[4]")).await.unwrap();
            while client.receive().await.0 != u64::MAX {}
        }
        site.answers().await;
    });
}

#[test]
fn half_a_frame_and_nothing_more() {
    on_server(|site| async move {
        let whole = frame(1, b"[1,5,{}]");
        for end in 0..whole.len() {
            let mut stream = site.socket().await;
            stream.write_all(&hello(Version::V0_4)).await.unwrap();
            stream.write_all(&whole[..end]).await.unwrap();
            stream.shutdown().await.unwrap();
            assert_eq!(read_to_the_end(&mut stream).await, b"SUCCESS\0");
        }
        site.answers().await;
    });
}

#[test]
fn a_query_nested_as_deep_as_it_may_be_and_deeper() {
    on_server(|site| async move {
        let mut client = site.client().await;
        let nested = |open: &str, close: &str, levels: usize| {
            format!("[1,{}1{}]", open.repeat(levels), close.repeat(levels))
        };
        for levels in [10_000, 1_000_000] {
            let answer = client.ask(&nested("[2,[", "]]", levels)).await;
            assert!(answer.contains("nested more than 8192 levels deep"), "{answer}");
        }
        for (open, close) in [
            ("[2,[", "]]"),
            ("[24,[1,", "]]"),
            ("[92,[", ",1]]"),
            ("[69,[[2,[1]],", "]]"),
            ("[64,[[69,[[2,[1]],", "]],1]]"),
            ("[38,[[2,[1]],[69,[[2,[1]],", "]]]]"),
            ("[3,[],{\"a\":", "}]"),
            ("{\"a\":", "}"),
            ("[23,[", "]]"),
            ("[65,[true,", ",1]]"),
        ] {
            let one = open.matches(['[', '{']).count() - open.matches([']', '}']).count();
            let answer = client.ask(&nested(open, close, 8_186 / one)).await;
            // Values come back; a function is no value, which is known only once it has been evaluated.
            let begins = if open.starts_with("[69") { r#"{"t":18,"# } else { r#"{"t":1,"# };
            assert!(answer.starts_with(begins), "{open}: {answer:.200}");
        }
    });
}

#[test]
fn frames_that_are_too_large() {
    on_server(|site| async move {
        // Read and thrown away as it comes, then answered.
        let mut client = site.client().await;
        let size: u32 = 130_000_000 + 10_000_000;
        let head = [&9_u64.to_le_bytes()[..], &size.to_le_bytes()].concat();
        client.stream.write_all(&head).await.unwrap();
        let piece = vec![b' '; 1_000_000];
        for _ in 0..140 {
            client.stream.write_all(&piece).await.unwrap();
        }
        let (token, answer) = client.receive().await;
        assert_eq!(token, 9);
        assert!(answer.contains("Query size (140000000) greater than maximum"), "{answer}");
        client.is_closed().await;
        // Too large even to be thrown away.
        let mut client = site.client().await;
        let head = [&9_u64.to_le_bytes()[..], &u32::MAX.to_le_bytes()].concat();
        client.stream.write_all(&head).await.unwrap();
        let (_, answer) = client.receive().await;
        assert!(answer.contains("Query size (4294967295) greater than maximum"), "{answer}");
        client.is_closed().await;
        site.answers().await;
    });
}

#[test]
fn a_client_that_never_reads_is_held_back() {
    on_server(|site| async move {
        let mut client = site.client().await;
        let text = "x".repeat(10_000);
        let query = frame(1, format!("[1,\"{text}\",{{}}]").as_bytes());
        let mut sent = 0_usize;
        // Until the server takes no more: its bound, and what the system keeps for both ends.
        while let Ok(written) =
            timeout(Duration::from_millis(500), client.stream.write_all(&query)).await
        {
            written.unwrap();
            sent += 1;
            assert!(sent * query.len() < 64 * limits::UNSENT_BYTES, "it takes everything");
        }
        site.answers().await;
        // It gets every answer once it reads. The last frame may have been sent in part.
        for _ in 0..sent {
            assert_eq!(client.receive().await.1, format!("{{\"t\":1,\"r\":[\"{text}\"]}}"));
        }
    });
}

#[test]
fn a_client_that_never_reads_streams_is_held_back() {
    on_server(|site| async move {
        let mut client = site.client().await;
        let wide =
            r#"[1,[38,[[173,[]],[69,[[2,[1]],"0123456789012345678901234567890123456789"]]]]]"#;
        let tokens = 400;
        for token in 0..tokens {
            client.send(token, wide).await;
        }
        let mut continues = 0_u64;
        let more: Vec<u8> = (0..tokens).flat_map(|token| frame(token, b"[2]")).collect();
        while let Ok(written) =
            timeout(Duration::from_millis(500), client.stream.write_all(&more)).await
        {
            written.unwrap();
            continues += 1;
            assert!(continues < 100_000, "it takes everything");
        }
        site.answers().await;
    });
}

#[test]
fn an_address_has_no_more_connections_than_it_may_have() {
    on_server_with(limits::CONNECTIONS, Some(3), |site| async move {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(site.client().await);
        }
        // A driver of today reads JSON.
        let mut refused = site.socket().await;
        refused.write_all(&Version::V1_0.number().to_le_bytes()).await.unwrap();
        let text = String::from_utf8(read_to_the_end(&mut refused).await).unwrap();
        assert!(text.starts_with(r#"{"error":"This server serves 3 connections"#), "{text}");
        let mut refused = site.socket().await;
        let text = read_to_the_end(&mut refused).await;
        let expected = "ERROR: This server serves 3 connections of one address at most (--max-connections-per-address), and has as many of yours.\n\0";
        assert_eq!(String::from_utf8_lossy(&text), expected);
        let metrics = String::from_utf8(site.doors.service.metrics.text().unwrap()).unwrap();
        let counted = "photondb_connections_refused_total{reason=\"address\"} 2";
        assert!(metrics.contains(counted), "{metrics}");
        assert_eq!(held[0].ask(r#"[1,[24,[1,1]],{}]"#).await, r#"{"t":1,"r":[2]}"#);
    });
}

#[test]
fn keys_that_take_long_to_check_keep_nobody_waiting() {
    on_server(|site| async move {
        let rounds = NonZeroU32::new(limits::PASSWORD_ITERATIONS_MAX / 10).unwrap();
        let slow = Password::with_iterations("secret", rounds).unwrap();
        // A driver that is in already.
        let mut client = site.client().await;
        site.doors.users.set_password(ADMIN, &slow).unwrap();
        let mut guessing = Vec::new();
        for _ in 0..limits::HANDSHAKE_PASSWORD_CHECKS {
            let mut stream = site.socket().await;
            let mut message = Version::V0_4.number().to_le_bytes().to_vec();
            message.extend_from_slice(&5u32.to_le_bytes());
            message.extend_from_slice(b"guess");
            message.extend_from_slice(&Protocol::Json.number().to_le_bytes());
            stream.write_all(&message).await.unwrap();
            guessing.push(stream);
        }
        let mut first = guessing.remove(0);
        let refused = tokio::spawn(async move { read_to_the_end(&mut first).await });
        // There are more of them than threads of the network, so that those would all be taken.
        let mut answers = 0;
        while !refused.is_finished() {
            assert_eq!(client.ask(r#"[1,[24,[1,1]],{}]"#).await, r#"{"t":1,"r":[2]}"#);
            answers += 1;
        }
        assert!(answers >= 5, "{answers} answers while a key was checked");
        let text = refused.await.unwrap();
        assert_eq!(String::from_utf8_lossy(&text), "ERROR: Incorrect authorization key.\n\0");
    });
}

#[test]
fn clients_that_read_nothing_are_closed_when_their_answers_are_too_much() {
    on_server(|site| async move {
        let unread = site.doors.service.unread.clone();
        let most = 16 << 20;
        unread.account().set_most(most);
        // Each answer is longer than what a socket takes.
        let long = format!("[1,\"{}\",{{}}]", "x".repeat(8 << 20));
        let mut reads = site.client().await;
        let mut silent = Vec::new();
        for _ in 0..12 {
            let mut client = site.client().await;
            client.send(1, &long).await;
            silent.push(client);
            assert_eq!(reads.ask("[1,[24,[1,1]],{}]").await, r#"{"t":1,"r":[2]}"#);
        }
        let began = std::time::Instant::now();
        while unread.account().held() > most || unread.account().held() == 0 {
            assert!(began.elapsed() < Duration::from_secs(30));
            tokio::time::sleep(limits::UNREAD_LOOK).await;
        }
        let metrics = String::from_utf8(site.doors.service.metrics.text().unwrap()).unwrap();
        let open = (0..=13).find(|open| {
            metrics.contains(&format!("photondb_connections{{transport=\"tcp\"}} {open}\n"))
        });
        // How many answers fit depends on what the sockets have taken.
        assert!(open.is_some_and(|open| (2..10).contains(&open)), "{open:?}");
        // A client that reads gets an answer that is more than all others may have.
        let answer = reads.ask(&format!("[1,\"{}\",{{}}]", "x".repeat(40 << 20))).await;
        assert_eq!(answer.len(), (40 << 20) + r#"{"t":1,"r":[""]}"#.len());
        drop(silent);
        site.answers().await;
    });
}

/// Seen to fail: the system took megabytes for each of hundreds of clients, whose copying kept others waiting.
#[test]
fn an_answer_that_nobody_reads_waits_in_the_account_and_not_in_the_socket() {
    on_server(|site| async move {
        let length = 2 << 20;
        let mut silent = site.client().await;
        silent.send(1, &format!("[1,\"{}\",{{}}]", "x".repeat(length))).await;
        let unread = site.doors.service.unread.clone();
        let began = std::time::Instant::now();
        while unread.account().held() < length as u64 {
            assert!(began.elapsed() < PATIENCE, "{} bytes wait", unread.account().held());
            tokio::time::sleep(limits::UNREAD_LOOK).await;
        }
        let (_, answer) = silent.receive().await;
        assert_eq!(answer.len(), length + r#"{"t":1,"r":[""]}"#.len());
    });
}

/// Seen to fail: a connection whose pipe was never empty kept its thread.
#[test]
fn a_client_that_always_has_more_to_say_lets_others_have_their_turn() {
    const FRAMES: usize = 40_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let site = Site::open(limits::CONNECTIONS, Addresses::new(None), |_| ());
        let mut clients = Vec::new();
        for _ in 0..2 {
            let (near, far) = tokio::io::duplex(4 << 20);
            let doors = site.doors.clone();
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            tokio::spawn(
                async move { connection::run(far, &doors, Transport::Tcp, peer, || ()).await },
            );
            clients.push(Client::log_in(near).await);
        }
        let [mut other, mut busy] = <[_; 2]>::try_from(clients).ok().unwrap();
        let mut frames = frame(1, br#"[1,[24,[1,1]],{"noreply":true}]"#).repeat(FRAMES);
        frames.extend(frame(2, b"[1,[24,[2,2]],{}]"));
        busy.stream.write_all(&frames).await.unwrap();
        let answered = Cell::new(false);
        tokio::join!(
            async {
                assert_eq!(busy.receive().await.0, 2);
                answered.set(true);
            },
            async {
                for _ in 0..5 {
                    assert_eq!(other.ask("[1,[24,[1,1]],{}]").await, r#"{"t":1,"r":[2]}"#);
                }
                assert!(!answered.get(), "it waited until the other one had nothing left to say");
            },
        );
    });
}

#[test]
fn large_frames_that_do_not_come_on_make_room_for_those_that_do() {
    on_server(|site| async move {
        let account = site.doors.frames.account().clone();
        let most = 16 << 20;
        account.set_most(most);
        let mut small = site.client().await;
        let text = "x".repeat(10 << 20);
        let long = frame(7, format!("[1,\"{text}\",{{}}]").as_bytes());
        let mut stalled = Vec::new();
        for _ in 0..4 {
            let mut client = site.client().await;
            let sent = long[..long.len() - 1].to_vec();
            stalled.push(tokio::spawn(async move {
                // Those that wait are not read from, so that not all of it leaves.
                drop(client.stream.write_all(&sent).await);
                client.receive().await
            }));
            assert_eq!(small.ask("[1,[24,[1,1]],{}]").await, r#"{"t":1,"r":[2]}"#);
            assert!(account.held() <= most);
        }
        let mut comes_on = site.client().await;
        let answer = comes_on.ask(&format!("[1,\"{text}\",{{}}]")).await;
        assert_eq!(answer.len(), text.len() + r#"{"t":1,"r":[""]}"#.len());
        for client in stalled {
            let (token, answer) = client.await.unwrap();
            assert_eq!(token, 7);
            assert!(answer.contains("took too long to arrive"), "{answer}");
        }
        assert_eq!(account.held(), 0);
    });
}
