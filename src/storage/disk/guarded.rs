//! A disk on which nothing is altered after a failure that leaves unknown what it holds, and that keeps a reserve of
//! room for when it is full. Knows files as bytes; must not know what they mean, nor who writes them.
//!
//! Every alteration of any file of a store goes through here, so that nobody can forget to ask.
//!
//! 1. After a failed sync, of a file or of the directory, every alteration that begins later is refused; one that is under
//!    way beside it goes to its end. So it is after a write,
//!    a creation or a renaming that failed for another reason than want of room. The refusal is in force before the
//!    failed call returns: no lock that its caller holds is free before that.
//! 2. What is not needed for what was promised may fail without any consequence: removing, cutting, punching.
//! 3. **Want of room** is no such failure: nothing is known to be lost, and whoever wrote can write again or give up.
//!    The first call that meets it spends the reserve and is tried again, so that what was applied before can still be
//!    made safe. New commits are refused from then on, until the reserve can be taken again.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::{Disk, DiskFile, DiskLock};
use crate::limits::{DISK_LEFT_RESERVES, DISK_RESERVE_BYTES};
use crate::storage::StorageError;
use crate::storage::crossed::crossed;
use crate::storage::health::Health;

/// The file that takes up the reserve. What is in it means nothing.
const RESERVE: &str = "slab.reserve";

/// A disk with a [`Health`]. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct GuardedDisk(Arc<Guard>);

struct Guard {
    disk: Arc<dyn Disk>,
    health: Arc<Health>,
    reserve_bytes: u64,
    /// Whether it is held.
    reserve: Mutex<bool>,
}

/// What follows when a call fails for another reason than want of room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Nothing.
    Harmless,
    /// Nothing is written any more.
    Ends,
    /// The same, also when the reason was want of room: what was to be made safe may be lost.
    EndsAlways,
}

/// Whether something was refused that may be granted later, and of which nothing is lost: there was no room on the disk,
/// none for this user or in this file, or the process or the machine has as many files open as it may.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let errno = Errno::from_io_error(error);
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
        || matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

impl GuardedDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>, health: Arc<Health>, reserve_bytes: u64) -> Self {
        Self(Arc::new(Guard { disk, health, reserve_bytes, reserve: Mutex::new(false) }))
    }

    /// Takes the reserve, unless it is held, and notes whether that means that the disk is full. A disk that refuses for
    /// another reason is used without a reserve.
    pub(crate) fn take_reserve(&self) {
        let Guard { disk, health, reserve_bytes, .. } = &*self.0;
        let mut is_held = self.0.reserve();
        if health.cause().is_some() {
            return;
        }
        if !*is_held {
            // One that a process before has left is emptied: nobody knows how much of it has room.
            let take = || disk.create(RESERVE)?.allocate(*reserve_bytes);
            match take() {
                Ok(()) => *is_held = true,
                Err(error) if is_full(&error) => {
                    // What was taken of it is needed elsewhere.
                    drop(disk.remove(RESERVE));
                    return health.set_full(true);
                }
                Err(error) => {
                    tracing::warn!("no room is kept for a full disk: {RESERVE}: {error}");
                }
            }
        }
        health.set_full(false);
    }

    /// A file without a name, which is no part of the store: what fails there has no consequence here, and the reserve is
    /// not spent on it.
    pub(crate) fn scratch(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.0.check()?;
        let file = self.0.disk.create(name)?;
        self.0.disk.remove(name)?;
        Ok(file)
    }

    /// [`StorageError::KeptRoom`] when so many more bytes would not leave enough room to commits: for jobs that can wait
    /// for room.
    pub(crate) fn check_left(&self, place: &str, wanted: u64) -> Result<(), StorageError> {
        let kept = self.0.reserve_bytes.saturating_mul(DISK_LEFT_RESERVES);
        match self.0.disk.free_bytes() {
            Some(available) if available < wanted.saturating_add(kept) => {
                Err(StorageError::KeptRoom { place: place.to_owned(), wanted, available, kept })
            }
            _ => Ok(()),
        }
    }

    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(GuardedFile { file, guard: Arc::clone(&self.0) })
    }
}

impl Guard {
    fn reserve(&self) -> MutexGuard<'_, bool> {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Alters something, if that is allowed.
    fn alter<T>(
        &self,
        failure: Failure,
        place: &str,
        act: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        self.check()?;
        let mut outcome = act();
        if failure != Failure::EndsAlways
            && let Err(error) = &outcome
            && is_full(error)
        {
            self.spend_reserve(place, error);
            self.check()?;
            outcome = act();
        }
        let Err(error) = outcome else { return outcome };
        let ends = match failure {
            Failure::Harmless => false,
            Failure::Ends => !is_full(&error),
            Failure::EndsAlways => true,
        };
        if ends {
            self.health.poison(&format!("{place}: {error}"));
            // Of a kind that nobody takes for want of room.
            return Err(io::Error::other(error));
        }
        Err(error)
    }

    fn check(&self) -> io::Result<()> {
        match self.health.cause() {
            None => Ok(()),
            Some(cause) => Err(io::Error::other(format!("writing has ended before: {cause}"))),
        }
    }

    fn spend_reserve(&self, place: &str, error: &io::Error) {
        let mut is_held = self.reserve();
        if self.health.cause().is_some() {
            // Writing ended while the call was under way that met the want of room.
            return;
        }
        if !self.health.is_full() {
            tracing::warn!("no room for {place}: {error}");
        }
        self.health.set_full(true);
        if !std::mem::take(&mut *is_held) {
            return;
        }
        if self.reserve_bytes >= DISK_RESERVE_BYTES {
            crossed("DISK_RESERVE_BYTES");
        }
        if let Err(error) = self.disk.remove(RESERVE) {
            tracing::warn!("the reserve for a full disk cannot be used: {RESERVE}: {error}");
        }
    }
}

impl Disk for GuardedDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.0.disk.open(name).map(|file| self.file(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let made = self.0.alter(Failure::Ends, "making a file", || self.0.disk.create(name));
        made.map(|file| self.file(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.disk.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.alter(Failure::Ends, "renaming a file", || self.0.disk.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.alter(Failure::Harmless, "removing a file", || self.0.disk.remove(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        let place = "making names safe";
        self.0.alter(Failure::EndsAlways, place, || self.0.disk.sync_directory())
    }

    fn free_bytes(&self) -> Option<u64> {
        self.0.disk.free_bytes()
    }

    fn place(&self) -> String {
        self.0.disk.place()
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.0.disk.lock(name)
    }
}

struct GuardedFile {
    file: Box<dyn DiskFile>,
    guard: Arc<Guard>,
}

impl DiskFile for GuardedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)
    }

    fn append_to(&self, offset: u64, length: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.file.append_to(offset, length, buffer)
    }

    fn read_at_once(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at_once(offset, buffer)
    }

    fn will_read(&self, offset: u64, length: u64) {
        self.file.will_read(offset, length);
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.guard.alter(Failure::Ends, "a write", || self.file.write_at(offset, bytes))
    }

    fn sync(&self) -> io::Result<()> {
        self.guard.alter(Failure::EndsAlways, "a sync", || self.file.sync())
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn allocated(&self) -> Option<u64> {
        self.file.allocated()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.guard.alter(Failure::Harmless, "a change of length", || self.file.set_length(length))
    }

    fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        self.guard.alter(Failure::Harmless, "a hole", || self.file.punch_hole(offset, length))
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.guard.alter(Failure::Harmless, "an allocation", || self.file.allocate(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::disk::MemoryDisk;

    /// Met after half a million simulated crashes: a log sync failed while a checkpoint met the want of room.
    #[test]
    fn the_reserve_is_not_spent_once_writing_has_ended() {
        let (inner, health) = (Arc::new(MemoryDisk::default()), Arc::new(Health::default()));
        let disk = GuardedDisk::new(inner.clone(), health.clone(), 100);
        disk.take_reserve();
        let has_reserve = || inner.list().unwrap().contains(&RESERVE.to_owned());
        assert!(has_reserve());
        let altered: io::Result<()> = disk.0.alter(Failure::Ends, "a page", || {
            health.poison("the log: a failed sync");
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(altered.unwrap_err().to_string().contains("writing has ended before"));
        assert!(has_reserve());
    }
}
