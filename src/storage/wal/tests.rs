//! The log on disks that lie: what was acknowledged comes back, in order, and damage is never taken for an end.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::segment::file_name;
use super::{Log, LogOptions, Logged, encode, replay};
use crate::storage::disk::{Call, CrashMode, Disk, FaultyDisk};
use crate::storage::encoding::{BLOCK, Identity};
use crate::storage::{CommitSequence, Operation, StorageError, TreeId};
use crate::testing::Random;

const IDENTITY: Identity = *b"identity of test";

fn options(flush_interval: Option<Duration>) -> LogOptions {
    let segment_bytes = 5 * BLOCK as u64;
    LogOptions { identity: IDENTITY, segment_bytes, flush_interval, health: Arc::default() }
}

/// A commit that says which one it is.
fn operations(number: u64) -> Vec<Operation> {
    let value = Bytes::from(vec![number as u8; (number * 37 % 6_000) as usize]);
    vec![Operation::Put { tree: TreeId(1), key: Bytes::from(number.to_string()), value }]
}

fn append(log: &Log, number: u64) {
    assert_eq!(log.append(encode(&operations(number)), false).unwrap(), CommitSequence(number));
}

/// The log of a directory, after a check that its commits are those after `contained`, and the last of them.
fn open(disk: &FaultyDisk, contained: u64) -> Result<(Log, u64), StorageError> {
    let mut last = contained;
    let end =
        replay(disk, &IDENTITY, CommitSequence(contained), contained == 0, &mut |at, found| {
            assert_eq!(at.0, last + 1, "a commit is missing");
            assert_eq!(found, Logged::Batch(operations(at.0)));
            last += 1;
            Ok(())
        })?;
    assert_eq!(end.last.0, last);
    Ok((Log::begin(Arc::new(disk.clone()), &options(None), end)?, last))
}

#[test]
fn commits_come_back_from_many_segments() {
    let disk = FaultyDisk::new(1);
    let (log, _) = open(&disk, 0).unwrap();
    for number in 1..=100 {
        append(&log, number);
        if number % 3 == 0 {
            log.flush().unwrap();
            assert_eq!(log.durable().0, number);
        }
    }
    log.close().unwrap();
    assert!(matches!(log.append(encode(&[]), true), Err(StorageError::Closed)));
    assert!(disk.list().unwrap().len() > 5);
    assert_eq!(open(&disk.crash(CrashMode::LoseAll), 0).unwrap().1, 100);
    assert_eq!(open(&disk, 60).unwrap().1, 100);
}

/// A disk may write to the wrong place and say that it has not.
#[test]
fn a_group_in_the_place_of_an_earlier_one_is_damage() {
    let disk = FaultyDisk::new(1);
    let (log, _) = open(&disk, 0).unwrap();
    for number in 1..=3 {
        append(&log, number);
        log.flush().unwrap();
    }
    log.close().unwrap();
    let name = file_name(1);
    let bytes = disk.bytes(&name);
    let file = disk.open(&name).unwrap();
    let last = bytes.len() - BLOCK;
    file.write_at(last as u64, &[0; BLOCK]).unwrap();
    assert_eq!(open(&disk.crash(CrashMode::KeepAll), 0).unwrap().1, 2, "a torn end");
    file.write_at(2 * BLOCK as u64, &bytes[last..]).unwrap();
    let found = open(&disk, 0).map(|(_, last)| last);
    assert!(matches!(found, Err(StorageError::Corrupt { .. })), "{found:?}");
}

#[test]
fn one_sync_serves_all_that_wait() {
    let disk = FaultyDisk::new(1);
    let (log, _) = open(&disk, 0).unwrap();
    let (send, receive) = channel();
    for number in 1..=50 {
        append(&log, number);
    }
    for number in 1..=50 {
        let send = send.clone();
        log.when_durable(
            CommitSequence(number),
            Box::new(move |outcome| {
                send.send(outcome.is_ok()).unwrap();
            }),
        );
    }
    assert_eq!(receive.try_iter().filter(|durable| *durable).count(), 50);
    let end = replay(&disk, &IDENTITY, CommitSequence(0), false, &mut |_, _| Ok(())).unwrap();
    assert_eq!(end.next_group, 2, "more than one group was written");
}

#[test]
fn hard_commits_are_synced_at_once_and_soft_ones_by_the_clock() {
    let begin = |interval| {
        let disk = FaultyDisk::new(1);
        let end = replay(&disk, &IDENTITY, CommitSequence(0), true, &mut |_, _| Ok(())).unwrap();
        Log::begin(Arc::new(disk), &options(Some(interval)), end).unwrap()
    };
    let until_durable = |log: &Log, number| {
        let since = Instant::now();
        while log.durable().0 < number {
            assert!(since.elapsed() < Duration::from_secs(20), "not synced");
            std::thread::yield_now();
        }
    };
    let patient = begin(Duration::from_secs(3_600));
    append(&patient, 1);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(patient.durable().0, 0, "a soft commit waits for the interval");
    patient.append(encode(&operations(2)), true).unwrap();
    until_durable(&patient, 2);
    let hasty = begin(Duration::from_millis(5));
    append(&hasty, 1);
    until_durable(&hasty, 1);
    append(&hasty, 2);
    until_durable(&hasty, 2);
}

#[test]
fn many_threads_get_numbers_without_a_gap() {
    let disk = FaultyDisk::new(1);
    let end = replay(&disk, &IDENTITY, CommitSequence(0), true, &mut |_, _| Ok(())).unwrap();
    let log =
        Log::begin(Arc::new(disk.clone()), &options(Some(Duration::from_secs(9))), end).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    log.wait_for_room().unwrap();
                    let sequence = log.append(encode(&[]), true).unwrap();
                    let (send, receive) = channel();
                    log.when_durable(
                        sequence,
                        Box::new(move |outcome| {
                            send.send(outcome).unwrap();
                        }),
                    );
                    receive.recv().unwrap().unwrap();
                    assert!(log.durable() >= sequence);
                }
            });
        }
    });
    let end = replay(&disk, &IDENTITY, CommitSequence(0), false, &mut |_, _| Ok(())).unwrap();
    assert_eq!(end.last.0, 400);
}

#[test]
fn what_was_acknowledged_survives_every_crash() {
    let mut random = Random::from_environment();
    for _ in 0..60 {
        let mut disk = FaultyDisk::new(random.next());
        let (mut contained, mut acknowledged, mut last) = (0, 0, 0);
        for _ in 0..8 {
            let modes = [CrashMode::LoseAll, CrashMode::KeepAll, CrashMode::Prefix, CrashMode::Any];
            disk = disk.crash(modes[random.below(4) as usize]);
            let (log, found) = open(&disk, contained).unwrap();
            assert!(found >= acknowledged, "{found} of {acknowledged} acknowledged commits");
            assert!(found <= last, "{found} of {last} commits");
            last = found;
            acknowledged = found;
            if random.once_in(2) {
                disk.fail_after(random.below(60));
            }
            for _ in 0..random.below(60) {
                match random.below(10) {
                    0..7 if log.check().is_ok() => {
                        last += 1;
                        append(&log, last);
                    }
                    7..9 => drop(log.flush()),
                    _ => {
                        // Only what is durable is ever contained in a checkpoint.
                        contained += random.below(log.durable().0 - contained + 1);
                        drop(log.cut(CommitSequence(contained)));
                    }
                }
            }
            acknowledged = acknowledged.max(log.durable().0);
            disk.fail_no_more();
        }
    }
}

#[test]
fn a_failed_sync_ends_the_log() {
    let disk = FaultyDisk::new(1);
    let (log, _) = open(&disk, 0).unwrap();
    append(&log, 1);
    log.flush().unwrap();
    append(&log, 2);
    disk.fail_after(1);
    let (send, receive) = channel();
    log.when_durable(CommitSequence(2), Box::new(move |outcome| send.send(outcome).unwrap()));
    assert!(matches!(receive.recv().unwrap(), Err(StorageError::Poisoned { .. })));
    assert_eq!(log.durable().0, 1);
    for _ in 0..2 {
        assert!(matches!(log.append(encode(&[]), true), Err(StorageError::Poisoned { .. })));
        assert!(matches!(log.flush(), Err(StorageError::Poisoned { .. })));
        assert!(matches!(log.wait_for_room(), Err(StorageError::Poisoned { .. })));
    }
    drop(log);
    assert!(open(&disk.crash(CrashMode::LoseAll), 0).unwrap().1 >= 1);
}

/// The checkpoint that cuts the log is told of the error later than the next group could be written.
#[test]
fn no_group_is_written_after_the_next_segment_could_not_be_made() {
    let mut failures = 0;
    for operation in 0..5 {
        let disk = FaultyDisk::new(operation);
        let end = replay(&disk, &IDENTITY, CommitSequence(0), true, &mut |_, _| Ok(())).unwrap();
        let options = LogOptions { segment_bytes: 2 * BLOCK as u64 - 1, ..options(None) };
        let log = Log::begin(Arc::new(disk.clone()), &options, end).unwrap();
        append(&log, 1);
        log.flush().unwrap();
        append(&log, 2);
        disk.fail_after(operation);
        let cut = log.cut(CommitSequence(1));
        if !disk.failed().is_some_and(Call::must_not_fail) {
            continue;
        }
        failures += 1;
        assert!(cut.is_err());
        assert!(log.flush().is_err(), "a group behind a segment that may be there");
        assert_eq!(disk.late_writes(), 0);
        drop(log);
        for mode in CrashMode::ALL {
            let (_, last) = open(&disk.crash(mode), 0).expect("every later start succeeds");
            assert!(last >= 1, "{last}");
        }
    }
    assert!(failures > 2, "{failures}");
}

/// A disk with a log of so many commits, each written alone; it is not closed.
fn sixty_groups() -> (FaultyDisk, Log, Vec<String>) {
    let disk = FaultyDisk::new(1);
    let (log, _) = open(&disk, 0).unwrap();
    for number in 1..=60 {
        append(&log, number);
        log.flush().unwrap();
    }
    let names = disk.list().unwrap();
    (disk, log, names)
}

#[test]
fn no_flipped_bit_shortens_the_log_by_more_than_its_last_group() {
    let mut random = Random::from_environment();
    let (disk, _log, names) = sixty_groups();
    let (mut refused, mut harmless) = (0, 0);
    for _ in 0..2_000 {
        let name = &names[random.below(names.len() as u64) as usize];
        let image = disk.crash(CrashMode::LoseAll);
        let offset = random.below(disk.bytes(name).len() as u64) as usize;
        image.flip_bit(name, offset, random.below(8) as u8);
        match open(&image, 0) {
            Ok((_, last)) => {
                assert!(last >= 59, "{name} at {offset}: ends at {last}");
                harmless += 1;
            }
            Err(StorageError::Corrupt { .. }) => refused += 1,
            Err(error) => panic!("{name} at {offset}: {error}"),
        }
    }
    assert!(refused > 500 && harmless > 10, "{refused} refused, {harmless} in padding");
}

#[test]
fn a_log_with_a_hole_is_refused() {
    let (disk, _log, names) = sixty_groups();
    assert!(names.len() > 4);
    for name in &names[..names.len() - 1] {
        let image = disk.crash(CrashMode::LoseAll);
        image.remove(name).unwrap();
        let refused = open(&image, 0).err().expect("a segment is missing");
        assert!(refused.to_string().contains("rule 7"), "{refused}");
    }
    for (name, length) in [(&names[1], BLOCK as u64), (&names[2], 2 * BLOCK as u64)] {
        let image = disk.crash(CrashMode::LoseAll);
        image.open(name).unwrap().set_length(length).unwrap();
        let refused = open(&image, 0).err().expect("groups are missing");
        assert!(refused.to_string().contains("rule 7"), "{refused}");
    }
    let refused = open(&disk, 61).err().expect("the log ends too early");
    assert!(refused.to_string().contains("rule 7"), "{refused}");
}

#[test]
fn a_log_of_another_store_is_refused() {
    let disk = FaultyDisk::new(1);
    let (log, _) = open(&disk, 0).unwrap();
    append(&log, 1);
    log.close().unwrap();
    let other = replay(&disk, &[1; 16], CommitSequence(0), false, &mut |_, _| Ok(()));
    assert!(other.unwrap_err().to_string().contains("another store"));
}

#[test]
fn a_segment_that_was_being_made_is_made_again() {
    let disk = FaultyDisk::new(1);
    let (log, _) = open(&disk, 0).unwrap();
    append(&log, 1);
    log.close().unwrap();
    disk.create(&file_name(2)).unwrap().write_at(0, &[7; 1_000]).unwrap();
    let (log, last) = open(&disk, 0).unwrap();
    assert_eq!(last, 1);
    append(&log, 2);
    log.close().unwrap();
    assert_eq!(open(&disk, 0).unwrap().1, 2);
    // Damage of a header is no torn creation when something stands behind it.
    let image = disk.crash(CrashMode::LoseAll);
    image.remove(&file_name(3)).unwrap();
    image.flip_bit(&file_name(2), 40, 0);
    assert!(open(&image, 0).err().unwrap().to_string().contains("rule 10"));
}
