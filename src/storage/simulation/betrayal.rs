//! Disks that betray a store at work: a write that is lost or lands elsewhere although its sync succeeded, and bits that
//! flip. An answer is right, or it is an error that names a place.

use std::sync::Arc;

use super::damage::{is_damage, is_place, tolerate};
use super::life::Life;
use super::model::Model;
use super::workload::{any_direction, ask, compare, random_batch};
use crate::storage::disk::{Betrayal, CrashMode, Disk, FaultyDisk};
use crate::storage::store::SlabEngine;
use crate::storage::{Engine, StorageError, verify_directory};

/// Betrayed copies of one store.
const COPIES: u64 = 4;
const FILES: [&str; 2] = ["slab.data", "slab.log"];

/// What was done with a copy, and what may be found of it.
struct Work {
    /// The state after each commit.
    states: Vec<(u64, Model)>,
    /// Syncs of the log so far, and the last commit that was safe then.
    syncs: Vec<(u64, u64)>,
}

/// Lets copies of the store be betrayed.
pub(super) fn examine(life: &mut Life) {
    drop(life.recover());
    let sound = life.disk.clone();
    for _ in 0..COPIES {
        let disk = sound.crash(CrashMode::KeepAll);
        let file = FILES[life.random.below(2) as usize];
        let outcome = betray(life, &disk, file);
        let disk = life.disk.clone();
        let event = match outcome {
            Ok(()) => "betrayal without effect",
            Err(error) if is_damage(&error) => {
                assert!(is_place(&error.to_string()), "no place: {error}");
                "betrayal found"
            }
            Err(error) => panic!("{error}"),
        };
        disk.note(event, file);
    }
}

/// Works with a copy that is betrayed, crashes, and looks at what is left.
fn betray(life: &mut Life, disk: &FaultyDisk, file: &'static str) -> Result<(), StorageError> {
    life.disk = disk.clone();
    let engine = life.open(disk)?;
    disk.set_phase("betrayed");
    let flips = life.random.once_in(3);
    let after = life.random.below(12);
    if !flips {
        let how = if life.random.once_in(2) { Betrayal::Lost } else { Betrayal::Elsewhere };
        disk.betray(how, file, after);
    }
    let first = (engine.last_sequence().0, life.known.now().clone());
    let mut work = Work { states: vec![first], syncs: vec![(0, engine.durable_sequence().0)] };
    let mut outcome = Ok(());
    for step in 0..life.random.below(30) {
        if flips && step == after {
            flip(life, disk, file);
        }
        outcome = step_of(life, &engine, &mut work);
        let numbers = engine.numbers();
        work.syncs.push((numbers.log_syncs, engine.durable_sequence().0));
        if outcome.is_err() {
            break;
        }
    }
    life.has_leaked |= engine.numbers().leaks > 0;
    drop(engine);
    disk.forgive();
    let mode = CrashMode::ALL[life.random.below(4) as usize];
    life.disk = if life.random.once_in(3) { disk.clone() } else { disk.crash(mode) };
    let disk = life.disk.clone();
    disk.set_phase("after a betrayal");
    let verified = life.random.once_in(2).then(|| verify_directory(&disk).map(drop));
    let found = find(life, &disk, &work, file);
    if let (Err(error), Some(Ok(()))) = (&found, verified) {
        panic!("the walk has overlooked it: {error}");
    }
    outcome.and(found)
}

/// One bit of a file, where something is written.
fn flip(life: &mut Life, disk: &FaultyDisk, file: &str) {
    let names = disk.list().expect("nothing fails").into_iter();
    let Some(name) = names.filter(|name| name.starts_with(file)).max() else { return };
    let bytes = disk.bytes(&name);
    let from = life.random.below(bytes.len().max(1) as u64) as usize;
    let Some(offset) = (from..bytes.len()).find(|at| bytes[*at] != 0) else { return };
    disk.flip_bit(&name, offset, life.random.below(8) as u8);
    disk.note("flipped bit at work", file);
}

fn step_of(life: &mut Life, engine: &SlabEngine, work: &mut Work) -> Result<(), StorageError> {
    let model = work.states.last().map(|(_, model)| model.clone()).unwrap_or_default();
    match life.random.below(8) {
        0 | 1 => engine.wait_durable(engine.last_sequence()),
        2 => engine.checkpoint(),
        3 => ask(&mut life.random, &life.shape, &*engine.snapshot()?, &model),
        _ => {
            let (batch, refused) = random_batch(&mut life.random, &life.shape, engine, &model);
            let operations = batch.operations().to_vec();
            match engine.apply(batch) {
                Ok(commit) => {
                    let mut model = model;
                    model.apply(&operations);
                    work.states.push((commit.sequence.0, model));
                    Ok(())
                }
                Err(StorageError::Conflict) if refused => Ok(()),
                Err(error) => Err(error),
            }
        }
    }
}

/// Opens what is left. Of the log the last group may be lost in silence, by rule 9 of the format, and nothing before it.
fn find(life: &mut Life, disk: &FaultyDisk, work: &Work, file: &str) -> Result<(), StorageError> {
    let engine = Arc::new(life.open(disk)?);
    let found = engine.last_sequence().0;
    let (last_sync, durable) = work.syncs.last().copied().unwrap_or_default();
    let before = work.syncs.iter().rev().find(|(syncs, _)| *syncs < last_sync);
    let least = match file {
        "slab.log" => {
            before.map_or(work.states.first().map_or(0, |(first, _)| *first), |(_, at)| *at)
        }
        _ => durable,
    };
    assert!(found >= least, "commit {least} is lost, {found} was found");
    let state = work.states.iter().find(|(sequence, _)| *sequence == found);
    let (_, model) = state.expect("no commit has that number");
    let read = tolerate(compare(&*engine.snapshot()?, model, any_direction(&mut life.random)))?;
    let verified = tolerate(life.but_for_lost_room(engine.verify()))?;
    assert!(verified.is_err() || read.is_ok(), "verified, although {read:?}");
    read.and(verified)
}
