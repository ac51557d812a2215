//! Starts: after a kill, with commits that only the log has, and of a large store that was closed.

use std::io::Write as _;
use std::time::{Duration, Instant};

use photondb::storage::store::SlabOptions;
use photondb::storage::{Engine as _, KeyRange, ReadMode};

use super::Task;
use crate::Error;
use crate::data::{Numbers, key};
use crate::measure::{forget, sizes};
use crate::stores::Store as _;
use crate::stores::slab::{SlabStore, TREE};

/// What a child prints when it may be killed.
pub const READY: &str = "ready";

/// The beginning of the names of log segments.
const LOG: &str = "slab.log.";

/// Commits between two looks at the log.
const COMMITS: usize = 512;

/// How many times the usual cache there must be, so that changed nodes do not bring about a checkpoint either.
const ROOM: usize = 8;

/// Every n-th one puts something new, the others change what is there.
const NEW: u64 = 4;

/// Writes single puts until the log has the wanted length and no checkpoint has come between, then waits to be killed.
pub(super) fn write(task: &Task) -> Result<(), Error> {
    let mut options = SlabOptions::new(*b"bench of engines", ROOM * task.cache_bytes());
    options.checkpoint_log_bytes = usize::MAX;
    let store = SlabStore::open_with(task.directory(), options)?;
    let mut numbers = Numbers::new(5);
    let mut new = task.arguments.keys;
    while sizes(task.directory(), LOG)?.length < task.arguments.recover_log << 20 {
        let mut last = store.engine.last_sequence();
        for _ in 0..COMMITS {
            let mut index = numbers.below(task.arguments.keys);
            if numbers.below(NEW) == 0 {
                index = new;
                new += 1;
            }
            let entry = (key(index), task.data.value(index));
            last = store.put_soft(&mut std::iter::once(entry))?.sequence;
        }
        store.engine.wait_durable(last)?;
    }
    println!("{READY}\t{new}");
    std::io::stdout().flush()?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Opens what was left by the kill. `keys` is what must be there.
pub(super) fn recover(task: &Task) -> Result<(), Error> {
    let lines = task.lines("recover");
    let log = sizes(task.directory(), LOG)?;
    let options = SlabOptions::new(*b"bench of engines", task.cache_bytes());
    let start = Instant::now();
    let store = SlabStore::open_with(task.directory(), options)?;
    let took = start.elapsed();
    let entries = store.engine.snapshot()?.count(TREE, &KeyRange::ALL, ReadMode::MayBlock)?;
    if entries != task.arguments.keys {
        return Err(format!("{entries} entries instead of {}", task.arguments.keys).into());
    }
    lines.say("log", log.length as f64 / (1 << 20) as f64, "MB");
    lines.say("start", took.as_secs_f64() * 1e3, "ms");
    Box::new(store).close()
}

/// Opens a store that was closed: when the system has its files in memory, and when it has not.
pub(super) fn open(task: &Task) -> Result<(), Error> {
    let lines = task.lines("open");
    let size = sizes(task.directory(), "")?;
    lines.say("size", size.length as f64 / (1 << 20) as f64, "MB");
    for metric in ["start-warm", "start-cold"] {
        if metric == "start-cold" {
            forget(task.directory())?;
        }
        let start = Instant::now();
        let store = Box::new(SlabStore::open(task.directory(), task.cache_bytes())?);
        let opened = start.elapsed();
        let entries = store.engine.snapshot()?.count(TREE, &KeyRange::ALL, ReadMode::MayBlock)?;
        if entries != task.arguments.keys {
            return Err(format!("{entries} entries instead of {}", task.arguments.keys).into());
        }
        lines.say(metric, opened.as_secs_f64() * 1e3, "ms");
        store.close()?;
    }
    Ok(())
}
