//! The engine trait and its small types. What each call promises stands here once, for every engine.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    Damage, Direction, EntryBatch, FillLimit, KeyRange, Readers, Scratch, StorageError, WriteBatch,
};
use crate::limits::{DISK_ENOUGH_PART, DISK_NEARLY_FULL_BYTES};

/// The name of a tree. Given out by [`Engine::new_tree_id`] and never given out again; the few below
/// [`TreeId::FIRST_FREE`] belong to trees whose name must be known before anything is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(pub u64);

impl TreeId {
    /// The least name that [`Engine::new_tree_id`] gives out.
    pub const FIRST_FREE: Self = Self(64);
}

impl fmt::Display for TreeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "tree {}", self.0)
    }
}

/// The number of a commit: 0 is the empty engine, and every commit has a greater one than all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitSequence(pub u64);

/// What a commit asks of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// A sync is started for it without delay; its writer is answered when the sync is done.
    #[default]
    Hard,
    /// It is synced by the next sync that comes along, within the flush interval; its writer does not wait.
    Soft,
}

/// Whether a read may wait for the disk or for another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// Never waits: [`StorageError::NotResident`] when the answer is not in memory. Memory of the operating system counts as
    /// far as [`allow_reads_at_once`](super::allow_reads_at_once) says.
    CachedOnly,
    /// Waits as long as it takes.
    MayBlock,
}

/// An applied batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Its number.
    pub sequence: CommitSequence,
    /// What was asked for. A hard one is acknowledged to its writer only once it is durable.
    pub durability: Durability,
}

/// The disk that data is kept on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskRoom {
    /// The directory of the data.
    pub place: String,
    /// Bytes that can be written before the disk is full, where the system says so.
    pub available: Option<u64>,
}

impl DiskRoom {
    /// Whether there is so little room that somebody should make more before there is none.
    pub fn is_nearly_full(&self) -> bool {
        self.available.is_some_and(|available| available < DISK_NEARLY_FULL_BYTES)
    }

    /// Whether there is clearly more than that.
    pub fn has_enough(&self) -> bool {
        let enough = DISK_NEARLY_FULL_BYTES + DISK_NEARLY_FULL_BYTES / DISK_ENOUGH_PART;
        self.available.is_none_or(|available| available >= enough)
    }
}

/// Called once, with the outcome of a wait for durability. Runs on a thread of the engine, or on the caller's when the
/// answer is known at once: it must be brief and must not call the engine.
pub type DurableCallback = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// A storage engine. One value serves all threads.
pub trait Engine: Send + Sync {
    /// The engine's name, for logs and status: `memory`, `slab`.
    fn name(&self) -> &'static str;

    /// A view of every tree at the last commit point. Blocks no writer however long it is kept; it keeps alive what
    /// it can see, so drop it soon.
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StorageError>;

    /// Where renewable snapshots are listed, if the engine lets go of them when they keep too much.
    fn readers(&self) -> Option<&Arc<Readers>> {
        None
    }

    /// Applies a batch: when this returns, every later snapshot sees all of it. Does not wait for the disk to have it.
    /// On any error nothing was applied. Errors: lengths, `NoSuchTree`, `TreeExists`, `Conflict`, `Poisoned`, `Closed`.
    fn apply(&self, batch: WriteBatch) -> Result<Commit, StorageError>;

    /// Whether [`Engine::apply`] would not have to wait for the disk first, because too much waits for it already. A
    /// caller that must not wait asks before, and writes elsewhere when the answer is no.
    fn has_room(&self) -> bool {
        true
    }

    /// Begins to fill a tree with sorted entries, which is much quicker than putting them one by one. The tree must
    /// exist and be without entries when the load is finished; until then nobody sees anything of it.
    fn bulk_load(&self, tree: TreeId) -> Result<Box<dyn BulkLoad + '_>, StorageError>;

    /// Room outside memory for a job that sorts more than it may hold there.
    fn scratch(&self) -> Result<Scratch, StorageError> {
        Scratch::in_memory()
    }

    /// A name for a new tree, never given out before. The tree comes to be by [`WriteBatch::create_tree`].
    fn new_tree_id(&self) -> Result<TreeId, StorageError>;

    /// The greatest commit number that a snapshot taken now would see. Every batch applied after this call has a
    /// greater one.
    fn last_sequence(&self) -> CommitSequence;

    /// The commit number up to which everything is durable.
    fn durable_sequence(&self) -> CommitSequence;

    /// Calls back when every commit up to `sequence` is durable, or when that has become impossible. Starts a sync if
    /// none is under way, so waiting for a soft commit makes it a hard one.
    fn when_durable(&self, sequence: CommitSequence, callback: DurableCallback);

    /// As [`Engine::when_durable`], but blocks until the outcome is known.
    fn wait_durable(&self, sequence: CommitSequence) -> Result<(), StorageError> {
        if self.is_durable(sequence) {
            return Ok(());
        }
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        self.when_durable(sequence, Box::new(move |outcome| drop(send.send(outcome))));
        receive.recv().unwrap_or(Err(StorageError::Closed))
    }

    /// Whether every commit up to `sequence` is durable.
    fn is_durable(&self, sequence: CommitSequence) -> bool {
        self.durable_sequence() >= sequence
    }

    /// Bytes of memory that pages and changes on their way to the disk may take. `None`: all data is in memory.
    fn memory_bytes(&self) -> Option<u64> {
        None
    }

    /// Changes [`Engine::memory_bytes`] while the engine is used: what is held above a smaller number is let go. False
    /// when the engine has no such bound.
    fn set_memory_bytes(&self, _bytes: u64) -> bool {
        false
    }

    /// Bounds what is held of long values that were read, beside [`Engine::memory_bytes`]: readers wait for room as
    /// [`super::wait_for_long_values`] says. An engine that keeps everything in memory reads none.
    fn set_long_read_bytes(&self, _bytes: u64) {}

    /// Bytes of the disk that a tree takes as of the last checkpoint, if the engine has a disk and keeps account of it.
    fn tree_bytes(&self, _tree: TreeId) -> Option<u64> {
        None
    }

    /// Bytes of memory that the engine keeps of its own accord and gives back when it needs others, as far as it has a
    /// bound on them.
    fn cached_bytes(&self) -> u64 {
        0
    }

    /// Whether a write would be taken: the error says why not. [`StorageError::Poisoned`] stays until the next start,
    /// [`StorageError::DiskFull`] until there is room.
    fn check_writable(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Where the data is and how much room there is for it, of an engine that has a disk. May ask the system, but waits
    /// for no device.
    fn disk_room(&self) -> Option<DiskRoom> {
        None
    }

    /// The damage that was met so far in what is still there. May read, to find out which entries are lost.
    fn damage(&self) -> Vec<Damage> {
        Vec::new()
    }

    /// Notes damage in what the engine keeps, which only those know who know what it means.
    fn note_damage(&self, _damage: Damage) {}

    /// Forgets damage that is not there any more.
    fn forget_damage(&self, _damage: &Damage) {}

    /// Whether every writer of this data goes through this value, so that locks held above it keep two writers apart.
    /// Where this is false, a read-modify-write needs the conditions of [`WriteBatch`].
    fn is_sole_writer(&self) -> bool;

    /// Makes everything durable and refuses further writes with `Closed`. Snapshots stay readable.
    fn close(&self) -> Result<(), StorageError>;
}

/// A tree that is being filled. Dropping it before it is finished leaves nothing behind, and so does an error.
pub trait BulkLoad: Send {
    /// Adds an entry behind the others. Errors: lengths, `NotAscending` when the key is not greater than the one
    /// before it, and what the disk says. After an error the load can only be dropped.
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError>;

    /// Makes all entries visible at once. They are on the disk by then; the commit that says so becomes durable as
    /// that of a batch does. Errors: `NoSuchTree`, `Conflict` when the tree has entries, `Poisoned`, `Closed`.
    fn finish(self: Box<Self>, durability: Durability) -> Result<Commit, StorageError>;
}

/// One commit point of all trees. Every call on a tree that does not exist there is `NoSuchTree`.
pub trait Snapshot: Send + Sync {
    /// The last commit it sees.
    fn sequence(&self) -> CommitSequence;

    /// How often it was let go of and taken anew: see [`super::RenewableSnapshot`]. What was read before the last time
    /// need not agree with what is read after it.
    fn renewals(&self) -> u64 {
        0
    }

    /// Whether the tree exists.
    fn has_tree(&self, tree: TreeId, mode: ReadMode) -> Result<bool, StorageError>;

    /// The names of all trees, ascending.
    fn trees(&self, mode: ReadMode) -> Result<Vec<TreeId>, StorageError>;

    /// The value of a key.
    fn get(&self, tree: TreeId, key: &[u8], mode: ReadMode) -> Result<Option<Bytes>, StorageError>;

    /// Shows the value of a key where it lies, which saves a copy, and says whether there is one. While it is shown it
    /// is kept in memory.
    fn read(
        &self,
        tree: TreeId,
        key: &[u8],
        mode: ReadMode,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, StorageError> {
        let value = self.get(tree, key, mode)?;
        Ok(value.map(|value| see(&value)).is_some())
    }

    /// A cursor before the first entry of the range in that direction. It owns what it reads and outlives this value;
    /// it holds no lock between its calls.
    fn cursor(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Cursor>, StorageError>;

    /// The number of entries in the range, in O(log n): subtrees know how many entries they hold.
    fn count(&self, tree: TreeId, range: &KeyRange, mode: ReadMode) -> Result<u64, StorageError>;

    /// The entry that has `rank` entries of the range before it in that direction, in O(log n).
    fn nth(
        &self,
        tree: TreeId,
        range: &KeyRange,
        direction: Direction,
        rank: u64,
        mode: ReadMode,
    ) -> Result<Option<(Bytes, Bytes)>, StorageError> {
        let mut cursor = self.cursor(tree, range, direction)?;
        cursor.skip(rank, mode)?;
        let mut batch = EntryBatch::new();
        cursor.fill(&mut batch, FillLimit { entries: 1, bytes: usize::MAX }, mode)?;
        Ok(batch.get(0).map(|(key, value)| (Bytes::copy_from_slice(key), value.clone())))
    }
}

/// A place in a scan.
pub trait Cursor: Send {
    /// Adds entries to the batch until the limit or the end of the range is reached, and says whether there may be
    /// more. An empty batch with `true` does not occur. With `NotResident` the batch is as it was and the cursor
    /// stands where it stood; entries that could be read before a missing one are returned instead, with `true`.
    fn fill(
        &mut self,
        batch: &mut EntryBatch,
        limit: FillLimit,
        mode: ReadMode,
    ) -> Result<bool, StorageError>;

    /// Passes over up to `entries` entries in O(log n), and returns how many there were to pass.
    fn skip(&mut self, entries: u64, mode: ReadMode) -> Result<u64, StorageError>;

    /// Whether its snapshot was let go of since it was read: entries of the last batch that were not given yet are to be
    /// dropped, and the cursor [rewound](Cursor::rewind).
    fn is_stale(&self) -> bool {
        false
    }

    /// Goes on behind an entry that it gave, or without one where it stood before the last batch.
    fn rewind(&mut self, _given: Option<&[u8]>) {}
}
