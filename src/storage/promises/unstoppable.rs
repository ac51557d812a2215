//! What must not stop the engine, and what must stop it at once and with everybody told.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::{Course, TREES, WAIT, open, run, state_of};
use crate::storage::disk::{CrashMode, FaultyDisk};
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{Durability, Engine, StorageError, WriteBatch, verify_directory};

fn write(engine: &SlabEngine, change: impl FnOnce(&mut WriteBatch)) {
    let mut batch = WriteBatch::new(Durability::Hard);
    change(&mut batch);
    engine.apply(batch).unwrap();
    engine.checkpoint().unwrap();
}

/// Seen to fail when a list that cannot be read ends the checkpoint that has to release its parts.
#[test]
fn a_damaged_list_of_a_long_value_is_lost_room_and_stops_no_write() {
    let disk = FaultyDisk::new(1);
    let engine = open(&disk).unwrap();
    write(&engine, |batch| {
        batch.create_tree(TREES[0]);
        batch.put(TREES[0], "long", vec![7; 600_000]);
    });
    drop(engine);
    let engine = open(&disk).unwrap();
    // The list: three references to parts, and nothing behind them.
    let bytes = disk.bytes("slab.data");
    let is_list = |at: &usize| {
        let block = &bytes[*at..at + 1_024];
        block[..60].iter().any(|byte| *byte != 0)
            && block[60..].iter().all(|byte| *byte == 0)
            && [8, 28].iter().all(|length| block[*length..length + 4] == 262_144_u32.to_le_bytes())
    };
    let list = (0..bytes.len() - 1_024).step_by(1_024).find(is_list).expect("it has a list");
    disk.flip_bit("slab.data", list + 3, 1);
    assert!(engine.snapshot().unwrap().get(TREES[0], b"long", WAIT).is_err());
    write(&engine, |batch| batch.delete(TREES[0], "long"));
    write(&engine, |batch| batch.put(TREES[0], "short", "value"));
    engine.check_writable().unwrap();
    assert_eq!(engine.numbers().leaks, 1);
    engine.verify().unwrap();
    engine.close().unwrap();
    drop(engine);
    let report = verify_directory(&disk).expect("lost room is no damage");
    assert_eq!(report.lost_slots, 3);
    let engine = open(&disk).unwrap();
    write(&engine, |batch| batch.put(TREES[0], "more", "value"));
}

/// Seen to fail when there is one superblock of each checkpoint.
#[test]
fn a_damaged_superblock_does_not_cost_the_newest_state() {
    let disk = FaultyDisk::new(1);
    let engine = open(&disk).unwrap();
    run(&engine, &mut Course::default()).unwrap();
    engine.checkpoint().unwrap();
    let found = state_of(&*engine.snapshot().unwrap()).unwrap();
    drop(engine);
    for place in [0, 65_536, 131_072, 196_608] {
        let damaged = disk.crash(CrashMode::KeepAll);
        damaged.flip_bit("slab.data", place + 40, 3);
        let engine = open(&damaged).expect("the other one says the same");
        assert_eq!(state_of(&*engine.snapshot().unwrap()).unwrap(), found);
        engine.verify().unwrap();
    }
}

#[test]
fn a_data_file_that_was_cut_off_is_refused() {
    use crate::storage::disk::Disk;
    let disk = FaultyDisk::new(1);
    let engine = open(&disk).unwrap();
    run(&engine, &mut Course::default()).unwrap();
    engine.close().unwrap();
    drop(engine);
    let file = disk.open("slab.data").unwrap();
    file.set_length(2 * 262_144).unwrap();
    let refused = open(&disk).err().expect("a part is missing").to_string();
    assert!(refused.contains("rule 15"), "{refused}");
}

/// Seen to fail: the map of extents was to be as long as the number of one said, which ended the process.
#[test]
fn an_extent_behind_the_end_of_the_file_is_refused() {
    use crate::storage::disk::Disk;
    use crate::storage::slab::fuzzing::write_superblock;
    use crate::storage::slab::{Slab, Superblock};
    let disk = FaultyDisk::new(1);
    let engine = open(&disk).unwrap();
    run(&engine, &mut Course::default()).unwrap();
    engine.checkpoint().unwrap();
    drop(engine);
    let (_, newest) = Slab::open(&disk).unwrap();
    assert!(newest.extents > 1);
    let checkpoint = newest.checkpoint + 1;
    let file = disk.open("slab.data").unwrap();
    write_superblock(&*file, &Superblock { checkpoint, extents: 1, ..newest }).unwrap();
    let refused = verify_directory(&disk).unwrap_err().to_string();
    assert!(
        refused.contains("behind the end of the file") && refused.contains("rule 15"),
        "{refused}"
    );
}

fn with_threads(disk: &FaultyDisk) -> SlabEngine {
    let options = SlabOptions {
        flush_interval: Some(Duration::from_millis(5)),
        reserve_bytes: 8_192,
        ..SlabOptions::new([7; 16], 1 << 20)
    };
    SlabEngine::open(Arc::new(disk.clone()), options).unwrap()
}

fn is_told(engine: &SlabEngine, key: &'static str) {
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.put(TREES[0], key, vec![1; 4_000]);
    let outcome = engine.apply(batch).and_then(|commit| engine.wait_durable(commit.sequence));
    assert!(matches!(outcome, Err(StorageError::Poisoned { .. })), "{outcome:?}");
    let told = engine.check_writable().unwrap_err().to_string();
    assert!(told.contains("panicked"), "{told}");
    assert!(engine.close().is_err());
}

/// Seen to fail when the thread of the checkpoints ends without a word: writers wait for room for ever.
#[test]
fn a_panic_of_the_thread_of_the_checkpoints_is_told_to_those_who_wait_for_room() {
    let disk = FaultyDisk::new(1);
    let engine = with_threads(&disk);
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.create_tree(TREES[0]);
    engine.apply(batch).unwrap();
    disk.interrupt(Some(Box::new(|| {
        if std::thread::current().name() == Some("checkpoint") {
            panic!("a fault of the program");
        }
    })));
    let stopped = (0..10_000_u64).find_map(|key| {
        let mut batch = WriteBatch::new(Durability::Soft);
        batch.put(TREES[0], key.to_be_bytes().to_vec(), vec![1; 4_000]);
        engine.apply(batch).err()
    });
    assert!(matches!(stopped, Some(StorageError::Poisoned { .. })), "{stopped:?}");
    is_told(&engine, "late");
}

/// Seen to fail when the thread of the log ends without a word: who waits for a sync waits for ever.
#[test]
fn a_panic_of_the_thread_of_the_log_is_told_to_those_who_wait_for_a_sync() {
    let disk = FaultyDisk::new(1);
    let engine = with_threads(&disk);
    let mut batch = WriteBatch::new(Durability::Soft);
    batch.create_tree(TREES[0]);
    let sequence = engine.apply(batch).unwrap().sequence;
    engine.when_durable(sequence, Box::new(|_| panic!("a fault of the program")));
    let (send, receive) = channel();
    let next = crate::storage::CommitSequence(sequence.0 + 1);
    engine.when_durable(next, Box::new(move |outcome| send.send(outcome).unwrap()));
    let outcome = receive.recv_timeout(Duration::from_secs(20)).expect("it is told");
    assert!(outcome.is_err());
    is_told(&engine, "late");
}
