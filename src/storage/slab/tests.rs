//! The data file: slots are reused, but never while anyone may still read them; damage is told with its place.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{EXTENT, Epoch, FILE, GRAIN, META, Reference, Slab, Superblock, create, pieces};
use crate::cancel::CancelFlag;
use crate::limits::READ_AHEAD_GAP_BYTES;
use crate::storage::StorageError;
use crate::storage::disk::{CrashMode, Disk, FaultyDisk, MemoryDisk};
use crate::testing::Random;
use crate::turns::{self, Turns, Whose};

const FIRST: Superblock = Superblock {
    identity: [5; 16],
    checkpoint: 1,
    sequence: 0,
    next_tree: 64,
    extents: 1,
    meta_root: None,
    meta_entries: 0,
    least_length: 0,
};

fn open(disk: &FaultyDisk) -> (Slab, Superblock) {
    Slab::open(disk).unwrap()
}

fn new_slab(disk: &FaultyDisk) -> Slab {
    create(disk, &FIRST).unwrap();
    open(disk).0
}

fn commit(slab: &Slab, checkpoint: u64, epoch: &Arc<Epoch>) {
    slab.commit(Superblock { checkpoint, ..FIRST }, Arc::downgrade(epoch)).unwrap();
}

#[test]
fn slots_are_reused_but_never_under_a_reader() {
    let mut random = Random::from_environment();
    let disk = FaultyDisk::new(1);
    let slab = new_slab(&disk);
    let mut epoch = Arc::new(Epoch);
    let mut images: BTreeMap<u64, (u64, Reference, Vec<u8>)> = BTreeMap::new();
    let mut readers = Vec::new();
    let mut longest = 0;
    for checkpoint in 2..150 {
        for _ in 0..random.below(20) {
            if random.once_in(2) && !images.is_empty() {
                let at = random.below(images.len() as u64) as usize;
                let grain = *images.keys().nth(at).unwrap();
                slab.release(images.remove(&grain).unwrap().1).unwrap();
            } else {
                let limit = [900, 5_000, 20_000, EXTENT - 1][random.below(4) as usize];
                let mut image = random.bytes(limit);
                image.push(1);
                let tree = random.below(3);
                let reference = slab.store(tree, &image).unwrap();
                let taken = images.insert(reference.grain, (tree, reference, image));
                assert!(taken.is_none(), "a live slot was taken");
            }
        }
        if random.once_in(30) {
            slab.release_tree(1);
            images.retain(|_, (tree, ..)| *tree != 1);
        }
        if random.once_in(5) {
            readers.push((Arc::clone(&epoch), images.clone()));
        }
        if readers.len() > 4 || random.once_in(10) && !readers.is_empty() {
            readers.swap_remove(random.below(readers.len() as u64) as usize);
        }
        let sealed = std::mem::replace(&mut epoch, Arc::new(Epoch));
        commit(&slab, checkpoint, &sealed);
        drop(sealed);
        slab.reclaim();
        slab.give_back(&|| true);
        for (_, seen) in readers.iter().rev().take(1) {
            for (_, reference, image) in seen.values() {
                assert_eq!(slab.read(*reference).unwrap(), image, "overwritten under a reader");
            }
        }
        let live: BTreeSet<_> = images.values().map(|(tree, at, _)| (*tree, at.grain)).collect();
        assert_eq!(slab.live(), live);
        longest = longest.max(disk.bytes(FILE).len() as u64);
    }
    drop(readers);
    for (_, reference, _) in images.into_values() {
        slab.release(reference).unwrap();
    }
    commit(&slab, 150, &epoch);
    drop(epoch);
    slab.reclaim();
    assert_eq!(disk.bytes(FILE).len() as u64, EXTENT, "space comes back, of {longest} bytes");
}

/// Giving back room may be slow, and stops when there is something else to do. What is free can be used in between.
#[test]
fn room_is_given_back_as_long_as_nothing_else_is_to_be_done() {
    let disk = FaultyDisk::new(1);
    let slab = new_slab(&disk);
    let image = vec![7; EXTENT as usize];
    let released: Vec<_> = (0..40).map(|_| slab.store(1, &image).unwrap()).collect();
    slab.store(2, &image).unwrap();
    released.into_iter().for_each(|reference| slab.release(reference).unwrap());
    commit(&slab, 2, &Arc::default());
    assert_eq!(slab.reclaim().len(), 40);
    let empty = || {
        let bytes = disk.bytes(FILE);
        let extents = bytes.chunks(EXTENT as usize).skip(1);
        extents.filter(|extent| extent.iter().all(|byte| *byte == 0)).count()
    };
    assert_eq!(empty(), 0);
    let looks = Cell::new(0);
    let ten_times = || looks.replace(looks.get() + 1) < 10;
    slab.give_back(&ten_times);
    assert_eq!(empty(), 10);
    assert!(slab.has_waiting(), "there is more");
    let stored: Vec<_> = (0..5).map(|_| slab.store(3, &image).unwrap()).collect();
    slab.give_back(&|| true);
    assert_eq!(empty(), 35);
    assert!(!slab.has_waiting());
    assert!(stored.iter().all(|reference| slab.read(*reference).unwrap() == image));
}

/// The same for what lies between slots in use.
#[test]
fn surplus_that_was_not_given_back_stays_surplus() {
    let disk = FaultyDisk::new(1);
    let slab = new_slab(&disk);
    let image = vec![7; 16 * 1024];
    let stored: Vec<_> = (0..1_600).map(|_| slab.store(1, &image).unwrap()).collect();
    let released: Vec<_> = stored.iter().enumerate().filter(|(at, _)| at % 16 != 0).collect();
    released.into_iter().for_each(|(_, reference)| slab.release(*reference).unwrap());
    commit(&slab, 2, &Arc::default());
    slab.reclaim();
    let taken = || disk.bytes(FILE).iter().filter(|byte| **byte == 7).count();
    let before = taken();
    slab.give_back(&|| false);
    assert_eq!(taken(), before);
    slab.give_back(&|| true);
    assert!(taken() < before / 8, "{} of {before}", taken());
}

#[test]
fn space_is_the_same_after_it_was_restored() {
    let mut random = Random::from_environment();
    let disk = FaultyDisk::new(1);
    let slab = new_slab(&disk);
    let (mut data, mut meta) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let image = [random.bytes(9_000), vec![1]].concat();
        if random.once_in(4) {
            meta.push(slab.store(META, &image).unwrap());
        } else {
            data.push(slab.store(random.below(3), &image).unwrap());
        }
    }
    for _ in 0..150 {
        let at = random.below(data.len() as u64) as usize;
        slab.release(data.swap_remove(at)).unwrap();
    }
    let changes = slab.take_changes();
    assert!(slab.take_changes().is_empty());
    let (again, _) = open(&disk);
    for reference in &meta {
        again.restore_meta(*reference).unwrap();
    }
    for (extent, record) in &changes {
        if let Some(record) = record {
            again.restore(*extent, record).unwrap();
        }
    }
    again.finish_restoring();
    assert_eq!(again.live(), slab.live());
    let twice = again.restore_meta(meta[0]).unwrap_err();
    assert!(twice.to_string().contains("rule 12"), "{twice}");
    let live = again.live();
    for _ in 0..300 {
        let reference = again.store(1, &[1; 5_000]).unwrap();
        assert!(!live.contains(&(1, reference.grain)));
    }
}

#[test]
fn damage_is_an_error_with_its_place() {
    let disk = FaultyDisk::new(1);
    let slab = new_slab(&disk);
    let reference = slab.store(1, &[7; 3_000]).unwrap();
    assert_eq!(slab.read(reference).unwrap(), vec![7; 3_000]);
    disk.flip_bit(FILE, EXTENT as usize + 2_999, 3);
    let error = slab.read(reference).unwrap_err().to_string();
    assert!(error.contains("slab.data at 262144") && error.contains("rule 4"), "{error}");
    let beyond = Reference { grain: 1 << 50, length: 9, sum: 0 };
    assert!(matches!(slab.read(beyond), Err(StorageError::Corrupt { .. })));
    assert!(matches!(slab.release(beyond), Err(StorageError::Corrupt { .. })));
    let shifted = Reference { grain: reference.grain + 1, ..reference };
    assert!(matches!(slab.release(shifted), Err(StorageError::Corrupt { .. })));
}

#[test]
fn the_newer_superblock_counts_and_a_torn_one_does_not() {
    let disk = FaultyDisk::new(1);
    let slab = new_slab(&disk);
    commit(&slab, 2, &Arc::default());
    assert_eq!(open(&disk).1.checkpoint, 2);
    commit(&slab, 3, &Arc::default());
    assert_eq!(open(&disk.crash(CrashMode::LoseAll)).1.checkpoint, 3);
    disk.flip_bit(FILE, 131_072 + 33, 0);
    assert_eq!(open(&disk).1.checkpoint, 3, "there is another one");
    disk.flip_bit(FILE, 131_072 + 65_536 + 33, 0);
    assert_eq!(open(&disk).1.checkpoint, 2);
    disk.flip_bit(FILE, 33, 0);
    disk.flip_bit(FILE, 65_536 + 33, 0);
    let error = Slab::open(&disk).err().unwrap().to_string();
    assert!(error.contains("rule 1"), "{error}");
    let other = FaultyDisk::new(1);
    other.create(FILE).unwrap().write_at(0, b"something else").unwrap();
    assert!(Slab::open(&other).is_err());
}

#[test]
fn an_audit_finds_what_is_referred_to_twice_or_never() {
    let disk = FaultyDisk::new(1);
    let slab = new_slab(&disk);
    let long = slab.store(1, &[1; 9_000]).unwrap();
    let short = slab.store(2, &[2; 900]).unwrap();
    let released = slab.store(2, &[3; 900]).unwrap();
    slab.release(released).unwrap();
    let mut sound = slab.audit();
    sound.note(1, long).unwrap();
    sound.note(2, short).unwrap();
    let count = sound.finish().unwrap();
    assert_eq!((count.extents, count.slots, count.bytes), (2, 2, 11 * 1_024));
    let refused = |notes: &[(u64, Reference)], rule: &str| {
        let mut audit = slab.audit();
        let noted = notes.iter().try_for_each(|(tree, reference)| audit.note(*tree, *reference));
        let error = noted.and_then(|()| audit.finish().map(drop)).unwrap_err().to_string();
        assert!(error.contains(rule), "{error}");
    };
    refused(&[(1, long)], "rule 12");
    refused(&[(1, long), (1, long)], "rule 12");
    refused(&[(1, long), (2, short), (2, released)], "rule 12");
    refused(&[(2, long)], "rule 4");
    refused(&[(1, Reference { length: 900, ..long })], "rule 4");
    refused(&[(1, Reference { grain: long.grain + 1, ..long })], "rule 4");
    refused(&[(1, Reference { grain: 5, ..long })], "rule 4");
}

#[test]
fn images_that_lie_close_together_are_read_ahead_in_one_piece() {
    let far = READ_AHEAD_GAP_BYTES / GRAIN + 2;
    // In grains, from the start of a piece to its end.
    let check = |grains: &[u64], expected: &[(u64, u64)]| {
        let image = |grain: &u64| Reference { grain: *grain, length: GRAIN as u32, sum: 0 };
        let found = pieces(grains.iter().map(image).collect());
        let found: Vec<_> =
            found.iter().map(|piece| (piece.start / GRAIN, piece.end / GRAIN)).collect();
        assert_eq!(found, expected);
    };
    check(&[], &[]);
    check(&[9, 7, 8], &[(7, 10)]);
    check(&[7, 6 + far], &[(7, 7 + far)]);
    check(&[7, 7 + far], &[(7, 8), (7 + far, 8 + far)]);
}

/// Whether a thread still has its turn, for which another waits, after it has read an image from this disk.
fn keeps_its_turn(disk: &dyn Disk) -> bool {
    create(disk, &FIRST).unwrap();
    let slab = Slab::open(disk).unwrap().0;
    let reference = slab.store(1, &[7; 100]).unwrap();
    let (turns, user) = (Turns::strict(1), Whose::at("bob", 1));
    let cancel = CancelFlag::default();
    std::thread::scope(|scope| {
        turns.seat(&user, || {
            turns::look(&cancel, None);
            slab.read(reference).unwrap();
            assert_eq!(turns.running(), 1, "nobody else wants to run");
            scope.spawn(|| turns.seat(&user, || turns::look(&cancel, None)));
            while !turns::is_wanted() {
                std::thread::yield_now();
            }
            slab.read(reference).unwrap();
            turns::is_wanted()
        })
    })
}

#[test]
fn others_run_while_a_device_is_waited_for() {
    assert!(!keeps_its_turn(&FaultyDisk::new(1)), "it reads nothing at once");
    assert!(keeps_its_turn(&MemoryDisk::new()));
}
