//! Queries whose data is not in memory when they are first tried: wherever that shows, the query starts over without
//! having done anything twice, and nobody who asked can tell.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use photondb_protocol::numbers::Version;
use serde_json::{Value, json};

use super::Session;
use super::testing::service_on;
use crate::reql::Context;
use crate::storage::memory::MemoryEngine;
use crate::storage::{
    BulkLoad, Commit, CommitSequence, Cursor, Direction, DurableCallback, Engine, EntryBatch,
    FillLimit, KeyRange, ReadMode, Snapshot, StorageError, TreeId, WriteBatch,
};

/// An engine that has everything at hand but for the moment at which one look of a reader that would not wait finds
/// nothing there.
struct Forgetful {
    inner: MemoryEngine,
    memory: Arc<Memory>,
}

/// How many looks succeed before the one that does not.
struct Memory(AtomicI64);

impl Memory {
    fn look(&self, mode: ReadMode) -> Result<(), StorageError> {
        if mode == ReadMode::CachedOnly && self.0.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(StorageError::NotResident);
        }
        Ok(())
    }
}

impl Engine for Forgetful {
    fn name(&self) -> &'static str {
        "forgetful"
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StorageError> {
        let (inner, memory) = (self.inner.snapshot()?, self.memory.clone());
        Ok(Arc::new(ForgetfulSnapshot { inner, memory }))
    }

    fn apply(&self, batch: WriteBatch) -> Result<Commit, StorageError> {
        self.inner.apply(batch)
    }

    fn has_room(&self) -> bool {
        self.memory.look(ReadMode::CachedOnly).is_ok()
    }

    fn bulk_load(&self, tree: TreeId) -> Result<Box<dyn BulkLoad + '_>, StorageError> {
        self.inner.bulk_load(tree)
    }

    fn new_tree_id(&self) -> Result<TreeId, StorageError> {
        self.inner.new_tree_id()
    }

    fn last_sequence(&self) -> CommitSequence {
        self.inner.last_sequence()
    }

    fn durable_sequence(&self) -> CommitSequence {
        self.inner.durable_sequence()
    }

    fn when_durable(&self, sequence: CommitSequence, callback: DurableCallback) {
        self.inner.when_durable(sequence, callback);
    }

    fn is_sole_writer(&self) -> bool {
        self.inner.is_sole_writer()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.inner.close()
    }
}

struct ForgetfulSnapshot {
    inner: Arc<dyn Snapshot>,
    memory: Arc<Memory>,
}

impl Snapshot for ForgetfulSnapshot {
    fn sequence(&self) -> CommitSequence {
        self.inner.sequence()
    }

    fn has_tree(&self, tree: TreeId, mode: ReadMode) -> Result<bool, StorageError> {
        self.memory.look(mode)?;
        self.inner.has_tree(tree, mode)
    }

    fn trees(&self, mode: ReadMode) -> Result<Vec<TreeId>, StorageError> {
        self.memory.look(mode)?;
        self.inner.trees(mode)
    }

    fn get(&self, tree: TreeId, key: &[u8], mode: ReadMode) -> Result<Option<Bytes>, StorageError> {
        self.memory.look(mode)?;
        self.inner.get(tree, key, mode)
    }

    fn cursor(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>, StorageError> {
        let inner = self.inner.cursor(tree, range, direction)?;
        Ok(Box::new(ForgetfulCursor { inner, memory: self.memory.clone() }))
    }

    fn count(&self, tree: TreeId, range: &KeyRange, mode: ReadMode) -> Result<u64, StorageError> {
        self.memory.look(mode)?;
        self.inner.count(tree, range, mode)
    }
}

struct ForgetfulCursor {
    inner: Box<dyn Cursor>,
    memory: Arc<Memory>,
}

impl Cursor for ForgetfulCursor {
    fn fill(
        &mut self,
        batch: &mut EntryBatch,
        limit: FillLimit,
        mode: ReadMode,
    ) -> Result<bool, StorageError> {
        self.memory.look(mode)?;
        // In small portions, so that there is more than one look in a scan.
        let entries = limit.entries.min(batch.len() + 3);
        self.inner.fill(batch, FillLimit { entries, ..limit }, mode)
    }

    fn skip(&mut self, entries: u64, mode: ReadMode) -> Result<u64, StorageError> {
        self.memory.look(mode)?;
        self.inner.skip(entries, mode)
    }
}

const DOCUMENTS: u64 = 12;

/// A session of a server with a table of some documents.
async fn session() -> (Session, Arc<Memory>) {
    let memory = Arc::new(Memory(AtomicI64::new(i64::MAX)));
    let engine = Forgetful { inner: MemoryEngine::new(), memory: memory.clone() };
    let context = Context::open(Arc::new(engine), "test").unwrap();
    context.catalog.create_table("test", "t", &Default::default()).unwrap();
    let mut session = Session::new(service_on(context), Version::V1_0);
    let rows: Vec<Value> =
        (0..DOCUMENTS).map(|id| json!({ "id": id, "n": 10 * id, "even": id % 2 == 0 })).collect();
    let insert = json!([56, [[15, ["t"]], [2, rows]]]);
    answers(&mut session, 1_000, &insert).await;
    (session, memory)
}

/// All answers to a query, up to the end of its stream, or to the end of what a feed has.
async fn answers(session: &mut Session, token: u64, term: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    session.receive(token, json!([1, term, {}]).to_string().as_bytes(), &mut out);
    let mut answers = Vec::new();
    loop {
        let answer = next_answer(session, &mut out).await;
        let goes_on = answer["t"] == 3;
        let has_all = answer["r"].as_array().is_some_and(Vec::is_empty)
            || answer["r"].to_string().contains(r#""state":"ready""#);
        let is_feed = answer.get("n").is_some_and(|notes| notes != &json!([]));
        answers.push(answer);
        if !goes_on {
            return answers;
        }
        let body: &[u8] = if is_feed && has_all { b"[3]" } else { b"[2]" };
        session.receive(token, body, &mut out);
    }
}

async fn next_answer(session: &mut Session, out: &mut Vec<u8>) -> Value {
    loop {
        if let Some(head) = out.get(8..12) {
            let length = u32::from_le_bytes(head.try_into().unwrap()) as usize;
            if out.len() >= 12 + length {
                let frame: Vec<u8> = out.drain(..12 + length).collect();
                return serde_json::from_slice(&frame[12..]).unwrap();
            }
        }
        poll_fn(|context| session.poll_answers(context, true, out)).await;
    }
}

/// What is in the table, read where waiting is allowed.
async fn contents(session: &mut Session) -> Vec<Value> {
    answers(session, 2_000, &json!([41, [[51, [[15, ["t"]], "array"]], "id"]])).await
}

fn queries() -> Vec<Value> {
    let table = || json!([15, ["t"]]);
    let get = |id: u64| json!([16, [table(), id]]);
    let field = |of: Value, name: &str| json!([170, [of, name]]);
    let row = || json!([10, [1]]);
    let with_row = |body: Value| json!([69, [[2, [1]], body]]);
    let counted = || with_row(json!({ "n": [24, [field(row(), "n"), 1]] }));
    let from_another = || with_row(json!({ "n": field(get(7), "n") }));
    let conflicts = || json!([2, [{ "id": 1, "x": 1 }, { "id": 40 }, { "id": 2, "x": 1 }]]);
    let some = || json!([78, [table(), 3, 1, 99, 5]]);
    let returned = || json!({ "return_changes": true });
    let initial = || json!({ "include_initial": true, "include_states": true });
    vec![
        get(3),
        get(99),
        json!([92, [field(get(99), "x"), "none"]]),
        json!([92, [[12, ["of its own"]], get(4)]]),
        some(),
        json!([43, [some()]]),
        json!([43, [table()]]),
        json!([43, [[182, [table(), 2, 9]]]]),
        json!([86, [table()]]),
        json!([45, [table(), 4]]),
        json!([45, [[41, [table()], { "index": "id" }], 4]]),
        json!([30, [[41, [table()], { "index": [74, ["id"]] }], 2, 7]]),
        json!([41, [table()], { "index": "id" }]),
        json!([41, [some(), "n"]]),
        json!([71, [table(), 5]]),
        json!([41, [[39, [table(), { "even": true }]], "id"]]),
        json!([145, [table(), "n"]]),
        json!([38, [[2, [1, 2, 99]], with_row(json!([16, [table(), row()]]))]]),
        json!([51, [[50, [[2, [{ "a": 1 }, { "a": 2 }]], "a", table()]], "array"]]),
        json!([2, [get(1), get(2), [43, [table()]]]]),
        json!([53, [get(1), counted()], returned()]),
        json!([53, [get(1), from_another()], { "non_atomic": true }]),
        json!([53, [some(), counted()], returned()]),
        json!([53, [some(), from_another()], { "non_atomic": true }]),
        json!([53, [table(), counted()]]),
        json!([55, [get(1), { "id": 1, "new": true }], returned()]),
        json!([55, [get(30), { "id": 30 }]]),
        json!([54, [get(1)], returned()]),
        json!([54, [some()]]),
        json!([54, [table()]]),
        json!([56, [table(), conflicts()], returned()]),
        json!([56, [table(), conflicts()], { "conflict": "update" }]),
        json!([56, [table(), conflicts()], { "conflict": "replace" }]),
        json!([56, [table(), conflicts()], {
            "conflict": [69, [[2, [1, 2, 3]], { "id": row(), "old": [10, [2]], "new": [10, [3]] }]],
        }]),
        json!([56, [table(), [51, [some(), "array"]]], { "conflict": "error" }]),
        json!([2, [[53, [get(1), counted()]], [53, [get(2), counted()]], get(1)]]),
        json!([
            68,
            [
                [2, [1, 2, 1]],
                with_row(json!([53, [
                    [16, [table(), row()]],
                    [69, [[2, [2]], { "n": [24, [field(json!([10, [2]]), "n"), 1]] }]],
                ]]))
            ]
        ]),
        json!([64, [with_row(json!([53, [get(2), { "was": row() }]])), get(1)]]),
        json!([152, [get(1)], initial()]),
        json!([152, [get(99)], initial()]),
        json!([152, [table()], initial()]),
        json!([152, [[78, [table(), 1, 2]]], initial()]),
        json!([138, [table()]]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_memory_changes_no_answer_and_no_effect() {
    let mut forgotten = 0;
    for query in queries() {
        let (mut plain, _) = session().await;
        let expected = answers(&mut plain, 1, &query).await;
        let expected_contents = contents(&mut plain).await;
        for looks in 0.. {
            let (mut session, memory) = session().await;
            memory.0.store(looks, Ordering::SeqCst);
            let found = answers(&mut session, 1, &query).await;
            let was_reached = memory.0.load(Ordering::SeqCst) < 0;
            memory.0.store(i64::MAX, Ordering::SeqCst);
            let place = format!("{query}, forgetting after {looks} looks");
            assert_eq!(found, expected, "{place}");
            assert_eq!(contents(&mut session).await, expected_contents, "{place}");
            if !was_reached {
                break;
            }
            forgotten += 1;
        }
    }
    assert!(forgotten > 60, "only {forgotten} places at which something may be missing");
}
