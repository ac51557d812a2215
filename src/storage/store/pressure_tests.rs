//! Snapshots that are held for long beside writers: what they keep in memory and on the disk has a bound.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{SlabEngine, SlabOptions};
use crate::storage::disk::{Disk, MemoryDisk};
use crate::storage::{
    Cursor, Direction, Durability, Engine, EntryBatch, FillLimit, KeyRange, ReadMode,
    RenewableSnapshot, Scanner, Snapshot, TreeId, WriteBatch,
};
use crate::testing::Random;

const TREE: TreeId = TreeId(7);
const ENTRIES: u64 = 6_000;
const VALUE: usize = 1_000;
const CACHE: usize = 8 << 20;

struct Site {
    engine: Arc<SlabEngine>,
    disk: Arc<MemoryDisk>,
}

impl Site {
    /// A store with some 6 MB in it.
    fn new() -> Self {
        let disk = Arc::new(MemoryDisk::new());
        let options = SlabOptions { flush_interval: None, ..SlabOptions::new([1; 16], CACHE) };
        let engine = Arc::new(SlabEngine::open(disk.clone(), options).unwrap());
        let mut batch = WriteBatch::new(Durability::Soft);
        batch.create_tree(TREE);
        engine.apply(batch).unwrap();
        let site = Self { engine, disk };
        site.write((0..ENTRIES).collect(), 0);
        site
    }

    fn write(&self, keys: Vec<u64>, round: u8) {
        // A checkpoint begins within a few of these.
        for keys in keys.chunks(10) {
            let mut batch = WriteBatch::new(Durability::Soft);
            for key in keys {
                batch.put(TREE, key.to_be_bytes().to_vec(), vec![round; VALUE]);
            }
            self.engine.apply(batch).unwrap();
            let numbers = self.engine.numbers();
            let all = self.engine.cached_bytes();
            assert!(all <= CACHE as u64 / 100 * 115, "{all} bytes in memory: {numbers:?}");
        }
    }

    fn write_some(&self, random: &mut Random, writes: u64, round: u8) {
        self.write((0..writes).map(|_| random.below(ENTRIES)).collect(), round);
    }

    fn file_bytes(&self) -> u64 {
        self.disk.open("slab.data").unwrap().length().unwrap()
    }

    fn renewable(&self) -> (RenewableSnapshot, Box<dyn Cursor>) {
        let engine: Arc<dyn Engine> = self.engine.clone();
        let snapshot = RenewableSnapshot::take(&engine).unwrap();
        let cursor = snapshot.cursor(TREE, &KeyRange::ALL, Direction::Forward).unwrap();
        (snapshot, cursor)
    }
}

fn some_of(cursor: &mut dyn Cursor) -> usize {
    let mut batch = EntryBatch::new();
    let limit = FillLimit { entries: 10, bytes: usize::MAX };
    cursor.fill(&mut batch, limit, ReadMode::MayBlock).unwrap();
    batch.len()
}

#[test]
fn snapshots_that_are_read_for_long_keep_little_of_the_disk() {
    let site = Site::new();
    let grown = |renewable: bool| {
        let mut readers = Vec::new();
        for round in 0..6 {
            if renewable {
                let (snapshot, mut cursor) = site.renewable();
                assert_eq!(some_of(&mut *cursor), 10);
                readers.push((snapshot, cursor));
            }
            site.write((0..ENTRIES).collect(), round);
        }
        site.engine.checkpoint().unwrap();
        let size = site.file_bytes();
        // They can all go on.
        assert!(readers.iter_mut().all(|(_, cursor)| some_of(&mut **cursor) == 10));
        size
    };
    let (without, with) = (grown(false), grown(true));
    assert!(with <= 2 * without, "{with} bytes with readers, {without} without");
    site.engine.verify().unwrap();
}

#[test]
fn snapshots_that_are_read_for_long_keep_little_memory() {
    let mut random = Random::from_environment();
    let site = Site::new();
    let mut readers = Vec::new();
    for round in 0..40 {
        readers.push(site.renewable());
        site.write_some(&mut random, 300, round);
    }
    site.engine.checkpoint().unwrap();
    let retained = site.engine.numbers().retained_bytes as usize;
    assert!(retained <= CACHE / crate::limits::RETAINED_PART, "{retained}");
    assert!(readers.iter_mut().all(|(_, cursor)| some_of(&mut **cursor) == 10));
}

/// Those that can be let go of had gone on being held, and those that cannot were not counted where writers wait.
#[test]
fn memory_has_its_bound_beside_snapshots_that_cannot_be_let_go_of() {
    let mut random = Random::from_environment();
    let site = Site::new();
    let mut held = Vec::new();
    for round in 0..40 {
        let snapshot = site.engine.snapshot().unwrap();
        let some = snapshot.get(TREE, &7_u64.to_be_bytes(), ReadMode::MayBlock).unwrap().unwrap();
        held.push((snapshot, some[0]));
        site.write_some(&mut random, 500, round + 1);
    }
    for (snapshot, some) in held {
        let now = snapshot.get(TREE, &7_u64.to_be_bytes(), ReadMode::MayBlock).unwrap().unwrap();
        assert_eq!(now[0], some);
    }
}

#[test]
fn a_scan_that_is_let_go_of_again_and_again_gives_what_stays_once() {
    let mut random = Random::from_environment();
    let site = Site::new();
    for direction in [Direction::Forward, Direction::Backward] {
        let (snapshot, _) = site.renewable();
        let cursor = snapshot.cursor(TREE, &KeyRange::ALL, direction).unwrap();
        let mut scanner = Scanner::new(cursor, ReadMode::MayBlock);
        let (mut given, mut total) = (BTreeSet::new(), 0);
        while let Some((key, _)) = scanner.next().unwrap() {
            given.insert(key.to_vec());
            total += 1;
            if total % 1_000 == 0 {
                site.write_some(&mut random, 2_000, (total / 1_000) as u8);
            }
        }
        assert!(snapshot.renewals() > 2, "{}", snapshot.renewals());
        assert_eq!((given.len(), total), (ENTRIES as usize, ENTRIES as usize));
    }
}
