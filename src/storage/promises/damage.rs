//! Promise 3: damage is an error with its place and never an answer, and a torn tail of the log stops no start.

use super::{COMMITS, Course, open, run, state_of};
use crate::storage::disk::{CrashMode, Disk, FaultyDisk};
use crate::storage::{Engine, StorageError};

/// Every so many bytes of a file one is damaged, one bit after another.
const STEP: usize = 61;

/// A store that has been through the course of events, and was opened once more: its log ends with an empty segment.
fn store() -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    let engine = open(&disk).unwrap();
    run(&engine, &mut Course::default()).unwrap();
    engine.wait_durable(engine.last_sequence()).unwrap();
    drop(engine);
    drop(open(&disk).unwrap());
    disk
}

fn names(disk: &FaultyDisk) -> Vec<String> {
    disk.list().unwrap().into_iter().filter(|name| !disk.bytes(name).is_empty()).collect()
}

/// Reads everything of a store.
fn read(disk: &FaultyDisk) -> Result<u64, StorageError> {
    let engine = open(disk)?;
    let found = state_of(&*engine.snapshot()?)?;
    engine.verify()?;
    Ok(found)
}

/// Seen to fail when the checksum of an image, of a log group's header or of its body is not looked at.
#[test]
fn promise_3_a_damaged_byte_is_an_error_with_its_place_and_never_an_answer() {
    let sound = store();
    for name in names(&sound) {
        let bytes = sound.bytes(&name);
        let (mut found, mut harmless) = (0, 0);
        for at in (0..bytes.len()).step_by(STEP).filter(|at| bytes[*at] != 0) {
            let disk = sound.crash(CrashMode::KeepAll);
            disk.flip_bit(&name, at, (at / STEP % 8) as u8);
            match read(&disk) {
                Ok(state) => {
                    assert_eq!(state, COMMITS, "lost by a flipped bit in {name} at {at}");
                    harmless += 1;
                }
                Err(StorageError::Corrupt { place, .. }) => {
                    assert!(place.contains("slab.") || place == "the log", "{place}");
                    found += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        println!("{name}: {found} found, {harmless} harmless");
        assert!(
            found > 0 || name.contains("log") || name.contains("reserve"),
            "nothing was found in {name}"
        );
    }
}

/// Seen to fail when a group whose checksum is wrong is taken for damage at the end of the log.
#[test]
fn promise_3_a_torn_tail_of_the_log_stops_no_start() {
    let disk = FaultyDisk::new(1);
    let engine = open(&disk).unwrap();
    run(&engine, &mut Course::default()).unwrap();
    drop(engine);
    let name = names(&disk).into_iter().rfind(|name| name.starts_with("slab.log")).unwrap();
    let whole = disk.bytes(&name);
    // The last group, cut at every sector, and with every sector of it missing.
    let last = whole.len() - whole.len() % 4_096 - 4_096;
    let mut shorter = 0;
    for sector in 0..8 {
        for cut in [true, false] {
            let torn = disk.crash(CrashMode::KeepAll);
            let file = torn.open(&name).unwrap();
            let at = (last + sector * 512) as u64;
            if cut {
                file.set_length(at).unwrap();
            } else {
                file.write_at(at, &[0; 512]).unwrap();
            }
            let state = read(&torn).expect("a torn tail is no damage");
            assert!((COMMITS - 4..=COMMITS).contains(&state), "commit {state}");
            shorter += u64::from(state < COMMITS);
        }
    }
    assert!(shorter > 0, "nothing was torn");
}
