//! Reads: single values and scans with everything in the cache.

use std::time::Duration;

use super::{Task, rate};
use crate::Error;
use crate::data::{Checksum, Numbers, key};
use crate::line::Lines;
use crate::measure::median;
use crate::stores::{See, View};

/// Values read in one round.
const READS: u64 = 500_000;

pub(super) fn cached(task: &Task) -> Result<(), Error> {
    let store = task.open(task.cache_bytes())?;
    let keys = task.arguments.keys;
    let reads = READS.min(keys);
    // Warms the cache, and looks whether the values are the right ones.
    store.view(&mut |view| (0..keys).try_for_each(|index| check(task, view, index)))?;
    let mut held = None;
    store.view(&mut |view| {
        let read = |index, see: &mut See<'_>| view.get(&key(index), see);
        held = Some(median(|| read_random(keys, reads, read))?);
        Ok(())
    })?;
    if let Some((time, sum)) = held {
        say(&task.lines("read"), reads, time, sum, "reads/s");
    }
    let read = |index, see: &mut See<'_>| store.get_fresh(&key(index), see);
    let (time, sum) = median(|| read_random(keys, reads, read))?;
    say(&task.lines("read-fresh"), reads, time, sum, "reads/s");
    store.close()
}

pub(super) fn scan(task: &Task) -> Result<(), Error> {
    let store = task.open(task.cache_bytes())?;
    for (workload, backward) in [("scan", false), ("scan-backward", true)] {
        let mut measured = None;
        store.view(&mut |view| {
            scan_once(view, backward)?;
            measured = Some(median(|| scan_once(view, backward))?);
            Ok(())
        })?;
        if let Some((time, sum)) = measured {
            say(&task.lines(workload), task.arguments.keys, time, sum, "entries/s");
        }
    }
    store.close()
}

/// Reads one value and looks whether it is the right one.
pub(super) fn check(task: &Task, view: &dyn View, index: u64) -> Result<(), Error> {
    let mut is_right = false;
    let found = view.get(&key(index), &mut |value| is_right = value == task.data.value(index))?;
    if found && is_right {
        return Ok(());
    }
    Err(format!("entry {index} was read wrong: found {found}, right {is_right}").into())
}

fn read_random(
    keys: u64,
    reads: u64,
    read: impl Fn(u64, &mut See<'_>) -> Result<bool, Error>,
) -> Result<Checksum, Error> {
    let mut numbers = Numbers::new(1);
    let mut sum = Checksum::default();
    for _ in 0..reads {
        let index = numbers.below(keys);
        if !read(index, &mut |value| sum.add(value))? {
            return Err(format!("entry {index} was not found").into());
        }
    }
    Ok(sum)
}

pub(super) fn scan_once(view: &dyn View, backward: bool) -> Result<Checksum, Error> {
    let mut sum = Checksum::default();
    view.scan(backward, &mut |bytes| sum.add(bytes))?;
    Ok(sum)
}

pub(super) fn say(lines: &Lines, things: u64, time: Duration, sum: Checksum, unit: &str) {
    /// A figure holds that many bits of a checksum.
    const BITS: u64 = (1 << 48) - 1;
    lines.say("rate", rate(things, time), unit);
    lines.say("checksum", (sum.0 & BITS) as f64, "");
}
