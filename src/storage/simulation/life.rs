//! The life of one store on a faulty disk, from a seed: work, faults, crashes, kills, and damage at the end.
//! Panics as soon as the store is not what it must be.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::damage;
use super::model::{Entries, Known, Model};
use super::workload::{Shape, any_direction, any_of, ask, compare, random_batch};
use crate::storage::disk::{Call, CrashMode, Disk, FaultyDisk, Tally};
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{
    BulkLoad, Durability, Engine, Operation, Snapshot, StorageError, TreeId, WriteBatch,
    verify_directory,
};
use crate::testing::Random;

/// Crashes of a life at most, so that its disk does not become slow.
const CRASHES: u64 = 40;

pub(super) struct Life {
    pub(super) random: Random,
    pub(super) disk: FaultyDisk,
    pub(super) known: Known,
    pub(super) shape: Shape,
    /// Steps between two crashes at most.
    steps: u64,
    /// Whether a list of a long value could not be read when its parts were to be released.
    has_leaked: bool,
}

/// A tree that is being filled.
struct Load<'a> {
    tree: TreeId,
    entries: Entries,
    filled: Box<dyn BulkLoad + 'a>,
}

/// How a step has ended.
enum Step {
    Done,
    /// Something failed; nothing more can be asked of this engine.
    Over,
}

/// What a life has been.
pub(super) struct Lived {
    pub(super) tally: Tally,
    /// All files at its end.
    pub(super) files: Vec<(String, Vec<u8>)>,
}

/// Lives through the life of a seed.
pub(super) fn live(seed: u64) -> Lived {
    let mut random = Random::seeded(seed);
    let disk = FaultyDisk::new(random.next());
    let shape = Shape::any(&mut random);
    let steps = 1 << random.below(7);
    let mut life = Life { random, disk, known: Known::default(), shape, steps, has_leaked: false };
    for _ in 0..=life.random.below(CRASHES) {
        let engine = life.recover();
        life.arm();
        life.work(&engine);
        life.has_leaked |= engine.numbers().leaks > 0;
    }
    if life.random.once_in(3) {
        damage::examine(&mut life);
    }
    life.disk.forgive();
    let names = life.disk.list().expect("nothing is to fail any more");
    let files = names.into_iter().map(|name| (name.clone(), life.disk.bytes(&name))).collect();
    Lived { tally: life.disk.tally(), files }
}

impl Life {
    pub(super) fn options(&mut self) -> SlabOptions {
        let random = &mut self.random;
        SlabOptions {
            flush_interval: None,
            log_segment_bytes: 8_192 + random.below(60_000),
            checkpoint_log_bytes: 5_000 + random.below(200_000) as usize,
            checkpoint_part_bytes: 1_000 + random.below(30_000) as usize,
            reserve_bytes: 4_096 << random.below(4),
            ..SlabOptions::new([7; 16], 5_000 + random.below(400_000) as usize)
        }
    }

    pub(super) fn open(&mut self, disk: &FaultyDisk) -> Result<SlabEngine, StorageError> {
        let options = self.options();
        disk.set_phase("opening");
        SlabEngine::open(Arc::new(disk.clone()), options)
    }

    /// Opens the store after a crash or a kill, which may fail and be followed by another one; and looks at it.
    pub(super) fn recover(&mut self) -> Arc<SlabEngine> {
        let (engine, verified) = loop {
            self.come_up();
            let verified = if self.random.once_in(6) { self.verify() } else { None };
            match self.random.below(24) {
                0..3 => self.disk.fail_after(self.random.below(40)),
                3..6 => self.disk.stop_after(self.random.below(40)),
                6 => {
                    let room = self.random.below(20_000) as usize;
                    self.disk.set_capacity(self.disk.used() + room);
                }
                _ => {}
            }
            let opened = self.open(&self.disk.clone());
            assert_eq!(self.disk.late_writes(), 0, "written after {:?}", self.disk.failed());
            match opened {
                // It stopped at something that is of no consequence.
                Ok(_) if self.disk.has_stopped() => {}
                Ok(engine) => {
                    let overlooked = self.disk.failed().filter(|call| !call.is_harmless());
                    assert_eq!(overlooked, None, "a failure that was overlooked");
                    break (Arc::new(engine), verified);
                }
                Err(error) => {
                    let has_cause = self.disk.failed().is_some() || self.disk.was_full();
                    assert!(has_cause, "a store without damage: {error}");
                }
            }
        };
        self.disk.forgive();
        self.disk.set_capacity(usize::MAX);
        let found = engine.last_sequence();
        assert_eq!(engine.durable_sequence(), found);
        assert!(verified.is_none_or(|verified| verified == found.0), "verified {verified:?}");
        self.known.recover(found.0);
        self.read(&*engine.snapshot().expect("it is open"), &self.known.now().clone());
        if self.random.once_in(3) {
            self.disk.set_phase("verifying");
            self.but_for_lost_room(engine.verify()).expect("a store without damage");
        }
        engine
    }

    /// What was verified, where room may be lost that an earlier process has told of.
    pub(super) fn but_for_lost_room(
        &self,
        verified: Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        match verified {
            Err(StorageError::Corrupt { problem, .. })
                if self.has_leaked && problem.contains("in use for nothing") =>
            {
                Ok(())
            }
            verified => verified,
        }
    }

    /// Walks through the closed store, and returns its last commit if there is one.
    fn verify(&self) -> Option<u64> {
        self.disk.set_phase("verifying");
        let before = self.disk.alterations();
        let verified = verify_directory(&self.disk);
        assert_eq!(self.disk.alterations(), before, "a walk has changed something");
        match verified {
            Ok(report) => {
                assert!(report.lost_slots == 0 || self.has_leaked, "room was lost");
                Some(report.last_sequence)
            }
            Err(StorageError::Foreign { .. }) if self.known.last() == 0 => None,
            Err(error) => panic!("a store without damage: {error}"),
        }
    }

    /// The machine has crashed, unless only the process was killed: what it has written is there, and not safe.
    fn come_up(&mut self) {
        if !self.random.once_in(3) {
            self.disk.forgive();
            self.disk = self.disk.crash(CrashMode::ALL[self.random.below(4) as usize]);
        } else {
            self.disk.forgive();
            self.disk.note("kill", "");
        }
        if self.random.once_in(2) {
            self.disk.set_capacity(usize::MAX);
        }
    }

    /// Prepares a fault.
    fn arm(&mut self) {
        match self.random.below(8) {
            0 | 1 => self.disk.fail_after(self.random.below(self.steps * 8)),
            2 | 3 => self.disk.stop_after(self.random.below(self.steps * 8)),
            4 => {
                let most = 1 << (10 + self.random.below(12));
                let room = self.random.below(most) as usize;
                self.disk.set_capacity(self.disk.used() + room);
            }
            5 => {
                let calls = [Call::Punch, Call::SetLength, Call::Remove, Call::Sync, Call::Write];
                self.disk.fail_always(calls[self.random.below(5) as usize]);
            }
            _ => {}
        }
    }

    /// Works with a store until something fails, or for a while.
    fn work(&mut self, engine: &Arc<SlabEngine>) {
        let mut kept: Vec<(Arc<dyn Snapshot>, Model, u64)> = Vec::new();
        let mut load = None;
        for _ in 0..self.random.below(self.steps + 1) {
            let step = match self.random.below(20) {
                0..12 => self.write(engine),
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
        if self.random.once_in(10) {
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
    fn checkpoint_amid_others(&mut self, engine: &Arc<SlabEngine>) -> Step {
        let mut model = self.known.now().clone();
        let mut batches = VecDeque::new();
        for _ in 0..self.random.below(8) {
            let (batch, refused) = random_batch(&mut self.random, &self.shape, &**engine, &model);
            if !refused {
                model.apply(batch.operations());
                batches.push_back(batch);
            }
        }
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

    fn write(&mut self, engine: &Arc<SlabEngine>) -> Step {
        self.disk.set_phase("writing");
        let random = &mut self.random;
        let (batch, refused) = random_batch(random, &self.shape, &**engine, self.known.now());
        match self.apply(engine, batch) {
            Err(StorageError::Conflict) if refused => Step::Done,
            Err(StorageError::DiskFull { .. }) => self.judge_full(engine),
            outcome => {
                assert!(!refused || outcome.is_err(), "a condition that does not hold");
                self.judge(engine, outcome)
            }
        }
    }

    /// Fills a tree with sorted entries, which nobody sees yet.
    fn begin_load<'a>(&mut self, engine: &'a Arc<SlabEngine>, load: &mut Option<Load<'a>>) -> Step {
        self.disk.set_phase("loading");
        let names = self.known.now().names();
        let Some(tree) = any_of(&mut self.random, &names) else { return Step::Done };
        let entries = self.shape.entries(&mut self.random);
        let begun = engine.bulk_load(tree).and_then(|mut filled| {
            entries.iter().try_for_each(|(key, value)| filled.push(key, value))?;
            Ok(Load { tree, entries, filled })
        });
        match begun {
            Ok(begun) => {
                *load = Some(begun);
                self.judge(engine, Ok(()))
            }
            Err(error) => self.judge(engine, Err(error)),
        }
    }

    /// Makes what was loaded visible, or gives it up.
    fn end_load(&mut self, engine: &Arc<SlabEngine>, load: Load<'_>) -> Step {
        self.disk.set_phase("loading");
        if self.random.once_in(4) {
            drop(load);
            return self.judge(engine, Ok(()));
        }
        let Load { tree, entries, filled } = load;
        let found = self.known.now().get(tree).map(Entries::is_empty);
        match filled.finish(Durability::Soft) {
            Ok(commit) => {
                assert_eq!(found, Some(true), "loaded into what was not empty");
                let put = |(key, value)| Operation::Put { tree, key, value };
                let operations: Vec<_> = entries.into_iter().map(put).collect();
                self.known.commit(commit.sequence.0, &operations);
                self.disk.note("bulk load", "");
                self.judge(engine, Ok(()))
            }
            Err(StorageError::Conflict) if found == Some(false) => self.judge(engine, Ok(())),
            Err(StorageError::NoSuchTree(_)) if found.is_none() => self.judge(engine, Ok(())),
            Err(error) => self.judge(engine, Err(error)),
        }
    }

    /// A load that was under way when something failed does not go on writing.
    fn end_load_after_failure(&mut self, engine: &Arc<SlabEngine>, load: Load<'_>) {
        let is_broken = self.disk.failed().is_some_and(Call::must_not_fail);
        if is_broken && !self.disk.has_stopped() {
            assert!(load.filled.finish(Durability::Hard).is_err(), "it goes on");
            assert_eq!(self.disk.late_writes(), 0, "a load goes on writing");
            assert_eq!(engine.last_sequence().0, self.known.last());
        }
    }

    fn apply(&mut self, engine: &Arc<SlabEngine>, batch: WriteBatch) -> Result<(), StorageError> {
        let operations = batch.operations().to_vec();
        let commit = engine.apply(batch)?;
        self.known.commit(commit.sequence.0, &operations);
        Ok(())
    }

    /// Takes note of what is durable, and looks closely when something has failed.
    fn judge(&mut self, engine: &Arc<SlabEngine>, outcome: Result<(), StorageError>) -> Step {
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
    fn judge_full(&mut self, engine: &Arc<SlabEngine>) -> Step {
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

    fn ask(&mut self, engine: &Arc<SlabEngine>, snapshot: &dyn Snapshot, model: &Model) -> Step {
        self.disk.set_phase("reading");
        let mut outcome = ask(&mut self.random, &self.shape, snapshot, model);
        if self.random.once_in(4) {
            outcome = outcome.and(compare(snapshot, model, any_direction(&mut self.random)));
        }
        self.judge(engine, outcome)
    }

    /// Reads everything, with nothing to fail.
    fn read(&mut self, snapshot: &dyn Snapshot, model: &Model) {
        compare(snapshot, model, any_direction(&mut self.random)).expect("nothing fails");
        ask(&mut self.random, &self.shape, snapshot, model).expect("nothing fails");
    }
}
