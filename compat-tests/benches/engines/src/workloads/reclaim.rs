//! What becomes of the files when nine of ten entries are deleted while a reader and a writer go on with the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use photondb::storage::{Durability, Engine as _, KeyRange, ReadMode, WriteBatch};

use super::Task;
use crate::Error;
use crate::data::{KEY_BYTES, Numbers, key};
use crate::measure::{Times, sizes};
use crate::stores::Store as _;
use crate::stores::slab::{SlabStore, TREE};

/// One of so many entries stays.
const STAYS: u64 = 10;
/// Deletions of a batch.
const BATCH: u64 = 100;
/// Pause of the writer between two commits, and of the reader between two reads: both go on, neither fills the log.
const PAUSE: Duration = Duration::from_millis(2);
/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Sizes of the files that count as enough, as a multiple of what lives.
const ENOUGH: f64 = 2.0;

pub(super) fn reclaim(task: &Task) -> Result<(), Error> {
    let store = Box::new(SlabStore::open(task.directory(), task.cache_bytes() / 8)?);
    let stops = AtomicBool::new(false);
    let (mut reads, mut writes) = (Times::default(), Times::default());
    std::thread::scope(|scope| -> Result<(), Error> {
        let reader = scope.spawn(|| go_on(task, &stops, 1, &|index| read(task, &store, index)));
        let writer = scope.spawn(|| {
            go_on(task, &stops, 2, &|index| store.put(&key(index), task.data.value(index)))
        });
        let watched = delete(task, &store).and_then(|()| watch(task));
        stops.store(true, Ordering::Relaxed);
        reads = reader.join().map_err(|_| "the reader panicked")??;
        writes = writer.join().map_err(|_| "the writer panicked")??;
        watched
    })?;
    let entries = store.engine.snapshot()?.count(TREE, &KeyRange::ALL, ReadMode::MayBlock)?;
    if entries != task.arguments.keys.div_ceil(STAYS) {
        return Err(format!("{entries} entries are left").into());
    }
    let lines = task.lines("reclaim");
    lines.say("longest-read", reads.percentile(1.0) / 1e3, "ms");
    lines.say("longest-write", writes.percentile(1.0) / 1e3, "ms");
    store.engine.verify()?;
    store.close()
}

fn delete(task: &Task, store: &SlabStore) -> Result<(), Error> {
    let start = Instant::now();
    let mut batch = WriteBatch::new(Durability::Soft);
    for index in (0..task.arguments.keys).filter(|index| index % STAYS != 0) {
        batch.delete(TREE, Bytes::copy_from_slice(&key(index)));
        if batch.operations().len() as u64 == BATCH {
            store.engine.apply(std::mem::replace(&mut batch, WriteBatch::new(Durability::Soft)))?;
        }
    }
    let commit = store.engine.apply(batch)?;
    store.engine.wait_durable(commit.sequence)?;
    task.lines("reclaim").say("deleting", start.elapsed().as_secs_f64(), "s");
    Ok(())
}

/// Watches the files after the last deletion.
fn watch(task: &Task) -> Result<(), Error> {
    let lines = task.lines("reclaim");
    let live = task.arguments.keys.div_ceil(STAYS) * (KEY_BYTES + task.data.value_bytes()) as u64;
    let multiple =
        || -> Result<f64, Error> { Ok(sizes(task.directory(), "")?.disk as f64 / live as f64) };
    let (start, mut enough) = (Instant::now(), None);
    lines.say("at-first", multiple()?, "x live");
    while start.elapsed().as_secs_f64() < task.arguments.reclaim_seconds {
        if enough.is_none() && multiple()? <= ENOUGH {
            enough = Some(start.elapsed().as_secs_f64());
        }
        std::thread::sleep(LOOK);
    }
    lines.say("at-last", multiple()?, "x live");
    if let Some(enough) = enough {
        lines.say("until-twice", enough, "s");
    }
    Ok(())
}

fn read(task: &Task, store: &SlabStore, index: u64) -> Result<(), Error> {
    let mut is_right = false;
    store.get_fresh(&key(index), &mut |value| is_right = value == task.data.value(index))?;
    if is_right { Ok(()) } else { Err(format!("entry {index} was read wrong").into()) }
}

/// Does something with random ones of the entries that stay, again and again.
fn go_on(
    task: &Task,
    stops: &AtomicBool,
    seed: u64,
    work: &dyn Fn(u64) -> Result<(), Error>,
) -> Result<Times, Error> {
    let mut numbers = Numbers::new(seed);
    let mut times = Times::default();
    while !stops.load(Ordering::Relaxed) {
        let index = numbers.below(task.arguments.keys.div_ceil(STAYS)) * STAYS;
        let start = Instant::now();
        work(index)?;
        times.push(start.elapsed());
        std::thread::sleep(PAUSE);
    }
    Ok(times)
}
