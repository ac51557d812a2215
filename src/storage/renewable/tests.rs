//! Snapshots that are let go of while somebody reads them.

use std::collections::BTreeSet;

use super::*;
use crate::storage::memory::MemoryEngine;
use crate::storage::overlay::Overlay;
use crate::storage::{Durability, EntryBatch, FillLimit, Scanner, WriteBatch};
use crate::testing::Random;

const TREE: TreeId = TreeId(7);

fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn apply(engine: &Arc<dyn Engine>, change: impl FnOnce(&mut WriteBatch)) {
    let mut batch = WriteBatch::new(Durability::Soft);
    change(&mut batch);
    engine.apply(batch).unwrap();
}

/// Entries 0 to 2,000, of which the odd ones come and go while the even ones stay.
fn engine() -> Arc<dyn Engine> {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    apply(&engine, |batch| {
        batch.create_tree(TREE);
    });
    apply(&engine, |batch| {
        for number in 0..2_000 {
            batch.put(TREE, key(number), key(number));
        }
    });
    engine
}

fn disturb(engine: &Arc<dyn Engine>, random: &mut Random) {
    apply(engine, |batch| {
        for _ in 0..50 {
            let odd = key(random.below(1_000) * 2 + 1);
            match random.below(2) {
                0 => batch.delete(TREE, odd),
                _ => batch.put(TREE, odd.clone(), odd),
            };
        }
    });
}

#[test]
fn what_is_there_all_the_time_is_given_once_however_often_it_is_let_go() {
    let mut random = Random::from_environment();
    for direction in [Direction::Forward, Direction::Backward] {
        let engine = engine();
        let snapshot = RenewableSnapshot::take(&engine).unwrap();
        let handle = snapshot.handle();
        let cursor = snapshot.cursor(TREE, &KeyRange::ALL, direction).unwrap();
        let mut scanner = Scanner::new(cursor, ReadMode::MayBlock);
        let mut given = Vec::new();
        while let Some((key, _)) = scanner.next().unwrap() {
            given.push(u64::from_be_bytes(key.try_into().unwrap()));
            if random.below(20) == 0 {
                assert!(handle.release());
                disturb(&engine, &mut random);
            }
        }
        let all: BTreeSet<u64> = given.iter().copied().collect();
        assert_eq!(all.len(), given.len(), "an entry was given twice");
        assert!((0..1_000).all(|even| all.contains(&(even * 2))), "an entry was passed over");
        let is_sorted = match direction {
            Direction::Forward => given.is_sorted(),
            Direction::Backward => given.iter().rev().is_sorted(),
        };
        assert!(is_sorted);
    }
}

#[test]
fn entries_passed_over_stay_passed_over() {
    let engine = engine();
    let snapshot = RenewableSnapshot::take(&engine).unwrap();
    let cursor = snapshot.cursor(TREE, &KeyRange::ALL, Direction::Forward).unwrap();
    let mut scanner = Scanner::new(cursor, ReadMode::MayBlock);
    assert!(scanner.next().unwrap().is_some());
    assert_eq!(scanner.skip(99).unwrap(), 99);
    snapshot.handle().release();
    let (found, _) = scanner.next().unwrap().unwrap();
    assert_eq!(found, key(100));
}

#[test]
fn nothing_is_held_of_a_snapshot_that_was_let_go() {
    let engine = engine();
    let snapshot = RenewableSnapshot::take(&engine).unwrap();
    let held = Arc::downgrade(&snapshot.shared.held.lock().snapshot.clone().unwrap());
    let mut cursor = snapshot.cursor(TREE, &KeyRange::ALL, Direction::Forward).unwrap();
    let mut batch = EntryBatch::new();
    let limit = FillLimit { entries: 3, bytes: usize::MAX };
    cursor.fill(&mut batch, limit, ReadMode::MayBlock).unwrap();
    let handle = snapshot.handle();
    assert!(handle.release());
    assert!(held.upgrade().is_none(), "the cursor holds the snapshot");
    batch.clear();
    cursor.fill(&mut batch, limit, ReadMode::MayBlock).unwrap();
    assert_eq!(batch.get(0).unwrap().0, key(3));
    drop((cursor, snapshot));
    assert!(!handle.release());
}

const THREE: FillLimit = FillLimit { entries: 3, bytes: usize::MAX };

fn read_three(cursor: &mut dyn Cursor) -> Vec<Vec<u8>> {
    let mut batch = EntryBatch::new();
    cursor.fill(&mut batch, THREE, ReadMode::MayBlock).unwrap();
    batch.iter().map(|(key, _)| key.to_vec()).collect()
}

#[test]
fn cursors_from_before_and_after_a_release_are_never_taken_for_each_other() {
    let engine = engine();
    let snapshot = RenewableSnapshot::take(&engine).unwrap();
    let open = |start: u64| {
        let range = KeyRange::half_open(key(start), key(start + 100));
        snapshot.cursor(TREE, &range, Direction::Forward).unwrap()
    };
    let mut one = open(0);
    assert_eq!(read_three(&mut *one), [key(0), key(1), key(2)]);
    snapshot.handle().release();
    let mut other = open(1_000);
    assert_eq!(read_three(&mut *one), [key(3), key(4), key(5)]);
    assert_eq!(read_three(&mut *other), [key(1_000), key(1_001), key(1_002)]);
    assert_eq!(read_three(&mut *one), [key(6), key(7), key(8)]);
    drop(one);
    assert_eq!(read_three(&mut *other), [key(1_003), key(1_004), key(1_005)]);
}

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// An engine that does something once, in the midst of opening or of reading a cursor.
struct Hooked {
    engine: MemoryEngine,
    on_cursor: Hook,
    on_fill: Hook,
}

struct HookedSnapshot(Arc<dyn Snapshot>, Hook, Hook);

struct HookedCursor(Box<dyn Cursor>, Hook);

fn call(hook: &Hook) {
    let hook = hook.lock().take();
    hook.into_iter().for_each(|hook| hook());
}

impl Overlay for Hooked {
    fn inner(&self) -> &dyn Engine {
        &self.engine
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StorageError> {
        let snapshot = self.engine.snapshot()?;
        Ok(Arc::new(HookedSnapshot(snapshot, self.on_cursor.clone(), self.on_fill.clone())))
    }
}

impl Snapshot for HookedSnapshot {
    fn sequence(&self) -> CommitSequence {
        self.0.sequence()
    }

    fn has_tree(&self, tree: TreeId, mode: ReadMode) -> Result<bool, StorageError> {
        self.0.has_tree(tree, mode)
    }

    fn trees(&self, mode: ReadMode) -> Result<Vec<TreeId>, StorageError> {
        self.0.trees(mode)
    }

    fn get(&self, tree: TreeId, key: &[u8], mode: ReadMode) -> Result<Option<Bytes>, StorageError> {
        self.0.get(tree, key, mode)
    }

    fn cursor(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>, StorageError> {
        call(&self.1);
        let cursor = self.0.cursor(tree, range, direction)?;
        Ok(Box::new(HookedCursor(cursor, self.2.clone())))
    }

    fn count(&self, tree: TreeId, range: &KeyRange, mode: ReadMode) -> Result<u64, StorageError> {
        self.0.count(tree, range, mode)
    }
}

impl Cursor for HookedCursor {
    fn fill(
        &mut self,
        batch: &mut EntryBatch,
        limit: FillLimit,
        mode: ReadMode,
    ) -> Result<bool, StorageError> {
        call(&self.1);
        self.0.fill(batch, limit, mode)
    }

    fn skip(&mut self, entries: u64, mode: ReadMode) -> Result<u64, StorageError> {
        self.0.skip(entries, mode)
    }
}

/// Both places had put the cursor of the old snapshot beside the new one, which kept the old one.
#[test]
fn a_release_in_the_midst_of_opening_or_reading_a_cursor_keeps_nothing_of_the_old_snapshot() {
    let (on_cursor, on_fill) = (Hook::default(), Hook::default());
    let engine = Hooked {
        engine: MemoryEngine::new(),
        on_cursor: on_cursor.clone(),
        on_fill: on_fill.clone(),
    };
    let engine: Arc<dyn Engine> = Arc::new(engine);
    apply(&engine, |batch| {
        batch.create_tree(TREE);
        for number in 0..100 {
            batch.put(TREE, key(number), key(number));
        }
    });
    for hook in [on_cursor, on_fill] {
        let snapshot = RenewableSnapshot::take(&engine).unwrap();
        let handle = snapshot.handle();
        *hook.lock() = Some(Box::new(move || assert!(handle.release())));
        let mut cursor = snapshot.cursor(TREE, &KeyRange::ALL, Direction::Forward).unwrap();
        assert_eq!(read_three(&mut *cursor), [key(0), key(1), key(2)]);
        assert!(hook.lock().is_none(), "it was let go of");
        // In the first case the cursor is one of the next snapshot; in the second there is none yet.
        let held = |held: &Held| (held.snapshot.is_some(), held.cursors.len());
        let (is_held, cursors) = held(&snapshot.shared.held.lock());
        assert_eq!(cursors, usize::from(is_held));
        assert_eq!(read_three(&mut *cursor), [key(3), key(4), key(5)]);
    }
}

#[test]
fn what_is_there_all_the_time_is_given_once_while_another_thread_lets_go() {
    let mut random = Random::from_environment();
    let engine = engine();
    let snapshot = RenewableSnapshot::take(&engine).unwrap();
    let handle = snapshot.handle();
    std::thread::scope(|scope| {
        let other = scope.spawn(move || {
            while handle.release() {
                std::thread::yield_now();
            }
        });
        for round in 0..20 {
            let direction = [Direction::Forward, Direction::Backward][round % 2];
            let cursor = snapshot.cursor(TREE, &KeyRange::ALL, direction).unwrap();
            let mut scanner = Scanner::new(cursor, ReadMode::MayBlock);
            let mut given = Vec::new();
            while let Some((key, _)) = scanner.next().unwrap() {
                given.push(u64::from_be_bytes(key.try_into().unwrap()));
                if random.below(200) == 0 {
                    disturb(&engine, &mut random);
                }
            }
            let all: BTreeSet<u64> = given.iter().copied().collect();
            assert_eq!(all.len(), given.len(), "an entry was given twice");
            assert!((0..1_000).all(|even| all.contains(&(even * 2))), "an entry was passed over");
        }
        drop(snapshot);
        other.join().unwrap();
    });
}
