//! The `slab` engine: trees in a data file, a redo log before it, checkpoints behind it.
//! Knows the storage trait and a disk; must not know documents or tables.
//!
//! A batch takes the writer locks of its trees in the order of their names, builds new versions of the trees beside
//! the current ones, and makes them the current ones under a lock held for as long as it takes to append the batch to
//! the log's queue and to exchange a few pointers. Readers clone the current pointers and are in nobody's way.
//!
//! What has changed stays in memory until the next checkpoint. [`Shared::checkpoint`] fixes the state of one commit,
//! waits until the log has it, writes what the data file does not have, and then lets the log go.
//!
//! 1. Order of locks: checkpoint, writers of trees by name, state, the log's queue.
//! 2. The order in which commits become visible is that of the log: both happen under the state's write lock.
//! 3. No lock that a reader needs is held while the disk works.
//! 4. A state is in the data file only when the log has everything up to it.
//! 5. Trees come and go under the state's write lock alone. Whoever has prepared something looks there whether its trees
//!    are those that it has seen.

mod apply;
mod cache;
mod checkpoint;
mod frames;
mod load;
#[cfg(test)]
mod load_tests;
mod numbers;
mod open;
mod pages;
mod pressure;
#[cfg(test)]
mod pressure_tests;
mod replay;
mod room;
mod snapshot;
#[cfg(test)]
mod tests;
mod verify;
mod watch;

pub use self::open::exists;
pub use self::verify::{FoundBroken, VerifyReport, verify_and_look, verify_directory};

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::checkpoint::Checkpoints;
use self::load::{Adoption, SlabLoad};
use self::numbers::Counters;
pub use self::numbers::StoreNumbers;
use self::pages::Pages;
use self::snapshot::SlabSnapshot;
use super::btree::{Replaced, Tree};
use super::disk::{DiskLock, GuardedDisk};
use super::health::Health;
use super::ledger::{Account, Charge};
use super::memory::tree::CountedTree;
use super::scratch::SCRATCH;
use super::slab::Epoch;
use super::wal::Log;
use super::{
    BulkLoad, Commit, CommitSequence, Damage, DiskRoom, DurableCallback, Engine, Readers, Scratch,
    Snapshot, StorageError, TreeId, WriteBatch,
};
use crate::limits::{
    CHECKPOINT_PART_BYTES, CHECKPOINT_SECONDS, DISK_RESERVE_BYTES, LOG_SEGMENT_BYTES,
};

/// How a store works.
#[derive(Debug, Clone)]
pub struct SlabOptions {
    /// Random bytes for a store that is made anew.
    pub identity: [u8; 16],
    /// What pages and changes that wait for a checkpoint may take in memory, in bytes.
    pub cache_bytes: usize,
    /// How long a soft commit may wait for a sync. `None`: there are no threads; syncs and checkpoints are done by
    /// whoever needs them, which makes a run repeatable.
    pub flush_interval: Option<Duration>,
    /// Bytes of a log segment.
    pub log_segment_bytes: u64,
    /// Bytes of commits after which a checkpoint begins: what a start has to read again.
    pub checkpoint_log_bytes: usize,
    /// Bytes that a checkpoint writes of a tree before it lets go of them in memory, where they are twice until then.
    pub checkpoint_part_bytes: usize,
    /// How long a commit may be in the log alone before a checkpoint begins.
    pub checkpoint_interval: Duration,
    /// Room on the disk that is kept for when it is full.
    pub reserve_bytes: u64,
}

impl SlabOptions {
    /// What suits a server.
    pub fn new(identity: [u8; 16], cache_bytes: usize) -> Self {
        Self {
            identity,
            cache_bytes,
            flush_interval: Some(Duration::from_secs(1)),
            log_segment_bytes: LOG_SEGMENT_BYTES,
            checkpoint_log_bytes: 2 * LOG_SEGMENT_BYTES as usize,
            checkpoint_part_bytes: CHECKPOINT_PART_BYTES,
            checkpoint_interval: Duration::from_secs(CHECKPOINT_SECONDS),
            reserve_bytes: DISK_RESERVE_BYTES,
        }
    }
}

/// The engine. Dropping it is like a crash; [`Engine::close`] comes before that.
pub struct SlabEngine {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    recovered: u64,
}

struct Shared {
    options: SlabOptions,
    /// What pages and changes may take just now: the option's at first.
    cache_bytes: AtomicUsize,
    health: Arc<Health>,
    disk: GuardedDisk,
    pages: Pages,
    log: Log,
    state: RwLock<State>,
    next_tree: AtomicU64,
    /// Files for sorting that were made so far.
    scratches: AtomicU64,
    checkpoints: Mutex<Checkpoints>,
    counters: Counters,
    /// Who reads a snapshot that can be let go of.
    readers: Arc<Readers>,
    /// A checkpoint is wanted, or the thread is to end.
    wanted: Mutex<Wanted>,
    /// How many wait for room. Changed under `wanted`.
    waiting: AtomicUsize,
    /// The least that was to be written since the disk became full, as far as somebody asked.
    unsaved_least: AtomicUsize,
    wake: Condvar,
    /// A checkpoint has ended.
    done: Condvar,
    stops: AtomicBool,
    _lock: Box<dyn DiskLock>,
}

#[derive(Default)]
struct Wanted {
    checkpoint: bool,
    /// When to look again for what can be made free.
    tidy_at: Option<Instant>,
    /// Those who wait for room, in the order they came, and the number of the next.
    waiting: BTreeSet<u64>,
    next_waiting: u64,
}

/// The current view, and what has become of the trees since the last checkpoint began.
struct State {
    view: View,
    events: Events,
    /// The accounts of earlier epochs: those of which the checkpoint that is being written takes care, and those of which
    /// the next one does because one was given up.
    frozen: Vec<Arc<Account>>,
    given_up: Vec<Arc<Account>>,
    /// Bytes of commits since the last checkpoint began.
    logged: usize,
    /// When the first commit came since then.
    since: Option<Instant>,
    closed: bool,
}

/// What has become of slots that the next checkpoint has to know, in the order of commits.
enum Event {
    /// Something is not needed any more.
    Replaced(Replaced),
    /// A tree is not needed any more, nor anything that it had.
    Dropped(u64),
    /// A tree has got what a load has put into the data file.
    Adopted(Box<Adoption>),
}

/// Events, which count until they have been told.
struct Events {
    list: Vec<Event>,
    charge: Charge,
}

/// What a snapshot sees.
#[derive(Clone)]
struct View {
    sequence: CommitSequence,
    trees: CountedTree<OpenTree>,
    /// Of what is changed from now on. Its epoch grows when a checkpoint begins.
    account: Arc<Account>,
    /// Keeps the slots that this view refers to.
    holder: Arc<Epoch>,
}

#[derive(Clone)]
struct OpenTree {
    tree: Tree,
    writer: Arc<Mutex<()>>,
}

impl Events {
    fn new(account: &Arc<Account>) -> Self {
        Self { list: Vec::new(), charge: Charge::new(account, 0) }
    }

    fn extend(&mut self, events: impl IntoIterator<Item = Event>) {
        self.list.extend(events);
        self.charge.set(self.list.capacity() * size_of::<Event>());
    }

    fn take(&mut self) -> Vec<Event> {
        self.charge.set(0);
        std::mem::take(&mut self.list)
    }
}

impl State {
    /// Bytes of memory that changes take, since the last checkpoint began.
    fn dirty(&self) -> usize {
        self.view.account.bytes() + bytes_of(&self.given_up)
    }

    /// Those of which a checkpoint that is being written takes care.
    fn frozen(&self) -> usize {
        bytes_of(&self.frozen)
    }

    /// Those that nobody but snapshots keeps.
    fn retained(&self) -> usize {
        self.view.account.bytes_of_all().saturating_sub(self.dirty() + self.frozen())
    }
}

fn bytes_of(accounts: &[Arc<Account>]) -> usize {
    accounts.iter().map(|account| account.bytes()).sum()
}

impl View {
    fn tree(&self, tree: TreeId) -> Result<&Tree, StorageError> {
        Ok(&self.open_tree(tree)?.tree)
    }

    fn open_tree(&self, tree: TreeId) -> Result<&OpenTree, StorageError> {
        self.trees.get(&tree.0.to_be_bytes()).ok_or(StorageError::NoSuchTree(tree))
    }
}

impl Shared {
    // A panic while one of the locks is held leaves nothing half done: new versions are built aside and exchanged last.

    fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_threads(&self) -> bool {
        self.options.flush_interval.is_some()
    }
}

impl SlabEngine {
    /// Writes a checkpoint now.
    pub fn checkpoint(&self) -> Result<(), StorageError> {
        self.shared.checkpoint()
    }

    /// Writes a checkpoint, walks through all of it, and checks that it keeps the rules of the format: every image,
    /// every node, every count, and that exactly those slots are in use that are referred to.
    pub fn verify(&self) -> Result<(), StorageError> {
        self.shared.verify()
    }

    /// Commits that were read from the log when the store was opened: those since its last checkpoint.
    pub fn recovered_commits(&self) -> u64 {
        self.recovered
    }

    fn stop(&self) {
        self.shared.stops.store(true, Ordering::Release);
        {
            let _wanted = self.shared.wanted();
            self.shared.wake.notify_all();
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic in it has been reported by then.
            drop(thread.join());
        }
    }
}

impl Engine for SlabEngine {
    fn name(&self) -> &'static str {
        "slab"
    }

    fn memory_bytes(&self) -> Option<u64> {
        Some(self.shared.cache_bytes() as u64)
    }

    fn set_memory_bytes(&self, bytes: u64) -> bool {
        self.shared.set_cache_bytes(usize::try_from(bytes).unwrap_or(usize::MAX));
        true
    }

    fn set_long_read_bytes(&self, bytes: u64) {
        self.shared.pages.long_reads.set_most(bytes);
    }

    fn tree_bytes(&self, tree: TreeId) -> Option<u64> {
        Some(self.shared.pages.slab.tree_bytes(tree.0))
    }

    fn cached_bytes(&self) -> u64 {
        let changes = self.shared.read_state().view.account.bytes_of_all();
        let pages = &self.shared.pages;
        (pages.cached_bytes() + changes + pages.map_bytes()) as u64
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StorageError> {
        let view = self.shared.read_state().view.clone();
        Ok(Arc::new(SlabSnapshot::new(view, Arc::clone(&self.shared))))
    }

    fn readers(&self) -> Option<&Arc<Readers>> {
        Some(&self.shared.readers)
    }

    fn apply(&self, batch: WriteBatch) -> Result<Commit, StorageError> {
        self.shared.apply(batch)
    }

    fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    fn bulk_load(&self, tree: TreeId) -> Result<Box<dyn BulkLoad + '_>, StorageError> {
        Ok(Box::new(SlabLoad::begin(&self.shared, tree)?))
    }

    fn scratch(&self) -> Result<Scratch, StorageError> {
        let name = format!("{SCRATCH}{}", self.shared.scratches.fetch_add(1, Ordering::Relaxed));
        Scratch::on(&self.shared.disk, &name)
    }

    fn new_tree_id(&self) -> Result<TreeId, StorageError> {
        Ok(TreeId(self.shared.next_tree.fetch_add(1, Ordering::Relaxed)))
    }

    fn last_sequence(&self) -> CommitSequence {
        self.shared.read_state().view.sequence
    }

    fn durable_sequence(&self) -> CommitSequence {
        self.shared.log.durable()
    }

    fn when_durable(&self, sequence: CommitSequence, callback: DurableCallback) {
        self.shared.log.when_durable(sequence, callback);
    }

    fn check_writable(&self) -> Result<(), StorageError> {
        self.shared.health.check_writable()
    }

    fn disk_room(&self) -> Option<DiskRoom> {
        Some(self.shared.disk_room())
    }

    fn damage(&self) -> Vec<Damage> {
        self.shared.damage()
    }

    fn note_damage(&self, damage: Damage) {
        self.shared.pages.damages.note_meaning(damage);
    }

    fn forget_damage(&self, damage: &Damage) {
        self.shared.pages.damages.forget(damage);
    }

    fn is_sole_writer(&self) -> bool {
        true
    }

    fn close(&self) -> Result<(), StorageError> {
        {
            let mut state = self.shared.write_state();
            if state.closed {
                // What went wrong the first time is still wrong.
                return match self.shared.log.check() {
                    Err(StorageError::Closed) => Ok(()),
                    outcome => outcome,
                };
            }
            state.closed = true;
        }
        self.stop();
        let written = self.shared.checkpoint();
        let flushed = self.shared.log.close();
        written.and(flushed)
    }
}

impl Drop for SlabEngine {
    fn drop(&mut self) {
        self.stop();
    }
}
