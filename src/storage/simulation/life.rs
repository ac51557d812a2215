//! The life of one store on a faulty disk, from a seed: work, faults, crashes, kills, and damage at the end.
//! Panics as soon as the store is not what it must be.

use std::sync::Arc;

use super::model::{Known, Model};
use super::workload::{Shape, any_direction, ask, compare};
use super::{betrayal, damage};
use crate::storage::crossed;
use crate::storage::disk::{Call, CrashMode, Disk, FaultyDisk, Tally};
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{Engine, Snapshot, StorageError, verify_directory};
use crate::testing::Random;

/// Crashes of a life at most, so that its disk does not become slow.
const CRASHES: u64 = 40;

/// One in so many stores is as large as a server's, and crashes only so often: it takes a second or two.
const FULL_SIZE: u64 = 100;
const CRASHES_AT_FULL_SIZE: u64 = 4;

pub(super) struct Life {
    pub(super) random: Random,
    pub(super) disk: FaultyDisk,
    pub(super) known: Known,
    pub(super) shape: Shape,
    /// Steps between two crashes at most.
    pub(super) steps: u64,
    /// Whether one is hardly ever due, and there come to be many segments of the log.
    pub(super) checkpoints_are_rare: bool,
    /// Whether it is as large as a server's.
    is_full_size: bool,
    /// Whether a list of a long value could not be read when its parts were to be released.
    pub(super) has_leaked: bool,
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
    let is_full_size = random.once_in(FULL_SIZE);
    let known = Known::default();
    let checkpoints_are_rare = random.once_in(12);
    let mut life = Life {
        random,
        disk,
        known,
        shape,
        steps,
        checkpoints_are_rare,
        is_full_size,
        has_leaked: false,
    };
    crossed::take();
    let crashes = if is_full_size { CRASHES_AT_FULL_SIZE } else { CRASHES };
    for _ in 0..=life.random.below(crashes) {
        let engine = life.recover();
        if is_full_size {
            life.arm_at_full_size();
            life.work_at_full_size(&engine);
        } else {
            life.arm();
            life.work(&engine);
        }
        life.has_leaked |= engine.numbers().leaks > 0;
    }
    match life.random.below(6) {
        _ if is_full_size => {}
        0 | 1 => damage::examine(&mut life),
        2 | 3 => betrayal::examine(&mut life),
        _ => {}
    }
    life.disk.forgive();
    for (bound, times) in crossed::take() {
        life.disk.note_bound(bound, times);
    }
    let names = life.disk.list().expect("nothing is to fail any more");
    let files = names.into_iter().map(|name| (name.clone(), life.disk.bytes(&name))).collect();
    Lived { tally: life.disk.tally(), files }
}

impl Life {
    pub(super) fn options(&mut self) -> SlabOptions {
        if self.is_full_size {
            return self.options_of_full_size();
        }
        let random = &mut self.random;
        if self.checkpoints_are_rare {
            return SlabOptions {
                flush_interval: None,
                log_segment_bytes: 4_096 + random.below(8_192),
                checkpoint_log_bytes: 4 << 20,
                reserve_bytes: 4_096,
                ..SlabOptions::new([7; 16], 32 << 20)
            };
        }
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
        if self.random.once_in(if self.checkpoints_are_rare { 20 } else { 3 }) {
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
    pub(super) fn arm(&mut self) {
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

    /// Reads everything, with nothing to fail.
    pub(super) fn read(&mut self, snapshot: &dyn Snapshot, model: &Model) {
        compare(snapshot, model, any_direction(&mut self.random)).expect("nothing fails");
        ask(&mut self.random, &self.shape, snapshot, model).expect("nothing fails");
    }
}
