//! Room outside memory for a job that has more than it may hold there: bytes that are appended, read again, and gone when
//! the job has ended or the process has. Nothing of it is ever made safe, and nothing that was promised depends on it.
//! Knows a file; must not know what is in it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::StorageError;
use super::disk::{Disk, DiskFile, GuardedDisk, MemoryDisk};

/// What the names of such files begin with. A file has its name only for the moment between making and removing it.
pub(super) const SCRATCH: &str = "slab.sort.";

/// What such a file is called in errors.
const PLACE: &str = "a file for sorting";

/// A file without a name. One value serves all threads.
pub struct Scratch {
    file: Box<dyn DiskFile>,
    /// Whose room it takes; none has a disk that is only memory.
    disk: Option<GuardedDisk>,
    end: AtomicU64,
}

impl Scratch {
    pub(super) fn on(disk: &GuardedDisk, name: &str) -> Result<Self, StorageError> {
        disk.check_left(PLACE, 0)?;
        let file = disk.scratch(name).map_err(failed)?;
        Ok(Self { file, disk: Some(disk.clone()), end: AtomicU64::new(0) })
    }

    /// For engines that have no disk.
    pub(super) fn in_memory() -> Result<Self, StorageError> {
        let file = MemoryDisk::new().create(SCRATCH).map_err(failed)?;
        Ok(Self { file, disk: None, end: AtomicU64::new(0) })
    }

    /// Adds bytes and returns where they begin. [`StorageError::KeptRoom`] when that would not leave enough room to commits.
    pub fn append(&self, bytes: &[u8]) -> Result<u64, StorageError> {
        let length = bytes.len() as u64;
        self.disk.iter().try_for_each(|disk| disk.check_left(PLACE, length))?;
        let at = self.end.fetch_add(length, Ordering::Relaxed);
        self.file.write_at(at, bytes).map_err(failed)?;
        Ok(at)
    }

    /// Fills the buffer with what was appended there.
    pub fn read(&self, at: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.file.read_at(at, buffer).map_err(failed)
    }

    /// Gives room back that is not read again.
    pub fn free(&self, at: u64, length: u64) {
        // Without it the file is larger for a while, and right all the same.
        drop(self.file.punch_hole(at, length));
    }
}

fn failed(error: std::io::Error) -> StorageError {
    StorageError::io(PLACE, error)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::disk::FileDisk;
    use crate::storage::health::Health;

    #[test]
    fn a_file_for_sorting_leaves_room_to_commits_and_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(FileDisk::new(folder.path()));
        let guarded = |reserve: u64| GuardedDisk::new(disk.clone(), Arc::default(), reserve);
        let scratch = Scratch::on(&guarded(1), SCRATCH).unwrap();
        assert_eq!(scratch.append(b"abc").unwrap(), 0);
        assert_eq!(scratch.append(b"defg").unwrap(), 3);
        let mut found = [0; 5];
        scratch.read(2, &mut found).unwrap();
        assert_eq!(&found, b"cdefg");
        scratch.free(0, 7);
        assert_eq!(disk.list().unwrap(), Vec::<String>::new());
        // No disk has so much room.
        let full = Scratch::on(&guarded(u64::MAX), SCRATCH).map(drop).unwrap_err();
        assert!(matches!(full, StorageError::KeptRoom { .. }), "{full}");
        let text = full.to_string();
        assert!(text.starts_with("a file for sorting needs 0 bytes more, and "), "{text}");
        assert!(text.contains(" are kept for commits and checkpoints"), "{text}");
    }

    #[test]
    fn nothing_is_sorted_outside_memory_after_a_failure() {
        let health = Arc::new(Health::default());
        let disk = GuardedDisk::new(Arc::new(MemoryDisk::new()), health.clone(), 0);
        health.poison("a test");
        assert!(Scratch::on(&disk, SCRATCH).is_err());
    }
}
