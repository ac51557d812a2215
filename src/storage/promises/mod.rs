//! The promises of the slab engine, as the head of [`super`] numbers them: a test or more for each, which fails when
//! the promise is broken. Each says with which break of the engine it has been seen to fail.
//!
//! Where the simulation draws faults by chance, these tests go through all of them: every operation of a fixed course
//! of events is the one at which the machine stops, or the one that fails.

mod cost;
mod crashes;
mod damage;
mod full;
mod restarts;
mod silence;
mod unstoppable;
mod waiting;

use std::sync::Arc;

use super::disk::Disk;
use super::store::{SlabEngine, SlabOptions};
use super::{
    Durability, Engine, KeyRange, ReadMode, Scanner, Snapshot, StorageError, TreeId, WriteBatch,
};

const WAIT: ReadMode = ReadMode::MayBlock;

/// The trees that every batch of the course of events writes to.
const TREES: [TreeId; 3] = [TreeId(1), TreeId(2), TreeId(3)];
/// Commits of the course of events.
const COMMITS: u64 = 18;

/// Room enough that checkpoints are written only where the course of events asks for them.
fn options() -> SlabOptions {
    SlabOptions {
        flush_interval: None,
        log_segment_bytes: 8_192,
        checkpoint_log_bytes: usize::MAX,
        reserve_bytes: 8_192,
        ..SlabOptions::new([7; 16], 400_000)
    }
}

fn open(disk: &(impl Disk + Clone + 'static)) -> Result<SlabEngine, StorageError> {
    SlabEngine::open(Arc::new(disk.clone()), options())
}

/// How far the course of events went.
#[derive(Debug, Default)]
struct Course {
    /// The last commit that is known to be durable.
    acknowledged: u64,
    /// The last one that was applied.
    last: u64,
}

/// The course of events: the same on every disk, until something fails. Commits of several trees, hard ones, long
/// values, checkpoints, and a tree that is dropped and made again.
fn run(engine: &SlabEngine, course: &mut Course) -> Result<(), StorageError> {
    for number in engine.last_sequence().0 + 1..=COMMITS {
        let hard = number % 3 == 0;
        let mut batch = WriteBatch::new(if hard { Durability::Hard } else { Durability::Soft });
        for tree in TREES {
            if number == 1 {
                batch.create_tree(tree);
            }
            if number == 10 && tree == TREES[1] {
                batch.drop_tree(tree);
                batch.create_tree(tree);
            }
            let length = if number % 5 == 0 { 9_000 } else { 300 };
            batch.put(tree, "last", number.to_be_bytes().to_vec());
            batch.put(tree, number.to_be_bytes().to_vec(), vec![number as u8; length]);
            if let Some(old) = number.checked_sub(4) {
                batch.delete(tree, old.to_be_bytes().to_vec());
            }
        }
        course.last = engine.apply(batch)?.sequence.0;
        if hard {
            let waited = engine.wait_durable(engine.last_sequence());
            course.acknowledged = engine.durable_sequence().0;
            waited?;
        }
        if number % 4 == 0 {
            engine.checkpoint()?;
            course.acknowledged = engine.durable_sequence().0;
        }
    }
    Ok(())
}

/// The commit whose state a store is in, after a check that it is in that state, in every tree.
fn state_of(snapshot: &dyn Snapshot) -> Result<u64, StorageError> {
    let sequence = snapshot.sequence().0;
    for tree in TREES {
        if sequence == 0 {
            assert!(!snapshot.has_tree(tree, WAIT)?);
            continue;
        }
        let first = if tree == TREES[1] && sequence >= 10 { 10 } else { 1 };
        let numbers = first.max(sequence.saturating_sub(3))..=sequence;
        let cursor = snapshot.cursor(tree, &KeyRange::ALL, super::Direction::Forward)?;
        let mut scanner = Scanner::new(cursor, WAIT);
        for number in numbers {
            let (key, value) = scanner.next()?.expect("an entry is missing");
            assert_eq!(key, number.to_be_bytes(), "{tree} after commit {sequence}");
            let length = if number % 5 == 0 { 9_000 } else { 300 };
            assert!(*value == vec![number as u8; length], "{tree} after commit {sequence}");
        }
        let last = scanner.next()?.map(|(key, value)| (key.to_vec(), value.to_vec()));
        let expected = (b"last".to_vec(), sequence.to_be_bytes().to_vec());
        assert_eq!(last, Some(expected), "{tree}");
        assert!(scanner.next()?.is_none(), "{tree} has too much");
    }
    Ok(sequence)
}
