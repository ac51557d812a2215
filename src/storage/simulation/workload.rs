//! What is done with a store: batches of every kind, and questions whose answers a plain ordered map knows as well.
//! Must not know disks.

use std::ops::Bound;

use bytes::Bytes;

use super::model::{Entries, Model};
use crate::limits::STORAGE_KEY_BYTES;
use crate::storage::{
    Direction, Durability, Engine, EntryBatch, FillLimit, KeyRange, ReadMode, Scanner, Snapshot,
    StorageError, TreeId, WriteBatch,
};
use crate::testing::Random;

const WAIT: ReadMode = ReadMode::MayBlock;

/// Lengths of values at which something changes, or might: in the leaf or outside, one slot or two, one image or a list.
const LENGTHS: [usize; 14] = [
    0, 1, 1_000, 4_095, 4_096, 4_097, 16_384, 65_534, 65_535, 65_536, 262_143, 262_144, 262_145,
    524_289,
];

/// What the data of one store look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    keys: Keys,
    key_space: u64,
    values: Values,
    trees: u64,
    batch: u64,
}

#[derive(Debug, Clone, Copy)]
enum Keys {
    Decimal,
    /// Empty, as long as may be, with a long common prefix, prefixes of each other.
    Limits,
    /// A kilobyte that nearly all of them share, as in an index on long texts, and a few that do away with it.
    Prefixed,
}

#[derive(Debug, Clone, Copy)]
enum Values {
    Small,
    Medium,
    Limits,
}

impl Shape {
    pub(super) fn any(random: &mut Random) -> Self {
        let (keys, values) = match random.below(20) {
            0..9 => (Keys::Decimal, Values::Small),
            9..12 => (Keys::Prefixed, Values::Small),
            12..15 => (Keys::Limits, Values::Small),
            15..18 => (Keys::Decimal, Values::Medium),
            18 => (Keys::Limits, Values::Limits),
            _ => (Keys::Decimal, Values::Limits),
        };
        let trees = if random.once_in(10) { 40 } else { 1 + random.below(5) };
        let (key_space, batch) = (1 << random.below(10), 1 << random.below(6));
        Self { keys, values, trees, key_space, batch }
    }

    fn key(&self, random: &mut Random) -> Bytes {
        let number = random.below(self.key_space);
        let decimal = number.to_string().into_bytes();
        Bytes::from(match self.keys {
            Keys::Decimal => decimal,
            Keys::Prefixed => {
                let shared = if random.once_in(50) { random.below(1_024) } else { 1_024 };
                [vec![b'p'; shared as usize], decimal].concat()
            }
            Keys::Limits => match number % 6 {
                0 if number == 0 => Vec::new(),
                0 => number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec(),
                1 => decimal,
                2 => vec![b'p'; number as usize * 11 % (STORAGE_KEY_BYTES + 1)],
                3 => vec![0xff; number as usize % 40],
                _ => {
                    let mut key = vec![b'p'; STORAGE_KEY_BYTES - decimal.len()];
                    key.extend(decimal);
                    key
                }
            },
        })
    }

    fn value(&self, random: &mut Random) -> Bytes {
        let length = match self.values {
            Values::Small => random.below(200) as usize,
            Values::Medium => {
                let most = 40 << random.below(9);
                random.below(most) as usize
            }
            Values::Limits if random.once_in(300) => 2_000_000 + random.below(3_000_000) as usize,
            Values::Limits if random.once_in(2) => random.below(100) as usize,
            Values::Limits => LENGTHS[random.below(LENGTHS.len() as u64) as usize],
        };
        let mut value = random.bytes(24);
        value.resize(length, length as u8);
        Bytes::from(value)
    }

    /// Entries for a whole tree.
    pub(super) fn entries(&self, random: &mut Random) -> Entries {
        let most = self.batch * 8;
        (0..random.below(most)).map(|_| (self.key(random), self.value(random))).collect()
    }

    fn range(&self, random: &mut Random) -> KeyRange {
        let mut bound = || match random.below(3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(self.key(random)),
            _ => Bound::Excluded(self.key(random)),
        };
        KeyRange::new(bound(), bound())
    }
}

/// A batch, and whether it must be refused.
pub(super) fn random_batch(
    random: &mut Random,
    shape: &Shape,
    engine: &dyn Engine,
    model: &Model,
) -> (WriteBatch, bool) {
    let durability = if random.once_in(4) { Durability::Hard } else { Durability::Soft };
    let mut batch = WriteBatch::new(durability);
    let mut trees = model.names();
    let refused = add_conditions(random, shape, model, &mut batch);
    if trees.is_empty() || ((trees.len() as u64) < shape.trees && random.once_in(4)) {
        let tree = engine.new_tree_id().expect("names never end");
        assert!(model.get(tree).is_none(), "a name given out twice");
        batch.create_tree(tree);
        trees.push(tree);
    }
    if random.once_in(30) {
        let at = random.below(trees.len() as u64) as usize;
        batch.drop_tree(trees[at]);
        if random.once_in(3) {
            batch.create_tree(trees[at]);
        } else {
            trees.remove(at);
        }
    }
    // Deletions in plenty join what earlier batches have filled.
    let puts = if random.once_in(4) { 5 } else { 20 + random.below(70) };
    for _ in 0..random.below(shape.batch + 1) {
        let Some(tree) = any_of(random, &trees) else { break };
        let key = shape.key(random);
        if random.below(100) < puts {
            batch.put(tree, key, shape.value(random));
        } else {
            batch.delete(tree, key);
        }
    }
    (batch, refused)
}

fn add_conditions(
    random: &mut Random,
    shape: &Shape,
    model: &Model,
    batch: &mut WriteBatch,
) -> bool {
    let Some(tree) = any_of(random, &model.names()).filter(|_| random.once_in(10)) else {
        return false;
    };
    let key = shape.key(random);
    let value = model.get(tree).and_then(|entries| entries.get(&key)).cloned();
    let refused = random.once_in(4);
    match (refused, value) {
        (true, Some(_)) => batch.expect_value(tree, key, None::<Bytes>),
        (true, None) => batch.expect_value(tree, key, Some(Bytes::new())),
        (false, value) => batch.expect_value(tree, key, value),
    }
    refused
}

pub(super) fn any_of(random: &mut Random, trees: &[TreeId]) -> Option<TreeId> {
    trees.get(random.below(trees.len().max(1) as u64) as usize).copied()
}

pub(super) fn any_direction(random: &mut Random) -> Direction {
    if random.once_in(2) { Direction::Forward } else { Direction::Backward }
}

/// Reads everything.
pub(super) fn compare(
    snapshot: &dyn Snapshot,
    model: &Model,
    direction: Direction,
) -> Result<(), StorageError> {
    assert_eq!(snapshot.trees(WAIT)?, model.names());
    for (tree, entries) in model.trees() {
        assert_eq!(snapshot.count(tree, &KeyRange::ALL, WAIT)?, entries.len() as u64);
        compare_range(snapshot, tree, &KeyRange::ALL, direction, entries.iter())?;
    }
    Ok(())
}

/// Asks a few questions of every kind about one tree.
pub(super) fn ask(
    random: &mut Random,
    shape: &Shape,
    snapshot: &dyn Snapshot,
    model: &Model,
) -> Result<(), StorageError> {
    assert!(!snapshot.has_tree(TreeId(u64::MAX - 1), WAIT)?);
    let Some(tree) = any_of(random, &model.names()) else { return Ok(()) };
    let entries = model.get(tree).expect("it was just found");
    for _ in 0..4 {
        let key = shape.key(random);
        let expected = entries.get(&key);
        match snapshot.get(tree, &key, ReadMode::CachedOnly) {
            Err(StorageError::NotResident) => {}
            found => assert!(found?.as_ref() == expected, "another value without waiting"),
        }
        assert!(snapshot.get(tree, &key, WAIT)?.as_ref() == expected, "another value");
    }
    let (range, direction) = (shape.range(random), any_direction(random));
    let within: Vec<_> = entries.iter().filter(|(key, _)| range.contains(key)).collect();
    assert_eq!(snapshot.count(tree, &range, WAIT)?, within.len() as u64, "{range:?}");
    let rank = random.below(within.len() as u64 + 2);
    let place = match direction {
        Direction::Forward => Some(rank as usize),
        Direction::Backward => within.len().checked_sub(rank as usize + 1),
    };
    let expected = place.and_then(|at| within.get(at)).map(|(key, value)| (*key, *value));
    let found = snapshot.nth(tree, &range, direction, rank, WAIT)?;
    assert!(found.as_ref().map(|(key, value)| (key, value)) == expected, "nth {rank}");
    skip_and_fill(random, snapshot, tree, &range, entries)?;
    compare_range(snapshot, tree, &range, direction, within.into_iter())
}

fn skip_and_fill(
    random: &mut Random,
    snapshot: &dyn Snapshot,
    tree: TreeId,
    range: &KeyRange,
    entries: &Entries,
) -> Result<(), StorageError> {
    let within: Vec<_> = entries.iter().filter(|(key, _)| range.contains(key)).collect();
    let mut cursor = snapshot.cursor(tree, range, Direction::Forward)?;
    let mut at = 0;
    for _ in 0..3 {
        let skip = random.below(20) as usize;
        let passed = cursor.skip(skip as u64, WAIT)? as usize;
        assert_eq!(passed, skip.min(within.len() - at));
        at += passed;
        let (mut batch, limit) = (EntryBatch::new(), 1 + random.below(20) as usize);
        let more = cursor.fill(&mut batch, FillLimit { entries: limit, bytes: 50_000 }, WAIT)?;
        assert!(batch.len() <= limit && (!more || !batch.is_empty()));
        for (key, value) in batch.iter() {
            assert!((key, value) == (&within[at].0[..], within[at].1), "another entry");
            at += 1;
        }
        assert!(more || at == within.len(), "it ends too early");
    }
    Ok(())
}

fn compare_range<'a>(
    snapshot: &dyn Snapshot,
    tree: TreeId,
    range: &KeyRange,
    direction: Direction,
    expected: impl DoubleEndedIterator<Item = (&'a Bytes, &'a Bytes)>,
) -> Result<(), StorageError> {
    let mut scanner = Scanner::new(snapshot.cursor(tree, range, direction)?, WAIT);
    let expected: Vec<_> = match direction {
        Direction::Forward => expected.collect(),
        Direction::Backward => expected.rev().collect(),
    };
    for (key, value) in expected {
        let (found_key, found_value) = scanner.next()?.expect("an entry is missing");
        assert_eq!(found_key, key);
        assert!(found_value == value, "another value");
    }
    assert!(scanner.next()?.is_none(), "an entry too many");
    Ok(())
}
