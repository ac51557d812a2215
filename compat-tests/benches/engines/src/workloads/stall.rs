//! Commits while a checkpoint with much to write is being written: how long the longest takes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use photondb::storage::Engine as _;
use photondb::storage::store::SlabOptions;

use super::Task;
use crate::Error;
use crate::data::{KEY_BYTES, Numbers, key};
use crate::measure::{Times, sizes};
use crate::stores::Store as _;
use crate::stores::slab::SlabStore;

/// Threads with hard commits of one entry.
const HARD: usize = 4;
/// Threads with soft commits of one entry, which wait for no disk.
const SOFT: usize = 1;
/// Entries of a batch while the changes are being made.
const BATCH: u64 = 100;
/// How many times the changes the memory must be, so that none of them brings about a checkpoint.
const ROOM: usize = 16;
/// How long commits go on before the checkpoint begins.
const BEFORE: Duration = Duration::from_millis(1_500);
/// Between two soft commits, which would otherwise fill the log as fast as they can.
const PAUSE: Duration = Duration::from_micros(500);

/// The parts of the run that times are kept for.
const PARTS: [&str; 2] = ["before", "during"];

pub(super) fn stall(task: &Task) -> Result<(), Error> {
    let mut options =
        SlabOptions::new(*b"bench of engines", ROOM * ((task.arguments.stall_size as usize) << 20));
    options.checkpoint_log_bytes = usize::MAX;
    let store = Box::new(SlabStore::open_with(task.directory(), options)?);
    let entries = (task.arguments.stall_size << 20) / (KEY_BYTES + task.data.value_bytes()) as u64;
    for first in (0..entries).step_by(BATCH as usize) {
        let indexes = first..entries.min(first + BATCH);
        store.put_soft(&mut indexes.map(|index| (key(index), task.data.value(index))))?;
    }
    store.engine.wait_durable(store.engine.last_sequence())?;
    let before = sizes(task.directory(), "slab.data")?.disk;
    let (part, stops) = (AtomicU64::new(0), AtomicBool::new(false));
    let times = Mutex::new(<[[Vec<Times>; 2]; 2]>::default());
    let mut took = Duration::ZERO;
    std::thread::scope(|scope| -> Result<(), Error> {
        let writers: Vec<_> = (0..HARD + SOFT)
            .map(|thread| {
                let (store, part, stops, times) = (&*store, &part, &stops, &times);
                scope.spawn(move || -> Result<(), Error> {
                    let found = commit(task, store, entries, thread, part, stops)?;
                    let mut times = times.lock().map_err(|_| "a writer panicked")?;
                    for (all, new) in times.iter_mut().zip(found) {
                        if let Some(all) = all.get_mut(usize::from(thread >= HARD)) {
                            all.push(new);
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        std::thread::sleep(BEFORE);
        part.store(1, Ordering::SeqCst);
        let start = Instant::now();
        let outcome = store.engine.checkpoint();
        took = start.elapsed();
        stops.store(true, Ordering::SeqCst);
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(outcome?)
    })?;
    let written = sizes(task.directory(), "slab.data")?.disk.saturating_sub(before);
    let lines = task.lines("stall");
    lines.say("written", written as f64 / (1 << 20) as f64, "MB");
    lines.say("checkpoint", took.as_secs_f64(), "s");
    let times = times.into_inner().map_err(|_| "a writer panicked")?;
    for (part, times) in PARTS.iter().zip(times) {
        for (kind, parts) in ["hard", "soft"].iter().zip(times) {
            let mut all = Times::default();
            parts.into_iter().for_each(|times| all.append(times));
            lines.say(&format!("{kind}-commits-{part}"), all.len() as f64, "");
            lines.say(&format!("{kind}-p99-{part}"), all.percentile(0.99) / 1e3, "ms");
            lines.say(&format!("{kind}-longest-{part}"), all.percentile(1.0) / 1e3, "ms");
        }
    }
    store.close()
}

/// Commits single entries until it is told to stop; gives the times of both parts. A commit counts for the part that
/// it ends in, so that one that was held up by the checkpoint's first step counts for the checkpoint.
fn commit(
    task: &Task,
    store: &SlabStore,
    entries: u64,
    thread: usize,
    part: &AtomicU64,
    stops: &AtomicBool,
) -> Result<[Times; 2], Error> {
    let mut numbers = Numbers::new(thread as u64);
    let mut times = [Times::default(), Times::default()];
    while !stops.load(Ordering::SeqCst) {
        let index = numbers.below(entries);
        let start = Instant::now();
        if thread < HARD {
            store.put(&key(index), task.data.value(index))?;
        } else {
            store.put_soft(&mut std::iter::once((key(index), task.data.value(index))))?;
        }
        let took = start.elapsed();
        if let Some(times) = times.get_mut(part.load(Ordering::SeqCst) as usize) {
            times.push(took);
        }
        if thread >= HARD {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(times)
}
