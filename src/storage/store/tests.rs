//! Tests of the `slab` engine: the conformance tests on several disks, with and without threads, and its own promises.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{SlabEngine, SlabOptions};
use crate::storage::conformance;
use crate::storage::disk::{Disk, FileDisk, MemoryDisk};
use crate::storage::{
    Direction, Durability, Engine, EntryBatch, FillLimit, KeyRange, ReadMode, StorageError, TreeId,
    WriteBatch, allow_reads_at_once,
};

use crate::testing::Random;

const WAIT: ReadMode = ReadMode::MayBlock;

fn options(cache_bytes: usize) -> SlabOptions {
    SlabOptions {
        flush_interval: None,
        log_segment_bytes: 256 * 1024,
        checkpoint_log_bytes: 512 * 1024,
        checkpoint_part_bytes: 64 * 1024,
        ..SlabOptions::new([7; 16], cache_bytes)
    }
}

fn open(disk: &MemoryDisk, options: SlabOptions) -> SlabEngine {
    SlabEngine::open(Arc::new(disk.clone()), options).unwrap()
}

mod without_threads {
    use super::*;
    conformance::tests!(Arc::new(open(&MemoryDisk::new(), options(8 << 20))));
}

mod with_little_memory {
    use super::*;
    // A checkpoint after nearly every batch, and hardly a page that stays.
    conformance::tests!(Arc::new(open(&MemoryDisk::new(), options(32 << 10))));
}

mod with_threads {
    use super::*;
    conformance::tests!({
        let flush_interval = Some(Duration::from_millis(5));
        Arc::new(open(&MemoryDisk::new(), SlabOptions { flush_interval, ..options(1 << 20) }))
    });
}

mod on_a_real_disk {
    use super::*;

    /// An engine and its directory, which goes with it.
    struct InDirectory(
        SlabEngine,
        #[expect(dead_code, reason = "kept to be dropped")] tempfile::TempDir,
    );

    impl std::ops::Deref for InDirectory {
        type Target = SlabEngine;

        fn deref(&self) -> &SlabEngine {
            &self.0
        }
    }

    conformance::tests!({
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(directory.path()));
        let flush_interval = Some(Duration::from_millis(50));
        let options = SlabOptions { flush_interval, ..options(4 << 20) };
        InDirectory(SlabEngine::open(disk, options).unwrap(), directory)
    });
}

fn put(engine: &SlabEngine, tree: TreeId, key: u64, value: Vec<u8>) {
    let mut batch = WriteBatch::new(Durability::Soft);
    batch.put(tree, key.to_be_bytes().to_vec(), value);
    engine.apply(batch).unwrap();
}

fn new_tree(engine: &SlabEngine) -> TreeId {
    let tree = engine.new_tree_id().unwrap();
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.create_tree(tree);
    engine.apply(batch).unwrap();
    tree
}

#[test]
fn the_memory_may_be_changed_while_it_is_used() {
    let flush_interval = Some(Duration::from_millis(5));
    let options = SlabOptions { flush_interval, ..options(1 << 20) };
    let engine = open(&MemoryDisk::new(), options);
    let tree = new_tree(&engine);
    let numbers = 4_000_u64;
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let engine = &engine;
            scope.spawn(move || {
                for key in (writer..numbers).step_by(2) {
                    put(engine, tree, key, vec![key as u8; 1_000]);
                }
            });
        }
        for megabytes in [8, 1, 4, 2].repeat(5) {
            assert!(engine.set_memory_bytes(megabytes << 20));
            assert_eq!(engine.memory_bytes(), Some(megabytes << 20));
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    engine.checkpoint().unwrap();
    let snapshot = engine.snapshot().unwrap();
    let read = |engine: &SlabEngine| {
        for key in 0..numbers {
            let value = snapshot.get(tree, &key.to_be_bytes(), WAIT).unwrap().unwrap();
            assert_eq!(value, vec![key as u8; 1_000]);
        }
        engine.numbers().cache_bytes
    };
    engine.set_memory_bytes(16 << 20);
    let all = read(&engine);
    assert!(all > numbers * 1_000, "{all}");
    engine.set_memory_bytes(1 << 20);
    assert!(engine.numbers().cache_bytes < 1 << 20);
    assert!(read(&engine) < 1 << 20);
    assert_eq!(engine.numbers().cache_limit_bytes, 1 << 20);
}

#[test]
fn a_closed_store_is_opened_again_with_everything_in_it() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, options(1 << 20));
    let tree = new_tree(&engine);
    for key in 0..2_000 {
        put(&engine, tree, key, vec![key as u8; 300]);
    }
    engine.close().unwrap();
    engine.close().unwrap();
    let next = engine.new_tree_id().unwrap();
    drop(engine);
    let engine = open(&disk, options(1 << 20));
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(snapshot.count(tree, &KeyRange::ALL, WAIT).unwrap(), 2_000);
    assert!(engine.new_tree_id().unwrap() >= next, "a name is given out twice");
    for key in 0..2_000_u64 {
        let value = snapshot.get(tree, &key.to_be_bytes(), WAIT).unwrap().unwrap();
        assert_eq!(value, vec![key as u8; 300]);
    }
}

#[test]
fn a_directory_is_open_once() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, options(1 << 20));
    let second = SlabEngine::open(Arc::new(disk.clone()), options(1 << 20));
    assert!(second.err().unwrap().to_string().contains("in use"));
    drop(engine);
    open(&disk, options(1 << 20));
}

#[test]
fn a_log_without_its_data_is_refused() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, options(1 << 20));
    new_tree(&engine);
    engine.close().unwrap();
    drop(engine);
    disk.remove("slab.data").unwrap();
    let refused = SlabEngine::open(Arc::new(disk), options(1 << 20)).err().unwrap();
    assert!(matches!(refused, StorageError::Corrupt { .. }), "{refused}");
}

#[test]
fn pages_and_changes_stay_within_the_budget() {
    let disk = MemoryDisk::new();
    let budget = 1 << 20;
    let engine = open(&disk, options(budget));
    let tree = new_tree(&engine);
    for key in 0..20_000_u64 {
        put(&engine, tree, key.wrapping_mul(0x9e37_79b9_7f4a_7c15), vec![1; 300]);
        let state = engine.shared.read_state();
        let changes = state.view.account.bytes_of_all();
        let used = changes + engine.shared.pages.cached_bytes();
        assert!(used <= budget, "{used} bytes");
    }
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(snapshot.count(tree, &KeyRange::ALL, WAIT).unwrap(), 20_000);
    assert!(engine.shared.pages.cached_bytes() > budget / 4);
}

#[test]
fn what_is_not_in_memory_is_not_waited_for() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, options(1 << 20));
    let tree = new_tree(&engine);
    for key in 0..10_000_u64 {
        put(&engine, tree, key, vec![1; 400]);
    }
    engine.checkpoint().unwrap();
    let snapshot = engine.snapshot().unwrap();
    let (mut there, mut missing) = (0, 0);
    for key in 0..10_000_u64 {
        match snapshot.get(tree, &key.to_be_bytes(), ReadMode::CachedOnly) {
            Ok(Some(_)) => there += 1,
            Err(StorageError::NotResident) => {
                missing += 1;
                snapshot.get(tree, &key.to_be_bytes(), WAIT).unwrap().unwrap();
                snapshot.get(tree, &key.to_be_bytes(), ReadMode::CachedOnly).unwrap().unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(there > 9_000 && missing > 50, "{there} there, {missing} missing");
}

/// What the changes since the last checkpoint take is what is there in addition, not the sum of all that was ever made:
/// otherwise checkpoints would follow one another.
#[test]
fn what_is_replaced_is_not_counted_again() {
    const ENTRIES: u64 = 20_000;
    let engine = open(
        &MemoryDisk::new(),
        SlabOptions { checkpoint_log_bytes: usize::MAX, ..options(256 << 20) },
    );
    let tree = new_tree(&engine);
    // What is in the log's queue is in memory, too.
    let dirty = || {
        engine.shared.log.flush().unwrap();
        engine.shared.read_state().dirty()
    };
    (0..ENTRIES).for_each(|key| put(&engine, tree, key, vec![1; 256]));
    let new = dirty();
    assert!((ENTRIES as usize * 256..ENTRIES as usize * 512).contains(&new), "{new}");
    (0..ENTRIES).for_each(|key| put(&engine, tree, key, vec![2; 256]));
    assert!(dirty().abs_diff(new) < new / 8, "{} after {new}", dirty());
    engine.checkpoint().unwrap();
    assert_eq!(dirty(), 0);
    // Sixteen leaves, again and again.
    let mut random = Random::from_environment();
    for _ in 0..20_000 {
        put(&engine, tree, random.below(16) * (ENTRIES / 16), vec![3; 256]);
    }
    assert!((16 * 8_192..16 * 65_536).contains(&dirty()), "{}", dirty());
    engine.checkpoint().unwrap();
    for key in 0..ENTRIES {
        let mut batch = WriteBatch::new(Durability::Soft);
        batch.delete(tree, key.to_be_bytes().to_vec());
        engine.apply(batch).unwrap();
    }
    assert!(dirty() < new / 4, "{} after {new}", dirty());
}

/// Everything that is made for changes is charged, and nothing stays charged once it is gone.
#[test]
fn what_is_charged_for_changes_goes_with_them() {
    let mut random = Random::from_environment();
    let engine = open(&MemoryDisk::new(), options(64 << 20));
    let tree = new_tree(&engine);
    let charged = || engine.shared.read_state().view.account.bytes_of_all();
    let mut snapshots = Vec::new();
    for round in 0..6_u64 {
        for _ in 0..300 {
            let mut batch = WriteBatch::new(Durability::Soft);
            for _ in 0..1 + random.below(4) {
                let key = random.below(3_000).to_be_bytes().to_vec();
                match random.below(10) {
                    0 => batch.put(tree, key, vec![7; 5_000]),
                    1 | 2 => batch.delete(tree, key),
                    _ => batch.put(tree, key, vec![round as u8; 300]),
                };
            }
            engine.apply(batch).unwrap();
            if random.once_in(50) {
                snapshots.push(engine.snapshot().unwrap());
            }
        }
        engine.checkpoint().unwrap();
        let retained = engine.shared.read_state().retained();
        assert_eq!(charged(), retained, "after round {round}");
        assert!(retained > 0);
    }
    snapshots.clear();
    assert_eq!(charged(), 0);
}

/// One entry that is left of a large commit must not keep the record of all of it: the next epoch copies what is small.
#[test]
fn a_small_entry_does_not_keep_the_record_of_its_commit() {
    let disk = MemoryDisk::new();
    let options = SlabOptions { checkpoint_log_bytes: usize::MAX, ..options(256 << 20) };
    let engine = open(&disk, options);
    let tree = new_tree(&engine);
    // Each leaf has entries of many commits, and each commit has entries in many leaves.
    for commit in 0..100_u64 {
        let mut batch = WriteBatch::new(Durability::Soft);
        for number in 0..200_u64 {
            batch.put(tree, (number * 100 + commit).to_be_bytes().to_vec(), vec![1; 300]);
        }
        engine.apply(batch).unwrap();
    }
    let frozen = engine.shared.read_state().view.clone();
    let account = |view: &super::View| Arc::clone(&view.account);
    // As when a checkpoint begins, and a writer comes before it has written anything.
    {
        let mut state = engine.shared.write_state();
        state.view.account = account(&frozen).of_epoch(frozen.account.epoch() + 1);
    }
    engine.shared.log.flush().unwrap();
    let before = account(&frozen);
    drop(frozen);
    put(&engine, tree, 0, vec![2; 300]);
    let now = engine.shared.read_state().view.account.bytes();
    assert!(now < 64 * 1024, "{now} bytes for a leaf and the way to it");
    // Of every leaf one entry or a few.
    (0..2_000).for_each(|number| put(&engine, tree, number * 10, vec![2; 300]));
    assert!(before.bytes() < 512 * 1024, "{} bytes of old records", before.bytes());
}

/// The cache could hold ten times as much; what it holds is what there is.
#[test]
fn pages_of_what_was_replaced_or_dropped_go() {
    const ENTRIES: u64 = 10_000;
    let engine = open(&MemoryDisk::new(), options(64 << 20));
    let tree = new_tree(&engine);
    let cached = || engine.shared.pages.cached_bytes();
    (0..ENTRIES).for_each(|key| put(&engine, tree, key, vec![1; 256]));
    engine.checkpoint().unwrap();
    let once = cached();
    assert!(once > ENTRIES as usize * 256, "{once}");
    for round in 0..10 {
        (0..ENTRIES).for_each(|key| put(&engine, tree, key, vec![round; 256]));
        engine.checkpoint().unwrap();
    }
    assert!(cached() < once + once / 4, "{} after {once}", cached());
    let mut batch = WriteBatch::new(Durability::Soft);
    batch.drop_tree(tree);
    engine.apply(batch).unwrap();
    engine.checkpoint().unwrap();
    assert!(cached() < 64 * 1024, "{}", cached());
}

/// With a cold cache no way of reading waits, none has an effect, and each goes on from where it stood.
#[test]
fn a_cold_cache_is_not_waited_for_in_any_way() {
    const ENTRIES: u64 = 2_000;
    let disk = MemoryDisk::new();
    let engine = open(&disk, options(8 << 20));
    let tree = new_tree(&engine);
    for key in 0..ENTRIES {
        put(&engine, tree, key, vec![key as u8; 400]);
    }
    engine.close().unwrap();
    drop(engine);
    let engine = open(&disk, options(8 << 20));
    let snapshot = engine.snapshot().unwrap();
    let key = |number: u64| number.to_be_bytes().to_vec();
    let range = KeyRange::half_open(key(500), key(1_500));
    let mode = ReadMode::CachedOnly;
    let limit = FillLimit { entries: 100, bytes: usize::MAX };
    let before = engine.shared.pages.cached_bytes();
    let directions = [Direction::Forward, Direction::Backward];
    let mut cursors = directions.map(|way| snapshot.cursor(tree, &range, way).unwrap());
    let mut batch = EntryBatch::new();
    for _ in 0..2 {
        let mut seen = 0;
        let refused = [
            snapshot.get(tree, &key(700), mode).err(),
            snapshot.read(tree, &key(700), mode, &mut |_| seen += 1).err(),
            snapshot.count(tree, &range, mode).err(),
            snapshot.nth(tree, &range, Direction::Forward, 3, mode).err(),
            cursors[0].fill(&mut batch, limit, mode).err(),
            cursors[1].fill(&mut batch, limit, mode).err(),
            cursors[1].skip(5, mode).err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(StorageError::NotResident)), "{error:?}");
        }
        assert_eq!((seen, batch.len(), engine.shared.pages.cached_bytes()), (0, 0, before));
    }
    let firsts = [500, 1_499_u64];
    for (cursor, first) in cursors.iter_mut().zip(firsts) {
        batch.clear();
        assert!(cursor.fill(&mut batch, FillLimit { entries: 1, ..limit }, WAIT).unwrap());
        assert_eq!(batch.get(0).unwrap().0, first.to_be_bytes());
    }
    // One leaf is there now, the next ones are not: what could be read is returned, and then nothing is.
    batch.clear();
    let all = FillLimit { entries: usize::MAX, bytes: usize::MAX };
    assert!(cursors[0].fill(&mut batch, all, mode).unwrap());
    let found = batch.len() as u64;
    assert!((1..999).contains(&found), "{found}");
    assert!(batch.iter().zip(501_u64..).all(|((key, _), number)| key == number.to_be_bytes()));
    let again = cursors[0].fill(&mut batch, all, mode);
    assert!(matches!(again, Err(StorageError::NotResident)) && batch.len() as u64 == found);
    batch.clear();
    assert!(!cursors[0].fill(&mut batch, all, WAIT).unwrap());
    assert_eq!(batch.len() as u64, 999 - found);
    assert_eq!(snapshot.count(tree, &range, mode).unwrap(), 1_000);
    assert!(snapshot.nth(tree, &range, Direction::Backward, 3, mode).unwrap().is_some());
}

#[test]
fn dropped_and_deleted_data_leaves_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(FileDisk::new(directory.path()));
    let engine = SlabEngine::open(disk, options(1 << 20)).unwrap();
    let used = || {
        let file = std::fs::File::open(directory.path().join("slab.data")).unwrap();
        file.sync_all().unwrap();
        file.metadata().unwrap().blocks() * 512
    };
    let (kept, dropped) = (new_tree(&engine), new_tree(&engine));
    for key in 0..5_000_u64 {
        put(&engine, kept, key, vec![1; 400]);
        put(&engine, dropped, key, vec![1; 400]);
    }
    engine.checkpoint().unwrap();
    let full = used();
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.drop_tree(dropped);
    engine.apply(batch).unwrap();
    for key in 0..4_500_u64 {
        let mut batch = WriteBatch::new(Durability::Soft);
        batch.delete(kept, key.to_be_bytes().to_vec());
        engine.apply(batch).unwrap();
    }
    engine.checkpoint().unwrap();
    assert!(full > 4_000_000, "{full}");
    assert!(used() < full / 3, "{} of {full}", used());
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(snapshot.count(kept, &KeyRange::ALL, WAIT).unwrap(), 500);
}

/// What a checkpoint stores while writers go on is released when they have replaced it, and nothing else is.
#[test]
fn no_slot_is_lost_between_writers_and_checkpoints() {
    let disk = MemoryDisk::new();
    let flush_interval = Some(Duration::from_millis(2));
    let engine = open(&disk, SlabOptions { flush_interval, ..options(600_000) });
    let trees: Vec<_> = (0..3).map(|_| new_tree(&engine)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = trees
            .iter()
            .map(|tree| {
                let engine = &engine;
                scope.spawn(move || {
                    let mut random = Random::from_environment();
                    for round in 0..3_000_u64 {
                        let length = if random.once_in(50) { 9_000 } else { random.below(300) };
                        put(engine, *tree, random.below(500), vec![round as u8; length as usize]);
                    }
                })
            })
            .collect();
        let checkpoints = scope.spawn(|| {
            let mut checkpoints = 0;
            while !done.load(Ordering::Acquire) {
                engine.checkpoint().unwrap();
                checkpoints += 1;
            }
            checkpoints
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Release);
        assert!(checkpoints.join().unwrap() > 5);
    });
    engine.verify().unwrap();
    let snapshot = engine.snapshot().unwrap();
    let counts = trees.iter().map(|tree| snapshot.count(*tree, &KeyRange::ALL, WAIT).unwrap());
    assert!(counts.into_iter().all(|count| count > 450));
    engine.close().unwrap();
}

/// Nobody writes any more, and yet what was deleted leaves the disk, and the log with it.
#[test]
fn an_idle_store_gives_back_log_and_space() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(FileDisk::new(directory.path()));
    let options = SlabOptions {
        flush_interval: Some(Duration::from_millis(5)),
        checkpoint_interval: Duration::from_millis(200),
        reserve_bytes: 4_096,
        ..SlabOptions::new([7; 16], 64 << 20)
    };
    let engine = SlabEngine::open(disk, options).unwrap();
    let used = || {
        let entries = std::fs::read_dir(directory.path()).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512).sum::<u64>()
    };
    let tree = new_tree(&engine);
    for key in 0..8_000_u64 {
        put(&engine, tree, key, vec![1; 1_000]);
    }
    let reader = engine.snapshot().unwrap();
    for key in 0..7_600_u64 {
        let mut batch = WriteBatch::new(Durability::Soft);
        batch.delete(tree, key.to_be_bytes().to_vec());
        engine.apply(batch).unwrap();
    }
    engine.wait_durable(engine.last_sequence()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    drop(reader);
    let since = std::time::Instant::now();
    while used() > 2_000_000 {
        assert!(since.elapsed() < Duration::from_secs(20), "{} bytes", used());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(engine.snapshot().unwrap().count(tree, &KeyRange::ALL, WAIT).unwrap(), 400);
    engine.close().unwrap();
}

/// The disk of this test is memory: it never makes anybody wait.
#[test]
fn a_read_that_must_not_wait_reads_as_much_of_the_systems_memory_as_it_may() {
    const AT_ONCE: ReadMode = ReadMode::CachedOnly;
    let disk = MemoryDisk::new();
    let engine = open(&disk, options(8 << 20));
    let tree = new_tree(&engine);
    (0..1_000).for_each(|key| put(&engine, tree, key, vec![key as u8; 1_000]));
    put(&engine, tree, 1_000, vec![7; 200_000]);
    engine.close().unwrap();
    drop(engine);
    let engine = open(&disk, options(8 << 20));
    let snapshot = engine.snapshot().unwrap();
    let get = |key: u64, allowed: usize| {
        allow_reads_at_once(allowed);
        snapshot.get(tree, &key.to_be_bytes(), AT_ONCE)
    };
    let refused = |outcome: Result<Option<_>, _>| {
        assert!(matches!(outcome, Err(StorageError::NotResident)), "{outcome:?}");
    };
    refused(get(3, 0));
    refused(get(3, 10_000));
    assert_eq!(get(3, 64 << 10).unwrap().unwrap(), vec![3; 1_000]);
    // What was read is in the cache. What was not is not.
    assert_eq!(get(3, 0).unwrap().unwrap(), vec![3; 1_000]);
    refused(get(900, 0));
    refused(get(1_000, 100_000));
    assert_eq!(get(1_000, 300_000).unwrap().unwrap().len(), 200_000);
    // A scan stops where it may not go on, and goes on from there.
    let mut cursor = snapshot.cursor(tree, &KeyRange::ALL, Direction::Forward).unwrap();
    let mut batch = EntryBatch::new();
    let limit = FillLimit { entries: 800, bytes: usize::MAX };
    allow_reads_at_once(100_000);
    assert!(cursor.fill(&mut batch, limit, AT_ONCE).unwrap());
    assert!((1..200).contains(&batch.len()), "{}", batch.len());
    refused(cursor.fill(&mut EntryBatch::new(), limit, AT_ONCE).map(|_| None));
    let before = batch.len() as u64;
    batch.clear();
    assert!(cursor.fill(&mut batch, limit, WAIT).unwrap());
    assert_eq!(batch.get(0).unwrap().0, before.to_be_bytes());
}
