//! The tree against `BTreeMap`, in memory and through checkpoints, with the data file's slots accounted for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    Edit, Held, Origin, Page, Part, Place, Replaced, Sink, Source, Tree, TreeBuilder, decode,
    read_long_value,
};
use crate::storage::disk::MemoryDisk;
use crate::storage::ledger::Account;
use crate::storage::slab::{Epoch, Reference, Slab, Superblock, create};
use crate::storage::{KeyRange, ReadMode, StorageError};
use crate::testing::Random;

const WAIT: ReadMode = ReadMode::MayBlock;

/// A data file without a cache.
struct Store(Slab);

impl Source for Store {
    fn node(
        &self,
        tree: u64,
        place: &Place,
        level: Option<u8>,
        mode: ReadMode,
    ) -> Result<Held, StorageError> {
        if mode == ReadMode::CachedOnly {
            return Err(StorageError::NotResident);
        }
        let reference = place.reference();
        let image = self.0.read(reference)?;
        let node = decode(&image, tree, level)
            .map_err(|problem| StorageError::corrupt("a node", problem))?;
        Ok(Held::from(Page::node(reference, node)))
    }

    fn long_value(
        &self,
        reference: Reference,
        length: u64,
        _mode: ReadMode,
    ) -> Result<Bytes, StorageError> {
        read_long_value(&self.0, reference, length)
    }
}

impl Sink for Store {
    fn store_node(
        &self,
        tree: u64,
        image: Bytes,
        _is_wanted: bool,
    ) -> Result<Reference, StorageError> {
        self.0.store(tree, &image)
    }

    fn store_part(&self, tree: u64, part: &[u8]) -> Result<Reference, StorageError> {
        self.0.store(tree, part)
    }

    fn discard(&self, reference: Reference) {
        self.0.discard(reference);
    }
}

fn new_store() -> Store {
    let disk = MemoryDisk::new();
    let superblock = superblock(1);
    create(&disk, &superblock).unwrap();
    Store(Slab::open(&disk).unwrap().0)
}

fn superblock(checkpoint: u64) -> Superblock {
    Superblock {
        identity: [1; 16],
        checkpoint,
        sequence: 0,
        next_tree: 64,
        extents: 0,
        meta_root: None,
        meta_entries: 0,
        least_length: 0,
    }
}

fn entries(store: &Store, tree: &Tree) -> Vec<(Vec<u8>, Bytes)> {
    let mut entries = Vec::new();
    tree.visit_up(store, 0, WAIT, &mut |key, value| {
        entries.push((key.to_vec(), value));
        ControlFlow::Continue(())
    })
    .unwrap();
    entries
}

fn compare(store: &Store, tree: &Tree, model: &BTreeMap<Vec<u8>, Bytes>) {
    let expected: Vec<_> = model.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert_eq!(tree.len(), expected.len() as u64);
    assert!(entries(store, tree) == expected, "entries differ");
}

/// The slots that the data file should say are live.
fn slots(store: &Store, tree: &Tree) -> BTreeSet<(u64, u64)> {
    let mut slots = BTreeSet::new();
    tree.verify(
        store,
        &mut |part| {
            let parts = match part {
                Part::Node(reference) => vec![reference],
                Part::Long(long) => long.parts(&store.0)?,
            };
            for part in parts {
                assert!(slots.insert((7, part.grain)), "a slot is used twice");
            }
            Ok(())
        },
        &mut Err,
    )
    .unwrap();
    slots
}

/// A tree that is changed at random, and what it must be.
struct Changing {
    /// Makes keys.
    key: fn(&mut Random) -> Vec<u8>,
    random: Random,
    store: Store,
    tree: Tree,
    model: BTreeMap<Vec<u8>, Bytes>,
    /// Since the last checkpoint began.
    replaced: Vec<Replaced>,
    account: Arc<Account>,
    holder: Arc<Epoch>,
    checkpoints: u64,
}

impl Changing {
    fn new(key: fn(&mut Random) -> Vec<u8>) -> Self {
        Self {
            key,
            random: Random::from_environment(),
            store: new_store(),
            tree: Tree::new(7),
            model: BTreeMap::new(),
            replaced: Vec::new(),
            account: Account::first(1),
            holder: Arc::new(Epoch),
            checkpoints: 0,
        }
    }

    /// Up to so many operations in one change, of a hundred of which so many put something.
    fn change(&mut self, most: u64, puts: u64) {
        let mut edit = Edit::new(&self.store, &self.account, Origin::SharedRecord);
        let mut next = self.tree.clone();
        let random = &mut self.random;
        for _ in 0..random.below(most) {
            let key = (self.key)(random);
            if random.below(100) < puts {
                let length = match random.below(100) {
                    0 => 4_090 + random.below(20),
                    1 if random.once_in(20) => 262_140 + random.below(10),
                    1 => random.below(30_000),
                    _ => random.below(400),
                };
                let value = Bytes::from(vec![random.below(256) as u8; length as usize]);
                next.put(&mut edit, Bytes::from(key.clone()), value.clone()).unwrap();
                self.model.insert(key, value);
            } else {
                let was_there = next.delete(&mut edit, &key).unwrap();
                assert_eq!(was_there, self.model.remove(&key).is_some());
            }
        }
        self.tree = next;
        self.replaced.extend(edit.finish(self.account.epoch()));
    }

    /// Stores the tree part by part, with changes between the parts.
    fn checkpoint(&mut self, puts: u64) {
        let model = self.model.clone();
        let mut frozen = self.tree.clone();
        self.account = self.account.of_epoch(self.account.epoch() + 1);
        let sealed = std::mem::replace(&mut self.holder, Arc::new(Epoch));
        for replaced in std::mem::take(&mut self.replaced) {
            replaced.release(&self.store.0).unwrap();
        }
        let bytes = if self.random.once_in(3) { usize::MAX } else { 100 << self.random.below(12) };
        let mut from = Bytes::new();
        self.change(20, puts);
        while let Some(next) = frozen.store_some(&self.store, bytes).unwrap() {
            assert!(from < next, "a part stores something");
            self.change(20, puts);
            let part = (from.as_ref(), Some(next.as_ref()));
            frozen = frozen.settle_some(part, usize::MAX).0;
            let mut rest = Some(from.clone());
            while let Some(from) = rest {
                let part = (from.as_ref(), Some(next.as_ref()));
                (self.tree, rest) = self.tree.settle_some(part, 20);
            }
            from = next;
        }
        self.change(20, puts);
        self.checkpoints += 1;
        let superblock = superblock(self.checkpoints + 1);
        self.store.0.commit(superblock, Arc::downgrade(&sealed)).unwrap();
        drop(sealed);
        self.store.0.reclaim();
        let frozen = frozen.settle();
        assert!(frozen.is_stored());
        assert_eq!(slots(&self.store, &frozen), self.store.0.live());
        compare(&self.store, &frozen, &model);
        self.tree = self.tree.settle();
    }
}

/// Short keys, and a few that are as long as may be.
fn any_key(random: &mut Random) -> Vec<u8> {
    let mut key = random.below(3_000).to_string().into_bytes();
    if random.once_in(40) {
        key.resize(key.len() + random.below(2_000) as usize, b'x');
    }
    key
}

/// Keys that share a kilobyte, as those of an index on long texts do, and a few that share little with them.
fn key_with_a_long_prefix(random: &mut Random) -> Vec<u8> {
    let shared = match random.below(60) {
        0 => random.below(1_024),
        _ => 1_024,
    };
    let mut key = vec![b'p'; shared as usize];
    key.extend(random.below(3_000).to_string().into_bytes());
    key
}

#[test]
fn a_tree_equals_an_ordered_map_through_checkpoints() {
    equals_an_ordered_map(any_key, 240);
}

#[test]
fn a_tree_of_keys_with_long_prefixes_equals_an_ordered_map_through_checkpoints() {
    equals_an_ordered_map(key_with_a_long_prefix, 90);
}

/// Puts a key before those that share a kilobyte: the first leaf had a small image before.
fn put_what_breaks_the_prefix(store: &Store, tree: &mut Tree, key: &[u8]) {
    let mut edit = Edit::new(store, &Account::first(90), Origin::SharedRecord);
    tree.put(&mut edit, Bytes::copy_from_slice(key), Bytes::from_static(b"v")).unwrap();
    tree.store(store).expect("every node has an image");
    *tree = tree.settle();
    tree.verify(store, &mut |_| Ok(()), &mut Err).unwrap();
}

fn long_key(number: u64) -> Bytes {
    Bytes::from([&[b'p'; 1_024][..], &number.to_be_bytes()].concat())
}

#[test]
fn leaves_joined_by_deletions_can_be_stored_when_their_common_prefix_goes() {
    let store = new_store();
    let mut tree = Tree::new(7);
    let mut edit = Edit::new(&store, &Account::first(1), Origin::SharedRecord);
    for number in 0..4_000 {
        tree.put(&mut edit, long_key(number), Bytes::from_static(b"value")).unwrap();
    }
    // A leaf with a few entries left joins the one before it, whose image is small.
    for number in (0..4_000).filter(|number| number % 8 > 0) {
        tree.store(&store).unwrap();
        tree = tree.settle();
        tree.delete(
            &mut Edit::new(&store, &Account::first(2 + number), Origin::OwnRecord),
            &long_key(number),
        )
        .unwrap();
    }
    put_what_breaks_the_prefix(&store, &mut tree, b"a");
}

#[test]
fn a_loaded_leaf_can_be_stored_when_its_common_prefix_goes() {
    let store = new_store();
    let mut builder = TreeBuilder::new(7);
    for number in 0..4_000 {
        builder
            .push(&long_key(number * 2), b"v", &mut |image: &[u8]| store.0.store(7, image))
            .unwrap();
    }
    let (root, count) = builder.finish(&mut |image: &[u8]| store.0.store(7, image)).unwrap();
    let mut tree = Tree::stored(7, root, count);
    put_what_breaks_the_prefix(&store, &mut tree, b"a");
    put_what_breaks_the_prefix(&store, &mut tree, &[b'p'; 9]);
}

fn equals_an_ordered_map(key: fn(&mut Random) -> Vec<u8>, rounds: u32) {
    let mut changing = Changing::new(key);
    type Kept = (Arc<Epoch>, Tree, BTreeMap<Vec<u8>, Bytes>);
    let mut kept: Vec<Kept> = Vec::new();
    for round in 0..rounds {
        // Grows for a third of the rounds, then shrinks, then hovers.
        let puts = [85, 20, 50][(round * 3 / rounds) as usize];
        for _ in 0..changing.random.below(6) {
            changing.change(60, puts);
        }
        if changing.random.once_in(4) {
            let Changing { holder, tree, model, .. } = &changing;
            kept.push((Arc::clone(holder), tree.clone(), model.clone()));
        }
        if changing.random.once_in(3) {
            changing.checkpoint(puts);
        }
        compare(&changing.store, &changing.tree, &changing.model);
        slots(&changing.store, &changing.tree);
        if kept.len() > 5 {
            let (_, tree, model) = kept.swap_remove(changing.random.below(5) as usize);
            compare(&changing.store, &tree, &model);
        }
    }
    for (_, tree, model) in kept {
        compare(&changing.store, &tree, &model);
    }
}

#[test]
fn ranks_count_and_find() {
    let mut random = Random::from_environment();
    let store = new_store();
    let mut tree = Tree::new(7);
    let mut keys = BTreeSet::new();
    let mut edit = Edit::new(&store, &Account::first(1), Origin::SharedRecord);
    for _ in 0..20_000 {
        let key = random.below(1 << 40).to_be_bytes();
        tree.put(&mut edit, Bytes::copy_from_slice(&key), Bytes::from_static(b"v")).unwrap();
        keys.insert(key);
    }
    tree.store(&store).unwrap();
    let stored = tree.settle();
    assert!(stored.is_stored() && !tree.is_stored());
    let sorted: Vec<_> = keys.iter().copied().collect();
    for tree in [&tree, &stored] {
        for _ in 0..200 {
            let mut bound = || Bytes::copy_from_slice(&random.below(1 << 40).to_be_bytes());
            let (start, end) = (bound(), bound());
            let range = KeyRange::half_open(start.clone(), end.clone());
            let (first, last) = tree.ranks(&store, &range, WAIT).unwrap();
            let inside = sorted.iter().filter(|key| range.contains(&key[..])).count();
            assert_eq!(last - first, inside as u64);
            assert_eq!(first as usize, sorted.partition_point(|key| key[..] < start[..]));
            let mut found = None;
            tree.visit_up(&store, first, WAIT, &mut |key, _| {
                found = Some(key.to_vec());
                ControlFlow::Break(())
            })
            .unwrap();
            assert_eq!(found.as_deref(), sorted.get(first as usize).map(|key| &key[..]));
            let mut below = None;
            tree.visit_down(&store, first, WAIT, &mut |key, _| {
                below = Some(key.to_vec());
                ControlFlow::Break(())
            })
            .unwrap();
            let before = (first as usize).checked_sub(1).map(|at| &sorted[at][..]);
            assert_eq!(below.as_deref(), before);
        }
    }
    let missing = stored.get(&store, &sorted[5], ReadMode::CachedOnly);
    assert!(matches!(missing, Err(StorageError::NotResident)));
}

#[test]
fn keys_in_order_leave_full_leaves() {
    let store = new_store();
    let mut tree = Tree::new(7);
    let mut edit = Edit::new(&store, &Account::first(1), Origin::SharedRecord);
    for key in 0..20_000_u64 {
        tree.put(&mut edit, Bytes::copy_from_slice(&key.to_be_bytes()), Bytes::from(vec![7; 250]))
            .unwrap();
    }
    tree.store(&store).unwrap();
    let used = store.0.live().len();
    let bytes = 20_000 * 260;
    assert!(used * 16 * 1024 < bytes * 115 / 100, "{used} slots for {bytes} bytes");
    for key in 0..20_000_u64 {
        assert!(tree.delete(&mut edit, &key.to_be_bytes()).unwrap());
    }
    assert_eq!(tree.len(), 0);
    assert!(tree.is_stored() && entries(&store, &tree).is_empty());
}

#[test]
fn a_damaged_image_is_never_a_node() {
    let store = new_store();
    let mut tree = Tree::new(7);
    let mut edit = Edit::new(&store, &Account::first(1), Origin::SharedRecord);
    for key in 0..2_000_u64 {
        let value = Bytes::from(vec![3; if key % 50 == 0 { 5_000 } else { 9 }]);
        tree.put(&mut edit, Bytes::from(format!("prefix{key:05}")), value).unwrap();
    }
    let root = tree.store(&store).unwrap().unwrap();
    let mut images = Vec::new();
    tree.settle()
        .verify(
            &store,
            &mut |part| {
                if let Part::Node(reference) = part {
                    images.push(store.0.read(reference)?);
                }
                Ok(())
            },
            &mut Err,
        )
        .unwrap();
    let is_other =
        |image: &Bytes| decode(image, 8, None).is_err() && decode(image, 7, Some(9)).is_err();
    assert!(images.len() > 3 && images.iter().all(is_other));
    assert!(decode(&store.0.read(root).unwrap(), 7, Some(1)).is_ok());
    let mut random = Random::from_environment();
    for _ in 0..20_000 {
        let mut image = images[random.below(images.len() as u64) as usize].to_vec();
        match random.below(3) {
            0 => image.truncate(random.below(image.len() as u64) as usize),
            1 => image.push(0),
            _ => {
                // In the part that says where everything is.
                let at = random.below(60.min(image.len() as u64)) as usize;
                image[at] = random.next() as u8;
            }
        }
        // Whatever it is, reading it must not fail in any other way.
        if let Ok(node) = decode(&Bytes::from(image), 7, None) {
            assert!(node.weight() > 0 && node.count() < 1 << 62);
        }
    }
}

/// Reads nodes of a store, and notes the leaves that were asked for and those that were said to be.
struct Noting<'a> {
    store: &'a Store,
    read: RefCell<Vec<Reference>>,
    announced: RefCell<Vec<Reference>>,
}

impl Source for Noting<'_> {
    fn node(
        &self,
        tree: u64,
        place: &Place,
        level: Option<u8>,
        mode: ReadMode,
    ) -> Result<Held, StorageError> {
        if level == Some(0) {
            self.read.borrow_mut().push(place.reference());
        }
        self.store.node(tree, place, level, mode)
    }

    fn long_value(
        &self,
        reference: Reference,
        length: u64,
        mode: ReadMode,
    ) -> Result<Bytes, StorageError> {
        self.store.long_value(reference, length, mode)
    }

    fn will_read(&self, nodes: Vec<Reference>) {
        self.announced.borrow_mut().extend(nodes);
    }
}

/// Leaves are announced in the order of the visit, and none that it does not read.
#[test]
fn what_is_read_ahead_is_what_a_visit_reads() {
    let store = new_store();
    let entries = 30_000_u64;
    let mut put = |image: &[u8]| store.0.store(7, image);
    let mut builder = TreeBuilder::new(7);
    for key in 0..entries {
        builder.push(&key.to_be_bytes(), &[1; 200], &mut put).unwrap();
    }
    let (root, count) = builder.finish(&mut put).unwrap();
    let tree = Tree::stored(7, root, count);
    let mut random = Random::from_environment();
    for _ in 0..100 {
        let noting =
            Noting { store: &store, read: RefCell::default(), announced: RefCell::default() };
        let start = random.below(entries);
        let end = start + random.below(entries + 1 - start).min(3_000);
        let downward = random.once_in(2);
        let all = tree.will_visit(&noting, (start, end), usize::MAX, downward).unwrap();
        assert_eq!(all, end - start);
        assert!(noting.read.borrow().is_empty());
        let mut left = end - start;
        let mut visit = |_: &[u8], _: Bytes| {
            left = left.saturating_sub(1);
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if start < end && downward {
            tree.visit_down(&noting, end, WAIT, &mut visit).unwrap();
        } else if start < end {
            tree.visit_up(&noting, start, WAIT, &mut visit).unwrap();
        }
        let (read, announced) = (noting.read.take(), noting.announced.take());
        assert_eq!(announced, read);
        // With few leaves at a time it is the same ones.
        let (mut from, mut to) = (start, end);
        while from < to {
            let few = tree.will_visit(&noting, (from, to), 2, downward).unwrap();
            assert!(few > 0);
            if downward { to -= few } else { from += few }
        }
        assert_eq!(noting.announced.take(), read);
    }
}
