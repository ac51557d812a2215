//! Streams whose client has got a batch keep none of the memory that the engine lent for it, whatever they are made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde_json::json;

use crate::reql::terms::testing::Server;
use crate::storage::memory::MemoryEngine;
use crate::storage::{
    BulkLoad, Commit, CommitSequence, Cursor, Direction, DurableCallback, Engine, EntryBatch,
    FillLimit, KeyRange, ReadMode, Snapshot, StorageError, TreeId, WriteBatch,
};

/// Counts the values that it has lent and that somebody still has.
struct Lender {
    engine: MemoryEngine,
    lent: Arc<AtomicUsize>,
}

struct LenderSnapshot {
    snapshot: Arc<dyn Snapshot>,
    lent: Arc<AtomicUsize>,
}

struct LenderCursor {
    cursor: Box<dyn Cursor>,
    lent: Arc<AtomicUsize>,
}

struct Loan {
    value: Bytes,
    lent: Arc<AtomicUsize>,
}

fn lend(value: Bytes, lent: &Arc<AtomicUsize>) -> Bytes {
    lent.fetch_add(1, Ordering::Relaxed);
    Bytes::from_owner(Loan { value, lent: Arc::clone(lent) })
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.value
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Engine for Lender {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StorageError> {
        let (snapshot, lent) = (self.engine.snapshot()?, Arc::clone(&self.lent));
        Ok(Arc::new(LenderSnapshot { snapshot, lent }))
    }

    fn apply(&self, batch: WriteBatch) -> Result<Commit, StorageError> {
        self.engine.apply(batch)
    }

    fn bulk_load(&self, tree: TreeId) -> Result<Box<dyn BulkLoad + '_>, StorageError> {
        self.engine.bulk_load(tree)
    }

    fn new_tree_id(&self) -> Result<TreeId, StorageError> {
        self.engine.new_tree_id()
    }

    fn last_sequence(&self) -> CommitSequence {
        self.engine.last_sequence()
    }

    fn durable_sequence(&self) -> CommitSequence {
        self.engine.durable_sequence()
    }

    fn when_durable(&self, sequence: CommitSequence, callback: DurableCallback) {
        self.engine.when_durable(sequence, callback);
    }

    fn is_sole_writer(&self) -> bool {
        self.engine.is_sole_writer()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.engine.close()
    }
}

impl Snapshot for LenderSnapshot {
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
        Ok(self.snapshot.get(tree, key, mode)?.map(|value| lend(value, &self.lent)))
    }

    fn cursor(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>, StorageError> {
        let cursor = self.snapshot.cursor(tree, range, direction)?;
        Ok(Box::new(LenderCursor { cursor, lent: Arc::clone(&self.lent) }))
    }

    fn count(&self, tree: TreeId, range: &KeyRange, mode: ReadMode) -> Result<u64, StorageError> {
        self.snapshot.count(tree, range, mode)
    }
}

impl Cursor for LenderCursor {
    fn fill(
        &mut self,
        batch: &mut EntryBatch,
        limit: FillLimit,
        mode: ReadMode,
    ) -> Result<bool, StorageError> {
        let mut own = EntryBatch::new();
        let more = self.cursor.fill(&mut own, limit, mode)?;
        own.iter().for_each(|(key, value)| batch.push(key, lend(value.clone(), &self.lent)));
        Ok(more)
    }

    fn skip(&mut self, entries: u64, mode: ReadMode) -> Result<u64, StorageError> {
        self.cursor.skip(entries, mode)
    }
}

const TABLE: &str = r#"[15,["t"]]"#;
const ROWS: usize = 1_500;

fn site() -> (Server, Arc<AtomicUsize>) {
    let lent = Arc::new(AtomicUsize::new(0));
    let server =
        Server::on(Arc::new(Lender { engine: MemoryEngine::new(), lent: Arc::clone(&lent) }));
    server.succeed(r#"[60,["t"]]"#);
    server.succeed(&format!(r#"[75,[{TABLE},"g"]]"#));
    server.succeed(&format!(r#"[75,[{TABLE},"at"],{{"geo":true}}]"#));
    server.succeed(&format!("[140,[{TABLE}]]"));
    let point = |id: usize| json!([159, [id as f64 / 1e6, 0.5]]);
    let rows: Vec<_> = (0..ROWS)
        .map(|id| json!({"id": id, "g": id % 7, "n": 0, "at": point(id), "o": {"id": id}}))
        .collect();
    server.succeed(&format!("[56,[{TABLE},{}]]", json!([2, rows])));
    (server, lent)
}

#[test]
fn a_stream_that_is_not_read_keeps_nothing_that_was_lent() {
    let (server, lent) = site();
    let row = "[10,[1]]";
    let by_id = format!(r#"[41,[{TABLE}],{{"index":"id"}}]"#);
    let keys = (0..ROWS).map(|key| key.to_string()).collect::<Vec<_>>().join(",");
    let inner = format!("[38,[{TABLE},[69,[[2,[3]],[10,[3]]]]]]");
    for query in [
        TABLE.to_owned(),
        by_id.clone(),
        format!(r#"[41,[{TABLE}],{{"index":"g"}}]"#),
        format!(r#"[41,[{TABLE},"n"],{{"index":"g"}}]"#),
        format!(r#"[78,[{TABLE},3,3],{{"index":"g"}}]"#),
        format!("[78,[{TABLE},{keys}]]"),
        format!("[39,[{TABLE},[69,[[2,[1]],true]]]]"),
        format!("[38,[{TABLE},[69,[[2,[1]],[2,[{row},[31,[{row},\"o\"]]]]]]]]"),
        format!("[40,[{TABLE},[69,[[2,[1]],[2,[{row},{row}]]]]]]"),
        format!("[40,[[30,[{TABLE},0,3]],[69,[[2,[1]],{inner}]]]]"),
        format!("[44,[{TABLE},{by_id}]]"),
        format!("[44,[{by_id},{by_id}],{{\"interleave\":\"id\"}}]"),
        format!("[38,[{TABLE},{by_id},[69,[[2,[1,2]],[2,[{row},[10,[2]]]]]]]]"),
        format!("[50,[{TABLE},\"g\",{TABLE}]]"),
        format!("[50,[{TABLE},\"g\",{TABLE}],{{\"index\":\"g\"}}]"),
        format!("[70,[{TABLE},7]]"),
        format!(r#"[166,[{TABLE},[161,[[159,[-1,0]],[159,[1,0]],[159,[0,3]]]]],{{"index":"at"}}]"#),
        format!(
            "[187,[{TABLE},{{\"id\":0}},[69,[[2,[1,2]],[10,[2]]]]],\
             {{\"emit\":[69,[[2,[3,4,5]],[2,[[10,[3]]]]]]}}]"
        ),
    ] {
        let before = lent.load(Ordering::Relaxed);
        let mut cursor = server.open(&query);
        for batch in 0..3 {
            let answer = cursor.next_batch().unwrap();
            let is_done = answer.done;
            assert!(batch > 0 || !is_done, "{query} is too short");
            drop(answer);
            let kept = lent.load(Ordering::Relaxed) - before;
            assert!(is_done || kept == 0, "{query} keeps {kept} values after batch {batch}");
            if is_done {
                break;
            }
        }
        drop(cursor);
        assert_eq!(lent.load(Ordering::Relaxed), before, "{query}");
    }
}
