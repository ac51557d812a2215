//! The disk as the engine sees it: one directory of files that are read and written at offsets.
//! Knows files and bytes; must not know what they mean.
//!
//! The slab engine reaches the disk through these traits only, so that tests can put one beneath it that loses, tears
//! and reorders whatever was not synced. What counts as safe:
//!
//! - Written bytes are safe once a [`DiskFile::sync`] that began after the write has succeeded.
//! - A new, renamed or removed name is safe once a [`Disk::sync_directory`] that began after it has succeeded.
//! - After a failed sync nothing is known about what was written since the one before. It must not be tried again.

mod file;
mod guarded;
mod memory;

#[cfg(test)]
mod faulty;
#[cfg(test)]
mod tests;

use std::io;

#[cfg(test)]
pub(crate) use faulty::{Betrayal, Call, CrashMode, FaultyDisk, Tally};
pub use file::FileDisk;
pub(crate) use guarded::{GuardedDisk, is_full};
pub use memory::MemoryDisk;

/// A directory.
pub trait Disk: Send + Sync {
    /// Opens a file for reading and writing; `NotFound` when there is none.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Makes an empty file, or empties the one of that name, and opens it.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// The names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives a file another name, under which there may have been another.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. Whoever has the file open can go on using it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes new, renamed and removed names safe.
    fn sync_directory(&self) -> io::Result<()>;

    /// Bytes that can be written before the disk is full, where that is known.
    fn free_bytes(&self) -> Option<u64> {
        None
    }

    /// The directory as its owner calls it.
    fn place(&self) -> String {
        "the directory of the data".to_owned()
    }

    /// Takes the directory for the one who asks, until the returned value is dropped or the process ends. The lock is
    /// on a file of this name. `None` when somebody else has it.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn DiskLock>>>;
}

/// An open file. One value serves all threads.
pub trait DiskFile: Send + Sync {
    /// Fills `buffer` from `offset` on; `UnexpectedEof` when the file ends before that.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Appends so many bytes from `offset` on to an empty buffer that has room for them; `UnexpectedEof` when the file
    /// ends before that.
    fn append_to(&self, offset: u64, length: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.resize(length, 0);
        self.read_at(offset, buffer)
    }

    /// As [`DiskFile::read_at`], from what the system has in memory: `WouldBlock` when a device has to be waited for, or
    /// when that cannot be told. What is in the buffer says nothing then.
    fn read_at_once(&self, _offset: u64, _buffer: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Lets the device begin to read these bytes, which will be asked for soon. Nothing depends on it.
    fn will_read(&self, _offset: u64, _length: u64) {}

    /// Writes all bytes at `offset`; the file grows as needed, with zeros before the bytes.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written so far safe, the length included.
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Cuts the file, or lets it grow by zeros that take no room.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Gives the room of these bytes back; they read as zeros from then on and the length stays. Only whole blocks are
    /// given back. A file system that cannot do it leaves the bytes as they are, which is no error: holes are made
    /// only where nothing is read any more.
    fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Bytes of the disk that the file takes, where that is known: less than its length when it has holes.
    fn allocated(&self) -> Option<u64> {
        None
    }

    /// Takes room for so many bytes from the start of an empty file, which has this length afterwards. `StorageFull` when
    /// there is not so much; some of it may have been taken then.
    fn allocate(&self, length: u64) -> io::Result<()>;
}

/// A directory that is held. Nothing to do but to keep it.
pub trait DiskLock: Send + Sync {}
