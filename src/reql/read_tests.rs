//! How much of the storage a query reads: counts and positions walk down a tree, whatever its size, and what wants one
//! row reads one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::limits::INLINE_READ_BYTES;
use crate::reql::terms::testing::{Server, compile};
use crate::reql::{CancelFlag, ErrorKind, RunRequest, run};
use crate::storage::disk::MemoryDisk;
use crate::storage::memory::MemoryEngine;
use crate::storage::overlay::Overlay;
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{
    CommitSequence, Cursor, Direction, Engine, EntryBatch, FillLimit, KeyRange, ReadMode, Snapshot,
    StorageError, TreeId,
};

/// An engine that counts the entries that are read of it.
struct Counting {
    engine: MemoryEngine,
    read: Arc<AtomicUsize>,
}

struct CountingSnapshot {
    snapshot: Arc<dyn Snapshot>,
    read: Arc<AtomicUsize>,
}

struct CountingCursor {
    cursor: Box<dyn Cursor>,
    read: Arc<AtomicUsize>,
}

impl Overlay for Counting {
    fn inner(&self) -> &dyn Engine {
        &self.engine
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StorageError> {
        let (snapshot, read) = (self.engine.snapshot()?, Arc::clone(&self.read));
        Ok(Arc::new(CountingSnapshot { snapshot, read }))
    }
}

impl Snapshot for CountingSnapshot {
    fn sequence(&self) -> CommitSequence {
        self.snapshot.sequence()
    }

    fn has_tree(&self, tree: TreeId, mode: ReadMode) -> Result<bool, StorageError> {
        self.snapshot.has_tree(tree, mode)
    }

    fn trees(&self, mode: ReadMode) -> Result<Vec<TreeId>, StorageError> {
        self.snapshot.trees(mode)
    }

    fn get(&self, tree: TreeId, key: &[u8], mode: ReadMode) -> Result<Option<Bytes>, StorageError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.snapshot.get(tree, key, mode)
    }

    fn cursor(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>, StorageError> {
        let cursor = self.snapshot.cursor(tree, range, direction)?;
        Ok(Box::new(CountingCursor { cursor, read: Arc::clone(&self.read) }))
    }

    fn count(&self, tree: TreeId, range: &KeyRange, mode: ReadMode) -> Result<u64, StorageError> {
        self.snapshot.count(tree, range, mode)
    }
}

impl Cursor for CountingCursor {
    fn fill(
        &mut self,
        batch: &mut EntryBatch,
        limit: FillLimit,
        mode: ReadMode,
    ) -> Result<bool, StorageError> {
        let before = batch.len();
        let more = self.cursor.fill(batch, limit, mode)?;
        self.read.fetch_add(batch.len() - before, Ordering::Relaxed);
        Ok(more)
    }

    fn skip(&mut self, entries: u64, mode: ReadMode) -> Result<u64, StorageError> {
        self.cursor.skip(entries, mode)
    }
}

const TABLE: &str = r#"[15,[[14,["d"]],"t"]]"#;
const DOCUMENTS: usize = 5_000;

/// A server whose table has documents `{id: i, a: i % 10, n: i}`, and what counts the entries that are read.
fn server() -> (Server, Arc<AtomicUsize>) {
    let read = Arc::new(AtomicUsize::new(0));
    let engine = Counting { engine: MemoryEngine::new(), read: Arc::clone(&read) };
    let server = Server::on(Arc::new(engine));
    server.succeed(r#"[57,["d"]]"#);
    server.succeed(r#"[60,[[14,["d"]],"t"]]"#);
    for index in ["a", "n"] {
        server.succeed(&format!(r#"[75,[{TABLE},"{index}"]]"#));
    }
    let row = r#"{"id":[10,[1]],"a":[28,[[10,[1]],10]],"n":[10,[1]]}"#;
    let rows = format!("[38,[[173,[{DOCUMENTS}]],[69,[[2,[1]],{row}]]]]");
    server.succeed(&format!("[56,[{TABLE},{rows}]]"));
    server.succeed(&format!("[140,[{TABLE}]]"));
    (server, read)
}

#[test]
fn counts_and_positions_read_no_more_than_they_show() {
    let (server, read) = server();
    let by = |index: &str| format!(r#"[41,[{TABLE}],{{"index":"{index}"}}]"#);
    let id = |row: &str| format!(r#"[31,[{row},"id"]]"#);
    let range = format!(r#"[182,[{TABLE},1000,4000],{{"index":"n"}}]"#);
    // The query, its answer, and the most entries that it may read: of an index each stands for a document more.
    let cases = [
        (format!("[43,[{TABLE}]]"), "5000", 1),
        (format!("[43,[[182,[{TABLE},1000,4000]]]]"), "3000", 1),
        (format!("[43,[{range}]]"), "3000", 2),
        (format!(r#"[43,[[78,[{TABLE},3],{{"index":"a"}}]]]"#), "500", 2),
        (format!(r#"[43,[[78,[{TABLE},3,4],{{"index":"a"}}]]]"#), "1000", 4),
        (format!("[43,[[70,[{TABLE},1000]]]]"), "4000", 1),
        (format!("[43,[[71,[{TABLE},1000]]]]"), "1000", 1),
        (format!("[43,[[30,[{TABLE},1000,1500]]]]"), "500", 1),
        (format!("[86,[{TABLE}]]"), "false", 1),
        (format!("[86,[{range}]]"), "false", 2),
        (format!("[86,[[182,[{TABLE},6000,7000]]]]"), "true", 0),
        (id(&format!("[45,[{},4000]]", by("id"))), "4000", 8),
        (id(&format!("[45,[{},4000]]", by("n"))), "4000", 16),
        (id(&format!("[45,[{},-1]]", by("n"))), "4999", 16),
        (id(&format!("[45,[[70,[{},4500]],2]]", by("n"))), "4502", 16),
        (
            format!(r#"[31,[[51,[[71,[[70,[{},4900]],2]],"array"]],"n"]]"#, by("n")),
            "[4900,4901]",
            24,
        ),
        (id(&format!("[147,[{TABLE}],{{\"index\":\"n\"}}]")), "0", 16),
        (id(&format!("[148,[{TABLE}],{{\"index\":\"n\"}}]")), "4999", 16),
        (id(&format!("[16,[{TABLE},77]]")), "77", 1),
    ];
    for (query, answer, most) in cases {
        read.store(0, Ordering::Relaxed);
        server.check(&query, answer);
        let entries = read.load(Ordering::Relaxed);
        assert!(entries <= most, "{query} reads {entries} entries");
    }
}

#[test]
fn what_ends_a_scan_ends_the_reading() {
    let (server, read) = server();
    let is_over = |number: usize| format!("[69,[[2,[1]],[22,[[170,[[10,[1]],\"n\"]],{number}]]]]");
    for (query, answer, most) in [
        (format!("[93,[{TABLE},{}]]", is_over(100)), "true", 1_000),
        (format!("[86,[[39,[{TABLE},{}]]]]", is_over(100)), "false", 1_500),
        (format!("[43,[[71,[[39,[{TABLE},{}]],5]]]]", is_over(50)), "5", 1_500),
    ] {
        read.store(0, Ordering::Relaxed);
        server.check(&query, answer);
        let entries = read.load(Ordering::Relaxed);
        assert!(entries <= most, "{query} reads {entries} entries");
    }
    read.store(0, Ordering::Relaxed);
    server.check(&format!("[145,[{TABLE},\"a\"]]"), "22500");
    assert_eq!(read.load(Ordering::Relaxed), DOCUMENTS);
}

/// What the operating system has in memory is read where the query was read, but no more of it than takes a moment.
#[test]
fn a_query_reads_a_bounded_part_of_a_large_table_where_it_was_read() {
    let options = SlabOptions::new([1; 16], 1 << 20);
    let engine = Arc::new(SlabEngine::open(Arc::new(MemoryDisk::new()), options).unwrap());
    let server = Server::on(engine.clone());
    server.succeed(r#"[57,["d"]]"#);
    server.succeed(r#"[60,[[14,["d"]],"t"]]"#);
    let row = format!(r#"{{"id":[10,[1]],"body":"{}"}}"#, "x".repeat(1_000));
    let rows = format!("[38,[[173,[{DOCUMENTS}]],[69,[[2,[1]],{row}]]]]");
    server.succeed(&format!(r#"[56,[{TABLE},{rows}],{{"durability":"soft"}}]"#));
    engine.checkpoint().unwrap();
    // Documents far from one another, so that each means to read a leaf.
    let gets = |documents: usize| {
        let ids: Vec<String> =
            (0..documents).map(|at| (at * (DOCUMENTS / documents)).to_string()).collect();
        let field = format!(r#"[170,[[16,[{TABLE},[10,[1]]]],"id"]]"#);
        format!("[38,[[2,[{}]],[69,[[2,[1]],{field}]]]]", ids.join(","))
    };
    let ended = |query: &str| {
        let program = Arc::new(compile(query, "{}").unwrap());
        let request = RunRequest::new(CancelFlag::default(), false);
        run(&program, server.context(), request).err().map(|failure| failure.kind)
    };
    assert_eq!(ended(&gets(10)), None);
    assert_eq!(ended(&gets(10)), None);
    let too_many = 4 * INLINE_READ_BYTES / 16_384;
    assert_eq!(ended(&gets(too_many)), Some(ErrorKind::NotResident));
}
