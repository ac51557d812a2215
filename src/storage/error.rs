//! What can go wrong in a storage engine. Carries facts, not advice: callers branch on the kind.

use std::io;
use std::sync::Arc;

use super::TreeId;
use super::disk::is_full;

/// An error of a storage engine. Cheap to clone, since one failed sync is told to everyone who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// The operating system, or the connection to a remote engine, refused. The engine may be poisoned from here on.
    #[error("{place}: {source}")]
    Io {
        /// What was being done, and to which file.
        place: String,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// Stored bytes do not say what they must: a checksum, a bound or an order is wrong.
    #[error("damaged data at {place}: {problem}")]
    Corrupt {
        /// File, page and offset, or tree and key, as far as known.
        place: String,
        /// The rule that was broken.
        problem: String,
    },
    /// The files are sound as far as one can see, and of a version of the format that this program does not know.
    #[error(
        "{place} has version {found} of the storage format; this program knows version {known}"
    )]
    OtherVersion {
        /// The file.
        place: String,
        /// The version it has.
        found: u32,
        /// The version that is known here.
        known: u32,
    },
    /// What is there was not written by a storage engine of this program.
    #[error("{place} is not part of a PhotonDB store: {problem}")]
    Foreign {
        /// The file, or the directory.
        place: String,
        /// What gives it away.
        problem: String,
    },
    /// Another process has the directory open.
    #[error("the store is in use by another process, which has locked {place}")]
    InUse {
        /// The file that is locked.
        place: String,
    },
    /// An earlier write or sync failed, and the engine takes no more writes.
    #[error("the storage engine stopped writing after an error: {cause}")]
    Poisoned {
        /// The first error.
        cause: String,
    },
    /// There is no room on the disk. A batch that is refused so was not applied, and can be tried again later; a wait for
    /// durability that ends so tells that its commit is applied, and becomes durable once there is room.
    #[error("{place}: no room is left on the disk")]
    DiskFull {
        /// What was being written.
        place: String,
    },
    /// A job that can wait for room would take what is kept for commits. Nothing was done.
    #[error(
        "{place} needs {wanted} bytes more, and {available} bytes of the disk are free, of which {kept} are kept for \
         commits and checkpoints"
    )]
    KeptRoom {
        /// What was to be written.
        place: String,
        /// Bytes that were to be written.
        wanted: u64,
        /// Bytes that are free.
        available: u64,
        /// Bytes that must stay free.
        kept: u64,
    },
    /// A condition of the batch did not hold; nothing was applied. Read again and retry.
    #[error("a key that the batch depends on was changed by another commit")]
    Conflict,
    /// The answer is not in memory and the caller would not wait. Nothing was done; ask again with
    /// [`super::ReadMode::MayBlock`].
    #[error("the data is not in memory")]
    NotResident,
    /// Others hold so much of long values that there is no room for one more. Nothing was done.
    #[error("the long values that are read take more than {most} bytes of memory")]
    NoMemory {
        /// Bytes that all may take.
        most: u64,
    },
    /// The tree does not exist at this commit point.
    #[error("{0} does not exist")]
    NoSuchTree(TreeId),
    /// A tree of that name exists already.
    #[error("{0} exists already")]
    TreeExists(TreeId),
    /// A bulk load was given a key that is not greater than the one before it.
    #[error("the keys of a bulk load must ascend, and one is not greater than the key before it")]
    NotAscending,
    /// A key is longer than `limits::STORAGE_KEY_BYTES`.
    #[error("a key of {length} bytes is too long (at most {limit})")]
    KeyTooLong {
        /// Bytes of the key.
        length: usize,
        /// Most bytes allowed.
        limit: usize,
    },
    /// A value is longer than `limits::STORAGE_VALUE_BYTES`.
    #[error("a value of {length} bytes is too long (at most {limit})")]
    ValueTooLong {
        /// Bytes of the value.
        length: usize,
        /// Most bytes allowed.
        limit: usize,
    },
    /// A batch is larger than `limits::STORAGE_BATCH_BYTES`.
    #[error("a write batch of {length} bytes is too large (at most {limit})")]
    BatchTooLarge {
        /// Bytes of the batch.
        length: usize,
        /// Most bytes allowed.
        limit: usize,
    },
    /// The engine was closed.
    #[error("the storage engine is closed")]
    Closed,
}

impl StorageError {
    /// An I/O error with the place it happened at; [`StorageError::DiskFull`] when it is want of room.
    pub fn io(place: impl Into<String>, source: io::Error) -> Self {
        if is_full(&source) {
            return Self::DiskFull { place: place.into() };
        }
        Self::Io { place: place.into(), source: Arc::new(source) }
    }

    /// Damaged data with its place.
    pub fn corrupt(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Corrupt { place: place.into(), problem: problem.into() }
    }
}
