//! What a life does with an open store, step by step, and what must hold after each of them.
//! Panics as soon as the store is not what it must be.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::life::Life;
use super::model::Model;
use super::workload::{any_direction, ask, compare, random_batch};
use crate::storage::disk::Call;
use crate::storage::store::SlabEngine;
use crate::storage::{Engine, Snapshot, StorageError, WriteBatch};
use crate::testing::Random;

/// How a step has ended.
pub(super) enum Step {
    Done,
    /// Something failed; nothing more can be asked of this engine.
    Over,
}

impl Life {
    /// Works with a store until something fails, or for a while.
    pub(super) fn work(&mut self, engine: &Arc<SlabEngine>) {
        let mut kept: Vec<(Arc<dyn Snapshot>, Model, u64)> = Vec::new();
        let mut load = None;
        for _ in 0..self.random.below(self.steps + 1) {
            let step = match self.random.below(20) {
                0..12 => self.write(engine),
                14 if self.checkpoints_are_rare && !self.random.once_in(10) => Step::Done,
                12..14 => {
                    self.disk.set_phase("waiting");
                    let waited = engine.wait_durable(engine.last_sequence());
                    self.judge(engine, waited)
                }
                14 => {
                    self.disk.set_phase("checkpoint");
                    if self.random.once_in(2) {
                        self.checkpoint_amid_others(engine)
                    } else {
                        let written = engine.checkpoint();
                        self.judge(engine, written)
                    }
                }
                15 if self.random.once_in(4) => {
                    self.disk.set_phase("verifying");
                    let verified = self.but_for_lost_room(engine.verify());
                    self.judge(engine, verified)
                }
                16 => {
                    let snapshot = engine.snapshot().expect("it is open");
                    kept.push((snapshot, self.known.now().clone(), engine.numbers().checkpoints));
                    Step::Done
                }
                17 if !kept.is_empty() => {
                    // Some of them for as long as the store is open.
                    let at = self.random.below(kept.len() as u64) as usize;
                    let (snapshot, model, since) = kept[at].clone();
                    if self.random.once_in(2) {
                        kept.swap_remove(at);
                    }
                    if engine.numbers().checkpoints > since + 2 {
                        self.disk.note("snapshot held for long", "");
                    }
                    self.ask(engine, &*snapshot, &model)
                }
                18 => match load.take() {
                    None => self.begin_load(engine, &mut load),
                    Some(load) => self.end_load(engine, load),
                },
                _ => {
                    let model = self.known.now().clone();
                    self.ask(engine, &*engine.snapshot().expect("it is open"), &model)
                }
            };
            if matches!(step, Step::Over) {
                if let Some(load) = load {
                    self.end_load_after_failure(engine, load);
                }
                return;
            }
        }
        if self.random.once_in(if self.checkpoints_are_rare { 100 } else { 10 }) {
            self.disk.set_phase("closing");
            let closed = engine.close();
            if matches!(closed, Err(StorageError::DiskFull { .. })) {
                assert!(self.disk.was_full(), "there was room");
                self.known.acknowledge(engine.durable_sequence().0);
            } else if closed.is_ok() {
                assert_eq!(engine.durable_sequence(), engine.last_sequence());
                self.known.acknowledge(engine.last_sequence().0);
            } else {
                // A second time as well.
                self.judge(engine, closed);
            }
        }
    }

    /// Writes a checkpoint, and between its operations on the data file does what other threads of a server do: batches
    /// and syncs of the log, some of which fail.
    pub(super) fn checkpoint_amid_others(&mut self, engine: &Arc<SlabEngine>) -> Step {
        let mut model = self.known.now().clone();
        let mut batches = VecDeque::new();
        for _ in 0..self.random.below(8) {
            let (batch, refused) = random_batch(&mut self.random, &self.shape, &**engine, &model);
            if !refused {
                model.apply(batch.operations());
                batches.push_back(batch);
            }
        }
        self.checkpoint_amid(engine, batches)
    }

    /// The same with these batches, as far as there is time.
    pub(super) fn checkpoint_amid(
        &mut self,
        engine: &Arc<SlabEngine>,
        mut batches: VecDeque<WriteBatch>,
    ) -> Step {
        let mut random = Random::seeded(self.random.next());
        let fails = random.once_in(8);
        let done = Arc::new(Mutex::new(Vec::new()));
        let (others, disk, committed) = (Arc::clone(engine), self.disk.clone(), Arc::clone(&done));
        self.disk.interrupt(Some(Box::new(move || match random.below(8) {
            0 | 1 => {
                if fails && random.once_in(3) {
                    disk.fail_next(Call::Sync, "slab.log");
                    disk.note("fault amid a checkpoint", "slab.log");
                }
                drop(others.wait_durable(others.last_sequence()));
                disk.note("log amid a checkpoint", "");
            }
            2 | 3 if let Some(batch) = batches.pop_front() => {
                let operations = batch.operations().to_vec();
                match others.apply(batch) {
                    Ok(commit) => {
                        committed.lock().unwrap().push((commit.sequence.0, operations));
                        disk.note("commit amid a checkpoint", "");
                    }
                    Err(_) => batches.clear(),
                }
            }
            _ => {}
        })));
        let written = engine.checkpoint();
        self.disk.interrupt(None);
        for (sequence, operations) in done.lock().unwrap().drain(..) {
            self.known.commit(sequence, &operations);
        }
        self.judge(engine, written)
    }

    pub(super) fn write(&mut self, engine: &Arc<SlabEngine>) -> Step {
        self.disk.set_phase("writing");
        let random = &mut self.random;
        let (batch, refused) = random_batch(random, &self.shape, &**engine, self.known.now());
        match self.apply(engine, batch) {
            Err(StorageError::Conflict) if refused => Step::Done,
            Err(StorageError::DiskFull { .. }) => self.judge_full(engine),
            outcome => {
                assert!(!refused || outcome.is_err(), "a condition that does not hold");
                match self.judge(engine, outcome) {
                    Step::Done if self.checkpoints_are_rare => {
                        let waited = engine.wait_durable(engine.last_sequence());
                        self.judge(engine, waited)
                    }
                    step => step,
                }
            }
        }
    }

    pub(super) fn apply(
        &mut self,
        engine: &Arc<SlabEngine>,
        batch: WriteBatch,
    ) -> Result<(), StorageError> {
        let operations = batch.operations().to_vec();
        let commit = engine.apply(batch)?;
        self.known.commit(commit.sequence.0, &operations);
        Ok(())
    }

    /// Takes note of what is durable, and looks closely when something has failed.
    pub(super) fn judge(
        &mut self,
        engine: &Arc<SlabEngine>,
        outcome: Result<(), StorageError>,
    ) -> Step {
        self.known.acknowledge(engine.durable_sequence().0);
        if matches!(outcome, Err(StorageError::DiskFull { .. })) {
            return self.judge_full(engine);
        }
        let Some(failed) = self.disk.failed() else {
            outcome.expect("nothing has failed");
            return Step::Done;
        };
        if self.disk.has_stopped() {
            return Step::Over;
        }
        // There is room again, and nothing else fails; which changes nothing for an engine that has seen it fail.
        self.disk.set_capacity(usize::MAX);
        self.disk.fail_no_more();
        self.disk.set_phase("after a failure");
        let model = self.known.now().clone();
        self.read(&*engine.snapshot().expect("it can be read"), &model);
        let (batch, _) = random_batch(&mut self.random, &self.shape, &**engine, &model);
        match self.apply(engine, batch) {
            Err(StorageError::Poisoned { .. }) => {
                self.disk.note("end of writing", "");
                let refused = engine.checkpoint();
                assert!(matches!(refused, Err(StorageError::Poisoned { .. })), "{refused:?}");
                let refused = engine.wait_durable(engine.last_sequence());
                assert!(refused.is_err() || self.known.last() == engine.durable_sequence().0);
                assert!(engine.close().is_err(), "nothing to complain of");
            }
            Ok(()) | Err(StorageError::Conflict) => {
                assert!(!failed.must_not_fail(), "it goes on after {failed:?}");
                self.known.acknowledge(engine.durable_sequence().0);
            }
            Err(error) => panic!("{error} after {failed:?}"),
        }
        let late = self.disk.late_writes();
        assert_eq!(late, 0, "written after {failed:?}");
        Step::Over
    }

    /// The disk was full: everything can be read, and once there is room writes go on with everything that was applied.
    pub(super) fn judge_full(&mut self, engine: &Arc<SlabEngine>) -> Step {
        assert!(self.disk.was_full(), "there was room");
        if self.disk.failed().is_some() {
            return self.judge(engine, Ok(()));
        }
        let model = self.known.now().clone();
        self.disk.set_phase("full");
        if self.random.once_in(4) {
            self.read(&*engine.snapshot().expect("it can be read"), &model);
        }
        if self.random.once_in(2) {
            self.disk.note("full disk for long", "");
            return Step::Done;
        }
        self.disk.set_capacity(usize::MAX);
        let (batch, refused) = random_batch(&mut self.random, &self.shape, &**engine, &model);
        match self.apply(engine, batch) {
            Ok(()) => {
                self.disk.note("room again", "");
                self.judge(engine, Ok(()))
            }
            Err(StorageError::Conflict) if refused => Step::Done,
            Err(error) => {
                assert!(self.disk.failed().is_some(), "it does not go on: {error}");
                self.judge(engine, Ok(()))
            }
        }
    }

    pub(super) fn ask(
        &mut self,
        engine: &Arc<SlabEngine>,
        snapshot: &dyn Snapshot,
        model: &Model,
    ) -> Step {
        self.disk.set_phase("reading");
        let mut outcome = ask(&mut self.random, &self.shape, snapshot, model);
        if self.random.once_in(4) {
            outcome = outcome.and(compare(snapshot, model, any_direction(&mut self.random)));
        }
        self.judge(engine, outcome)
    }
}
