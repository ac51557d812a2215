//! Promise 4 when several threads are at work: once a sync of the log has failed, no file is altered any more, whatever a
//! checkpoint was about, and every later start succeeds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Course, TREES, open, run, state_of};
use crate::storage::disk::{Call, CrashMode, Disk, FaultyDisk};
use crate::storage::store::SlabEngine;
use crate::storage::{Durability, Engine, StorageError, WriteBatch};

fn contents(disk: &FaultyDisk) -> BTreeMap<String, Vec<u8>> {
    let names = disk.list().unwrap();
    names.into_iter().map(|name| (name.clone(), disk.bytes(&name))).collect()
}

/// The commit that comes next in the course of events, roughly: every tree says its number.
fn next_batch(number: u64) -> WriteBatch {
    let mut batch = WriteBatch::new(Durability::Hard);
    for tree in TREES {
        batch.put(tree, "last", number.to_be_bytes().to_vec());
        batch.put(tree, number.to_be_bytes().to_vec(), vec![number as u8; 300]);
        batch.delete(tree, (number - 4).to_be_bytes().to_vec());
    }
    batch
}

/// A checkpoint is due, and at one of its operations somebody else's sync of the log fails.
fn fail_during_a_checkpoint(at: u64, call: Call) -> Option<(FaultyDisk, Arc<SlabEngine>, u64)> {
    let disk = FaultyDisk::new(at);
    let engine = Arc::new(open(&disk).unwrap());
    let mut course = Course::default();
    run(&engine, &mut course).unwrap();
    engine.wait_durable(engine.last_sequence()).unwrap();
    let acknowledged = engine.durable_sequence().0;
    let (passed, has_failed) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    let (others, faulty, failed) = (Arc::clone(&engine), disk.clone(), Arc::clone(&has_failed));
    disk.interrupt(Some(Box::new(move || {
        if passed.fetch_add(1, Ordering::Relaxed) != at {
            return;
        }
        let next = others.apply(next_batch(acknowledged + 1)).unwrap().sequence;
        faulty.fail_next(call, "slab.log");
        others.wait_durable(next).expect_err("the log cannot be written");
        failed.store(true, Ordering::Relaxed);
    })));
    let _ = engine.checkpoint();
    disk.interrupt(None);
    has_failed.load(Ordering::Relaxed).then_some((disk, engine, acknowledged))
}

/// Seen to fail when the log's writer does not know what has failed, and when the data file is altered all the same.
#[test]
fn promise_4_nothing_is_altered_after_a_sync_of_the_log_failed_during_a_checkpoint() {
    let mut operations = 0;
    for call in [Call::Sync, Call::Write] {
        for at in 0.. {
            let Some((disk, engine, acknowledged)) = fail_during_a_checkpoint(at, call) else {
                break;
            };
            operations += 1;
            assert_eq!(disk.late_writes(), 0, "written after a failure at {at}");
            let before = contents(&disk);
            let refused = engine.apply(next_batch(acknowledged + 2)).expect_err("it goes on");
            assert!(matches!(refused, StorageError::Poisoned { .. }), "{refused}");
            assert!(engine.check_writable().is_err() && engine.checkpoint().is_err());
            assert!(engine.close().is_err());
            drop(engine);
            assert!(contents(&disk) == before && disk.late_writes() == 0, "altered at {at}");
            for mode in CrashMode::ALL {
                reopens(&disk.crash(mode), acknowledged);
            }
            disk.forgive();
            reopens(&disk, acknowledged);
        }
    }
    assert!(operations > 10, "{operations}");
}

fn reopens(disk: &FaultyDisk, acknowledged: u64) {
    for _ in 0..2 {
        let engine = open(disk).expect("every later start succeeds");
        let found = state_of(&*engine.snapshot().unwrap()).unwrap();
        assert!(found >= acknowledged, "commit {found}, not {acknowledged}");
        engine.verify().unwrap();
    }
}
