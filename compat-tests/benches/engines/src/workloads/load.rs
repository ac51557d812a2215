//! Loads: sorted entries in the quickest way there is, and transactions of a thousand in random order.

use std::time::Instant;

use super::{Task, rate};
use crate::Error;
use crate::data::{Data, key};

/// Entries of a transaction.
const TRANSACTION: u64 = 1_000;

pub(super) fn bulk(task: &Task) -> Result<(), Error> {
    let sorted = Data::sorted(task.arguments.keys);
    let store = task.open(task.cache_bytes())?;
    let start = Instant::now();
    store.bulk_load(&mut sorted.iter().map(|(key, index)| (*key, task.data.value(*index))))?;
    let loaded = start.elapsed();
    let start = Instant::now();
    store.close()?;
    let lines = task.lines("load");
    lines.say("rate", rate(task.arguments.keys, loaded), "entries/s");
    lines.say("close", start.elapsed().as_secs_f64(), "s");
    Ok(())
}

pub(super) fn random(task: &Task) -> Result<(), Error> {
    let store = task.open(task.cache_bytes())?;
    let keys = task.arguments.keys;
    let start = Instant::now();
    for first in (0..keys).step_by(TRANSACTION as usize) {
        let indexes = first..keys.min(first + TRANSACTION);
        store.put_all(&mut indexes.map(|index| (key(index), task.data.value(index))))?;
    }
    task.lines("random-load").say("rate", rate(keys, start.elapsed()), "entries/s");
    store.close()
}
