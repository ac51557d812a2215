//! Promises 1, 2 and 4: whole batches, nothing acknowledged is lost, and no writing after a failure.

use super::{COMMITS, Course, open, run, state_of};
use crate::storage::disk::{CrashMode, FaultyDisk};
use crate::storage::{Durability, Engine, StorageError, WriteBatch};

/// Operations of the disk in the whole course of events.
fn operations() -> u64 {
    let disk = FaultyDisk::new(1);
    let engine = open(&disk).unwrap();
    run(&engine, &mut Course::default()).unwrap();
    disk.operations()
}

/// Runs the course of events up to every operation, and looks at what is there after every kind of crash, and after
/// the end of the process alone.
fn at_every_operation(mut look: impl FnMut(&Course, &FaultyDisk)) {
    let operations = operations();
    assert!(operations > 100, "{operations}");
    for stop in 0..operations {
        let disk = FaultyDisk::new(stop);
        disk.stop_after(stop);
        let mut course = Course::default();
        let ran = open(&disk).and_then(|engine| run(&engine, &mut course));
        assert!(ran.is_err(), "nobody noticed that the machine stopped at {stop}");
        for mode in CrashMode::ALL {
            look(&course, &disk.crash(mode));
        }
        disk.forgive();
        look(&course, &disk);
    }
}

/// Seen to fail when a start leaves the last operation of a commit of the log out, and when a checkpoint stores a
/// state before the log has it.
#[test]
fn promise_1_a_batch_is_all_there_or_not_at_all_in_every_tree() {
    at_every_operation(|_, disk| {
        let engine = open(disk).expect("a crash is no damage");
        // Checks that every tree is in the state of the same commit.
        state_of(&*engine.snapshot().unwrap()).unwrap();
    });
}

/// Seen to fail when the log is not synced, when it is cut before the checkpoint is durable, when a checkpoint does
/// not sync its images before its superblock, and when a start does not make safe what it has found.
#[test]
fn promise_2_no_crash_loses_what_was_acknowledged() {
    at_every_operation(|course, disk| {
        let engine = open(disk).expect("a crash is no damage");
        let found = state_of(&*engine.snapshot().unwrap()).unwrap();
        let (least, most) = (course.acknowledged, course.last + 1);
        assert!((least..=most).contains(&found), "commit {found}, not of {least} to {most}");
        assert_eq!(engine.durable_sequence().0, found);
        // What was found is durable by now, and whatever comes next is in addition to it.
        drop(engine);
        let again = disk.crash(CrashMode::LoseAll);
        let engine = open(&again).expect("a crash is no damage");
        assert_eq!(state_of(&*engine.snapshot().unwrap()).unwrap(), found);
        run(&engine, &mut Course::default()).unwrap();
        assert_eq!(state_of(&*engine.snapshot().unwrap()).unwrap(), COMMITS);
        engine.verify().unwrap();
    });
}

/// Seen to fail when the log goes on after a failed sync or tries it again, and when a failed checkpoint does not stop
/// the log.
#[test]
fn promise_4_after_a_failed_write_or_sync_it_stops_writing_and_says_so() {
    let (mut stopped, mut reads) = (0, 0);
    for failing in 0..operations() {
        let disk = FaultyDisk::new(failing);
        let engine = open(&disk).unwrap();
        let before = disk.operations();
        let Some(after) = failing.checked_sub(before) else { continue };
        disk.fail_after(after);
        let mut course = Course::default();
        let ran = run(&engine, &mut course);
        let failed = disk.failed().expect("one operation has failed");
        if failed.must_not_fail() {
            stopped += 1;
            let said = ran.expect_err("a failure that nobody was told of");
            assert!(
                matches!(said, StorageError::Io { .. } | StorageError::Poisoned { .. }),
                "{said}"
            );
            for _ in 0..2 {
                let mut batch = WriteBatch::new(Durability::Hard);
                batch.put(super::TREES[0], "late", "late");
                let refused = engine.apply(batch).expect_err("it goes on writing");
                assert!(matches!(refused, StorageError::Poisoned { .. }), "{refused}");
                assert!(engine.checkpoint().is_err());
            }
            assert!(engine.close().is_err() && engine.close().is_err());
        }
        assert_eq!(disk.late_writes(), 0, "written after {failed:?}");
        // Reading goes on, and what was acknowledged is there after the next start.
        let seen = state_of(&*engine.snapshot().unwrap()).unwrap();
        reads += u64::from(seen >= course.acknowledged);
        drop(engine);
        disk.forgive();
        let next = open(&disk).expect("the failure is over");
        let found = state_of(&*next.snapshot().unwrap()).unwrap();
        assert!(found >= course.acknowledged, "commit {found}, not {}", course.acknowledged);
    }
    assert!(stopped > 30 && reads > stopped, "{stopped} failures, {reads} reads");
}
