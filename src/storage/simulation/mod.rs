//! The slab engine on a disk that lies, against plain ordered maps: operations, crashes, faults and damage, all from
//! one seed, which is printed when a life goes wrong, with the command that repeats it.
//!
//! A **life** ([`life`]) is that of one store, with up to a few dozen crashes. After each of them the store must be in
//! the state of one commit, which is not before the last that was acknowledged. How many lives there are is told by
//! the environment: `PHOTONDB_SIMULATED_CRASHES` or `PHOTONDB_SIMULATED_SECONDS`; they are spread over all processors.

mod betrayal;
mod damage;
mod full_size;
mod large;
mod life;
mod loading;
mod model;
mod stress;
mod work;
mod workload;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::disk::Tally;
use crate::testing::Random;

/// Crashes unless it is told otherwise: a few seconds of them.
const CRASHES: u64 = 600;

/// From so many crashes on, each of [`MUST_HAPPEN`] must have happened.
const MANY_CRASHES: u64 = 60_000;

/// Events that a simulation must have mixed: the event, the file, and what the engine was about, where it matters.
const MUST_HAPPEN: &[(&str, Option<&str>, Option<&str>)] = &[
    ("kill", None, None),
    ("bulk load", None, None),
    ("stop of the machine", Some("slab.data"), Some("loading")),
    ("failed sync", Some("slab.data"), Some("loading")),
    ("full disk", Some("slab.data"), Some("loading")),
    ("stop of the machine", Some("slab.data"), Some("checkpoint")),
    ("stop of the machine", Some("slab.log"), Some("waiting")),
    ("stop of the machine", Some("directory"), None),
    ("stop of the machine", None, Some("opening")),
    ("lost write", Some("slab.data"), None),
    ("lost write", Some("slab.log"), None),
    ("torn write", Some("slab.data"), None),
    ("torn write", Some("slab.log"), None),
    ("torn write", None, Some("opening")),
    ("reordered change", Some("slab.data"), None),
    ("lost change of length", Some("slab.data"), None),
    ("lost hole", Some("slab.data"), None),
    ("lost creation", Some("slab.log"), None),
    ("lost creation", Some("slab.data.new"), None),
    ("lost rename", Some("slab.data.new"), None),
    ("lost removal", Some("slab.log"), None),
    ("failed read", Some("slab.data"), None),
    ("failed write", Some("slab.data"), None),
    ("failed write", Some("slab.log"), None),
    ("failed write", None, Some("opening")),
    ("failed sync", Some("slab.data"), Some("checkpoint")),
    ("failed sync", Some("slab.log"), None),
    ("failed sync", None, Some("opening")),
    ("failed directory sync", None, None),
    ("failed creation", Some("slab.log"), None),
    ("failed rename", Some("slab.data.new"), None),
    ("failed removal", Some("slab.log"), None),
    ("failed change of length", Some("slab.data"), None),
    ("failed hole", Some("slab.data"), None),
    ("full disk", Some("slab.data"), Some("checkpoint")),
    ("full disk", Some("slab.log"), None),
    ("full disk", None, Some("opening")),
    ("full disk at a sync", None, None),
    ("full disk at a creation", Some("slab.log"), None),
    ("full disk at a hole", Some("slab.data"), None),
    ("full disk at a cut", None, None),
    ("full disk for long", None, None),
    ("room again", None, None),
    ("lasting fault", Some("slab.data"), None),
    ("lasting fault", Some("slab.log"), None),
    ("commit amid a checkpoint", None, None),
    ("log amid a checkpoint", None, None),
    ("fault amid a checkpoint", None, None),
    ("snapshot held for long", None, None),
    ("end of writing", None, None),
    ("flipped bit", Some("slab.data"), None),
    ("flipped bit", Some("slab.log"), None),
    ("damage of the last group", Some("slab.log"), None),
    ("damage found", None, Some("opening")),
    ("damage found", None, Some("damaged")),
    ("damage without effect", None, None),
    ("write lost in silence", Some("slab.data"), None),
    ("write lost in silence", Some("slab.log"), None),
    ("write elsewhere", Some("slab.data"), None),
    ("write elsewhere", Some("slab.log"), None),
    ("flipped bit at work", Some("slab.data"), None),
    ("flipped bit at work", Some("slab.log"), None),
    ("betrayal found", Some("slab.data"), None),
    ("betrayal found", Some("slab.log"), None),
    ("betrayal without effect", None, None),
    ("failed sync", Some("slab.data"), Some("writing")),
];

/// Bounds of `limits/storage.rs` that stores must have met.
const MUST_BE_MET: [&str; 24] = [
    "STORAGE_KEY_BYTES",
    "STORAGE_VALUE_BYTES",
    "STORAGE_BATCH_BYTES",
    "LOG_SEGMENT_BYTES",
    "LOG_GROUP_BYTES",
    "LOG_START_SEGMENTS",
    "LOG_QUEUE_BYTES",
    "LOG_WAIT_FACTOR",
    "LOG_ROTATE_BYTES",
    "LOG_BUFFER_KEPT_BYTES",
    "DISK_RESERVE_BYTES",
    "FREEING_PART",
    "REPLAY_BYTES",
    "SPARE_PART",
    "SPARE_BYTES_MIN",
    "PUNCHED_RANGES",
    "CHECKPOINT_SYNC_BYTES",
    "CHECKPOINT_PART_BYTES",
    "SETTLE_NODES",
    "LOAD_SYNC_BYTES",
    "SCAN_FIRST_ENTRIES",
    "SCAN_GROWTH",
    "SCAN_BATCH_ENTRIES",
    "SCAN_BATCH_BYTES",
];

/// Those that a store without threads and clocks does not meet, or not with a disk in memory.
const MET_ELSEWHERE: [(&str, &str); 25] = [
    ("STORAGE_NUMBER_MAX", "nothing but a damaged file has one: the tests of the decoders"),
    ("STORAGE_OPERATION_BYTES", "a part of the bytes of a batch: the tests of batches"),
    ("CACHE_BYTES_MIN", "the settings are checked, not the engine"),
    ("CACHE_BYTES_MAX", "the settings are checked, not the engine"),
    ("CACHE_MACHINE_PART", "the settings are checked, not the engine"),
    ("MEMORY_BYTES_MIN", "the settings are checked, not the engine"),
    ("FREEING_WAIT_SECONDS", "time: the tests of full disks"),
    ("DISK_LEFT_RESERVES", "files for sorting: the tests of those"),
    ("DISK_NEARLY_FULL_BYTES", "nothing but a number that is told: the tests of `current_issues`"),
    ("DISK_ENOUGH_PART", "nothing but a line of the log depends on it"),
    ("WATCH_TICK", "time: nothing but a line of the log depends on it"),
    ("DAMAGED_PLACES", "damage that is told: the tests of `damage`"),
    ("READ_AHEAD_ENTRIES", "a hint, which changes no answer: the tests of trees"),
    ("READ_AHEAD_LEAVES", "a hint, which changes no answer: the tests of trees"),
    ("READ_AHEAD_GAP_BYTES", "a hint, which changes no answer: the tests of slabs"),
    ("PINNED_PART", "what snapshots keep that are taken anew: the tests of pressure"),
    ("PINNED_BYTES_MIN", "what snapshots keep that are taken anew: the tests of pressure"),
    ("RETAINED_PART", "what snapshots keep that are taken anew: the tests of pressure"),
    ("FLUSH_INTERVAL", "time: the tests of the log"),
    ("FLUSH_INTERVAL_MIN", "the settings are checked, not the engine"),
    ("FLUSH_INTERVAL_MAX", "the settings are checked, not the engine"),
    ("CHECKPOINT_SECONDS", "time: the tests of promises"),
    ("TIDY_SECONDS", "time: the tests of promises"),
    ("VERIFY_FINDINGS", "the check of a directory as a whole, of which each is a test here"),
    ("VERIFY_CACHE_BYTES", "the stores past a gigabyte, with `PHOTONDB_LARGE`"),
];

fn from_environment(name: &str) -> Option<u64> {
    let set = std::env::var(name).ok();
    set.map(|number| number.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Lives one life after another, on every processor, until there were enough.
fn simulate(crashes: u64, time: Duration) -> Tally {
    let first = Random::seed_from_environment();
    let (next, total, failed) = (AtomicU64::new(0), Mutex::new(Tally::default()), Mutex::new(None));
    let began = Instant::now();
    let is_enough = || {
        let so_far = total.lock().unwrap().count("crash", None, None);
        so_far >= crashes || began.elapsed() >= time || failed.lock().unwrap().is_some()
    };
    let work = || {
        loop {
            let seed = first.wrapping_add(next.fetch_add(1, Ordering::Relaxed));
            match catch_unwind(AssertUnwindSafe(|| life::live(seed))) {
                Ok(lived) => total.lock().unwrap().add_all(&lived.tally),
                Err(_) => *failed.lock().unwrap() = Some(seed),
            }
            if is_enough() {
                return;
            }
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..processors.min(crashes as usize) {
            scope.spawn(work);
        }
    });
    if let Some(seed) = *failed.lock().unwrap() {
        let test = "storage::simulation::every_crash";
        let set = format!("PHOTONDB_TEST_SEED={seed} PHOTONDB_SIMULATED_CRASHES=1");
        panic!("a life went wrong; this repeats it:\n{set} cargo test --lib {test}");
    }
    let tally = total.into_inner().unwrap();
    let (lives, crashes) = (next.into_inner(), tally.count("crash", None, None));
    println!("{crashes} crashes in {lives} lives from seed {first}, {:?}", began.elapsed());
    println!("{tally}");
    tally
}

#[test]
fn every_crash_leaves_the_state_of_a_commit_that_is_late_enough() {
    let crashes = from_environment("PHOTONDB_SIMULATED_CRASHES");
    let seconds = from_environment("PHOTONDB_SIMULATED_SECONDS");
    let tally = match (crashes, seconds) {
        (None, Some(seconds)) => simulate(u64::MAX, Duration::from_secs(seconds)),
        (crashes, _) => simulate(crashes.unwrap_or(CRASHES), Duration::MAX),
    };
    if tally.count("crash", None, None) >= MANY_CRASHES {
        for (event, file, phase) in MUST_HAPPEN {
            assert!(tally.count(event, *file, *phase) > 0, "no {event}, {file:?}, {phase:?}");
        }
        for bound in MUST_BE_MET {
            assert!(tally.count("bound met", Some(bound), None) > 0, "{bound} was never met");
        }
    }
}

#[test]
fn no_bound_of_storage_is_left_untried() {
    let limits = include_str!("../../limits/storage.rs");
    let mut names: Vec<_> = limits
        .split("pub const ")
        .skip(1)
        .filter_map(|constant| constant.split(':').next())
        .collect();
    let mut known: Vec<_> =
        MET_ELSEWHERE.iter().map(|(name, _)| *name).chain(MUST_BE_MET).collect();
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(names, known);
}

#[test]
fn the_same_seed_makes_the_same_life() {
    for seed in 0..6 {
        let (one, other) = (life::live(seed), life::live(seed));
        assert!(one.tally == other.tally && one.files == other.files, "seed {seed}");
    }
    assert!(life::live(1).files != life::live(2).files);
}
