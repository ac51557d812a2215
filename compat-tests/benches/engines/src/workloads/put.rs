//! Single durable puts by some threads, each of which waits until its own is on disk. Afterwards the store is opened
//! again and must have exactly what was acknowledged.

use std::time::Instant;

use super::{Task, rate};
use crate::Error;
use crate::data::key;
use crate::measure::Times;
use crate::stores::Store;

pub(super) fn put(task: &Task) -> Result<(), Error> {
    let threads = *task.arguments.threads.first().ok_or("no number of threads")?;
    let store = task.open(task.cache_bytes())?;
    let start = Instant::now();
    let mut times = Times::default();
    std::thread::scope(|scope| -> Result<(), Error> {
        let store = &*store;
        let started: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || put_many(task, store, thread, threads)))
            .collect();
        for thread in started {
            times.append(thread.join().map_err(|_| "a writer panicked")??);
        }
        Ok(())
    })?;
    let time = start.elapsed();
    store.close()?;
    let mut entries = 0;
    let store = task.open(task.cache_bytes())?;
    store.view(&mut |view| view.scan(false, &mut |_| entries += 1))?;
    store.close()?;
    // A scan shows keys and values.
    if entries != 2 * times.len() {
        return Err(format!("{} were acknowledged, {} are there", times.len(), entries / 2).into());
    }
    let lines = task.lines(&format!("put-{threads}"));
    lines.say("rate", rate(times.len() as u64, time), "puts/s");
    lines.say("median", times.percentile(0.5), "us");
    lines.say("p99", times.percentile(0.99), "us");
    lines.say("longest", times.percentile(1.0), "us");
    Ok(())
}

/// Puts entries of this thread alone until the time is over.
fn put_many(task: &Task, store: &dyn Store, thread: usize, threads: usize) -> Result<Times, Error> {
    let mut times = Times::default();
    let end = Instant::now() + task.seconds();
    for index in (thread as u64..).step_by(threads) {
        let start = Instant::now();
        if start >= end {
            break;
        }
        store.put(&key(index), task.data.value(index))?;
        times.push(start.elapsed());
    }
    Ok(times)
}
