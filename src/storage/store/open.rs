//! Opening a store: making it when there is none, reading the last checkpoint, and applying the log behind it.
//! `docs/storage-format.md` has the steps and the rules. Must not know how a checkpoint is written.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::thread::JoinHandle;

use super::checkpoint::{Checkpoints, MetaEntry};
use super::numbers::Counters;
use super::pages::Pages;
use super::replay::Replay;
use super::room::page_bytes;
use super::{Events, OpenTree, Shared, SlabEngine, SlabOptions, State, View};
use crate::limits::LOG_START_SEGMENTS;
use crate::storage::batch::key_of;
use crate::storage::btree::{Part, Tree};
use crate::storage::crossed::crossed;
use crate::storage::disk::{Disk, DiskLock, GuardedDisk};
use crate::storage::health::Health;
use crate::storage::ledger::Account;
use crate::storage::memory::tree::CountedTree;
use crate::storage::scratch::SCRATCH;
use crate::storage::slab::{Epoch, META, Slab, Superblock, create, exists as has_slab};
use crate::storage::wal::{Log, LogEnd, LogOptions, has_segments, replay};
use crate::storage::{CommitSequence, ReadMode, StorageError, TreeId};

const LOCK: &str = "slab.lock";

/// A store as its newest checkpoint left it, and what the log has made of that since.
pub(super) struct Loaded {
    pub(super) pages: Pages,
    pub(super) superblock: Superblock,
    pub(super) checkpoints: Checkpoints,
    pub(super) state: State,
    pub(super) next_tree: u64,
}

impl SlabEngine {
    /// Opens the store of a directory, or makes one. [`StorageError::InUse`] while somebody else has it open.
    pub fn open(disk: Arc<dyn Disk>, options: SlabOptions) -> Result<Self, StorageError> {
        let health = Arc::new(Health::default());
        let guarded = GuardedDisk::new(disk, Arc::clone(&health), options.reserve_bytes);
        let disk: Arc<dyn Disk> = Arc::new(guarded.clone());
        let lock = lock(&*disk)?;
        if !has_slab(&*disk)? {
            if has_segments(&*disk)? {
                let problem = "there is a log, but no data file";
                return Err(StorageError::corrupt("slab.data", problem));
            }
            create(&*disk, &first_superblock(&options))?;
        }
        let mut loaded = Loaded::read(&*disk, page_bytes(options.cache_bytes, 0, 0))?;
        let end = loaded.replay(&*disk)?;
        let Loaded { pages, superblock, checkpoints, mut state, next_tree } = loaded;
        let recovered = end.last.0 - superblock.sequence;
        if recovered > 0 {
            // The next checkpoint does not wait for a commit.
            state.note_logged(usize::try_from(end.read.bytes).unwrap_or(usize::MAX));
        }
        let has_many_segments = end.read.segments >= LOG_START_SEGMENTS;
        // Both files have been read; only now it is known that nothing is damaged.
        pages.slab.make_safe(&*disk, &superblock)?;
        let log_options = LogOptions {
            identity: superblock.identity,
            segment_bytes: options.log_segment_bytes,
            flush_interval: options.flush_interval,
            health: Arc::clone(&health),
        };
        let log = Log::begin(disk, &log_options, end)?;
        remove_scratches(&guarded)?;
        guarded.take_reserve();
        let shared = Arc::new(Shared {
            cache_bytes: AtomicUsize::new(options.cache_bytes),
            options,
            health,
            disk: guarded,
            pages,
            log,
            state: RwLock::new(state),
            next_tree: AtomicU64::new(next_tree),
            scratches: AtomicU64::new(0),
            checkpoints: Mutex::new(checkpoints),
            counters: Counters::default(),
            readers: Arc::default(),
            wanted: Mutex::default(),
            waiting: AtomicUsize::new(0),
            unsaved_least: AtomicUsize::new(usize::MAX),
            wake: Condvar::new(),
            done: Condvar::new(),
            stops: AtomicBool::new(false),
            _lock: lock,
        });
        if has_many_segments {
            crossed("LOG_START_SEGMENTS");
            // Without room for it the store is as it was, and can be read.
            shared.unless_full(shared.checkpoint())?;
        }
        let thread = if shared.has_threads() { Some(start_thread(&shared)?) } else { None };
        shared.tidy_later();
        Ok(Self { shared, thread: Mutex::new(thread), recovered })
    }
}

/// Whether there is a store on the disk.
pub fn exists(disk: &dyn Disk) -> Result<bool, StorageError> {
    has_slab(disk)
}

/// Removes files for sorting that a process had no time to remove itself.
fn remove_scratches(disk: &GuardedDisk) -> Result<(), StorageError> {
    let names = disk.list().map_err(|error| StorageError::io("the directory", error))?;
    for name in names.iter().filter(|name| name.starts_with(SCRATCH)) {
        if let Err(error) = disk.remove(name) {
            tracing::warn!("{name} is not needed and cannot be removed: {error}");
        }
    }
    Ok(())
}

/// Keeps other processes away.
pub(super) fn lock(disk: &dyn Disk) -> Result<Box<dyn DiskLock>, StorageError> {
    let lock = disk.lock(LOCK).map_err(|error| StorageError::io(LOCK, error))?;
    lock.ok_or_else(|| StorageError::InUse { place: LOCK.to_owned() })
}

impl Loaded {
    /// Reads the newest checkpoint. Nothing is written, here and in [`Loaded::replay`].
    pub(super) fn read(disk: &dyn Disk, cache_bytes: usize) -> Result<Self, StorageError> {
        let (slab, superblock) = Slab::open(disk)?;
        let pages = Pages::new(slab, cache_bytes);
        let checkpoints = read_meta(&pages, &superblock)?;
        let state = first_state(&superblock, &checkpoints);
        let next_tree = superblock.next_tree;
        Ok(Self { pages, superblock, checkpoints, state, next_tree })
    }

    /// Applies what the log has beyond the checkpoint, in memory.
    pub(super) fn replay(&mut self, disk: &dyn Disk) -> Result<LogEnd, StorageError> {
        let Self { pages, superblock, state, next_tree, .. } = self;
        let is_first = superblock.checkpoint == 1;
        let contained = state.view.sequence;
        let mut replaying = Replay::new(pages, state, next_tree);
        let mut take = |at, logged| replaying.commit(at, logged);
        let end = replay(disk, &superblock.identity, contained, is_first, &mut take)?;
        replaying.finish()?;
        Ok(end)
    }
}

fn start_thread(shared: &Arc<Shared>) -> Result<JoinHandle<()>, StorageError> {
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("checkpoint".to_owned());
    let started = thread.spawn(move || shared.run_or_end());
    started.map_err(|error| StorageError::io("starting the checkpoint thread", error))
}

fn first_superblock(options: &SlabOptions) -> Superblock {
    Superblock {
        identity: options.identity,
        checkpoint: 1,
        sequence: 0,
        next_tree: TreeId::FIRST_FREE.0,
        extents: 1,
        meta_root: None,
        meta_entries: 0,
        least_length: 0,
    }
}

fn first_state(superblock: &Superblock, checkpoints: &Checkpoints) -> State {
    let mut trees = CountedTree::new();
    for (name, record) in &checkpoints.trees {
        let tree = Tree::stored(*name, record.root, record.count);
        trees.insert(key_of(TreeId(*name)), OpenTree { tree, writer: Arc::default() });
    }
    let sequence = CommitSequence(superblock.sequence);
    let account = Account::first(1);
    State {
        events: Events::new(&account),
        view: View { sequence, trees, account, holder: Arc::new(Epoch) },
        frozen: Vec::new(),
        given_up: Vec::new(),
        logged: 0,
        since: None,
        closed: false,
    }
}

/// Walks the meta tree: which trees there are, and which slots are in use.
fn read_meta(pages: &Pages, superblock: &Superblock) -> Result<Checkpoints, StorageError> {
    let meta = Tree::stored(META, superblock.meta_root, superblock.meta_entries);
    let mut found = |part: Part<'_>| match part {
        Part::Node(reference) => pages.slab.restore_meta(reference),
        Part::Long(_) => Err(wrong_entry()),
    };
    meta.verify(pages, &mut found, &mut Err)?;
    let mut trees = BTreeMap::new();
    let mut outcome = Ok(());
    meta.visit_up(pages, 0, ReadMode::MayBlock, &mut |key, value| {
        outcome = match MetaEntry::decode(key, &value) {
            Some(MetaEntry::Tree(name, record)) if name != META => {
                trees.insert(name, record);
                Ok(())
            }
            Some(MetaEntry::Extent(extent, _)) if extent >= superblock.extents => {
                Err(behind_the_end(extent, superblock.extents))
            }
            Some(MetaEntry::Extent(extent, record)) => pages.slab.restore(extent, &record),
            Some(MetaEntry::Tree(..)) | None => Err(wrong_entry()),
        };
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    outcome?;
    pages.slab.finish_restoring();
    Ok(Checkpoints {
        identity: superblock.identity,
        number: superblock.checkpoint,
        sequence: superblock.sequence,
        next_tree: superblock.next_tree,
        meta,
        trees,
    })
}

/// An extent that the file did not have: the map of extents would be as long as its number says.
fn behind_the_end(extent: u64, end: u64) -> StorageError {
    let problem =
        format!("extent {extent} lies behind the end of the file, which has {end} (rule 15)");
    StorageError::corrupt("the meta tree", problem)
}

fn wrong_entry() -> StorageError {
    StorageError::corrupt("the meta tree", "an entry that it cannot have")
}
