//! The slab engine on a disk that lies, against plain ordered maps: operations, crashes, faults and damage, all from
//! one seed, which is printed. `PHOTONDB_TEST_SEED` repeats a run, `PHOTONDB_SIMULATED_CRASHES` makes it longer.
//!
//! After every crash the store must be in the state of one commit, which is not before the last that was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::{CrashMode, Disk, FaultyDisk};
use super::store::{SlabEngine, SlabOptions};
use super::{
    Direction, Durability, Engine, KeyRange, ReadMode, Scanner, Snapshot, StorageError, TreeId,
    WriteBatch,
};
use crate::testing::Random;

const WAIT: ReadMode = ReadMode::MayBlock;

/// Crashes of a run, unless it is told otherwise: a few seconds of them.
const CRASHES: u64 = 150;

type Model = BTreeMap<TreeId, BTreeMap<Vec<u8>, Vec<u8>>>;

/// What is known of a store from outside.
struct Known {
    /// The states after the commits that a crash may leave, from the first of them on.
    states: BTreeMap<u64, Model>,
    acknowledged: u64,
}

impl Known {
    fn now(&self) -> &Model {
        self.states.last_key_value().expect("there is a state").1
    }

    /// Nothing before this commit may be seen any more.
    fn acknowledge(&mut self, sequence: u64) {
        self.acknowledged = self.acknowledged.max(sequence);
        self.states = self.states.split_off(&self.acknowledged);
    }
}

fn crashes() -> u64 {
    let set = std::env::var("PHOTONDB_SIMULATED_CRASHES").ok();
    set.map_or(CRASHES, |crashes| crashes.parse().expect("a number of crashes"))
}

fn options(random: &mut Random) -> SlabOptions {
    SlabOptions {
        flush_interval: None,
        log_segment_bytes: 8_192 + random.below(60_000),
        checkpoint_log_bytes: 20_000 + random.below(200_000) as usize,
        ..SlabOptions::new([7; 16], 20_000 + random.below(400_000) as usize)
    }
}

fn open(disk: &FaultyDisk, random: &mut Random) -> Result<SlabEngine, StorageError> {
    SlabEngine::open(Arc::new(disk.clone()), options(random))
}

fn random_batch(random: &mut Random, engine: &SlabEngine, model: &mut Model) -> WriteBatch {
    let durability = if random.once_in(4) { Durability::Hard } else { Durability::Soft };
    let mut batch = WriteBatch::new(durability);
    if model.is_empty() || (model.len() < 5 && random.once_in(20)) {
        let tree = engine.new_tree_id().unwrap();
        assert!(model.insert(tree, BTreeMap::new()).is_none(), "a name given out twice");
        batch.create_tree(tree);
    }
    if random.once_in(30) {
        let tree = *model.keys().nth(random.below(model.len() as u64) as usize).unwrap();
        batch.drop_tree(tree);
        model.remove(&tree);
        if random.once_in(3) {
            batch.create_tree(tree);
            model.insert(tree, BTreeMap::new());
        }
    }
    let trees: Vec<_> = model.keys().copied().collect();
    let puts = 20 + random.below(70);
    for _ in 0..random.below(30) {
        let Some(tree) = trees.get(random.below(trees.len().max(1) as u64) as usize) else { break };
        let key = random.below(600).to_string().into_bytes();
        let entries = model.get_mut(tree).unwrap();
        if random.below(100) < puts {
            let length = if random.once_in(60) { 270_000 } else { 40 << random.below(9) };
            let mut value = random.bytes(40);
            value.resize(random.below(length) as usize, key[0]);
            batch.put(*tree, key.clone(), value.clone());
            entries.insert(key, value);
        } else {
            batch.delete(*tree, key.clone());
            entries.remove(&key);
        }
    }
    batch
}

fn compare(
    snapshot: &dyn Snapshot,
    model: &Model,
    direction: Direction,
) -> Result<(), StorageError> {
    assert_eq!(snapshot.trees(WAIT)?, model.keys().copied().collect::<Vec<_>>());
    for (tree, entries) in model {
        assert_eq!(snapshot.count(*tree, &KeyRange::ALL, WAIT)?, entries.len() as u64);
        let mut scanner = Scanner::new(snapshot.cursor(*tree, &KeyRange::ALL, direction)?, WAIT);
        let mut expected: Vec<_> = entries.iter().collect();
        if direction == Direction::Backward {
            expected.reverse();
        }
        for (key, value) in expected {
            let (found_key, found_value) = scanner.next()?.expect("an entry is missing");
            assert_eq!(found_key, key);
            assert!(found_value == value, "another value");
        }
        assert!(scanner.next()?.is_none(), "an entry too many");
    }
    Ok(())
}

fn any_direction(random: &mut Random) -> Direction {
    if random.once_in(2) { Direction::Forward } else { Direction::Backward }
}

/// Works with a store until something fails, or for a while.
fn work(random: &mut Random, engine: &SlabEngine, known: &mut Known) {
    let mut kept: Vec<(Arc<dyn Snapshot>, Model)> = Vec::new();
    for _ in 0..random.below(40) {
        let outcome = match random.below(20) {
            0..12 => {
                let mut model = known.now().clone();
                let batch = random_batch(random, engine, &mut model);
                engine.apply(batch).map(|commit| {
                    known.states.insert(commit.sequence.0, model);
                })
            }
            12..15 => engine.wait_durable(engine.last_sequence()),
            15 => engine.checkpoint(),
            16 => {
                kept.push((engine.snapshot().unwrap(), known.now().clone()));
                Ok(())
            }
            17 if !kept.is_empty() => {
                let (snapshot, model) = kept.swap_remove(random.below(kept.len() as u64) as usize);
                compare(&*snapshot, &model, any_direction(random))
            }
            _ => compare(&*engine.snapshot().unwrap(), known.now(), any_direction(random)),
        };
        known.acknowledge(engine.durable_sequence().0);
        if outcome.is_err() {
            return;
        }
    }
    if random.once_in(10) && engine.close().is_ok() {
        known.acknowledge(engine.last_sequence().0);
    }
}

/// Opens a store after a crash, which may fail and be followed by another one.
fn recover(random: &mut Random, disk: &mut FaultyDisk) -> SlabEngine {
    loop {
        let modes = [CrashMode::LoseAll, CrashMode::KeepAll, CrashMode::Prefix, CrashMode::Any];
        *disk = disk.crash(modes[random.below(4) as usize]);
        let is_to_fail = random.once_in(4);
        if is_to_fail {
            disk.fail_after(random.below(30));
        }
        let opened = open(disk, random);
        let has_failed = is_to_fail && !disk.fail_no_more();
        match opened {
            Ok(engine) => return engine,
            Err(error) => assert!(has_failed, "a store that was not damaged: {error}"),
        }
    }
}

#[test]
fn every_crash_leaves_the_state_of_a_commit_that_is_late_enough() {
    let mut random = Random::from_environment();
    let mut disk = FaultyDisk::new(random.next());
    let mut known = Known { states: BTreeMap::from([(0, Model::new())]), acknowledged: 0 };
    for crash in 0..crashes() {
        if crash % 50 == 0 {
            // Anew, so that the disk does not become slow.
            disk = FaultyDisk::new(random.next());
            known = Known { states: BTreeMap::from([(0, Model::new())]), acknowledged: 0 };
        }
        let engine = recover(&mut random, &mut disk);
        let found = engine.last_sequence().0;
        let Some(model) = known.states.get(&found) else {
            panic!("commit {found} after a crash, {} was acknowledged", known.acknowledged);
        };
        let model = model.clone();
        compare(&*engine.snapshot().unwrap(), &model, any_direction(&mut random)).unwrap();
        engine.verify().unwrap();
        known = Known { states: BTreeMap::from([(found, model)]), acknowledged: found };
        match random.below(4) {
            0 => disk.fail_after(random.below(150)),
            1 if random.once_in(3) => disk.set_capacity(600_000 + random.below(3_000_000)),
            _ => {}
        }
        work(&mut random, &engine, &mut known);
        disk.fail_no_more();
    }
}

#[test]
fn a_failed_write_or_sync_ends_writing_and_loses_nothing() {
    let mut random = Random::from_environment();
    for _ in 0..40 {
        let mut disk = FaultyDisk::new(random.next());
        let engine = open(&disk, &mut random).unwrap();
        let mut known = Known { states: BTreeMap::from([(0, Model::new())]), acknowledged: 0 };
        disk.fail_after(random.below(60));
        while known.states.len() < 400 {
            let mut model = known.now().clone();
            let batch = random_batch(&mut random, &engine, &mut model);
            match engine.apply(batch) {
                Ok(commit) => known.states.insert(commit.sequence.0, model),
                Err(_) => break,
            };
            if engine.wait_durable(engine.last_sequence()).is_err() {
                break;
            }
            known.acknowledge(engine.durable_sequence().0);
        }
        if !disk.fail_no_more() {
            // A read that failed is no reason to stop; whatever else failed is.
            let mut batch = WriteBatch::new(Durability::Hard);
            batch.create_tree(engine.new_tree_id().unwrap());
            if let Err(error) = engine.apply(batch) {
                assert!(matches!(error, StorageError::Poisoned { .. }), "{error}");
                assert!(engine.checkpoint().is_err() && engine.close().is_err());
            }
        }
        drop(engine);
        let engine = recover(&mut random, &mut disk);
        assert!(engine.last_sequence().0 >= known.acknowledged);
    }
}

#[test]
fn a_flipped_bit_is_an_error_and_never_an_answer() {
    let mut random = Random::from_environment();
    let disk = FaultyDisk::new(1);
    let engine = open(&disk, &mut random).unwrap();
    let mut model = Model::new();
    for _ in 0..60 {
        let batch = random_batch(&mut random, &engine, &mut model);
        engine.apply(batch).unwrap();
    }
    engine.close().unwrap();
    drop(engine);
    let length = disk.bytes("slab.data").len() as u64;
    let (mut refused, mut harmless) = (0, 0);
    for _ in 0..300 {
        let image = disk.crash(CrashMode::LoseAll);
        image.flip_bit("slab.data", random.below(length) as usize, random.below(8) as u8);
        let outcome = open(&image, &mut random)
            .and_then(|engine| compare(&*engine.snapshot()?, &model, Direction::Forward));
        match outcome {
            Ok(()) => harmless += 1,
            Err(StorageError::Corrupt { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 10 && harmless > 10, "{refused} refused, {harmless} in unused places");
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    let bytes = |seed| {
        let mut random = Random::seeded(seed);
        let disk = FaultyDisk::new(1);
        let engine = open(&disk, &mut random).unwrap();
        let mut model = Model::new();
        for _ in 0..60 {
            let batch = random_batch(&mut random, &engine, &mut model);
            engine.apply(batch).unwrap();
        }
        engine.close().unwrap();
        let mut names = disk.list().unwrap();
        names.sort();
        names.into_iter().map(|name| disk.bytes(&name)).collect::<Vec<_>>()
    };
    assert!(bytes(3) == bytes(3) && bytes(3) != bytes(4));
}
