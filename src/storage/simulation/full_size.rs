//! Lives of stores as large as a server's: segments of the log, parts of a checkpoint and everything else have the sizes
//! that they have there, and the data are so many that each of these bounds is met.

use std::sync::Arc;

use bytes::Bytes;

use super::life::Life;
use super::loading::Load;
use super::model::Entries;
use super::work::Step;
use crate::limits::{STORAGE_BATCH_BYTES, STORAGE_KEY_BYTES, STORAGE_VALUE_BYTES};
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{Durability, Engine, StorageError, TreeId, WriteBatch};
use crate::testing::Random;

/// Room for so much is left on a disk that is to be full soon.
const ROOM: u64 = 24 << 20;

/// How many entries a tree has, and how long their values are: many that are short, leaves with four entries, and long
/// values in slots with a gap between every two once every second one is deleted.
const FILLINGS: [(u64, usize); 3] = [(20_000, 20), (9_500, 3_900), (9_500, 6_500)];

fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

fn value(random: &mut Random, length: usize) -> Bytes {
    let mut value = random.next().to_be_bytes().to_vec();
    value.resize(length, length as u8);
    Bytes::from(value)
}

impl Life {
    /// As a server's, but for what depends on the clock.
    pub(super) fn options_of_full_size(&mut self) -> SlabOptions {
        let options = SlabOptions::new([7; 16], 1 << 30);
        let checkpoint_log_bytes =
            if self.random.once_in(2) { usize::MAX } else { options.checkpoint_log_bytes };
        SlabOptions { flush_interval: None, checkpoint_log_bytes, ..options }
    }

    /// Prepares a fault for a store that does much before it comes.
    pub(super) fn arm_at_full_size(&mut self) {
        match self.random.below(6) {
            0 => self.disk.fail_after(self.random.below(3_000)),
            1 => self.disk.stop_after(self.random.below(3_000)),
            2 | 3 => {
                let room = self.random.below(ROOM) as usize;
                self.disk.set_capacity(self.disk.used() + room);
            }
            _ => {}
        }
    }

    /// Works with a store until something fails, or for a while.
    pub(super) fn work_at_full_size(&mut self, engine: &Arc<SlabEngine>) {
        let (entries, length) = FILLINGS[self.random.below(3) as usize];
        let mut step = self.fill(engine, entries, length);
        for _ in 0..3 + self.random.below(6) {
            if matches!(step, Step::Over) {
                return;
            }
            let tree = self.known.now().names().last().copied();
            self.disk.set_phase("writing");
            step = match (self.random.below(10), tree) {
                (0 | 1, Some(tree)) => self.change_some(engine, tree, (entries, length)),
                (2 | 3, Some(tree)) => self.delete_some(engine, tree, entries),
                (4, Some(tree)) => self.put_much(engine, tree),
                (5, Some(tree)) => self.put_too_much(engine, tree),
                (6, _) => {
                    self.disk.set_phase("waiting");
                    let waited = engine.wait_durable(engine.last_sequence());
                    self.judge(engine, waited)
                }
                (7, _) => {
                    let model = self.known.now().clone();
                    self.ask(engine, &*engine.snapshot().expect("it is open"), &model)
                }
                _ => {
                    self.disk.set_phase("checkpoint");
                    self.checkpoint_amid_others(engine)
                }
            };
        }
    }

    /// Loads a tree of its own.
    fn fill(&mut self, engine: &Arc<SlabEngine>, entries: u64, length: usize) -> Step {
        self.disk.set_phase("writing");
        let tree = engine.new_tree_id().expect("names never end");
        let mut batch = WriteBatch::new(Durability::Hard);
        batch.create_tree(tree);
        if let Step::Over = self.put(engine, batch) {
            return Step::Over;
        }
        if self.known.now().get(tree).is_none() {
            return Step::Done;
        }
        self.disk.set_phase("loading");
        let entries: Entries =
            (0..entries).map(|number| (key(number), value(&mut self.random, length))).collect();
        let begun = engine.bulk_load(tree).and_then(|mut filled| {
            entries.iter().try_for_each(|(key, value)| filled.push(key, value))?;
            Ok(filled)
        });
        match begun {
            Ok(filled) => self.end_load(engine, Load { tree, entries, filled }),
            Err(error) => self.judge(engine, Err(error)),
        }
    }

    /// Applies a batch, unless one of its trees is gone: what was written after the disk had been full may have dropped it.
    fn put(&mut self, engine: &Arc<SlabEngine>, batch: WriteBatch) -> Step {
        let now = self.known.now();
        if batch.edited_trees().iter().any(|tree| now.get(*tree).is_none()) {
            return Step::Done;
        }
        let applied = self.apply(engine, batch);
        self.judge(engine, applied)
    }

    /// Changes every fourth entry, and so every leaf with four; or a few, and so every inner node but few of its children,
    /// once before a checkpoint and once amid it: then each of these children is looked at when the checkpoint is settled.
    fn change_some(
        &mut self,
        engine: &Arc<SlabEngine>,
        tree: TreeId,
        (entries, length): (u64, usize),
    ) -> Step {
        let is_sparse = self.random.once_in(2);
        let step = if is_sparse { 500 } else { 4 };
        let batch = |random: &mut Random| {
            let mut batch = WriteBatch::new(Durability::Soft);
            for number in (random.below(4)..entries).step_by(step) {
                batch.put(tree, key(number), value(random, length));
            }
            batch
        };
        let (changes, others) = (batch(&mut self.random), batch(&mut self.random));
        match self.put(engine, changes) {
            Step::Done if is_sparse => {
                self.disk.set_phase("checkpoint");
                self.checkpoint_amid(engine, [others].into())
            }
            step => step,
        }
    }

    /// Deletes every second entry, and makes their room free as soon as it may be.
    fn delete_some(&mut self, engine: &Arc<SlabEngine>, tree: TreeId, entries: u64) -> Step {
        let mut batch = WriteBatch::new(Durability::Soft);
        (0..entries).step_by(2).for_each(|number| batch.delete(tree, key(number)));
        let mut step = self.put(engine, batch);
        for _ in 0..2 {
            if matches!(step, Step::Over) {
                return step;
            }
            self.disk.set_phase("checkpoint");
            let mut batch = WriteBatch::new(Durability::Soft);
            batch.put(tree, key(u64::MAX), value(&mut self.random, 20));
            step = self.put(engine, batch);
            if matches!(step, Step::Done) {
                let written = engine.checkpoint();
                step = self.judge(engine, written);
            }
        }
        step
    }

    /// More than the log's queue may have, and than is put together when the log is applied.
    fn put_much(&mut self, engine: &Arc<SlabEngine>, tree: TreeId) -> Step {
        for number in 0..10 {
            let mut batch = WriteBatch::new(Durability::Soft);
            batch.put(tree, key(1 << 40 | number), value(&mut self.random, 8 << 20));
            if let Step::Over = self.put(engine, batch) {
                return Step::Over;
            }
        }
        self.disk.set_phase("waiting");
        let waited = engine.wait_durable(engine.last_sequence());
        self.judge(engine, waited)
    }

    /// What is longer than anything may be is refused, and nothing comes of it.
    fn put_too_much(&mut self, engine: &Arc<SlabEngine>, tree: TreeId) -> Step {
        let attempt = |keys: usize, values: &[usize]| {
            let mut batch = WriteBatch::new(Durability::Soft);
            for (number, length) in values.iter().enumerate() {
                batch.put(tree, vec![number as u8; keys], vec![0; *length]);
            }
            engine.apply(batch).map(drop)
        };
        let refused = attempt(STORAGE_KEY_BYTES + 1, &[1]);
        assert!(matches!(refused, Err(StorageError::KeyTooLong { .. })), "{refused:?}");
        let refused = attempt(1, &[STORAGE_VALUE_BYTES + 1]);
        assert!(matches!(refused, Err(StorageError::ValueTooLong { .. })), "{refused:?}");
        let refused = attempt(1, &[STORAGE_BATCH_BYTES / 3; 4]);
        assert!(matches!(refused, Err(StorageError::BatchTooLarge { .. })), "{refused:?}");
        self.judge(engine, Ok(()))
    }
}
