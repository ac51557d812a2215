//! A directory in memory, for tests and for stores that are thrown away. Nothing is ever lost or refused.
//! Must not know what is in the files.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{Disk, DiskFile, DiskLock};

/// A directory that is gone with its last clone.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, MemoryFile>>>,
    locked: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug, Clone, Default)]
struct MemoryFile(Arc<RwLock<Vec<u8>>>);

impl MemoryDisk {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, MemoryFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.files().get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.files().entry(name.to_owned()).or_default().clone();
        file.set_length(0)?;
        Ok(Box::new(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        if locked.iter().any(|other| other == name) {
            return Ok(None);
        }
        locked.push(name.to_owned());
        Ok(Some(Box::new(MemoryLock { name: name.to_owned(), locked: Arc::clone(&self.locked) })))
    }
}

struct MemoryLock {
    name: String,
    locked: Arc<Mutex<Vec<String>>>,
}

impl DiskLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        locked.retain(|other| *other != self.name);
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let start = place(offset)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let found = bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn read_at_once(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        overwrite(&mut held, place(offset)?, bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.resize(place(length)?, 0);
        Ok(())
    }

    fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        fill_with_zeros(&mut held, place(offset)?, place(length)?);
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.set_length(length)
    }
}

/// Puts bytes at a place of a growing buffer, with zeros before them where it ended earlier.
pub(super) fn overwrite(held: &mut Vec<u8>, start: usize, bytes: &[u8]) {
    if held.len() < start {
        held.resize(start, 0);
    }
    let within = bytes.len().min(held.len() - start);
    let (over, behind) = bytes.split_at(within);
    if let Some(old) = held.get_mut(start..start + within) {
        old.copy_from_slice(over);
    }
    held.extend_from_slice(behind);
}

/// Zeros as far as the buffer goes.
pub(super) fn fill_with_zeros(held: &mut [u8], start: usize, length: usize) {
    let end = start.saturating_add(length).min(held.len());
    if let Some(hole) = held.get_mut(start..end) {
        hole.fill(0);
    }
}

/// An offset as a place in memory.
pub(super) fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}
