//! Streams whose client has got a batch and does not ask for the next: they hold nothing of the store, and go on where
//! they stood.

use std::sync::Arc;

use serde_json::json;

use crate::reql::Cursor;
use crate::reql::terms::testing::Server;
use crate::storage::Engine;
use crate::storage::disk::{Disk, FileDisk, MemoryDisk};
use crate::storage::store::{SlabEngine, SlabOptions};

const ROWS: usize = 1_000;
const TABLE: &str = r#"[15,["t"]]"#;

struct Site {
    server: Server,
    engine: Arc<SlabEngine>,
    disk: Arc<MemoryDisk>,
}

fn site() -> Site {
    let disk = Arc::new(MemoryDisk::new());
    let options = SlabOptions { flush_interval: None, ..SlabOptions::new([1; 16], 16 << 20) };
    let engine = Arc::new(SlabEngine::open(disk.clone(), options).unwrap());
    let server = fill(&engine);
    Site { server, engine, disk }
}

fn fill(engine: &Arc<SlabEngine>) -> Server {
    let server = Server::on(engine.clone());
    server.succeed(r#"[60,["t"]]"#);
    server.succeed(&format!(r#"[75,[{TABLE},"g"]]"#));
    server.succeed(&format!("[140,[{TABLE}]]"));
    let rows: Vec<_> = (0..ROWS).map(|id| json!({"id": id, "g": id % 7, "n": 0})).collect();
    server.succeed(&format!("[56,[{TABLE},{}]]", json!([2, rows])));
    server
}

impl Site {
    /// Gives every document another body of a kilobyte, and writes a checkpoint.
    fn update(&self, round: usize) {
        let body = format!("{round:02}").repeat(512);
        self.server.succeed(&format!(
            r#"[53,[{TABLE},{{"n":{round},"body":"{body}"}}],{{"durability":"soft"}}]"#
        ));
        self.engine.checkpoint().unwrap();
    }

    fn file_bytes(&self) -> u64 {
        self.disk.open("slab.data").unwrap().length().unwrap()
    }
}

fn ids(cursor: &mut Cursor) -> Vec<usize> {
    let rows = cursor.next_batch().unwrap().rows;
    rows.iter().map(|row| row.get("id").unwrap().as_integer().unwrap() as usize).collect()
}

const QUERIES: [&str; 6] = [
    r#"[15,["t"]]"#,
    r#"[41,[[15,["t"]]],{"index":[74,["id"]]}]"#,
    r#"[41,[[15,["t"]]],{"index":"g"}]"#,
    r#"[182,[[15,["t"]],[180,[]],[181,[]]],{"index":"g"}]"#,
    r#"[39,[[15,["t"]],[69,[[2,[1]],true]]]]"#,
    r#"[44,[[15,["t"]],[2,[]]]]"#,
];

#[test]
fn idle_streams_keep_nothing_that_was_overwritten_on_the_disk() {
    let site = site();
    (0..8).for_each(|round| site.update(round));
    let without = site.file_bytes();
    let mut idle = Vec::new();
    for round in 0..40 {
        let mut cursor = site.server.open(QUERIES[round % QUERIES.len()]);
        assert!(!ids(&mut cursor).is_empty());
        idle.push(cursor);
        site.update(round);
    }
    let with = site.file_bytes();
    assert!(with <= 2 * without, "{with} bytes with idle streams, {without} without");
}

/// Feeds that tell what there was had kept the commit point of their beginning until the client had all of it.
#[test]
fn feeds_whose_beginning_stands_still_keep_nothing_that_was_overwritten_on_the_disk() {
    let site = site();
    (0..8).for_each(|round| site.update(round));
    let without = site.file_bytes();
    let mut idle = Vec::new();
    for round in 0..40 {
        let options = r#"{"include_initial":true}"#;
        let mut feed = site.server.open(&format!("[152,[{}],{options}]", QUERIES[round % 2]));
        // The first answer of a feed is empty.
        for _ in 0..=round % 2 {
            feed.next_batch().unwrap();
        }
        idle.push(feed);
        site.update(round);
    }
    let with = site.file_bytes();
    assert!(with <= 2 * without, "{with} bytes with idle feeds, {without} without");
    assert!(idle.iter_mut().all(|feed| !feed.next_batch().unwrap().rows.is_empty()));
}

/// A query that has a feed in it is answered at first without any rows, and had kept what its other streams had read.
#[test]
fn streams_beside_a_feed_keep_nothing_once_it_has_begun() {
    let site = site();
    let mut union =
        site.server.open(&format!("[38,[[152,[{TABLE}]],{TABLE},[69,[[2,[1,2]],[10,[2]]]]]]"));
    let before = site.engine.readers().unwrap().len();
    union.next_batch().unwrap();
    assert_eq!((before, site.engine.readers().unwrap().len()), (1, 0));
}

#[test]
fn streams_go_on_behind_the_last_row_and_give_each_once() {
    let site = site();
    for query in QUERIES {
        let mut cursor = site.server.open(query);
        let mut given = Vec::new();
        for round in 0.. {
            let rows = ids(&mut cursor);
            if rows.is_empty() {
                break;
            }
            given.extend(rows);
            site.update(round % 90);
            // Documents that are not asked about come and go.
            site.server.succeed(&format!(r#"[56,[{TABLE},{{"id":{},"g":1}}]]"#, 9_000 + round));
        }
        given.retain(|id| *id < ROWS);
        given.sort_unstable();
        assert_eq!(given, (0..ROWS).collect::<Vec<_>>(), "{query}");
        site.server.succeed(&format!("[54,[[182,[{TABLE},9000,[181,[]]]]]]"));
    }
}

/// Forty idle cursors beside 100,000 updates of a server's store, judged by what the file system says of its directory.
#[test]
fn a_directory_stays_small_while_cursors_are_idle_and_everything_is_updated() {
    use std::os::unix::fs::MetadataExt;

    let blocks = |path: &std::path::Path| -> u64 {
        let files = std::fs::read_dir(path).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum()
    };
    let grown = |idle: bool| -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(FileDisk::new(folder.path()));
        let options = SlabOptions { reserve_bytes: 0, ..SlabOptions::new([1; 16], 16 << 20) };
        let engine = Arc::new(SlabEngine::open(disk, options).unwrap());
        let server = fill(&engine);
        let site = Site { server, engine, disk: Arc::new(MemoryDisk::new()) };
        let mut cursors = Vec::new();
        for round in 0..100 {
            if idle && round < 40 {
                let mut cursor = site.server.open(QUERIES[round % QUERIES.len()]);
                assert!(!ids(&mut cursor).is_empty());
                cursors.push(cursor);
            }
            site.update(round);
        }
        let size = blocks(folder.path());
        // They can all go on.
        assert!(cursors.iter_mut().all(|cursor| !ids(cursor).is_empty()));
        size
    };
    let (without, with) = (grown(false), grown(true));
    assert!(with <= without * 3 / 2, "{with} bytes with idle cursors, {without} without");
}
