//! Reads of ten times as much data as the cache of an engine holds, with the files in the memory of the operating system:
//! single values in random order, and a scan of everything. LMDB has no cache of its own and reads that memory in place.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::read::{check, say, scan_once};
use super::{Task, rate};
use crate::Error;
use crate::data::{Checksum, Numbers};
use crate::measure::{cpu_time, median, memory, warm};
use crate::stores::{Store, View};

/// Reads between two looks at the clock.
const BURST: u64 = 256;

/// How often the memory is looked at.
const SAMPLE: Duration = Duration::from_millis(20);

/// The most memory that there was at any time.
#[derive(Default)]
struct Most {
    all: AtomicU64,
    /// Without the files that are mapped.
    own: AtomicU64,
    stops: AtomicBool,
}

pub(super) fn beyond(task: &Task) -> Result<(), Error> {
    let before = memory("VmRSS")?;
    warm(task.directory())?;
    let store = task.open(task.arguments.beyond_cache << 20)?;
    let most = Most::default();
    std::thread::scope(|scope| -> Result<(), Error> {
        let sampler = scope.spawn(|| most.watch().map_err(|error| error.to_string()));
        let outcome = reads(task, &*store).and_then(|()| scans(task, &*store));
        most.stops.store(true, Ordering::Relaxed);
        sampler.join().map_err(|_| "the sampler panicked")??;
        outcome
    })?;
    let megabytes = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    let lines = task.lines("beyond");
    lines.say("rss", megabytes(most.all.into_inner()), "MB");
    lines.say("rss-anonymous", megabytes(most.own.into_inner()), "MB");
    lines.say("rss-before", megabytes(before), "MB");
    lines.say("budget", task.arguments.beyond_cache as f64, "MB");
    store.close()
}

impl Most {
    fn watch(&self) -> Result<(), Error> {
        while !self.stops.load(Ordering::Relaxed) {
            self.all.fetch_max(memory("VmRSS")?, Ordering::Relaxed);
            self.own.fetch_max(memory("RssAnon")?, Ordering::Relaxed);
            std::thread::sleep(SAMPLE);
        }
        Ok(())
    }
}

fn reads(task: &Task, store: &dyn Store) -> Result<(), Error> {
    let mut numbers = Numbers::new(3);
    store.view(&mut |view| {
        // Fills the cache.
        read_for(task, view, &mut numbers, task.seconds() / 4)?;
        let cpu = cpu_time()?;
        let (reads, time) = read_for(task, view, &mut numbers, task.seconds())?;
        let lines = task.lines("beyond");
        lines.say("rate", rate(reads, time), "reads/s");
        lines.say("cpu", micros(cpu_time()? - cpu, reads), "µs/read");
        Ok(())
    })
}

fn scans(task: &Task, store: &dyn Store) -> Result<(), Error> {
    let keys = task.arguments.keys;
    let (mut cpu, mut rounds) = (Duration::ZERO, 0);
    let mut scan = || {
        let start = cpu_time()?;
        let mut sum = Checksum::default();
        store.view(&mut |view| {
            sum = scan_once(view, false)?;
            Ok(())
        })?;
        cpu += cpu_time()? - start;
        rounds += 1;
        Ok(sum)
    };
    let (time, sum) = median(&mut scan)?;
    let lines = task.lines("beyond-scan");
    say(&lines, keys, time, sum, "entries/s");
    lines.say("cpu", micros(cpu, rounds * keys), "µs/entry");
    Ok(())
}

/// Reads single values for a while: how many, and how long it took.
fn read_for(
    task: &Task,
    view: &dyn View,
    numbers: &mut Numbers,
    least: Duration,
) -> Result<(u64, Duration), Error> {
    let (start, mut reads) = (Instant::now(), 0);
    loop {
        for _ in 0..BURST {
            check(task, view, numbers.below(task.arguments.keys))?;
        }
        reads += BURST;
        let time = start.elapsed();
        if time >= least {
            return Ok((reads, time));
        }
    }
}

fn micros(time: Duration, things: u64) -> f64 {
    time.as_secs_f64() * 1e6 / things.max(1) as f64
}
