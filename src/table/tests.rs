//! Tests of an open table: reading, writing, what writers that meet do to each other, and the order of changes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::*;
use crate::datum::Datum;
use crate::limits::{WRITE_ATTEMPTS, WRITE_COMMIT_DOCUMENTS};
use crate::storage::memory::MemoryEngine;
use crate::storage::overlay::Overlay;
use crate::storage::{
    Commit, CommitSequence, Cursor, Direction, Durability, KeyRange, ReadMode, WriteBatch,
};
use crate::testing::Random;

const SOFT: Durability = Durability::Soft;
const WAIT: ReadMode = ReadMode::MayBlock;

#[derive(Default)]
struct Recorder(Mutex<Vec<CommittedChanges>>);

impl ChangeSink for Recorder {
    fn listens(&self, _table: TableId) -> bool {
        true
    }

    fn deliver(&self, changes: CommittedChanges) {
        self.0.lock().unwrap().push(changes);
    }

    fn dropped(&self, _table: TableId) {}
}

fn table_in(engine: Arc<dyn Engine>, sink: Arc<dyn ChangeSink>) -> Table {
    let tree = engine.new_tree_id().unwrap();
    let mut batch = WriteBatch::new(SOFT);
    batch.create_tree(tree);
    engine.apply(batch).unwrap();
    Table::new(TableId(Uuid::from_u128(1)), "id", tree, engine, sink)
}

fn recorded_table() -> (Table, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    (table_in(Arc::new(MemoryEngine::new()), recorder.clone()), recorder)
}

fn key(number: u64) -> PrimaryKey {
    PrimaryKey::encode(&Datum::Number(number as f64)).unwrap()
}

fn counted(id: u64, count: u64) -> Document {
    let fields = [("id", Datum::Number(id as f64)), ("count", Datum::Number(count as f64))];
    Document::encode(&Datum::object(fields)).unwrap()
}

fn count_of(document: &Document) -> u64 {
    match document.field("count").unwrap() {
        Some(Datum::Number(count)) => count as u64,
        other => panic!("no count: {other:?}"),
    }
}

fn add_one(id: u64, old: Option<&Document>) -> Result<Decision, Infallible> {
    Ok(Decision::Put(counted(id, old.map_or(0, count_of) + 1)))
}

fn put(table: &Table, id: u64, count: u64) {
    let decide = |_: Option<&Document>| Ok::<_, Infallible>(Decision::Put(counted(id, count)));
    table.write_one(&key(id), SOFT, WAIT, decide).unwrap();
}

#[test]
fn documents_are_inserted_replaced_removed_and_kept() {
    let (table, recorder) = recorded_table();
    let write = |decision: Decision| {
        let decide = |_: Option<&Document>| Ok::<_, Infallible>(decision.clone());
        let written = table.write_one(&key(7), Durability::Hard, WAIT, decide).unwrap();
        (written.old, written.new, written.commit)
    };
    let (one, two) = (counted(7, 1), counted(7, 2));
    let (old, new, commit) = write(Decision::Delete);
    assert_eq!((old, new, commit), (None, None, None));
    let (old, new, commit) = write(Decision::Put(one.clone()));
    assert_eq!((old, new), (None, Some(one.clone())));
    assert_eq!(commit.unwrap().durability, Durability::Hard);
    let (old, new, commit) = write(Decision::Keep);
    assert_eq!((old, new, commit), (Some(one.clone()), Some(one.clone()), None));
    let (old, new, _) = write(Decision::Put(two.clone()));
    assert_eq!((old, new), (Some(one.clone()), Some(two.clone())));
    assert_eq!(table.reader().unwrap().get(&key(7), WAIT).unwrap(), Some(two.clone()));
    let (old, new, commit) = write(Decision::Delete);
    assert_eq!((old, new), (Some(two.clone()), None));
    assert!(commit.is_some());
    assert_eq!(table.reader().unwrap().get(&key(7), WAIT).unwrap(), None);

    let heard = recorder.0.lock().unwrap();
    let heard: Vec<_> = heard
        .iter()
        .map(|changes| {
            let [change] = changes.documents.as_slice() else { panic!("one document a commit") };
            assert_eq!(change.key, key(7));
            (change.old.clone(), change.new.clone())
        })
        .collect();
    assert_eq!(
        heard,
        [(None, Some(one.clone())), (Some(one), Some(two.clone())), (Some(two), None)]
    );
}

#[test]
fn many_documents_share_commits_and_repeated_keys_see_each_other() {
    let (table, recorder) = recorded_table();
    let mut keys: Vec<_> = (0..WRITE_COMMIT_DOCUMENTS as u64).map(key).collect();
    keys[5] = key(3);
    keys[9] = key(3);
    keys.push(key(3));
    let written = table
        .write(&keys, SOFT, WAIT, |at, old| {
            let id = if [5, 9, WRITE_COMMIT_DOCUMENTS].contains(&at) { 3 } else { at as u64 };
            add_one(id, old)
        })
        .unwrap();
    assert_eq!(written.documents.len(), keys.len());
    let counts: Vec<_> = [3, 5, 9, WRITE_COMMIT_DOCUMENTS]
        .map(|at| count_of(written.documents[at].1.as_ref().unwrap()))
        .to_vec();
    assert_eq!(counts, [1, 2, 3, 4]);
    let heard = recorder.0.lock().unwrap();
    assert_eq!(heard.len(), 2, "two commits");
    assert_eq!(heard[0].documents.len(), WRITE_COMMIT_DOCUMENTS);
    assert_eq!(heard[1].sequence, written.commit.unwrap().sequence);
    let all = table.reader().unwrap().count(&KeyRange::ALL, WAIT).unwrap();
    assert_eq!(all, WRITE_COMMIT_DOCUMENTS as u64 - 2);
}

#[test]
fn long_documents_are_committed_in_parts() {
    let (table, recorder) = recorded_table();
    let long = "x".repeat(crate::limits::WRITE_COMMIT_BYTES / 2);
    let keys: Vec<_> = (0..5).map(key).collect();
    let written = table.write(&keys, SOFT, WAIT, |at, _| {
        let fields = [("id", Datum::Number(at as f64)), ("x", Datum::string(&long))];
        Document::encode(&Datum::object(fields)).map(Decision::Put)
    });
    assert_eq!(written.unwrap().documents.len(), 5);
    let heard = recorder.0.lock().unwrap();
    assert_eq!(heard.iter().map(|part| part.documents.len()).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn giving_up_leaves_nothing_of_the_commit() {
    let (table, _) = recorded_table();
    let keys: Vec<_> = (0..10).map(key).collect();
    let given_up = table.write(&keys, SOFT, WAIT, |at, _| match at {
        9 => Err("enough"),
        at => Ok(Decision::Put(counted(at as u64, 1))),
    });
    assert!(matches!(given_up, Err(WriteError::Decide("enough"))));
    assert_eq!(table.reader().unwrap().count(&KeyRange::ALL, WAIT).unwrap(), 0);
}

#[test]
fn scans_counts_and_positions_agree_with_a_model() {
    let mut random = Random::from_environment();
    let (table, _) = recorded_table();
    let mut model = BTreeMap::new();
    for step in 0..600 {
        let id = random.below(900);
        put(&table, id, step);
        model.insert(id, step);
    }
    let reader = table.reader().unwrap();
    put(&table, 1_000, 0);
    for _ in 0..50 {
        let (a, b) = (random.below(1_000), random.below(1_000));
        let (low, high) = (a.min(b), a.max(b));
        let number = |number| Datum::Number(number as f64);
        let range = key_range(
            std::ops::Bound::Included(&number(low)),
            std::ops::Bound::Excluded(&number(high)),
        )
        .unwrap();
        let mut expected: Vec<_> = model.range(low..high).map(|(id, n)| counted(*id, *n)).collect();
        assert_eq!(reader.count(&range, WAIT).unwrap(), expected.len() as u64);
        for direction in [Direction::Forward, Direction::Backward] {
            let mut scan = reader.scan(&range, direction, WAIT).unwrap();
            let passed = scan.skip(3).unwrap() as usize;
            assert_eq!(reader.nth(&range, direction, 3, WAIT).unwrap().as_ref(), expected.get(3));
            let mut found = Vec::new();
            while let Some(document) = scan.next().unwrap() {
                found.push(document);
            }
            assert_eq!(found, expected[passed..]);
            expected.reverse();
        }
    }
}

#[test]
fn writers_of_one_document_come_one_after_another_and_changes_come_in_order() {
    const WRITERS: u64 = 4;
    const ROUNDS: u64 = 300;
    let (table, recorder) = recorded_table();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let table = &table;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // All meet at key 0; the other keys of a batch overlap in part and come in both directions.
                    let mut ids: Vec<u64> = vec![0, 1 + (round + writer) % 5, 100 + writer];
                    if writer % 2 == 0 {
                        ids.reverse();
                    }
                    let keys: Vec<_> = ids.iter().map(|id| key(*id)).collect();
                    table.write(&keys, SOFT, WAIT, |at, old| add_one(ids[at], old)).unwrap();
                }
            });
        }
    });
    let reader = table.reader().unwrap();
    assert_eq!(count_of(&reader.get(&key(0), WAIT).unwrap().unwrap()), WRITERS * ROUNDS);

    let heard = recorder.0.lock().unwrap();
    assert_eq!(heard.len() as u64, WRITERS * ROUNDS, "every commit is delivered");
    assert!(heard.is_sorted_by(|a, b| a.sequence < b.sequence), "out of order");
    let mut replayed: BTreeMap<PrimaryKey, Document> = BTreeMap::new();
    for change in heard.iter().flat_map(|changes| &changes.documents) {
        assert_eq!(replayed.get(&change.key), change.old.as_ref());
        replayed.insert(change.key.clone(), change.new.clone().unwrap());
    }
    for (key, document) in replayed {
        assert_eq!(reader.get(&key, WAIT).unwrap(), Some(document));
    }
}

#[test]
fn a_change_waits_for_writers_that_may_have_come_before_it() {
    let (table, recorder) = recorded_table();
    let delivered = || {
        let heard = recorder.0.lock().unwrap();
        heard.iter().map(|changes| changes.sequence.0).collect::<Vec<_>>()
    };
    let committed = |sequence| CommittedChanges {
        table: table.id,
        sequence: CommitSequence(sequence),
        documents: Vec::new(),
    };
    let last = table.engine.last_sequence().0;
    let [first, second, failing] = [(); 3].map(|()| table.changes.announce(&*table.engine));
    second.committed(committed(last + 2));
    assert_eq!(delivered(), [0; 0]);
    first.committed(committed(last + 1));
    assert_eq!(delivered(), [0; 0], "a third writer may still turn out to be the first");
    drop(failing);
    assert_eq!(delivered(), [last + 1, last + 2]);

    // A writer that began after a commit cannot come before it.
    put(&table, 1, 1);
    let late = table.changes.announce(&*table.engine);
    put(&table, 2, 1);
    assert_eq!(delivered(), [last + 1, last + 2, last + 1], "numbers made up above come again");
    drop(late);
    assert_eq!(delivered()[3..], [last + 2]);
}

#[test]
fn changes_of_writers_that_never_meet_come_in_order_too() {
    const ROUNDS: u64 = 2_000;
    let (table, recorder) = recorded_table();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let table = &table;
            scope.spawn(move || (0..ROUNDS).for_each(|round| put(table, writer, round)));
        }
    });
    let heard = recorder.0.lock().unwrap();
    assert_eq!(heard.len() as u64, 4 * ROUNDS);
    assert!(heard.is_sorted_by(|a, b| a.sequence < b.sequence), "out of order");
}

#[test]
fn a_dropped_table_says_so() {
    let (table, _) = recorded_table();
    let mut batch = WriteBatch::new(SOFT);
    batch.drop_tree(table.tree);
    table.engine.apply(batch).unwrap();
    let decide = |old: Option<&Document>| add_one(1, old);
    let written = table.write_one(&key(1), SOFT, WAIT, decide);
    let no_tree =
        |error: &TableError| matches!(error, TableError::Storage(StorageError::NoSuchTree(_)));
    assert!(matches!(written, Err(WriteError::Table(error)) if no_tree(&error)));
    assert!(table.reader().unwrap().get(&key(1), WAIT).is_err_and(|error| no_tree(&error)));
}

#[test]
fn a_damaged_document_is_an_error_that_names_its_key() {
    let (table, _) = recorded_table();
    let mut batch = WriteBatch::new(SOFT);
    batch.put(table.tree, key(1).as_bytes().clone(), "not a document");
    table.engine.apply(batch).unwrap();
    let found = table.reader().unwrap().get(&key(1), WAIT);
    let error = found.unwrap_err().to_string();
    assert!(error.starts_with("the document with the primary key 1: damaged document"), "{error}");
}

/// An engine with writers elsewhere: each time this process is about to commit, one of them was there first.
struct Elsewhere {
    inner: MemoryEngine,
    tree: Mutex<Option<TreeId>>,
    interferences: AtomicUsize,
}

impl Overlay for Elsewhere {
    fn inner(&self) -> &dyn Engine {
        &self.inner
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StorageError> {
        Ok(Arc::new(Cold(self.inner.snapshot()?)))
    }

    fn apply(&self, batch: WriteBatch) -> Result<Commit, StorageError> {
        let tree = *self.tree.lock().unwrap();
        let left = self.interferences.load(Ordering::Relaxed);
        if let (Some(tree), 1..) = (tree, left) {
            self.interferences.store(left - 1, Ordering::Relaxed);
            let mut other = WriteBatch::new(SOFT);
            let count = 1_000 + left as u64;
            other.put(tree, key(1).as_bytes().clone(), counted(1, count).as_bytes().clone());
            self.inner.apply(other)?;
        }
        self.inner.apply(batch)
    }

    fn is_sole_writer(&self) -> bool {
        false
    }
}

/// What is there of key 2 is not in memory.
struct Cold(Arc<dyn Snapshot>);

impl Snapshot for Cold {
    fn sequence(&self) -> CommitSequence {
        self.0.sequence()
    }

    fn has_tree(&self, tree: TreeId, mode: ReadMode) -> Result<bool, StorageError> {
        self.0.has_tree(tree, mode)
    }

    fn trees(&self, mode: ReadMode) -> Result<Vec<TreeId>, StorageError> {
        self.0.trees(mode)
    }

    fn get(&self, tree: TreeId, at: &[u8], mode: ReadMode) -> Result<Option<Bytes>, StorageError> {
        if mode == ReadMode::CachedOnly && at == key(2).as_bytes() {
            return Err(StorageError::NotResident);
        }
        self.0.get(tree, at, mode)
    }

    fn cursor(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>, StorageError> {
        self.0.cursor(tree, range, direction)
    }

    fn count(&self, tree: TreeId, range: &KeyRange, mode: ReadMode) -> Result<u64, StorageError> {
        self.0.count(tree, range, mode)
    }
}

#[test]
fn a_write_that_must_not_wait_ends_before_anything_is_decided() {
    let engine = Arc::new(Elsewhere {
        inner: MemoryEngine::new(),
        tree: Mutex::new(None),
        interferences: AtomicUsize::new(0),
    });
    let table = table_in(engine, Arc::new(NoSink));
    let write = |ids: &[u64], mode| {
        let keys: Vec<_> = ids.iter().map(|id| key(*id)).collect();
        let mut asked = 0;
        let written = table.write(&keys, SOFT, mode, |at, old| {
            asked += 1;
            add_one(ids[at], old)
        });
        let not_resident = matches!(
            written,
            Err(WriteError::Table(TableError::Storage(StorageError::NotResident)))
        );
        assert_eq!(written.is_ok(), !not_resident);
        (asked, not_resident)
    };
    let too_many: Vec<_> = (10..=10 + WRITE_COMMIT_DOCUMENTS as u64).collect();
    assert_eq!(write(&[1, 2, 3], ReadMode::CachedOnly), (0, true));
    assert_eq!(write(&too_many, ReadMode::CachedOnly), (0, true));
    assert_eq!(table.reader().unwrap().count(&KeyRange::ALL, WAIT).unwrap(), 0);
    assert_eq!(write(&[1, 3], ReadMode::CachedOnly), (2, false));
    assert_eq!(write(&[1, 2, 3], WAIT), (3, false));
}

#[test]
fn a_write_that_must_not_wait_is_one_commit_or_none() {
    let table = table_in(Arc::new(MemoryEngine::new()), Arc::new(NoSink));
    let long = "x".repeat(crate::limits::WRITE_COMMIT_BYTES / 2);
    let write = |mode| {
        let keys: Vec<_> = (1..=3).map(key).collect();
        table.write(&keys, SOFT, mode, |at, _| {
            let fields = [("id", Datum::Number(at as f64 + 1.0)), ("long", long.as_str().into())];
            Ok::<_, std::convert::Infallible>(Decision::Put(
                Document::encode(&Datum::object(fields)).unwrap(),
            ))
        })
    };
    let refused = write(ReadMode::CachedOnly);
    let not_resident = TableError::Storage(StorageError::NotResident);
    assert!(
        matches!(refused, Err(WriteError::Table(error)) if error.to_string() == not_resident.to_string())
    );
    assert_eq!(table.reader().unwrap().count(&KeyRange::ALL, WAIT).unwrap(), 0);
    write(WAIT).unwrap();
    assert_eq!(table.reader().unwrap().count(&KeyRange::ALL, WAIT).unwrap(), 3);
}

#[test]
fn a_commit_from_elsewhere_makes_the_write_start_over() {
    for (interferences, succeeds) in [(2, true), (WRITE_ATTEMPTS, false)] {
        let engine = Arc::new(Elsewhere {
            inner: MemoryEngine::new(),
            tree: Mutex::new(None),
            interferences: AtomicUsize::new(interferences),
        });
        let table = table_in(engine.clone(), Arc::new(NoSink));
        *engine.tree.lock().unwrap() = Some(table.tree);
        let mut asked = 0;
        let written = table.write(&[key(1), key(2), key(1)], SOFT, WAIT, |at, old| {
            asked += 1;
            add_one([1, 2, 1][at], old)
        });
        assert_eq!(asked, 3 * (if succeeds { interferences + 1 } else { WRITE_ATTEMPTS }));
        let reader = table.reader().unwrap();
        if succeeds {
            // What the last one elsewhere left, and one for each time the key came.
            assert_eq!(count_of(&reader.get(&key(1), WAIT).unwrap().unwrap()), 1_001 + 2);
            assert_eq!(count_of(&reader.get(&key(2), WAIT).unwrap().unwrap()), 1);
            assert_eq!(written.unwrap().documents.len(), 3);
        } else {
            assert!(matches!(written, Err(WriteError::Table(TableError::Contended { .. }))));
            assert_eq!(reader.get(&key(2), WAIT).unwrap(), None);
        }
    }
}
