//! Flipped bits: whatever they hit, an answer is right or it is an error.

use super::life::Life;
use super::model::Model;
use super::workload::{any_direction, ask, compare, random_batch};
use crate::storage::disk::{CrashMode, Disk, FaultyDisk};
use crate::storage::store::SlabEngine;
use crate::storage::{Engine, StorageError, verify_directory};

/// Damaged copies of one store.
const COPIES: u64 = 6;

/// Damages copies of the store, which is opened once more, so that the log has been followed by another segment and
/// none of it can be taken for torn.
pub(super) fn examine(life: &mut Life) {
    damage_the_last_group(life);
    // On a full disk a start does without the segment.
    drop(life.recover());
    let disk = life.disk.clone();
    let engine = life.open(&disk).expect("nothing fails");
    life.disk.set_phase("damaging");
    if life.random.once_in(2) {
        engine.checkpoint().expect("nothing fails");
    }
    drop(engine);
    let model = life.known.now().clone();
    let sound = life.disk.clone();
    for _ in 0..COPIES {
        let disk = sound.crash(CrashMode::KeepAll);
        let before_opening = life.random.once_in(2);
        let mut verified = None;
        if before_opening {
            damage(life, &disk);
            verified = Some(verify_directory(&disk).map(drop));
        }
        let outcome = life.open(&disk).and_then(|engine| {
            let found = engine.last_sequence().0;
            assert_eq!(found, life.known.last(), "commits were lost to a flipped bit");
            if !before_opening {
                damage(life, &disk);
            }
            question(life, &disk, &engine, &model)
        });
        if let (Err(error), Some(Ok(()))) = (&outcome, verified) {
            panic!("the walk has overlooked it: {error}");
        }
        let event = match outcome {
            Ok(()) => "damage without effect",
            Err(error) if is_damage(&error) => {
                assert!(is_place(&error.to_string()), "no place: {error}");
                "damage found"
            }
            Err(error) => panic!("{error}"),
        };
        disk.note(event, "");
        life.disk = disk;
    }
}

/// Flips a bit of the last group of the log before anybody has seen it again: it may be taken for torn, by rule 9 of the
/// format, and what is before it is whole.
fn damage_the_last_group(life: &mut Life) {
    life.disk.forgive();
    let disk = life.disk.crash(CrashMode::KeepAll);
    disk.set_capacity(usize::MAX);
    disk.set_phase("damaging");
    let names = disk.list().expect("nothing fails").into_iter();
    let Some(name) = names.filter(|name| name.starts_with("slab.log")).max() else { return };
    let bytes = disk.bytes(&name);
    let Some(last) = bytes.iter().rposition(|byte| *byte != 0).filter(|last| *last > 4_096) else {
        return;
    };
    disk.flip_bit(&name, last, life.random.below(8) as u8);
    life.disk.note("damage of the last group", "slab.log");
    match life.open(&disk) {
        Ok(engine) => {
            assert!(engine.last_sequence().0 <= life.known.last(), "commits that nobody made");
            let verified = life.but_for_lost_room(engine.verify());
            verified.expect("what is before it is whole");
        }
        Err(error) => assert!(is_damage(&error), "{error}"),
    }
}

/// Flips a few bits of one file.
fn damage(life: &mut Life, disk: &FaultyDisk) {
    disk.set_phase("damaging");
    let random = &mut life.random;
    let mut names = disk.list().expect("nothing fails");
    names.retain(|name| disk.bytes(name).iter().any(|byte| *byte != 0));
    let data = names.iter().position(|name| name == "slab.data");
    let name = match data {
        Some(data) if random.once_in(2) => &names[data],
        _ => &names[random.below(names.len() as u64) as usize],
    };
    let bytes = disk.bytes(name);
    // Where something was written: most of a small store is holes.
    let written: Vec<_> = (0..bytes.len().div_ceil(512))
        .filter(|sector| bytes.iter().skip(sector * 512).take(512).any(|byte| *byte != 0))
        .collect();
    for _ in 0..=random.below(3) {
        let sector = written[random.below(written.len() as u64) as usize];
        let offset = sector * 512 + random.below(512) as usize;
        disk.flip_bit(name, offset.min(bytes.len() - 1), random.below(8) as u8);
    }
}

/// Asks everything of a damaged store. The first error that is not about damage ends it.
fn question(
    life: &mut Life,
    disk: &FaultyDisk,
    engine: &SlabEngine,
    model: &Model,
) -> Result<(), StorageError> {
    disk.set_phase("damaged");
    let snapshot = engine.snapshot()?;
    let mut found = Ok(());
    for _ in 0..3 {
        found = found.and(tolerate(ask(&mut life.random, &life.shape, &*snapshot, model))?);
    }
    let read = tolerate(compare(&*snapshot, model, any_direction(&mut life.random)))?;
    if read.is_err() || life.random.once_in(2) {
        let verified = tolerate(life.but_for_lost_room(engine.verify()))?;
        assert!(verified.is_err() || read.is_ok(), "verified, although {read:?}");
        found = found.and(read).and(verified);
    }
    let mut model = model.clone();
    for _ in 0..life.random.below(10) {
        let (batch, refused) = random_batch(&mut life.random, &life.shape, engine, &model);
        let operations = batch.operations().to_vec();
        match engine.apply(batch) {
            Ok(_) => model.apply(&operations),
            Err(StorageError::Conflict) if refused => {}
            Err(error) => {
                found = found.and(tolerate(Err(error))?);
                break;
            }
        }
        if life.random.once_in(4) {
            found = found.and(tolerate(engine.checkpoint())?);
        }
    }
    let snapshot = engine.snapshot()?;
    found.and(tolerate(compare(&*snapshot, &model, any_direction(&mut life.random)))?)
}

/// Damage is to be expected, and that an engine stops writing which meets it in a checkpoint. Other errors are not.
pub(super) fn tolerate(
    outcome: Result<(), StorageError>,
) -> Result<Result<(), StorageError>, StorageError> {
    match outcome {
        Err(error) if !is_damage(&error) => Err(error),
        outcome => Ok(outcome),
    }
}

/// Whether it is what a flipped bit may lead to. One in the name of the format lets a file look like another one's.
pub(super) fn is_damage(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::Corrupt { .. } | StorageError::Poisoned { .. } | StorageError::Foreign { .. }
    )
}

/// Whether somebody who reads it knows where to look.
pub(super) fn is_place(place: &str) -> bool {
    ["slab.", "the log", "tree "].iter().any(|known| place.contains(known))
}
