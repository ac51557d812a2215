//! Writers, readers, checkpoints, new and dropped trees, and crashes, all beside each other. No run is like another;
//! what must hold is the same at every commit point: money is moved between accounts of several trees and never made
//! or lost, and every commit leaves one entry in a journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::from_environment;
use crate::storage::disk::{CrashMode, FaultyDisk};
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{
    Direction, Durability, Engine, KeyRange, ReadMode, Scanner, Snapshot, StorageError, TreeId,
    WriteBatch,
};
use crate::testing::Random;

const WAIT: ReadMode = ReadMode::MayBlock;

/// How long it goes on unless it is told otherwise.
const SECONDS: u64 = 2;
const BANKS: [TreeId; 4] = [TreeId(1), TreeId(2), TreeId(3), TreeId(4)];
const JOURNAL: TreeId = TreeId(5);
const ACCOUNTS: u64 = 60;
const MONEY: u64 = 1_000;
/// Those that move money, and one that makes and drops trees.
const WRITERS: u64 = 4;
/// A round ends after this, or when something fails.
const ROUND: Duration = Duration::from_millis(400);

/// What writers know to be durable: for each the number of entries that it has in the journal.
type Acknowledged = [AtomicU64; WRITERS as usize];

fn open(disk: &FaultyDisk, random: &mut Random, threads: bool) -> Result<SlabEngine, StorageError> {
    let options = SlabOptions {
        flush_interval: threads.then_some(Duration::from_millis(3)),
        log_segment_bytes: 30_000,
        checkpoint_log_bytes: 100_000,
        checkpoint_part_bytes: 1_000 + random.below(10_000) as usize,
        ..SlabOptions::new([7; 16], 100_000 + random.below(1_000_000) as usize)
    };
    SlabEngine::open(Arc::new(disk.clone()), options)
}

fn journal_key(writer: u64, number: u64) -> Vec<u8> {
    let mut key = vec![writer as u8];
    key.extend(number.to_be_bytes());
    key
}

fn account(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// An amount, and something behind it that changes the length.
fn money(random: &mut Random, amount: u64) -> Bytes {
    let mut value = amount.to_be_bytes().to_vec();
    let length = if random.once_in(40) { 6_000 } else { random.below(300) as usize };
    value.resize(8 + length, 7);
    Bytes::from(value)
}

fn amount(value: &[u8]) -> u64 {
    u64::from_be_bytes(*value.first_chunk().expect("a value begins with an amount"))
}

fn open_accounts(engine: &SlabEngine, random: &mut Random) {
    let mut batch = WriteBatch::new(Durability::Hard);
    batch.create_tree(JOURNAL);
    for bank in BANKS {
        batch.create_tree(bank);
        for number in 0..ACCOUNTS {
            batch.put(bank, account(number), money(random, MONEY));
        }
    }
    let commit = engine.apply(batch).unwrap();
    engine.wait_durable(commit.sequence).unwrap();
    assert_eq!(commit.sequence.0, 1);
}

/// Looks at one commit point, and returns how many entries each writer has in the journal.
fn check(snapshot: &dyn Snapshot) -> Result<[u64; WRITERS as usize], StorageError> {
    let mut sum = 0;
    for bank in BANKS {
        let cursor = snapshot.cursor(bank, &KeyRange::ALL, Direction::Forward)?;
        let mut scanner = Scanner::new(cursor, WAIT);
        let mut accounts = 0;
        while let Some((_, value)) = scanner.next()? {
            sum += amount(value);
            accounts += 1;
        }
        assert_eq!(accounts, ACCOUNTS);
    }
    assert_eq!(sum, MONEY * ACCOUNTS * BANKS.len() as u64, "money was made or lost");
    let journal = snapshot.count(JOURNAL, &KeyRange::ALL, WAIT)?;
    assert_eq!(journal, snapshot.sequence().0 - 1, "a commit without its entry");
    let mut entries = [0; WRITERS as usize];
    for (writer, entries) in (0..).zip(&mut entries) {
        let range = KeyRange::prefix(vec![writer as u8]);
        *entries = snapshot.count(JOURNAL, &range, WAIT)?;
        let last = snapshot.nth(JOURNAL, &range, Direction::Backward, 0, WAIT)?;
        let expected = entries.checked_sub(1).map(|last| journal_key(writer, last));
        assert_eq!(last.map(|(key, _)| key.to_vec()), expected, "an entry in between is missing");
    }
    Ok(entries)
}

/// Moves money between two accounts; whether it could be moved.
fn transfer(
    engine: &SlabEngine,
    random: &mut Random,
    batch: &mut WriteBatch,
) -> Result<bool, StorageError> {
    let snapshot = engine.snapshot()?;
    let mut any = || (BANKS[random.below(4) as usize], account(random.below(ACCOUNTS)));
    let (from, to) = (any(), any());
    if from == to {
        return Ok(false);
    }
    let old_from = snapshot.get(from.0, &from.1, WAIT)?.expect("accounts stay");
    let old_to = snapshot.get(to.0, &to.1, WAIT)?.expect("accounts stay");
    let moved = random.below(amount(&old_from) + 1);
    batch.put(from.0, from.1.clone(), money(random, amount(&old_from) - moved));
    batch.put(to.0, to.1.clone(), money(random, amount(&old_to) + moved));
    batch.expect_value(from.0, from.1, Some(old_from));
    batch.expect_value(to.0, to.1, Some(old_to));
    Ok(true)
}

/// Makes and drops trees.
fn alter(
    engine: &SlabEngine,
    trees: &mut Vec<TreeId>,
    batch: &mut WriteBatch,
) -> Result<(), StorageError> {
    if trees.len() > 3 {
        batch.drop_tree(trees.remove(0));
    } else {
        let tree = engine.new_tree_id()?;
        batch.create_tree(tree);
        batch.put(tree, "key", vec![7; 5_000]);
        trees.push(tree);
    }
    Ok(())
}

/// One writer, until something fails or it is told to end.
fn write(
    engine: &SlabEngine,
    writer: u64,
    mut number: u64,
    acknowledged: &AtomicU64,
    ends: &AtomicBool,
) -> Result<(), StorageError> {
    let mut random = Random::seeded(number << 8 | writer);
    let mut trees = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let hard = random.once_in(4);
        let mut batch = WriteBatch::new(if hard { Durability::Hard } else { Durability::Soft });
        if writer == 0 {
            alter(engine, &mut trees, &mut batch)?;
        } else if !transfer(engine, &mut random, &mut batch)? {
            continue;
        }
        batch.put(JOURNAL, journal_key(writer, number), vec![writer as u8; 20]);
        match engine.apply(batch) {
            Err(StorageError::Conflict) => continue,
            applied => {
                let commit = applied?;
                number += 1;
                if hard {
                    engine.wait_durable(commit.sequence)?;
                    acknowledged.store(number, Ordering::Release);
                }
            }
        }
    }
    Ok(())
}

/// Everything at once, until something fails or the round is over.
fn round(engine: &SlabEngine, disk: &FaultyDisk, acknowledged: &Acknowledged, images: &AtomicU64) {
    let ends = AtomicBool::new(false);
    let until_the_end = |work: &dyn Fn() -> Result<(), StorageError>| {
        let mut outcome = Ok(());
        while !ends.load(Ordering::Relaxed) && outcome.is_ok() {
            outcome = work();
        }
        ends.store(true, Ordering::Relaxed);
    };
    let entries = check(&*engine.snapshot().unwrap()).unwrap();
    std::thread::scope(|scope| {
        for (writer, acknowledged) in (0..).zip(acknowledged) {
            let (ends, number) = (&ends, entries[writer as usize]);
            scope.spawn(move || {
                drop(write(engine, writer, number, acknowledged, ends));
                ends.store(true, Ordering::Relaxed);
            });
        }
        scope.spawn(|| until_the_end(&|| check(&*engine.snapshot()?).map(drop)));
        scope.spawn(|| until_the_end(&|| engine.checkpoint()));
        scope.spawn(|| {
            // What a crash would leave at this moment, while everything goes on.
            let mut random = Random::seeded(entries.iter().sum());
            let began = Instant::now();
            while began.elapsed() < ROUND && !ends.load(Ordering::Relaxed) {
                let least = acknowledged.each_ref().map(|number| number.load(Ordering::Acquire));
                let image = disk.crash(CrashMode::ALL[random.below(4) as usize]);
                image.forgive();
                let crashed = open(&image, &mut random, false).expect("a crash is no damage");
                let found = check(&*crashed.snapshot().unwrap()).unwrap();
                assert!(found.iter().zip(least).all(|(found, least)| *found >= least), "lost");
                crashed.verify().unwrap();
                images.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
            ends.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn transfers_keep_their_sum_while_everything_runs_beside_each_other() {
    let mut random = Random::from_environment();
    let seconds = from_environment("PHOTONDB_STRESS_SECONDS").unwrap_or(SECONDS);
    let mut disk = FaultyDisk::new(random.next());
    let engine = open(&disk, &mut random, true).unwrap();
    open_accounts(&engine, &mut random);
    engine.close().unwrap();
    drop(engine);
    let (acknowledged, images) = (Acknowledged::default(), AtomicU64::new(0));
    let (began, mut rounds, mut failures) = (Instant::now(), 0, 0);
    while began.elapsed() < Duration::from_secs(seconds) || rounds < 3 {
        let engine = open(&disk, &mut random, true).expect("a crash is no damage");
        let found = check(&*engine.snapshot().unwrap()).unwrap();
        for (found, least) in found.iter().zip(&acknowledged) {
            let least = least.swap(*found, Ordering::AcqRel);
            assert!(*found >= least, "{found} commits of a writer, {least} were acknowledged");
        }
        match rounds % 3 {
            0 => disk.stop_after(100 + random.below(4_000)),
            1 => disk.fail_after(100 + random.below(4_000)),
            _ => {}
        }
        round(&engine, &disk, &acknowledged, &images);
        failures += u64::from(disk.failed().is_some());
        drop(engine);
        disk.forgive();
        if random.once_in(2) {
            disk = disk.crash(CrashMode::ALL[random.below(4) as usize]);
        }
        rounds += 1;
    }
    let commits: u64 = acknowledged.iter().map(|number| number.load(Ordering::Relaxed)).sum();
    let images = images.into_inner();
    println!("{rounds} rounds, {failures} failures, {images} crashes at work, {commits} commits");
    assert!(commits > 100 && images >= rounds, "{commits} commits, {images} crashes");
}
