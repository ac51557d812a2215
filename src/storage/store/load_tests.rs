//! Bulk loads and crashes: of a load there is everything or nothing, and its space is never lost or given out twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{SlabEngine, SlabOptions};
use crate::storage::disk::{CrashMode, Disk, FaultyDisk};
use crate::storage::{
    Durability, Engine, KeyRange, ReadMode, Scanner, Snapshot, StorageError, TreeId, WriteBatch,
    verify_directory,
};
use crate::testing::Random;

const WAIT: ReadMode = ReadMode::MayBlock;
const MODES: [CrashMode; 4] =
    [CrashMode::LoseAll, CrashMode::KeepAll, CrashMode::Prefix, CrashMode::Any];

/// For each key the length of its value and what it is made of.
type Entries = BTreeMap<u64, (usize, u8)>;
type Model = BTreeMap<TreeId, Entries>;

fn open(disk: &FaultyDisk) -> Result<SlabEngine, StorageError> {
    let options = SlabOptions {
        flush_interval: None,
        log_segment_bytes: 16 * 1024,
        checkpoint_log_bytes: 100_000,
        ..SlabOptions::new([7; 16], 1 << 20)
    };
    SlabEngine::open(Arc::new(disk.clone()), options)
}

fn new_tree(engine: &SlabEngine) -> Result<TreeId, StorageError> {
    let tree = engine.new_tree_id()?;
    let mut batch = WriteBatch::new(Durability::Soft);
    batch.create_tree(tree);
    engine.apply(batch)?;
    Ok(tree)
}

fn random_entries(random: &mut Random) -> Entries {
    let longest = [30, 1_200, 20_000][random.below(3) as usize];
    let entry = |random: &mut Random| {
        let length = if random.once_in(300) { 300_000 } else { random.below(longest) as usize };
        (random.below(5_000), (length, random.next() as u8))
    };
    (0..random.below(400)).map(|_| entry(random)).collect()
}

fn load(engine: &SlabEngine, tree: TreeId, entries: &Entries) -> Result<u64, StorageError> {
    let mut load = engine.bulk_load(tree)?;
    for (key, (length, byte)) in entries {
        load.push(&key.to_be_bytes(), &vec![*byte; *length])?;
    }
    Ok(load.finish(Durability::Soft)?.sequence.0)
}

fn compare(snapshot: &dyn Snapshot, model: &Model) {
    assert_eq!(snapshot.trees(WAIT).unwrap(), model.keys().copied().collect::<Vec<_>>());
    for (tree, entries) in model {
        let all = snapshot.cursor(*tree, &KeyRange::ALL, crate::storage::Direction::Forward);
        let mut scanner = Scanner::new(all.unwrap(), WAIT);
        for (key, (length, byte)) in entries {
            let (found, value) = scanner.next().unwrap().expect("an entry is missing");
            assert_eq!(found, key.to_be_bytes());
            assert!(*value == vec![*byte; *length], "another value");
        }
        assert!(scanner.next().unwrap().is_none(), "an entry too many");
    }
}

/// The states that a crash may leave, by commit.
struct Known {
    states: BTreeMap<u64, Model>,
}

impl Known {
    fn now(&self) -> Model {
        self.states.last_key_value().unwrap().1.clone()
    }

    fn step(&mut self, random: &mut Random, engine: &SlabEngine) -> Result<(), StorageError> {
        let mut model = self.now();
        let any = |random: &mut Random, model: &Model| {
            model.keys().nth(random.below(model.len().max(1) as u64) as usize).copied()
        };
        let sequence = match random.below(10) {
            0..3 => {
                let tree = new_tree(engine)?;
                model.insert(tree, Entries::new());
                self.states.insert(engine.last_sequence().0, model.clone());
                let entries = random_entries(random);
                let sequence = load(engine, tree, &entries)?;
                model.insert(tree, entries);
                sequence
            }
            3 => {
                // One that is given up.
                let Some(tree) = any(random, &model) else { return Ok(()) };
                let mut load = engine.bulk_load(tree)?;
                for key in 0..random.below(500) {
                    load.push(&key.to_be_bytes(), &[1; 2_000])?;
                }
                return Ok(());
            }
            4..7 => {
                let Some(tree) = any(random, &model) else { return Ok(()) };
                let entries = model.get_mut(&tree).unwrap();
                let mut batch = WriteBatch::new(Durability::Soft);
                for _ in 0..random.below(60) {
                    let key = random.below(5_000);
                    let entry = (random.below(3_000) as usize, 9);
                    if random.once_in(2) {
                        batch.put(tree, key.to_be_bytes().to_vec(), vec![entry.1; entry.0]);
                        entries.insert(key, entry);
                    } else if let Some((key, _)) = entries.range(key..).next() {
                        let key = *key;
                        batch.delete(tree, key.to_be_bytes().to_vec());
                        entries.remove(&key);
                    }
                }
                engine.apply(batch)?.sequence.0
            }
            7 => {
                // Dropped, made anew and filled again, all between two checkpoints.
                let Some(tree) = any(random, &model) else { return Ok(()) };
                let mut batch = WriteBatch::new(Durability::Soft);
                batch.drop_tree(tree);
                let is_last = random.once_in(2);
                model.remove(&tree);
                if !is_last {
                    batch.create_tree(tree);
                    model.insert(tree, Entries::new());
                }
                let dropped = engine.apply(batch)?.sequence.0;
                if is_last {
                    dropped
                } else {
                    self.states.insert(dropped, model.clone());
                    let entries = random_entries(random);
                    let sequence = load(engine, tree, &entries)?;
                    model.insert(tree, entries);
                    sequence
                }
            }
            8 => return engine.checkpoint(),
            _ => return engine.wait_durable(engine.last_sequence()),
        };
        self.states.insert(sequence, model);
        Ok(())
    }
}

#[test]
fn a_crash_leaves_all_of_a_load_or_nothing() {
    let mut random = Random::from_environment();
    for _ in 0..6 {
        let mut disk = FaultyDisk::new(random.next());
        let mut known = Known { states: BTreeMap::from([(0, Model::new())]) };
        let (mut acknowledged, mut has_leaked) = (0, false);
        for _ in 0..12 {
            disk = disk.crash(MODES[random.below(4) as usize]);
            if disk.list().unwrap().iter().any(|name| name == "slab.data") {
                verify_directory(&disk).unwrap();
            }
            let engine = open(&disk).unwrap();
            let found = engine.last_sequence().0;
            assert!(found >= acknowledged, "{found} of {acknowledged}");
            let model = known.states.get(&found).expect("the state of a commit").clone();
            compare(&*engine.snapshot().unwrap(), &model);
            if random.once_in(2) {
                let verified = engine.verify();
                // A read that fails may leave the parts of a long value behind, which the engine has told of.
                let is_told = verified.as_ref().is_err_and(|error| {
                    has_leaked && error.to_string().contains("in use for nothing")
                });
                assert!(verified.is_ok() || is_told, "{verified:?}");
            }
            known.states = BTreeMap::from([(found, model)]);
            if random.once_in(2) {
                disk.fail_after(random.below(200));
            }
            for _ in 0..random.below(12) {
                if known.step(&mut random, &engine).is_err() {
                    break;
                }
            }
            disk.fail_no_more();
            acknowledged = engine.durable_sequence().0;
            has_leaked |= engine.numbers().leaks > 0;
        }
    }
}

#[test]
fn a_load_is_durable_before_any_checkpoint() {
    let disk = FaultyDisk::new(1);
    let engine = open(&disk).unwrap();
    let tree = new_tree(&engine).unwrap();
    let entries: Entries = (0..3_000).map(|key| (key, (300, key as u8))).collect();
    let sequence = load(&engine, tree, &entries).unwrap();
    let early = disk.crash(CrashMode::LoseAll);
    engine.wait_durable(crate::storage::CommitSequence(sequence)).unwrap();
    let late = disk.crash(CrashMode::LoseAll);
    drop(engine);
    assert_eq!(verify_directory(&early).unwrap().last_sequence, 0);
    assert_eq!(verify_directory(&late).unwrap().last_sequence, sequence);
    let engine = open(&late).unwrap();
    compare(&*engine.snapshot().unwrap(), &Model::from([(tree, entries)]));
    engine.verify().unwrap();
}

#[test]
fn what_a_load_has_written_is_what_its_adoption_says() {
    let disk = FaultyDisk::new(1);
    let engine = open(&disk).unwrap();
    let tree = new_tree(&engine).unwrap();
    let entries: Entries = (0..3_000).map(|key| (key, (300, key as u8))).collect();
    let sequence = load(&engine, tree, &entries).unwrap();
    engine.wait_durable(crate::storage::CommitSequence(sequence)).unwrap();
    drop(engine);
    let report = verify_directory(&disk).unwrap();
    assert!(report.nodes > 50, "{report:?}");
    disk.flip_bit("slab.data", 300_000, 1);
    let damaged = verify_directory(&disk).unwrap_err().to_string();
    assert!(damaged.contains("rule 4"), "{damaged}");
    let cut = disk.crash(CrashMode::LoseAll);
    cut.open("slab.data").unwrap().set_length(400_000).unwrap();
    let refused = open(&cut).err().unwrap().to_string();
    assert!(refused.contains("rule 14"), "{refused}");
}

#[test]
fn space_of_a_load_that_was_given_up_is_used_again() {
    let disk = FaultyDisk::new(1);
    let engine = open(&disk).unwrap();
    let tree = new_tree(&engine).unwrap();
    for _ in 0..5 {
        let mut load = engine.bulk_load(tree).unwrap();
        for key in 0..3_000_u64 {
            load.push(&key.to_be_bytes(), &[1; 400]).unwrap();
        }
    }
    engine.checkpoint().unwrap();
    let length = disk.bytes("slab.data").len();
    // What one load takes, the start of the file, and the meta tree.
    assert!(length <= 8 * 262_144, "{length} bytes");
}

#[test]
fn leaves_are_filled_to_the_brim() {
    for length in [1, 20, 256, 700, 1_200, 2_000, 3_000, 4_000, 4_096, 5_000, 30_000] {
        let disk = FaultyDisk::new(1);
        let engine = open(&disk).unwrap();
        let tree = new_tree(&engine).unwrap();
        let entries = 2_000_000 / (length as u64 + 50);
        let mut load = engine.bulk_load(tree).unwrap();
        for key in 0..entries {
            load.push(&key.to_be_bytes(), &vec![1; length]).unwrap();
        }
        load.finish(Durability::Soft).unwrap();
        engine.wait_durable(engine.last_sequence()).unwrap();
        drop(engine);
        let report = verify_directory(&disk).unwrap();
        assert_eq!(report.last_sequence, 2);
        let file = disk.bytes("slab.data").len() as u64;
        let data = entries * (8 + length as u64);
        let most = if length < 100 { data * 3 } else { data / 10 * 11 };
        assert!(file < most + 4 * 262_144, "{file} bytes for {data} with values of {length}");
    }
}
