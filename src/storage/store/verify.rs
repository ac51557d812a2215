//! The walk through everything that a checkpoint refers to, of a store that is open and of one that is not.
//! Must not know how to repair; nothing here writes.

use std::cell::Cell;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::checkpoint::Checkpoints;
use super::open::{Loaded, lock};
use super::pages::Pages;
use super::snapshot::{Keeper, SlabSnapshot};
use super::{Event, Shared};
use crate::limits::VERIFY_CACHE_BYTES;
use crate::storage::btree::{
    Held, LongValue, Page, Part, Place, Source, Tree, decode, read_long_value,
};
use crate::storage::disk::{Disk, DiskLock};
use crate::storage::slab::{Audit, EXTENT, GRAIN, META, Reference, Slab, exists};
use crate::storage::wal::has_segments;
use crate::storage::{ReadMode, Snapshot, StorageError, TreeId};

/// What a store holds that keeps all rules of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// The number of the newest checkpoint.
    pub checkpoint: u64,
    /// The last commit that it contains.
    pub checkpoint_sequence: u64,
    /// The last commit of the log, which is that of the store.
    pub last_sequence: u64,
    /// Trees of the checkpoint.
    pub trees: u64,
    /// Entries in them.
    pub entries: u64,
    /// Nodes of them, of the meta tree, and of trees that were loaded since.
    pub nodes: u64,
    /// Values that are kept outside of their leaves.
    pub long_values: u64,
    /// Extents with something in use.
    pub extents: u64,
    /// Extents between them with nothing in use.
    pub free_extents: u64,
    /// Slots in use.
    pub slots: u64,
    /// Bytes of these slots.
    pub slot_bytes: u64,
    /// Those of them to which nothing refers: what a damaged long value had that was deleted. Lost room, no damage.
    pub lost_slots: u64,
    /// Log segments from the first on that is needed.
    pub log_segments: u64,
    /// Groups in them.
    pub log_groups: u64,
    /// Commits in these.
    pub log_commits: u64,
    /// Bytes of the groups, as far as they take up whole blocks.
    pub log_bytes: u64,
}

/// Walks through the store of a directory and checks every rule of the format: superblocks, the meta tree, every image
/// and node and count, long values, slots against extents, and the log, which is applied in memory. The error names
/// the first rule that is broken, and where. Nothing is changed; [`StorageError::InUse`] while a server has the
/// directory open, [`StorageError::Foreign`] when there is no store, [`StorageError::OtherVersion`] when there is one
/// that only another version of the program can read.
pub fn verify_directory(disk: &dyn Disk) -> Result<VerifyReport, StorageError> {
    verify_and_look(disk, &mut |_, error| Err(error)).map(|(report, _)| report)
}

/// Is told in which tree something is wrong, and what; ends the walk with an error when that is enough.
pub type FoundBroken<'a> = &'a mut dyn FnMut(TreeId, StorageError) -> Result<(), StorageError>;

/// As [`verify_directory`], and gives a view of what is in the store. The directory is locked as long as that is there.
/// What is damaged in the trees is told to `broken`, and the walk goes on as long as that does.
pub fn verify_and_look(
    disk: &dyn Disk,
    broken: FoundBroken<'_>,
) -> Result<(VerifyReport, Arc<dyn Snapshot>), StorageError> {
    if !exists(disk)? {
        if has_segments(disk)? {
            return Err(StorageError::corrupt("slab.data", "there is a log, but no data file"));
        }
        let problem = "it has no file of the name slab.data".to_owned();
        return Err(StorageError::Foreign { place: "the directory".to_owned(), problem });
    }
    let lock = lock(disk)?;
    let mut loaded = Loaded::read(disk, VERIFY_CACHE_BYTES)?;
    let is_sound = Cell::new(true);
    let mut broken = |tree: TreeId, error| {
        is_sound.set(false);
        broken(tree, error)
    };
    let mut report = walk(&loaded.pages.slab, &loaded.checkpoints, &mut broken)?;
    let end = loaded.replay(disk)?;
    for event in &loaded.state.events.list {
        if let Event::Adopted(adoption) = event {
            let slab = &loaded.pages.slab;
            let mut audit = Audit::of_records(&adoption.extents);
            let tree = adoption.loaded();
            walk_tree(slab, adoption.tree.0, &tree, (&mut audit, &mut report), &mut broken)?;
            if is_sound.get() {
                audit.finish()?;
            }
        }
    }
    report.last_sequence = end.last.0;
    report.log_segments = end.read.segments;
    report.log_groups = end.read.groups;
    report.log_commits = end.read.commits;
    report.log_bytes = end.read.bytes;
    let Loaded { pages, state, .. } = loaded;
    let kept = Kept { pages, _lock: lock };
    Ok((report, Arc::new(SlabSnapshot::new(state.view, Arc::new(kept)))))
}

/// A store that nobody writes.
struct Kept {
    pages: Pages,
    _lock: Box<dyn DiskLock>,
}

impl Keeper for Kept {
    fn pages(&self) -> &Pages {
        &self.pages
    }
}

impl Shared {
    pub(super) fn verify(&self) -> Result<(), StorageError> {
        self.checkpoint()?;
        // Held, so that no other checkpoint begins and what this one refers to stays.
        let last = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let report = walk(&self.pages.slab, &last, &mut |_, error| Err(error))?;
        if report.lost_slots > 0 && !self.counters.has_leaks() {
            let problem = format!("{} slots are in use for nothing (rule 12)", report.lost_slots);
            return Err(StorageError::corrupt("slab.data", problem));
        }
        Ok(())
    }
}

/// Checks everything that a checkpoint refers to.
fn walk(
    slab: &Slab,
    checkpoint: &Checkpoints,
    broken: FoundBroken<'_>,
) -> Result<VerifyReport, StorageError> {
    let mut report = VerifyReport {
        checkpoint: checkpoint.number,
        checkpoint_sequence: checkpoint.sequence,
        last_sequence: checkpoint.sequence,
        ..VerifyReport::default()
    };
    let mut audit = slab.audit();
    walk_tree(slab, META, &checkpoint.meta, (&mut audit, &mut report), broken)?;
    for (name, record) in &checkpoint.trees {
        let tree = Tree::stored(*name, record.root, record.count);
        walk_tree(slab, *name, &tree, (&mut audit, &mut report), broken)?;
        report.trees += 1;
        report.entries += record.count;
    }
    let count = audit.count();
    report.lost_slots = count.lost;
    report.extents = count.extents;
    report.free_extents = count.free_extents;
    report.slots = count.slots;
    report.slot_bytes = count.bytes;
    Ok(report)
}

fn walk_tree(
    slab: &Slab,
    name: u64,
    tree: &Tree,
    (audit, report): (&mut Audit, &mut VerifyReport),
    broken: FoundBroken<'_>,
) -> Result<(), StorageError> {
    let mut found = |part: Part<'_>| match part {
        Part::Node(reference) => {
            report.nodes += 1;
            audit.note(name, reference)
        }
        Part::Long(long) => {
            report.long_values += 1;
            walk_long_value(slab, name, long, audit)
        }
    };
    tree.verify(&Uncached(slab), &mut found, &mut |error| broken(TreeId(name), error))
}

fn walk_long_value(
    slab: &Slab,
    tree: u64,
    long: &LongValue,
    audit: &mut Audit,
) -> Result<(), StorageError> {
    let mut bytes = 0;
    let parts = long.parts(slab)?;
    // The last one of several is the list of the others, which has just been read.
    let values = if long.length() > EXTENT { parts.len() - 1 } else { parts.len() };
    for (at, part) in parts.iter().enumerate() {
        audit.note(tree, *part)?;
        if at < values {
            bytes += slab.read(*part)?.len() as u64;
        }
    }
    if bytes == long.length() {
        return Ok(());
    }
    let problem = format!("a long value has {bytes} bytes, not {} (rule 4)", long.length());
    Err(StorageError::corrupt(format!("tree {tree}"), problem))
}

/// The data file without a cache: what is checked is what the disk says.
struct Uncached<'a>(&'a Slab);

impl Source for Uncached<'_> {
    fn node(
        &self,
        tree: u64,
        place: &Place,
        level: Option<u8>,
        _mode: ReadMode,
    ) -> Result<Held, StorageError> {
        let reference = place.reference();
        let image = self.0.read(reference)?;
        let node = decode(&image, tree, level).map_err(|problem| {
            let place = format!("slab.data at {}", reference.grain.saturating_mul(GRAIN));
            StorageError::corrupt(place, problem)
        })?;
        Ok(Held::from(Page::node(reference, node)))
    }

    fn long_value(
        &self,
        reference: Reference,
        length: u64,
        _mode: ReadMode,
    ) -> Result<Bytes, StorageError> {
        read_long_value(self.0, reference, length)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::storage::disk::{CrashMode, FaultyDisk};
    use crate::storage::store::{SlabEngine, SlabOptions};
    use crate::storage::{Durability, Engine, WriteBatch};
    use crate::testing::Random;

    fn engine(disk: &FaultyDisk) -> SlabEngine {
        let options = SlabOptions {
            flush_interval: None,
            log_segment_bytes: 64 * 1024,
            ..SlabOptions::new([7; 16], 256 << 20)
        };
        SlabEngine::open(Arc::new(disk.clone()), options).unwrap()
    }

    /// A store with everything there can be: several trees, long values of both kinds, free slots, and a log.
    fn fill(disk: &FaultyDisk) -> (SlabEngine, [TreeId; 2]) {
        let engine = engine(disk);
        let trees = [(); 2].map(|()| engine.new_tree_id().unwrap());
        let mut batch = WriteBatch::new(Durability::Hard);
        trees.iter().for_each(|tree| batch.create_tree(*tree));
        engine.apply(batch).unwrap();
        for round in 0..3_u64 {
            for key in 0..500_u64 {
                let mut batch = WriteBatch::new(Durability::Soft);
                let length = if key == 7 { 600_000 } else { 100 + key as usize * 10 };
                let name = (key * (round + 1)).to_be_bytes().to_vec();
                batch.put(trees[round as usize % 2], name, vec![round as u8; length]);
                engine.apply(batch).unwrap();
                if key % 100 == 99 {
                    engine.wait_durable(engine.last_sequence()).unwrap();
                }
            }
            if round < 2 {
                engine.checkpoint().unwrap();
            }
        }
        (engine, trees)
    }

    fn files(disk: &FaultyDisk) -> BTreeMap<String, Vec<u8>> {
        let names = disk.list().unwrap();
        names.into_iter().map(|name| (name.clone(), disk.bytes(&name))).collect()
    }

    #[test]
    fn a_sound_directory_is_counted_and_not_changed() {
        let disk = FaultyDisk::new(1);
        let (engine, _) = fill(&disk);
        let locked = verify_directory(&disk).unwrap_err();
        assert!(matches!(locked, StorageError::InUse { .. }), "{locked}");
        let last = engine.last_sequence().0;
        drop(engine);
        let crashed = disk.crash(CrashMode::LoseAll);
        let before = files(&crashed);
        let report = verify_directory(&crashed).unwrap();
        assert!(files(&crashed) == before, "something was written");
        assert_eq!((report.trees, report.last_sequence), (2, last));
        assert_eq!(report.checkpoint_sequence + 500, last);
        assert!(report.entries == 1_000 && report.long_values >= 170, "{report:?}");
        assert!(
            report.log_commits >= 500 && report.log_segments > 1 && report.log_groups >= 5,
            "{report:?}"
        );
        assert!(
            report.slots > report.nodes + report.long_values && report.free_extents < 50,
            "{report:?}"
        );
        assert_eq!(verify_directory(&crashed).unwrap(), report);
    }

    /// What was being written when the machine stopped is no damage, and stays where it is.
    #[test]
    fn a_segment_that_was_being_made_is_left_alone() {
        let disk = FaultyDisk::new(1);
        drop(fill(&disk));
        let crashed = disk.crash(CrashMode::LoseAll);
        let names = crashed.list().unwrap().into_iter();
        let last = names.filter(|name| name.starts_with("slab.log")).max().unwrap();
        let number = u64::from_str_radix(last.strip_prefix("slab.log.").unwrap(), 16).unwrap();
        let name = format!("slab.log.{:016x}", number + 1);
        crashed.create(&name).unwrap().write_at(0, &[7; 999]).unwrap();
        let before = files(&crashed);
        verify_directory(&crashed).unwrap();
        assert!(files(&crashed) == before);
        drop(engine(&crashed));
        assert_ne!(files(&crashed)[&name], before[&name], "a start makes it anew");
    }

    #[test]
    fn every_flipped_bit_of_what_is_in_use_is_found() {
        let mut random = Random::from_environment();
        let disk = FaultyDisk::new(1);
        drop(fill(&disk));
        let sound = disk.crash(CrashMode::LoseAll);
        let report = verify_directory(&sound).unwrap();
        let length = sound.bytes("slab.data").len() as u64;
        let (mut damaged, mut tries) = (0, 0);
        for _ in 0..400 {
            let image = sound.crash(CrashMode::LoseAll);
            image.flip_bit("slab.data", random.below(length) as usize, random.below(8) as u8);
            tries += 1;
            match verify_directory(&image) {
                Ok(same) => assert_eq!(same, report, "it counts something else"),
                Err(StorageError::Corrupt { place, problem }) => {
                    assert!(problem.contains("rule"), "{place}: {problem}");
                    damaged += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        // Slots are at most rounded up, and the file has free ones.
        let expected = tries * report.slot_bytes / length;
        assert!(damaged * 2 > expected, "{damaged} of {tries}, {expected} in slots");
    }

    #[test]
    fn what_is_no_store_is_told_apart() {
        let disk = FaultyDisk::new(1);
        let foreign =
            |disk: &FaultyDisk| matches!(verify_directory(disk), Err(StorageError::Foreign { .. }));
        assert!(foreign(&disk), "an empty directory");
        assert!(disk.list().unwrap().is_empty(), "something was made");
        for contents in [&b""[..], b"SQLite format 3", &[0; 300_000]] {
            disk.create("slab.data").unwrap().write_at(0, contents).unwrap();
            assert!(foreign(&disk), "another file");
        }
        disk.create("slab.data")
            .unwrap()
            .write_at(0, &[&b"PHOTSLAB"[..], &[1; 8_000]].concat())
            .unwrap();
        let damaged = verify_directory(&disk).unwrap_err();
        assert!(damaged.to_string().contains("rule 1"), "{damaged}");

        let disk = FaultyDisk::new(1);
        drop(fill(&disk));
        disk.remove("slab.data").unwrap();
        let lost = verify_directory(&disk).unwrap_err();
        assert!(matches!(lost, StorageError::Corrupt { .. }), "{lost}");
    }

    #[test]
    fn a_log_that_names_no_tree_is_refused() {
        use crate::storage::wal::{Log, LogOptions, encode, replay};
        use crate::storage::{CommitSequence, Operation};
        let disk = FaultyDisk::new(1);
        let (engine, [_, tree]) = fill(&disk);
        let last = engine.last_sequence().0;
        drop(engine);
        let identity = [7; 16];
        let end = replay(&disk, &identity, CommitSequence(last - 500), false, &mut |_, _| Ok(()));
        let health = Arc::default();
        let options = LogOptions { identity, segment_bytes: 1 << 20, flush_interval: None, health };
        let log = Log::begin(Arc::new(disk.clone()), &options, end.unwrap()).unwrap();
        let missing = TreeId(tree.0 + 5);
        let operations = [Operation::Delete { tree: missing, key: Bytes::from("key") }];
        log.append(encode(&operations), true).unwrap();
        log.close().unwrap();
        let refused = verify_directory(&disk).unwrap_err().to_string();
        let expected = format!("commit {}", last + 1);
        assert!(refused.contains("rule 13") && refused.contains(&expected), "{refused}");
    }
}
