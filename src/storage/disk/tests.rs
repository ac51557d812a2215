//! What every disk must do, on the three that there are; and that the faulty one is as bad as it says.

use std::io::ErrorKind;
use std::sync::Arc;

use super::{Call, CrashMode, Disk, FaultyDisk, FileDisk, GuardedDisk, MemoryDisk};
use crate::testing::Random;

fn on_every_disk(test: impl Fn(&dyn Disk)) {
    let directory = tempfile::tempdir().unwrap();
    test(&FileDisk::new(directory.path()));
    test(&MemoryDisk::new());
    test(&FaultyDisk::new(7));
}

#[test]
fn files_are_read_where_they_were_written() {
    on_every_disk(|disk| {
        let file = disk.create("a").unwrap();
        file.write_at(5, b"hello").unwrap();
        file.write_at(7, b"LLO world").unwrap();
        let mut bytes = [9; 16];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0\0\0\0\0heLLO world");
        assert_eq!(file.length().unwrap(), 16);
        let beyond = file.read_at(15, &mut [0; 2]).unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::UnexpectedEof);
        file.set_length(6).unwrap();
        file.set_length(8).unwrap();
        let mut bytes = [9; 8];
        disk.open("a").unwrap().read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0\0\0\0\0h\0\0");
        file.sync().unwrap();
    });
}

#[test]
fn a_hole_reads_as_zeros_and_keeps_the_length() {
    on_every_disk(|disk| {
        let file = disk.create("a").unwrap();
        file.write_at(0, &[7; 20_000]).unwrap();
        file.punch_hole(4_096, 8_192).unwrap();
        let mut bytes = [9; 20_000];
        file.read_at(0, &mut bytes).unwrap();
        assert!(bytes[..4_096].iter().chain(&bytes[12_288..]).all(|byte| *byte == 7));
        assert!(bytes[4_096..12_288].iter().all(|byte| *byte == 0));
        assert_eq!(file.length().unwrap(), 20_000);
    });
}

#[test]
fn names_change_and_go() {
    on_every_disk(|disk| {
        assert_eq!(disk.open("a").err().unwrap().kind(), ErrorKind::NotFound);
        let file = disk.create("a").unwrap();
        file.write_at(0, b"first").unwrap();
        disk.create("b").unwrap().write_at(0, b"second").unwrap();
        disk.rename("b", "a").unwrap();
        disk.sync_directory().unwrap();
        assert_eq!(disk.list().unwrap(), ["a"]);
        assert_eq!(disk.open("a").unwrap().length().unwrap(), 6);
        assert_eq!(file.length().unwrap(), 5, "an open file stays");
        assert_eq!(disk.create("a").unwrap().length().unwrap(), 0);
        disk.remove("a").unwrap();
        assert!(disk.list().unwrap().is_empty());
        assert!(disk.remove("a").is_err() && disk.rename("a", "b").is_err());
    });
}

#[test]
fn a_directory_has_one_holder() {
    on_every_disk(|disk| {
        let held = disk.lock("lock").unwrap().expect("nobody has it");
        assert!(disk.lock("lock").unwrap().is_none());
        drop(held);
        assert!(disk.lock("lock").unwrap().is_some());
    });
}

/// Root may write everywhere, so this is a test of errors alone where it runs as root.
#[test]
fn a_directory_that_cannot_be_written_can_be_read_and_locked() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let disk = FileDisk::new(folder.path());
    disk.create("file").unwrap().write_at(0, b"text").unwrap();
    drop(disk.lock("lock").unwrap().unwrap());
    for name in ["file", "lock"] {
        let permissions = std::fs::Permissions::from_mode(0o444);
        std::fs::set_permissions(folder.path().join(name), permissions).unwrap();
    }
    let mut found = [0; 4];
    disk.open("file").unwrap().read_at(0, &mut found).unwrap();
    assert_eq!(&found, b"text");
    let held = disk.lock("lock").unwrap().unwrap();
    assert!(disk.lock("lock").unwrap().is_none());
    drop(held);
}

#[test]
fn a_crash_takes_what_was_not_synced() {
    let disk = FaultyDisk::new(1);
    let file = disk.create("a").unwrap();
    disk.sync_directory().unwrap();
    file.write_at(0, &[1; 2_048]).unwrap();
    file.sync().unwrap();
    file.write_at(1_024, &[2; 2_048]).unwrap();
    disk.create("b").unwrap().sync().unwrap();

    let lost = disk.crash(CrashMode::LoseAll);
    assert_eq!(lost.bytes("a"), [1; 2_048]);
    assert_eq!(lost.list().unwrap(), ["a"], "the name of b was not synced");
    let kept = disk.crash(CrashMode::KeepAll);
    assert_eq!(kept.bytes("a"), disk.bytes("a"));
    assert_eq!(kept.list().unwrap(), ["a", "b"]);

    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let bytes = disk.crash(CrashMode::Any).bytes("a");
        assert_eq!(bytes[..1_024], [1; 1_024], "synced and not written again");
        for sector in bytes[1_024..].chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "sectors are whole");
        }
        seen.insert(bytes);
    }
    assert!(seen.len() >= 12, "sectors come and go on their own: {}", seen.len());

    file.write_at(0, &[3; 512]).unwrap();
    let mut later_alone = 0;
    for (mode, may_reorder) in [(CrashMode::Prefix, false), (CrashMode::Any, true)] {
        for _ in 0..100 {
            let bytes = disk.crash(mode).bytes("a");
            let later_alone_here = bytes[..512] == [3; 512] && bytes[1_024..] != [2; 2_048];
            assert!(may_reorder || !later_alone_here);
            later_alone += u32::from(later_alone_here);
        }
    }
    assert!(later_alone > 20, "{later_alone}");
}

#[test]
fn a_failed_sync_forgets_what_it_could_not_write() {
    let (mut forgotten, mut seen_until_then) = (0, 0);
    for seed in 0..20 {
        let disk = FaultyDisk::new(seed);
        let file = disk.create("a").unwrap();
        disk.sync_directory().unwrap();
        file.write_at(0, &[1; 512]).unwrap();
        disk.fail_after(0);
        assert!(file.sync().is_err());
        assert!(!disk.fail_no_more());
        file.sync().expect("the second sync succeeds, and lies");
        let mut now = [9; 512];
        file.read_at(0, &mut now).unwrap();
        assert!(now.iter().all(|byte| *byte < 2));
        seen_until_then += usize::from(now == [1; 512]);
        forgotten += usize::from(disk.crash(CrashMode::KeepAll).bytes("a").is_empty());
    }
    assert!(forgotten > 3, "{forgotten}");
    assert!(seen_until_then > forgotten, "{seen_until_then}");
}

#[test]
fn faults_come_when_they_were_asked_for() {
    let disk = FaultyDisk::new(3);
    let file = disk.create("a").unwrap();
    disk.fail_after(2);
    file.write_at(0, &[1; 100]).unwrap();
    file.sync().unwrap();
    assert!(file.write_at(100, &[1; 100]).is_err());
    file.write_at(100, &[1; 100]).unwrap();
    assert_eq!(disk.failed(), Some(Call::Write));
    assert_eq!(disk.late_writes(), 1);
    disk.set_capacity(8_192);
    assert_eq!(file.write_at(8_000, &[1; 1_000]).unwrap_err().kind(), ErrorKind::StorageFull);
    file.write_at(7_000, &[1; 1_000]).unwrap();
    assert_eq!(file.punch_hole(0, 4_096).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.set_capacity(12_288);
    file.punch_hole(0, 4_096).unwrap();
    disk.set_capacity(8_192);
    file.write_at(8_000, &[1; 1_000]).expect("there is room again");
    file.write_at(0, &[1; 100]).unwrap_err();
    disk.set_capacity(usize::MAX);
    file.write_at(0, &[1; 100]).unwrap();
    disk.flip_bit("a", 3, 7);
    assert_eq!(disk.bytes("a")[..4], [1, 1, 1, 0x81]);
}

#[test]
fn a_machine_that_has_stopped_does_nothing_any_more() {
    let disk = FaultyDisk::new(3);
    let file = disk.create("a").unwrap();
    disk.sync_directory().unwrap();
    disk.stop_after(1);
    file.write_at(0, &[1; 512]).unwrap();
    assert!(file.sync().is_err() && file.sync().is_err());
    assert!(file.write_at(512, &[2; 512]).is_err() && disk.list().is_err());
    assert!(!disk.fail_no_more());
    assert!(disk.crash(CrashMode::LoseAll).bytes("a").is_empty());
    assert_eq!(disk.crash(CrashMode::KeepAll).bytes("a"), [1; 512]);
}

#[test]
fn a_tally_says_what_has_happened() {
    let disk = FaultyDisk::new(3);
    disk.set_phase("trying");
    let file = disk.create("a.log.0000000000000001").unwrap();
    disk.sync_directory().unwrap();
    file.write_at(0, &[1; 2_048]).unwrap();
    disk.create("b").unwrap();
    disk.fail_after(0);
    file.sync().unwrap_err();
    file.write_at(0, &[1; 2_048]).unwrap();
    let tally = disk.crash(CrashMode::LoseAll).crash(CrashMode::Any).tally();
    assert_eq!(tally.count("crash", None, Some("trying")), 2);
    assert_eq!(tally.count("failed sync", Some("a.log"), None), 1);
    assert_eq!(tally.count("lost write", Some("a.log"), None), 1);
    assert_eq!(tally.count("lost creation", Some("b"), Some("trying")), 1);
    assert_eq!(tally.count("lost rename", None, None), 0);
}

#[test]
fn the_same_seed_crashes_the_same_way() {
    let image = |seed| {
        let disk = FaultyDisk::new(seed);
        let file = disk.create("a").unwrap();
        let mut random = Random::seeded(9);
        for _ in 0..20 {
            file.write_at(random.below(9_000), &random.bytes(3_000)).unwrap();
        }
        disk.sync_directory().unwrap();
        disk.crash(CrashMode::Any).bytes("a")
    };
    assert_eq!(image(5), image(5));
    assert_ne!(image(5), image(6));
}

#[test]
fn a_read_that_appends_gives_as_much_as_was_asked_for() {
    on_every_disk(|disk| {
        let file = disk.create("a").unwrap();
        let bytes: Vec<u8> = (0..10_000).map(|at| (at % 251) as u8).collect();
        file.write_at(0, &bytes).unwrap();
        // Room for more than is wanted, and for less.
        for room in [0, 5_000, 9_000] {
            let mut buffer = Vec::with_capacity(room);
            file.append_to(3_000, 5_000, &mut buffer).unwrap();
            assert!(buffer == bytes[3_000..8_000]);
        }
        let error = file.append_to(6_000, 5_000, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

/// Where the system cannot tell whether it would wait, it says that it would.
#[test]
fn a_read_at_once_gives_what_the_system_has_in_memory_or_would_block() {
    let directory = tempfile::tempdir().unwrap();
    let file = FileDisk::new(directory.path()).create("a").unwrap();
    file.write_at(0, &[7; 9_000]).unwrap();
    let mut buffer = [0; 5_000];
    match file.read_at_once(4_000, &mut buffer) {
        Ok(()) => assert_eq!(buffer, [7; 5_000]),
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
    let beyond = file.read_at_once(4_001, &mut buffer).unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::WouldBlock);
    // Reading ahead changes nothing, whatever it is asked for.
    for (offset, length) in [(0, 9_000), (8_000, 1 << 40), (u64::MAX, u64::MAX), (0, 0)] {
        file.will_read(offset, length);
    }
    file.read_at(4_000, &mut buffer).unwrap();
    assert_eq!(buffer, [7; 5_000]);
}

/// Seen to fail when the guard had the reads that a disk need not have, instead of passing them on.
#[test]
fn a_guarded_disk_reads_as_the_disk_beneath_it_does() {
    let disk = GuardedDisk::new(Arc::new(MemoryDisk::new()), Arc::default(), 0);
    let file = disk.create("a").unwrap();
    file.write_at(0, b"hello").unwrap();
    let mut buffer = [0; 5];
    file.read_at_once(0, &mut buffer).unwrap();
    assert_eq!(&buffer, b"hello");
}
