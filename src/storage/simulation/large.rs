//! Stores that are larger than any number in the engine that might be too small for them. `PHOTONDB_LARGE` makes them
//! larger than a gigabyte and 65,536 extents; otherwise the same is done with a few megabytes.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::limits::{STORAGE_BATCH_BYTES, STORAGE_KEY_BYTES, STORAGE_VALUE_BYTES};
use crate::storage::disk::{FaultyDisk, FileDisk};
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{
    Direction, Durability, Engine, KeyRange, ReadMode, Scanner, StorageError, TreeId, WriteBatch,
    verify_directory,
};
use crate::testing::Random;

const WAIT: ReadMode = ReadMode::MayBlock;

/// How large the stores are.
struct Scale {
    entries: u64,
    trees: u64,
    segments: u64,
    value_bytes: usize,
    cache_bytes: usize,
}

impl Scale {
    fn of_this_run() -> Self {
        if std::env::var_os("PHOTONDB_LARGE").is_some() {
            return Self {
                entries: 1_500_000,
                trees: 70_000,
                segments: 5_000,
                value_bytes: STORAGE_VALUE_BYTES,
                cache_bytes: 64 << 20,
            };
        }
        Self {
            entries: 4_000,
            trees: 100,
            segments: 60,
            value_bytes: 1_000_000,
            cache_bytes: 1 << 20,
        }
    }

    fn options(&self) -> SlabOptions {
        SlabOptions::new([7; 16], self.cache_bytes)
    }
}

fn open(directory: &Path, options: SlabOptions) -> Result<SlabEngine, StorageError> {
    SlabEngine::open(Arc::new(FileDisk::new(directory)), options)
}

/// Entries come in no order.
fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
}

/// What a key has, which nobody needs to remember.
fn value(number: u64) -> Bytes {
    let mut random = Random::seeded(number);
    let length = if random.once_in(200) { 20_000 } else { 400 + random.below(700) as usize };
    let mut value = random.next().to_be_bytes().to_vec();
    value.resize(length, number as u8);
    Bytes::from(value)
}

/// Whether an entry is there after every third one was deleted.
fn is_kept(number: u64) -> bool {
    !number.is_multiple_of(3)
}

#[test]
fn a_large_store_has_every_entry() {
    let scale = Scale::of_this_run();
    let directory = tempfile::tempdir().unwrap();
    let tree = TreeId(1);
    let engine = open(directory.path(), scale.options()).unwrap();
    let began = Instant::now();
    let mut batch = WriteBatch::new(Durability::Soft);
    batch.create_tree(tree);
    let mut bytes = 0;
    for number in 0..scale.entries {
        let value = value(number);
        bytes += value.len();
        batch.put(tree, key(number), value);
        if number % 500 == 499 {
            let full = std::mem::replace(&mut batch, WriteBatch::new(Durability::Soft));
            engine.apply(full).unwrap();
        }
    }
    engine.apply(batch).unwrap();
    for number in (0..scale.entries).filter(|number| !is_kept(*number)) {
        let mut batch = WriteBatch::new(Durability::Soft);
        batch.delete(tree, key(number));
        engine.apply(batch).unwrap();
    }
    engine.close().unwrap();
    drop(engine);
    println!("{bytes} bytes in {:?}", began.elapsed());
    let report = verify_directory(&FileDisk::new(directory.path())).unwrap();
    let left = (0..scale.entries).filter(|number| is_kept(*number)).count() as u64;
    assert_eq!(report.entries, left);
    println!("{report:?}, {:?}", began.elapsed());
    let engine = open(directory.path(), scale.options()).unwrap();
    let snapshot = engine.snapshot().unwrap();
    let mut random = Random::from_environment();
    for _ in 0..5_000 {
        let number = random.below(scale.entries);
        let found = snapshot.get(tree, &key(number), WAIT).unwrap();
        assert!(found == is_kept(number).then(|| value(number)), "entry {number}");
    }
    let cursor = snapshot.cursor(tree, &KeyRange::ALL, Direction::Backward).unwrap();
    let (mut scanner, mut before, mut scanned) = (Scanner::new(cursor, WAIT), None, 0);
    while let Some((key, _)) = scanner.next().unwrap() {
        assert!(before.is_none_or(|before: Vec<u8>| before.as_slice() > key));
        before = Some(key.to_vec());
        scanned += 1;
    }
    assert_eq!(scanned, left);
    let half = KeyRange::new(Bound::Unbounded, Bound::Excluded(vec![0x80].into()));
    let below = (0..scale.entries).filter(|number| is_kept(*number) && key(*number)[0] < 0x80);
    assert_eq!(snapshot.count(tree, &half, WAIT).unwrap(), below.count() as u64);
}

#[test]
fn many_trees_have_many_extents() {
    let scale = Scale::of_this_run();
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), scale.options()).unwrap();
    for first in (0..scale.trees).step_by(500) {
        let mut batch = WriteBatch::new(Durability::Soft);
        for number in first..(first + 500).min(scale.trees) {
            batch.create_tree(TreeId(1_000 + number));
            batch.put(TreeId(1_000 + number), key(number), value(number));
        }
        engine.apply(batch).unwrap();
    }
    engine.close().unwrap();
    drop(engine);
    let report = verify_directory(&FileDisk::new(directory.path())).unwrap();
    assert_eq!((report.trees, report.entries), (scale.trees, scale.trees));
    assert!(report.extents >= scale.trees, "{report:?}");
    let engine = open(directory.path(), scale.options()).unwrap();
    let snapshot = engine.snapshot().unwrap();
    for number in 0..scale.trees {
        let found = snapshot.get(TreeId(1_000 + number), &key(number), WAIT).unwrap();
        assert!(found == Some(value(number)), "tree {number}");
    }
    drop(snapshot);
    // All but every tenth go, and so does their room.
    for first in (0..scale.trees).step_by(500) {
        let mut batch = WriteBatch::new(Durability::Soft);
        for number in (first..(first + 500).min(scale.trees)).filter(|number| number % 10 != 0) {
            batch.drop_tree(TreeId(1_000 + number));
        }
        engine.apply(batch).unwrap();
    }
    engine.checkpoint().unwrap();
    engine.checkpoint().unwrap();
    engine.close().unwrap();
    drop(engine);
    let after = verify_directory(&FileDisk::new(directory.path())).unwrap();
    assert_eq!(after.trees, scale.trees.div_ceil(10));
    assert!(after.extents < report.extents / 5, "{after:?}");
}

#[test]
fn a_log_of_many_segments_is_replayed() {
    let scale = Scale::of_this_run();
    let directory = tempfile::tempdir().unwrap();
    let options = || SlabOptions {
        flush_interval: None,
        log_segment_bytes: 4_096,
        checkpoint_log_bytes: usize::MAX,
        ..SlabOptions::new([7; 16], 1 << 30)
    };
    let engine = open(directory.path(), options()).unwrap();
    let mut batch = WriteBatch::new(Durability::Soft);
    batch.create_tree(TreeId(1));
    engine.apply(batch).unwrap();
    for number in 0..scale.segments {
        let mut batch = WriteBatch::new(Durability::Hard);
        batch.put(TreeId(1), key(number), value(number));
        let commit = engine.apply(batch).unwrap();
        engine.wait_durable(commit.sequence).unwrap();
    }
    drop(engine);
    let report = verify_directory(&FileDisk::new(directory.path())).unwrap();
    assert!(report.log_segments >= scale.segments / 2, "{report:?}");
    let engine = open(directory.path(), options()).unwrap();
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(snapshot.sequence().0, scale.segments + 1);
    for number in 0..scale.segments {
        let found = snapshot.get(TreeId(1), &key(number), WAIT).unwrap();
        assert!(found == Some(value(number)), "entry {number}");
    }
    engine.close().unwrap();
    let files = directory.path().read_dir().unwrap().count();
    assert!(files < 6, "{files} files are left");
}

/// Two of the longest values, in the largest batch, with the longest keys.
#[test]
fn the_largest_batch_comes_back() {
    let scale = Scale::of_this_run();
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), scale.options()).unwrap();
    let long = |number: u8| Bytes::from(vec![number; scale.value_bytes]);
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.create_tree(TreeId(1));
    for number in 1..=2 {
        batch.put(TreeId(1), vec![number; STORAGE_KEY_BYTES], long(number));
    }
    assert!(batch.bytes() <= STORAGE_BATCH_BYTES);
    let commit = engine.apply(batch).unwrap();
    engine.wait_durable(commit.sequence).unwrap();
    drop(engine);
    for _ in 0..2 {
        let engine = open(directory.path(), scale.options()).unwrap();
        let snapshot = engine.snapshot().unwrap();
        for number in 1..=2 {
            let key = vec![number; STORAGE_KEY_BYTES];
            assert!(snapshot.get(TreeId(1), &key, WAIT).unwrap() == Some(long(number)));
        }
        engine.close().unwrap();
    }
    let engine = open(directory.path(), scale.options()).unwrap();
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.drop_tree(TreeId(1));
    engine.apply(batch).unwrap();
    engine.close().unwrap();
    drop(engine);
    let report = verify_directory(&FileDisk::new(directory.path())).unwrap();
    assert!(report.slots < 10, "{report:?}");
}

/// Keys as long as may be make inner nodes with few children.
#[test]
fn a_tree_may_be_deep() {
    let disk = FaultyDisk::new(1);
    let options = SlabOptions {
        flush_interval: Some(Duration::from_secs(1)),
        ..SlabOptions::new([7; 16], 20_000)
    };
    let engine = SlabEngine::open(Arc::new(disk.clone()), options).unwrap();
    let long_key = |number: u64| {
        let mut key = vec![b'p'; STORAGE_KEY_BYTES - 8];
        key.extend((number.wrapping_mul(7_919) % 100_003).to_be_bytes());
        key
    };
    let mut batch = WriteBatch::new(Durability::Soft);
    batch.create_tree(TreeId(1));
    let entries = 3_000;
    for number in 0..entries {
        batch.put(TreeId(1), long_key(number), vec![number as u8; 3_000]);
    }
    engine.apply(batch).unwrap();
    engine.checkpoint().unwrap();
    engine.checkpoint().unwrap();
    let snapshot = engine.snapshot().unwrap();
    let mut most = 0;
    for number in 0..entries {
        let before = disk.operations();
        let found = snapshot.get(TreeId(1), &long_key(number), WAIT).unwrap();
        assert!(found.is_some_and(|value| value == vec![number as u8; 3_000]));
        most = most.max(disk.operations() - before);
    }
    assert!(most >= 4, "{most} levels");
    engine.verify().unwrap();
}
