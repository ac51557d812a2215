//! Promise 8: `count`, `skip`, `nth` and the size of a range cost O(log n): a few nodes, whatever lies between.

use std::ops::Bound;
use std::sync::Arc;

use super::{WAIT, options};
use crate::storage::disk::FaultyDisk;
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{
    Direction, Durability, Engine, EntryBatch, FillLimit, KeyRange, TreeId, WriteBatch,
};
use crate::testing::Random;

/// Nodes that a question may look at: the paths to both ends of a range, of a tree with at most so many levels.
const READS: u64 = 2 * 5;

fn key(number: u64) -> Vec<u8> {
    format!("{number:012}").into_bytes()
}

/// Seen to fail when a count walks over the leaves, and when a cursor skips entry by entry.
#[test]
fn promise_8_counting_and_positioning_read_a_few_nodes() {
    let disk = FaultyDisk::new(1);
    // So little memory that nothing is kept: every node is read from the disk, and counted there.
    let options = SlabOptions { cache_bytes: 1_000, ..options() };
    let engine = SlabEngine::open(Arc::new(disk.clone()), options).unwrap();
    let (tree, entries) = (TreeId(1), 40_000_u64);
    let mut batch = WriteBatch::new(Durability::Soft);
    batch.create_tree(tree);
    for number in 0..entries {
        batch.put(tree, key(number), vec![7; 50]);
    }
    engine.apply(batch).unwrap();
    engine.checkpoint().unwrap();
    let snapshot = engine.snapshot().unwrap();
    let mut random = Random::from_environment();
    let (mut most, mut before) = (0, disk.operations());
    let mut cost = |what: &str| {
        let reads = disk.operations() - before;
        before = disk.operations();
        assert!(reads <= READS, "{what} has read {reads} nodes of {}", entries * 60 / 16_384);
        most = most.max(reads);
    };
    for _ in 0..200 {
        let (from, to) = (random.below(entries), random.below(entries));
        let range =
            KeyRange::new(Bound::Included(key(from).into()), Bound::Excluded(key(to).into()));
        let size = to.saturating_sub(from);
        assert_eq!(snapshot.count(tree, &range, WAIT).unwrap(), size);
        cost("count");
        let rank = random.below(entries);
        for (direction, number) in
            [(Direction::Forward, rank), (Direction::Backward, entries - 1 - rank)]
        {
            let found = snapshot.nth(tree, &KeyRange::ALL, direction, rank, WAIT).unwrap();
            assert_eq!(found.unwrap().0, key(number));
            cost("nth");
        }
        let mut cursor = snapshot.cursor(tree, &range, Direction::Forward).unwrap();
        assert_eq!(cursor.skip(size / 2, WAIT).unwrap(), size / 2);
        cost("skip");
        let mut batch = EntryBatch::new();
        cursor.fill(&mut batch, FillLimit { entries: 1, bytes: usize::MAX }, WAIT).unwrap();
        assert_eq!(
            batch.get(0).map(|(key, _)| key.to_vec()),
            (size > 0).then(|| key(from + size / 2))
        );
        cost("reading on");
    }
    assert!(most >= 2, "nodes come from memory: {most} reads");
}
