//! What every engine must do, as tests that take any engine: `conformance::tests!(expression)` in the tests of an
//! engine makes one test of each function here, each with an engine of its own.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::{
    CommitSequence, Direction, Durability, Engine, EntryBatch, FillLimit, KeyRange, ReadMode,
    Scanner, Snapshot, StorageError, TreeId, WriteBatch,
};
use crate::limits::{STORAGE_BATCH_BYTES, STORAGE_KEY_BYTES, STORAGE_VALUE_BYTES};
use crate::testing::Random;

/// One `#[test]` for each promise; the expression makes a fresh engine behind some pointer.
macro_rules! tests {
    ($engine:expr) => {
        $crate::storage::conformance::tests!($engine;
            equals_an_ordered_map, a_refused_batch_changes_nothing, conditions_refuse_a_commit,
            a_dropped_tree_stays_for_older_snapshots, a_batch_works_in_order,
            sequences_grow_and_become_durable, snapshots_see_whole_batches, lengths_have_limits,
            a_closed_engine_refuses_writes, a_scanner_reads_everything_in_order,
            a_load_equals_an_ordered_map, a_load_is_seen_whole_or_not_at_all,
            a_load_that_cannot_be_is_refused, a_load_runs_beside_writers_of_other_trees
        );
    };
    ($engine:expr; $($name:ident),+) => {
        $(
            #[test]
            fn $name() {
                let engine = $engine;
                $crate::storage::conformance::$name(&*engine);
            }
        )+
    };
}
pub(crate) use tests;

type Model = BTreeMap<TreeId, BTreeMap<Vec<u8>, Vec<u8>>>;

const WAIT: ReadMode = ReadMode::MayBlock;

fn batch() -> WriteBatch {
    WriteBatch::new(Durability::Soft)
}

fn new_tree(engine: &dyn Engine) -> TreeId {
    let tree = engine.new_tree_id().unwrap();
    let mut batch = batch();
    batch.create_tree(tree);
    engine.apply(batch).unwrap();
    tree
}

fn put(engine: &dyn Engine, tree: TreeId, key: &str, value: &str) {
    let mut batch = batch();
    batch.put(tree, key.to_owned(), value.to_owned());
    engine.apply(batch).unwrap();
}

fn get(engine: &dyn Engine, tree: TreeId, key: &str) -> Option<Bytes> {
    engine.snapshot().unwrap().get(tree, key.as_bytes(), WAIT).unwrap()
}

pub(crate) fn equals_an_ordered_map(engine: &dyn Engine) {
    let mut random = Random::from_environment();
    let mut model = Model::new();
    let mut kept: Vec<(Arc<dyn Snapshot>, Model)> = Vec::new();
    for _ in 0..400 {
        engine.apply(random_batch(&mut random, engine, &mut model)).unwrap();
        let snapshot = engine.snapshot().unwrap();
        compare(&mut random, &*snapshot, &model);
        if random.once_in(20) {
            kept.push((snapshot, model.clone()));
        }
        if random.once_in(60) && !kept.is_empty() {
            let (snapshot, model) = kept.swap_remove(random.below(kept.len() as u64) as usize);
            compare(&mut random, &*snapshot, &model);
        }
    }
    for (snapshot, model) in kept {
        compare(&mut random, &*snapshot, &model);
    }
}

/// Short keys over few bytes, so that they meet often and share prefixes.
fn random_key(random: &mut Random) -> Vec<u8> {
    let length = random.below(6);
    (0..length).map(|_| [0, 1, b'a', b'b', 0xfe, 0xff][random.below(6) as usize]).collect()
}

fn random_batch(random: &mut Random, engine: &dyn Engine, model: &mut Model) -> WriteBatch {
    let mut batch = batch();
    if model.len() < 2 || (model.len() < 6 && random.once_in(20)) {
        let tree = engine.new_tree_id().unwrap();
        assert!(model.insert(tree, BTreeMap::new()).is_none(), "a name given out twice");
        batch.create_tree(tree);
    }
    if random.once_in(40) {
        let at = random.below(model.len() as u64) as usize;
        let tree = *model.keys().nth(at).unwrap();
        model.remove(&tree);
        batch.drop_tree(tree);
    }
    let trees: Vec<_> = model.keys().copied().collect();
    let inserts = random.below(100);
    for _ in 0..random.below(80) {
        let Some(tree) = trees.get(random.below(trees.len().max(1) as u64) as usize) else { break };
        let key = random_key(random);
        if random.below(100) < inserts {
            let value = random.bytes(40);
            batch.put(*tree, key.clone(), value.clone());
            model.get_mut(tree).unwrap().insert(key, value);
        } else {
            batch.delete(*tree, key.clone());
            model.get_mut(tree).unwrap().remove(&key);
        }
    }
    batch
}

fn compare(random: &mut Random, snapshot: &dyn Snapshot, model: &Model) {
    assert_eq!(snapshot.trees(WAIT).unwrap(), model.keys().copied().collect::<Vec<_>>());
    for (tree, entries) in model {
        assert!(snapshot.has_tree(*tree, WAIT).unwrap());
        assert_eq!(snapshot.count(*tree, &KeyRange::ALL, WAIT).unwrap(), entries.len() as u64);
        compare_range(random, snapshot, *tree, entries, &KeyRange::ALL);
        let range = random_range(random);
        compare_range(random, snapshot, *tree, entries, &range);
        let key = random_key(random);
        let found = snapshot.get(*tree, &key, WAIT).unwrap();
        assert_eq!(found.as_deref(), entries.get(&key).map(Vec::as_slice));
        let mut seen = None;
        let there = snapshot.read(*tree, &key, WAIT, &mut |value| seen = Some(value.to_vec()));
        assert_eq!((there.unwrap(), seen.as_ref()), (seen.is_some(), entries.get(&key)));
    }
}

fn random_range(random: &mut Random) -> KeyRange {
    let mut bound = || match random.below(3) {
        0 => Bound::Unbounded,
        1 => Bound::Included(Bytes::from(random_key(random))),
        _ => Bound::Excluded(Bytes::from(random_key(random))),
    };
    KeyRange::new(bound(), bound())
}

fn compare_range(
    random: &mut Random,
    snapshot: &dyn Snapshot,
    tree: TreeId,
    entries: &BTreeMap<Vec<u8>, Vec<u8>>,
    range: &KeyRange,
) {
    let mut expected: Vec<_> = entries.iter().filter(|(key, _)| range.contains(key)).collect();
    assert_eq!(snapshot.count(tree, range, WAIT).unwrap(), expected.len() as u64, "{range:?}");
    for direction in [Direction::Forward, Direction::Backward] {
        let rank = random.below(expected.len() as u64 + 2);
        let nth = snapshot.nth(tree, range, direction, rank, WAIT).unwrap();
        let nth = nth.as_ref().map(|(key, value)| (key.as_ref(), value.as_ref()));
        let at = expected.get(rank as usize);
        assert_eq!(nth, at.map(|(key, value)| (key.as_slice(), value.as_slice())));

        let mut cursor = snapshot.cursor(tree, range, direction).unwrap();
        let skipped = if random.once_in(3) { random.below(expected.len() as u64 + 3) } else { 0 };
        let passed = cursor.skip(skipped, WAIT).unwrap();
        assert_eq!(passed, skipped.min(expected.len() as u64));
        let mut rest = expected.iter().skip(passed as usize);
        let mut batch = EntryBatch::new();
        loop {
            batch.clear();
            let limit = FillLimit {
                entries: 1 + random.below(50) as usize,
                bytes: 1 + random.below(2000) as usize,
            };
            let more = cursor.fill(&mut batch, limit, WAIT).unwrap();
            assert!(batch.len() <= limit.entries);
            for (key, value) in batch.iter() {
                let (expected_key, expected_value) = rest.next().expect("an entry too many");
                assert_eq!(
                    (key, value.as_ref()),
                    (expected_key.as_slice(), expected_value.as_slice())
                );
            }
            if !more {
                break;
            }
            assert!(!batch.is_empty(), "an empty batch before the end");
        }
        assert!(rest.next().is_none(), "a scan ended early");
        expected.reverse();
    }
}

pub(crate) fn a_refused_batch_changes_nothing(engine: &dyn Engine) {
    let tree = new_tree(engine);
    let missing = engine.new_tree_id().unwrap();
    put(engine, tree, "a", "1");
    let sequence = engine.last_sequence();

    let mut into_missing = batch();
    into_missing.put(tree, "a", "2");
    into_missing.put(missing, "a", "2");
    let refused = engine.apply(into_missing);
    assert!(matches!(refused, Err(StorageError::NoSuchTree(name)) if name == missing));

    let mut twice = batch();
    twice.delete(tree, "a");
    twice.create_tree(missing);
    twice.create_tree(tree);
    assert!(matches!(engine.apply(twice), Err(StorageError::TreeExists(name)) if name == tree));

    let mut dropped = batch();
    dropped.drop_tree(tree);
    dropped.put(tree, "b", "2");
    assert!(matches!(engine.apply(dropped), Err(StorageError::NoSuchTree(_))));

    assert_eq!(engine.last_sequence(), sequence);
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(snapshot.get(tree, b"a", WAIT).unwrap().as_deref(), Some(&b"1"[..]));
    assert!(!snapshot.has_tree(missing, WAIT).unwrap());
    assert!(matches!(snapshot.get(missing, b"a", WAIT), Err(StorageError::NoSuchTree(_))));
    assert!(snapshot.cursor(missing, &KeyRange::ALL, Direction::Forward).is_err());
    assert!(snapshot.count(missing, &KeyRange::ALL, WAIT).is_err());
}

pub(crate) fn conditions_refuse_a_commit(engine: &dyn Engine) {
    let tree = new_tree(engine);
    put(engine, tree, "a", "1");
    let attempt = |key: &'static str, expected: Option<&'static str>| {
        let mut batch = batch();
        batch.expect_value(tree, key, expected);
        batch.put(tree, "result", "written");
        engine.apply(batch)
    };
    assert!(matches!(attempt("a", Some("2")), Err(StorageError::Conflict)));
    assert!(matches!(attempt("a", None), Err(StorageError::Conflict)));
    assert!(matches!(attempt("b", Some("1")), Err(StorageError::Conflict)));
    assert_eq!(get(engine, tree, "result"), None);
    attempt("a", Some("1")).unwrap();
    attempt("b", None).unwrap();
    assert_eq!(get(engine, tree, "result").as_deref(), Some(&b"written"[..]));

    let other = engine.new_tree_id().unwrap();
    for (exists, fits) in [(true, false), (false, true), (false, false), (true, true)] {
        let mut batch = batch();
        batch.expect_tree(other, exists);
        if !exists && fits {
            batch.create_tree(other);
        }
        assert_eq!(engine.apply(batch).is_ok(), fits);
    }
}

pub(crate) fn a_dropped_tree_stays_for_older_snapshots(engine: &dyn Engine) {
    let tree = new_tree(engine);
    put(engine, tree, "a", "1");
    put(engine, tree, "b", "2");
    let before = engine.snapshot().unwrap();
    let mut cursor = before.cursor(tree, &KeyRange::ALL, Direction::Forward).unwrap();
    let mut drop_tree = batch();
    drop_tree.drop_tree(tree);
    engine.apply(drop_tree).unwrap();

    assert!(!engine.snapshot().unwrap().has_tree(tree, WAIT).unwrap());
    assert_eq!(before.get(tree, b"a", WAIT).unwrap().as_deref(), Some(&b"1"[..]));
    drop(before);
    let mut batch = EntryBatch::new();
    cursor.fill(&mut batch, FillLimit { entries: 9, bytes: 999 }, WAIT).unwrap();
    assert_eq!(batch.len(), 2);
    assert_ne!(engine.new_tree_id().unwrap(), tree);
}

pub(crate) fn a_batch_works_in_order(engine: &dyn Engine) {
    let tree = engine.new_tree_id().unwrap();
    let mut batch = batch();
    batch.create_tree(tree);
    batch.put(tree, "a", "1");
    batch.put(tree, "a", "2");
    batch.put(tree, "b", "1");
    batch.delete(tree, "b");
    batch.delete(tree, "never there");
    batch.put(tree, "", "");
    engine.apply(batch).unwrap();
    assert_eq!(get(engine, tree, "a").as_deref(), Some(&b"2"[..]));
    assert_eq!(get(engine, tree, "b"), None);
    assert_eq!(get(engine, tree, "").as_deref(), Some(&b""[..]));
}

pub(crate) fn sequences_grow_and_become_durable(engine: &dyn Engine) {
    let tree = new_tree(engine);
    let mut last = engine.last_sequence();
    assert!(last > CommitSequence::default());
    for durability in [Durability::Hard, Durability::Soft, Durability::Hard] {
        let mut batch = WriteBatch::new(durability);
        batch.put(tree, "a", "1");
        let commit = engine.apply(batch).unwrap();
        assert!(commit.sequence > last);
        assert_eq!(commit.durability, durability);
        last = commit.sequence;
        assert_eq!(engine.last_sequence(), last);
        assert_eq!(engine.snapshot().unwrap().sequence(), last);
        engine.wait_durable(last).unwrap();
        assert!(engine.is_durable(last) && engine.durable_sequence() >= last);
        let (send, receive) = std::sync::mpsc::channel();
        engine.when_durable(last, Box::new(move |outcome| send.send(outcome.is_ok()).unwrap()));
        assert!(receive.recv().unwrap());
    }
}

/// Two writers each keep a counter equal in two trees, one of which they share; readers never see them differ.
pub(crate) fn snapshots_see_whole_batches(engine: &dyn Engine) {
    const ROUNDS: u64 = 400;
    let shared = new_tree(engine);
    let own = [new_tree(engine), new_tree(engine)];
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = CommitSequence::default();
            let mut seen = 0;
            while !done.load(Ordering::Acquire) || seen == 0 {
                let snapshot = engine.snapshot().unwrap();
                assert!(snapshot.sequence() >= last);
                last = snapshot.sequence();
                for (writer, tree) in own.iter().enumerate() {
                    let key = writer.to_string();
                    let in_own = snapshot.get(*tree, key.as_bytes(), WAIT).unwrap();
                    let in_shared = snapshot.get(shared, key.as_bytes(), WAIT).unwrap();
                    assert_eq!(in_own, in_shared, "half of a batch was seen");
                    seen += 1;
                }
            }
        });
        let writers: Vec<_> = own
            .iter()
            .enumerate()
            .map(|(writer, tree)| {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let mut batch = batch();
                        for tree in [*tree, shared] {
                            batch.put(tree, writer.to_string(), round.to_string());
                            batch.put(tree, format!("{writer}/{round}"), "");
                        }
                        engine.apply(batch).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Release);
        reader.join().unwrap();
    });
    let count = engine.snapshot().unwrap().count(shared, &KeyRange::ALL, WAIT).unwrap();
    assert_eq!(count, 2 * (ROUNDS + 1), "a write was lost");
}

pub(crate) fn lengths_have_limits(engine: &dyn Engine) {
    let tree = new_tree(engine);
    let attempt = |key: usize, value: usize, times: usize| {
        let (key, value) = (Bytes::from(vec![7; key]), Bytes::from(vec![7; value]));
        let mut batch = batch();
        for _ in 0..times {
            batch.put(tree, key.clone(), value.clone());
        }
        engine.apply(batch)
    };
    attempt(STORAGE_KEY_BYTES, 1, 1).unwrap();
    assert!(matches!(attempt(STORAGE_KEY_BYTES + 1, 1, 1), Err(StorageError::KeyTooLong { .. })));
    attempt(1, STORAGE_VALUE_BYTES, 1).unwrap();
    let long = attempt(1, STORAGE_VALUE_BYTES + 1, 1);
    assert!(matches!(long, Err(StorageError::ValueTooLong { .. })));
    let times = STORAGE_BATCH_BYTES / STORAGE_VALUE_BYTES + 1;
    let large = attempt(1, STORAGE_VALUE_BYTES, times);
    assert!(matches!(large, Err(StorageError::BatchTooLarge { .. })));
    let snapshot = engine.snapshot().unwrap();
    let value = snapshot.get(tree, &[7], WAIT).unwrap().unwrap();
    assert!(value.len() == STORAGE_VALUE_BYTES && value.iter().all(|byte| *byte == 7));
}

pub(crate) fn a_closed_engine_refuses_writes(engine: &dyn Engine) {
    let tree = new_tree(engine);
    put(engine, tree, "a", "1");
    let snapshot = engine.snapshot().unwrap();
    engine.close().unwrap();
    let mut late = batch();
    late.put(tree, "a", "2");
    assert!(matches!(engine.apply(late), Err(StorageError::Closed)));
    assert_eq!(snapshot.get(tree, b"a", WAIT).unwrap().as_deref(), Some(&b"1"[..]));
    assert!(engine.is_durable(snapshot.sequence()));
}

pub(crate) fn a_scanner_reads_everything_in_order(engine: &dyn Engine) {
    const ENTRIES: u64 = 2_000;
    let tree = new_tree(engine);
    let mut fill = batch();
    for number in 0..ENTRIES {
        fill.put(tree, number.to_be_bytes().to_vec(), number.to_string());
    }
    engine.apply(fill).unwrap();
    let snapshot = engine.snapshot().unwrap();
    for (direction, skips) in [(Direction::Forward, [0, 0]), (Direction::Backward, [3, 700])] {
        let mut scanner =
            Scanner::new(snapshot.cursor(tree, &KeyRange::ALL, direction).unwrap(), WAIT);
        let mut expected: Vec<u64> = (0..ENTRIES).collect();
        if direction == Direction::Backward {
            expected.reverse();
        }
        assert_eq!(scanner.skip(skips[0]).unwrap(), skips[0]);
        let (key, _) = scanner.next().unwrap().unwrap();
        assert_eq!(key, expected[skips[0] as usize].to_be_bytes());
        assert_eq!(scanner.skip(skips[1]).unwrap(), skips[1]);
        let mut at = (skips[0] + skips[1] + 1) as usize;
        while let Some((key, value)) = scanner.next().unwrap() {
            assert_eq!(key, expected[at].to_be_bytes());
            assert_eq!(value, expected[at].to_string().as_bytes());
            at += 1;
        }
        assert_eq!(at, ENTRIES as usize);
        assert_eq!(scanner.skip(5).unwrap(), 0);
        assert!(scanner.next().unwrap().is_none());
    }
}

/// Loads of many shapes, changed afterwards like any other tree.
pub(crate) fn a_load_equals_an_ordered_map(engine: &dyn Engine) {
    let mut random = Random::from_environment();
    let mut model = Model::new();
    let longest = [0, 300, 1_300, 3_100, 20_000, 700_000];
    for (round, longest) in longest.into_iter().chain([40; 6]).enumerate() {
        let tree = new_tree(engine);
        let entries = match round {
            0 => 0,
            1 => 1,
            _ => 2 + random.below(200_000 / (longest + 100) + 5),
        };
        let loaded = model.entry(tree).or_default();
        for _ in 0..entries {
            let mut key = random_key(&mut random);
            let more = if random.once_in(50) { 2_000 } else { 8 };
            key.extend(random.bytes(more));
            let mut value = random.bytes(20);
            value.resize(random.below(longest + 1) as usize, key.len() as u8);
            loaded.insert(key, value);
        }
        let mut load = engine.bulk_load(tree).unwrap();
        for (key, value) in &*loaded {
            load.push(key, value).unwrap();
        }
        let commit = load.finish(Durability::Hard).unwrap();
        assert_eq!(engine.last_sequence(), commit.sequence);
        engine.wait_durable(commit.sequence).unwrap();
    }
    let before = (engine.snapshot().unwrap(), model.clone());
    for _ in 0..20 {
        compare(&mut random, &*engine.snapshot().unwrap(), &model);
        engine.apply(random_batch(&mut random, engine, &mut model)).unwrap();
        // Of the loaded entries as well, which most random keys do not meet.
        let mut batch = batch();
        for (tree, entries) in &mut model {
            let at = random.below(entries.len() as u64 + 1) as usize;
            if let Some(key) = entries.keys().nth(at).cloned() {
                batch.delete(*tree, key.clone());
                entries.remove(&key);
            }
        }
        engine.apply(batch).unwrap();
    }
    compare(&mut random, &*engine.snapshot().unwrap(), &model);
    compare(&mut random, &*before.0, &before.1);
}

pub(crate) fn a_load_is_seen_whole_or_not_at_all(engine: &dyn Engine) {
    let tree = new_tree(engine);
    let before = engine.last_sequence();
    let count = |snapshot: &dyn Snapshot| snapshot.count(tree, &KeyRange::ALL, WAIT).unwrap();
    let mut aborted = engine.bulk_load(tree).unwrap();
    for number in 0..5_000_u64 {
        aborted.push(&number.to_be_bytes(), &[1; 300]).unwrap();
    }
    drop(aborted);
    assert_eq!((engine.last_sequence(), count(&*engine.snapshot().unwrap())), (before, 0));
    let old = engine.snapshot().unwrap();
    let mut load = engine.bulk_load(tree).unwrap();
    for number in 0..5_000_u64 {
        load.push(&number.to_be_bytes(), &[2; 300]).unwrap();
        if number % 1_000 == 0 {
            assert_eq!(count(&*engine.snapshot().unwrap()), 0, "half of a load was seen");
        }
    }
    let commit = load.finish(Durability::Soft).unwrap();
    assert_eq!((commit.durability, commit.sequence.0), (Durability::Soft, before.0 + 1));
    let new = engine.snapshot().unwrap();
    assert_eq!((count(&*old), count(&*new)), (0, 5_000));
    let value = new.get(tree, &4_999_u64.to_be_bytes(), WAIT).unwrap().unwrap();
    assert_eq!(value, vec![2; 300]);
    engine.wait_durable(commit.sequence).unwrap();
}

pub(crate) fn a_load_that_cannot_be_is_refused(engine: &dyn Engine) {
    let missing = engine.new_tree_id().unwrap();
    assert!(matches!(engine.bulk_load(missing).err(), Some(StorageError::NoSuchTree(_))));

    let tree = new_tree(engine);
    let before = engine.last_sequence();
    for wrong in [&b"b"[..], b"a", b""] {
        let mut load = engine.bulk_load(tree).unwrap();
        load.push(b"a", b"1").unwrap();
        load.push(b"b", b"2").unwrap();
        assert!(matches!(load.push(wrong, b"3"), Err(StorageError::NotAscending)));
        assert!(load.finish(Durability::Soft).is_err(), "a load without one of its entries");
    }
    let mut load = engine.bulk_load(tree).unwrap();
    let long = load.push(&[7; STORAGE_KEY_BYTES + 1], b"");
    assert!(matches!(long, Err(StorageError::KeyTooLong { .. })));
    let mut load = engine.bulk_load(tree).unwrap();
    load.push(&[7; STORAGE_KEY_BYTES], b"").unwrap();
    let long = load.push(&[8], &vec![7; STORAGE_VALUE_BYTES + 1]);
    assert!(matches!(long, Err(StorageError::ValueTooLong { .. })));
    drop(load);
    assert_eq!(engine.last_sequence(), before);

    // Somebody else was quicker, and gone again, which leaves an empty tree.
    let mut load = engine.bulk_load(tree).unwrap();
    load.push(b"a", b"1").unwrap();
    put(engine, tree, "z", "1");
    assert!(matches!(load.finish(Durability::Soft), Err(StorageError::Conflict)));
    assert_eq!(get(engine, tree, "a"), None);
    let mut load = engine.bulk_load(tree).unwrap();
    load.push(b"a", b"1").unwrap();
    let mut empty = batch();
    empty.delete(tree, "z");
    engine.apply(empty).unwrap();
    load.finish(Durability::Soft).unwrap();
    assert_eq!(get(engine, tree, "a").as_deref(), Some(&b"1"[..]));

    let dropped = new_tree(engine);
    let mut load = engine.bulk_load(dropped).unwrap();
    load.push(b"a", b"1").unwrap();
    let mut drop_tree = batch();
    drop_tree.drop_tree(dropped);
    engine.apply(drop_tree).unwrap();
    assert!(matches!(load.finish(Durability::Soft), Err(StorageError::NoSuchTree(_))));

    let late = new_tree(engine);
    let load = engine.bulk_load(late).unwrap();
    engine.close().unwrap();
    assert!(matches!(load.finish(Durability::Soft), Err(StorageError::Closed)));
}

pub(crate) fn a_load_runs_beside_writers_of_other_trees(engine: &dyn Engine) {
    let (written, loaded) = (new_tree(engine), [new_tree(engine), new_tree(engine)]);
    std::thread::scope(|scope| {
        for tree in loaded {
            scope.spawn(move || {
                let mut load = engine.bulk_load(tree).unwrap();
                for number in 0..4_000_u64 {
                    let length = if number % 200 == 0 { 9_000 } else { 200 };
                    load.push(&number.to_be_bytes(), &vec![number as u8; length]).unwrap();
                }
                load.finish(Durability::Hard).unwrap();
            });
        }
        scope.spawn(|| {
            for number in 0..1_000_u64 {
                let mut batch = batch();
                batch.put(written, (number % 300).to_be_bytes().to_vec(), vec![1; 500]);
                engine.apply(batch).unwrap();
            }
        });
    });
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(snapshot.count(written, &KeyRange::ALL, WAIT).unwrap(), 300);
    for tree in loaded {
        let cursor = snapshot.cursor(tree, &KeyRange::ALL, Direction::Forward).unwrap();
        let mut scanner = Scanner::new(cursor, WAIT);
        for number in 0..4_000_u64 {
            let (key, value) = scanner.next().unwrap().unwrap();
            assert_eq!(key, number.to_be_bytes());
            assert!(value.len() >= 200 && value.iter().all(|byte| *byte == number as u8));
        }
        assert!(scanner.next().unwrap().is_none());
    }
}
