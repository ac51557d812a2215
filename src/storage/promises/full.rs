//! A full disk: writes are refused with an error of its own, reads go on, a start succeeds, and once there is room
//! writes go on, with everything that was applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{COMMITS, Course, TREES, WAIT, open, run, state_of};
use crate::storage::disk::{CrashMode, Disk, FaultyDisk};
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{Durability, Engine, KeyRange, StorageError, WriteBatch};

/// Long before a checkpoint is due by time.
const SOON: Duration = Duration::from_secs(8);

/// The disk becomes full at every possible amount of room.
#[test]
fn a_full_disk_refuses_writes_and_goes_on_when_there_is_room() {
    let (mut refused, mut at_starts) = (0, 0);
    let most = {
        let disk = FaultyDisk::new(1);
        run(&open(&disk).unwrap(), &mut Course::default()).unwrap();
        disk.used() + 100_000
    };
    for room in (0..most).step_by(1_024) {
        let disk = FaultyDisk::new(room as u64);
        drop(open(&disk).unwrap());
        disk.set_capacity(disk.used() + room);
        let engine = open(&disk).expect("it starts on a full disk");
        let mut course = Course::default();
        let Err(error) = run(&engine, &mut course) else { continue };
        assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
        assert_eq!(disk.failed(), None);
        refused += 1;
        let now = engine.last_sequence().0;
        assert_eq!(state_of(&*engine.snapshot().unwrap()).unwrap(), now, "it can be read");
        // A crash now loses nothing that was acknowledged, and the store starts while the disk is full.
        for mode in CrashMode::ALL {
            let crashed = disk.crash(mode);
            let engine = open(&crashed).expect("it starts on a full disk");
            let found = state_of(&*engine.snapshot().unwrap()).unwrap();
            assert!((course.acknowledged..=now).contains(&found), "commit {found}");
            at_starts += u64::from(engine.check_writable().is_err());
            crashed.set_capacity(usize::MAX);
            run(&engine, &mut Course::default()).expect("it goes on");
            engine.verify().unwrap();
        }
        disk.set_capacity(usize::MAX);
        run(&engine, &mut course).expect("it goes on");
        engine.wait_durable(engine.last_sequence()).unwrap();
        engine.verify().expect("no slot is lost");
        drop(engine);
        let next = open(&disk.crash(CrashMode::LoseAll)).unwrap();
        assert_eq!(state_of(&*next.snapshot().unwrap()).unwrap(), COMMITS);
    }
    assert!(refused > 20 && at_starts > 20, "{refused} refused, {at_starts} full at the start");
}

/// As in a server: nobody asks for it, and writes go on.
#[test]
fn the_threads_find_out_that_there_is_room_again() {
    let disk = FaultyDisk::new(1);
    let options = SlabOptions {
        flush_interval: Some(Duration::from_millis(5)),
        reserve_bytes: 16_384,
        ..SlabOptions::new([7; 16], 4 << 20)
    };
    let engine = SlabEngine::open(Arc::new(disk.clone()), options).unwrap();
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.create_tree(TREES[0]);
    engine.apply(batch).unwrap();
    disk.set_capacity(disk.used() + 200_000);
    let write = |key: u64| {
        let mut batch = WriteBatch::new(Durability::Hard);
        batch.put(TREES[0], key.to_be_bytes().to_vec(), vec![1; 3_000]);
        engine.wait_durable(engine.apply(batch)?.sequence)
    };
    let since = Instant::now();
    let full = (0..).find_map(|key| write(key).err()).unwrap();
    assert!(matches!(full, StorageError::DiskFull { .. }), "{full}");
    assert!(matches!(engine.check_writable(), Err(StorageError::DiskFull { .. })));
    assert!(write(u64::MAX).is_err() && since.elapsed() < Duration::from_secs(30));
    disk.set_capacity(usize::MAX);
    let since = Instant::now();
    while engine.check_writable().is_err() {
        assert!(since.elapsed() < SOON, "it does not go on");
        std::thread::sleep(Duration::from_millis(20));
    }
    write(u64::MAX).unwrap();
    engine.verify().unwrap();
    engine.close().unwrap();
}

/// An engine with its threads whose disk has so many bytes, filled until it refuses.
fn filled(disk: &FaultyDisk, capacity: usize) -> SlabEngine {
    let options = SlabOptions {
        flush_interval: Some(Duration::from_millis(5)),
        reserve_bytes: 512 << 10,
        ..SlabOptions::new([7; 16], 4 << 20)
    };
    let engine = SlabEngine::open(Arc::new(disk.clone()), options).unwrap();
    let mut batch = WriteBatch::new(Durability::Hard);
    TREES.into_iter().for_each(|tree| batch.create_tree(tree));
    engine.apply(batch).unwrap();
    disk.set_capacity(capacity);
    let until_full = (0..).find_map(|key| put(&engine, key).err()).unwrap();
    assert!(matches!(until_full, StorageError::DiskFull { .. }), "{until_full}");
    engine
}

fn put(engine: &SlabEngine, key: u64) -> Result<(), StorageError> {
    let mut batch = WriteBatch::new(Durability::Hard);
    let tree = if key.is_multiple_of(2) { TREES[0] } else { TREES[1] };
    batch.put(tree, key.to_be_bytes().to_vec(), vec![1; 1_000]);
    engine.wait_durable(engine.apply(batch)?.sequence)
}

/// A removal may meet the end of the reserve: then it is told, and can be tried again.
fn freed(engine: &SlabEngine, batch: &WriteBatch) {
    let since = Instant::now();
    while let Err(error) = engine.apply(batch.clone()) {
        assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
        assert!(since.elapsed() < 3 * SOON, "nothing can be removed");
    }
}

fn writes_again(engine: &SlabEngine) {
    let since = Instant::now();
    while let Err(error) = put(engine, u64::MAX) {
        assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
        assert!(since.elapsed() < 3 * SOON, "it does not go on");
        std::thread::sleep(Duration::from_millis(20));
    }
    engine.verify().unwrap();
}

/// Seen to fail when a full disk refuses these, too: there was no way out but a larger disk.
#[test]
fn a_disk_that_is_full_of_its_own_data_is_left_by_dropping_a_tree() {
    let disk = FaultyDisk::new(1);
    let engine = filled(&disk, 12 << 20);
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.drop_tree(TREES[0]);
    freed(&engine, &batch);
    writes_again(&engine);
    engine.close().unwrap();
}

/// The same.
#[test]
fn a_disk_that_is_full_of_its_own_data_is_left_by_deleting() {
    let disk = FaultyDisk::new(1);
    let engine = filled(&disk, 12 << 20);
    let keys = engine.snapshot().unwrap().count(TREES[0], &KeyRange::ALL, WAIT).unwrap();
    assert!(keys > 1_000, "{keys}");
    for first in (0..keys).step_by(50) {
        let mut batch = WriteBatch::new(Durability::Soft);
        for key in first..first + 50 {
            batch.delete(TREES[0], (2 * key).to_be_bytes().to_vec());
        }
        freed(&engine, &batch);
    }
    writes_again(&engine);
    engine.close().unwrap();
}

/// Seen to fail when who leaves on an error takes the turn of another: then that one waits for ever, and so does
/// everybody behind it.
#[test]
fn writers_who_wait_for_memory_go_on_after_a_disk_that_is_full_now_and_then() {
    let disk = FaultyDisk::new(1);
    let options = SlabOptions {
        flush_interval: Some(Duration::from_millis(1)),
        reserve_bytes: 16_384,
        ..SlabOptions::new([7; 16], 1 << 20)
    };
    let engine = Arc::new(SlabEngine::open(Arc::new(disk.clone()), options).unwrap());
    let mut batch = WriteBatch::new(Durability::Soft);
    TREES.into_iter().for_each(|tree| batch.create_tree(tree));
    engine.apply(batch).unwrap();
    let (told, refused) = std::sync::mpsc::channel();
    let ends = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..16_u64)
        .map(|writer| {
            let (engine, told, ends) = (Arc::clone(&engine), told.clone(), Arc::clone(&ends));
            std::thread::spawn(move || {
                for number in 0_u64.. {
                    let key = [writer.to_be_bytes(), (number % 64).to_be_bytes()].concat();
                    let mut batch = WriteBatch::new(Durability::Soft);
                    batch.put(TREES[number as usize % TREES.len()], key, vec![1; 3_000]);
                    let is_last = ends.load(Ordering::Acquire);
                    match engine.apply(batch) {
                        Ok(_) if is_last => break,
                        Ok(_) => {}
                        Err(error) => {
                            assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
                            told.send(()).unwrap();
                            std::thread::sleep(Duration::from_micros(200));
                        }
                    }
                }
            })
        })
        .collect();
    for round in 0..150 {
        disk.set_capacity(disk.used());
        std::thread::sleep(Duration::from_millis(round % 4));
        disk.set_capacity(usize::MAX);
        std::thread::sleep(Duration::from_millis(3));
    }
    ends.store(true, Ordering::Release);
    let since = Instant::now();
    for writer in writers {
        while !writer.is_finished() {
            assert!(since.elapsed() < 3 * SOON, "a writer waits for ever");
            std::thread::sleep(Duration::from_millis(5));
        }
        writer.join().unwrap();
    }
    assert!(refused.try_iter().count() > 0, "the disk was never full");
    engine.verify().unwrap();
}

/// What is only to give room back may fail: nothing depends on it.
#[test]
fn a_segment_that_is_gone_already_poisons_nothing() {
    let disk = FaultyDisk::new(1);
    let engine = open(&disk).unwrap();
    run(&engine, &mut Course::default()).unwrap();
    drop(engine);
    let engine = open(&disk).unwrap();
    let names = disk.list().unwrap();
    let first = names.iter().filter(|name| name.starts_with("slab.log")).min().unwrap();
    disk.remove(first).unwrap();
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.put(TREES[0], "key", "value");
    engine.apply(batch).unwrap();
    engine.checkpoint().unwrap();
    engine.check_writable().unwrap();
}
