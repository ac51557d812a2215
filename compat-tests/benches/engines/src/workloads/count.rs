//! Counts of random ranges and entries of random ranks, in a tree of many small entries. Each answer is compared with
//! that of the sorted keys.

use std::time::Instant;

use bytes::Bytes;
use photondb::storage::{Direction, Engine as _, KeyRange, ReadMode};

use super::Task;
use crate::Error;
use crate::data::{Data, Key, Numbers, key};
use crate::measure::Times;
use crate::stores::Store as _;
use crate::stores::slab::{SlabStore, TREE};

/// Counts, and ranks.
const QUESTIONS: usize = 20_000;

pub(super) fn count(task: &Task) -> Result<(), Error> {
    let sorted = Data::sorted(task.arguments.count_keys);
    let entries = sorted.len() as u64;
    let store = Box::new(SlabStore::open(task.directory(), task.cache_bytes())?);
    store.bulk_load(&mut sorted.iter().map(|(key, index)| (*key, task.data.value(*index))))?;
    let snapshot = store.engine.snapshot()?;
    let mut numbers = Numbers::new(11);
    let (mut counts, mut ranks) = (Times::default(), Times::default());
    for question in 0..2 * QUESTIONS {
        let (one, other) = (key(numbers.next()), key(numbers.next()));
        let (low, high) = (one.min(other), one.max(other));
        let expected = rank(&sorted, &high) - rank(&sorted, &low);
        let range =
            KeyRange::half_open(Bytes::copy_from_slice(&low), Bytes::copy_from_slice(&high));
        let place = numbers.below(entries);
        let start = Instant::now();
        let counted = snapshot.count(TREE, &range, ReadMode::MayBlock)?;
        let counting = start.elapsed();
        let (all, up) = (KeyRange::ALL, Direction::Forward);
        let start = Instant::now();
        let found = snapshot.nth(TREE, &all, up, place, ReadMode::MayBlock)?;
        let ranking = start.elapsed();
        if counted != expected {
            return Err(format!("a count was {counted} instead of {expected}").into());
        }
        if found.map(|(key, _)| key).as_deref()
            != sorted.get(place as usize).map(|(key, _)| &key[..])
        {
            return Err(format!("another entry than that of rank {place} was found").into());
        }
        // The first half brings everything into the cache.
        if question >= QUESTIONS {
            counts.push(counting);
            ranks.push(ranking);
        }
    }
    drop(snapshot);
    for (workload, times) in [("count", &mut counts), ("nth", &mut ranks)] {
        let lines = task.lines(workload);
        lines.say("entries", entries as f64, "");
        lines.say("mean", times.mean(), "us");
        lines.say("p99", times.percentile(0.99), "us");
    }
    store.close()
}

/// Entries before `key`.
fn rank(sorted: &[(Key, u64)], key: &Key) -> u64 {
    sorted.partition_point(|(other, _)| other < key) as u64
}
