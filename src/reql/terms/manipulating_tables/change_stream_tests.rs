//! Feeds that tell what there was while everything changes: each document as it was read, and then every later change of it,
//! once and in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use crate::datum::Datum;
use crate::reql::Cursor;
use crate::reql::terms::testing::Server;
use crate::storage::disk::MemoryDisk;
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::testing::Random;

const TABLE: &str = r#"[15,["t"]]"#;
const OPTIONS: &str = r#"{"include_initial":true,"include_types":true}"#;
const KEYS: u64 = 1_600;
const FEEDS: [&str; 2] = [r#"[15,["t"]]"#, r#"[41,[[15,["t"]]],{"index":[74,["id"]]}]"#];

fn site() -> Server {
    let server = Server::new();
    fill(&server, KEYS);
    server
}

fn fill(server: &Server, documents: u64) {
    server.succeed(r#"[60,["t"]]"#);
    let rows: Vec<_> = (0..documents).map(|id| json!({"id": id, "n": 0})).collect();
    server.succeed(&format!("[56,[{TABLE},{}]]", json!([2, rows])));
}

/// Writes or deletes some documents. Each has a number that nothing had before.
fn disturb(server: &Server, random: &mut Random, numbers: &AtomicU64) {
    for _ in 0..20 {
        let (id, n) = (random.below(KEYS), numbers.fetch_add(1, Ordering::Relaxed));
        server.succeed(&match random.below(4) {
            0 => format!("[54,[[16,[{TABLE},{id}]]]]"),
            _ => format!(r#"[56,[{TABLE},{{"id":{id},"n":{n}}}],{{"conflict":"replace"}}]"#),
        });
    }
}

fn integer(row: &Datum, field: &str) -> u64 {
    row.get(field).unwrap().as_integer().unwrap() as u64
}

/// What a feed has told so far: for each key what the document is now, as its `n`.
#[derive(Default)]
struct Told(BTreeMap<u64, Option<u64>>);

impl Told {
    fn hear(&mut self, row: &Datum) {
        let kind = row.get("type").unwrap().as_str().unwrap();
        let side = |name: &str| match row.get(name) {
            None | Some(Datum::Null) => None,
            Some(document) => Some((integer(document, "id"), integer(document, "n"))),
        };
        let (old, new) = (side("old_val"), side("new_val"));
        let (id, _) = new.or(old).unwrap();
        let before = self.0.insert(id, new.map(|(_, n)| n));
        match kind.as_ref() {
            "initial" => assert_eq!(before, None, "{id} was told of before"),
            _ => assert_eq!(before.flatten(), old.map(|(_, n)| n), "{id}: lost or told twice"),
        }
    }

    /// Reads until the feed has nothing.
    fn hear_all(&mut self, feed: &mut Cursor) {
        loop {
            let rows = feed.next_batch().unwrap().rows;
            rows.iter().for_each(|row| self.hear(row));
            if rows.is_empty() {
                return;
            }
        }
    }

    #[track_caller]
    fn check(&self, server: &Server) {
        let mut table = server.open(TABLE);
        let mut there = BTreeMap::new();
        loop {
            let batch = table.next_batch().unwrap();
            there.extend(batch.rows.iter().map(|row| (integer(row, "id"), integer(row, "n"))));
            if batch.done {
                break;
            }
        }
        let told = self.0.iter().filter_map(|(id, n)| n.map(|n| (*id, n)));
        assert_eq!(told.collect::<BTreeMap<_, _>>(), there);
    }
}

#[test]
fn a_feed_whose_beginning_stands_still_tells_of_each_change_once() {
    let mut random = Random::from_environment();
    for feed in FEEDS {
        let server = site();
        let numbers = AtomicU64::new(1);
        let mut feed = server.open(&format!("[152,[{feed}],{OPTIONS}]"));
        let mut told = Told::default();
        for _ in 0..12 {
            disturb(&server, &mut random, &numbers);
            feed.next_batch().unwrap().rows.iter().for_each(|row| told.hear(row));
        }
        disturb(&server, &mut random, &numbers);
        told.hear_all(&mut feed);
        told.check(&server);
    }
}

#[test]
fn a_feed_tells_of_each_change_once_while_others_write() {
    let mut random = Random::from_environment();
    let engine = SlabEngine::open(Arc::new(MemoryDisk::new()), SlabOptions::new([1; 16], 16 << 20));
    let server = Server::on(Arc::new(engine.unwrap()));
    fill(&server, KEYS);
    let (stops, numbers) = (AtomicBool::new(false), AtomicU64::new(1));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let mut random = Random::seeded(random.next());
                let (server, stops, numbers) = (&server, &stops, &numbers);
                scope.spawn(move || {
                    while !stops.load(Ordering::Relaxed) {
                        disturb(server, &mut random, numbers);
                    }
                })
            })
            .collect();
        let mut feeds = Vec::new();
        for round in 0..6 {
            let query = format!("[152,[{}],{OPTIONS}]", FEEDS[round % 2]);
            let (mut feed, mut told) = (server.open(&query), Told::default());
            for _ in 0..6 {
                feed.next_batch().unwrap().rows.iter().for_each(|row| told.hear(row));
            }
            feeds.push((feed, told));
        }
        stops.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        for (mut feed, mut told) in feeds {
            told.hear_all(&mut feed);
            told.check(&server);
        }
    });
}

/// They had waited, and a queue that was full of them had lost those that were to be told.
#[test]
fn changes_of_documents_that_the_beginning_has_not_come_to_do_not_wait() {
    let server = site();
    let options = r#"{"include_initial":true,"include_types":true,"changefeed_queue_size":10}"#;
    let mut feed = server.open(&format!("[152,[{TABLE}],{options}]"));
    feed.next_batch().unwrap();
    for n in 1..=3 {
        server.succeed(&format!(r#"[53,[{TABLE},{{"n":{n}}}]]"#));
    }
    let mut told = Told::default();
    told.hear_all(&mut feed);
    told.check(&server);
}

#[test]
fn a_table_that_is_dropped_before_its_documents_were_read_ends_the_feed() {
    let server = site();
    let mut feed = server.open(&format!("[152,[{TABLE}],{OPTIONS}]"));
    feed.next_batch().unwrap();
    assert!(!feed.next_batch().unwrap().rows.is_empty());
    server.succeed(r#"[61,["t"]]"#);
    let error = feed.next_batch().unwrap_err();
    assert_eq!(error.message, "Changefeed aborted (unavailable).");
}
