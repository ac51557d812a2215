//! A full disk: writes are refused with an error of its own, reads go on, a start succeeds, and once there is room
//! writes go on, with everything that was applied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{COMMITS, Course, TREES, open, run, state_of};
use crate::storage::disk::{CrashMode, Disk, FaultyDisk};
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{Durability, Engine, StorageError, WriteBatch};

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
        assert!(since.elapsed() < Duration::from_secs(30), "it does not go on");
        std::thread::sleep(Duration::from_millis(20));
    }
    write(u64::MAX).unwrap();
    engine.verify().unwrap();
    engine.close().unwrap();
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
