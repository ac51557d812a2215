//! A disk for tests that does what real ones may do: it loses, tears and reorders whatever was not synced when the
//! machine stops, fails the n-th operation, fills up, and flips bits. Everything follows from the seed.
//! Must not know what is in the files.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::{fill_with_zeros, overwrite, place};
use super::{Disk, DiskFile, DiskLock};
use crate::testing::Random;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What a crash leaves of the changes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrashMode {
    /// Nothing.
    LoseAll,
    /// Everything, as after the end of the process alone.
    KeepAll,
    /// The first changes of each file, the last one of them torn.
    Prefix,
    /// Any sectors of any changes.
    Any,
}

/// A directory that remembers what is safe. Clones are the same directory.
#[derive(Clone)]
pub(crate) struct FaultyDisk(Arc<Mutex<State>>);

struct State {
    random: Random,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    safe_names: BTreeMap<String, usize>,
    /// Since the last sync of the directory.
    name_changes: Vec<NameChange>,
    locked: Vec<String>,
    operations: u64,
    fails_at: Option<u64>,
    capacity: u64,
}

/// A file under whatever name.
#[derive(Default)]
struct File {
    now: Vec<u8>,
    safe: Vec<u8>,
    /// Since the last sync of the file.
    changes: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
    Hole(usize, usize),
}

enum NameChange {
    Set(String, usize),
    Remove(String),
    Rename(String, String),
}

impl FaultyDisk {
    /// An empty directory.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random::seeded(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            safe_names: BTreeMap::new(),
            name_changes: Vec::new(),
            locked: Vec::new(),
            operations: 0,
            fails_at: None,
            capacity: u64::MAX,
        })))
    }

    /// The operation that comes after so many others fails, once. Reading counts as well.
    pub(crate) fn fail_after(&self, operations: u64) {
        let mut state = self.state();
        state.fails_at = Some(state.operations + operations);
    }

    /// No operation fails by itself any more; returns whether one had still been to fail.
    pub(crate) fn fail_no_more(&self) -> bool {
        self.state().fails_at.take().is_some()
    }

    /// All files together may have so many bytes.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// Turns one bit of a file around, as it is now and as it would be after a crash.
    pub(crate) fn flip_bit(&self, name: &str, offset: usize, bit: u8) {
        let mut state = self.state();
        let file = state.names[name];
        let file = &mut state.files[file];
        for bytes in [&mut file.now, &mut file.safe] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// What a file holds now.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[name]].now.clone()
    }

    /// The directory as the machine finds it when it comes up again. This one is as it was.
    pub(crate) fn crash(&self, mode: CrashMode) -> FaultyDisk {
        let mut state = self.state();
        let state = &mut *state;
        let random = &mut state.random;
        let mut names = state.safe_names.clone();
        let kept = match mode {
            CrashMode::LoseAll => 0,
            CrashMode::KeepAll => state.name_changes.len(),
            // A file system keeps the order of changes to its names.
            CrashMode::Prefix | CrashMode::Any => {
                random.below(state.name_changes.len() as u64 + 1) as usize
            }
        };
        for change in &state.name_changes[..kept] {
            change.apply(&mut names);
        }
        let mut files = Vec::new();
        for file in names.values_mut() {
            let bytes = state.files[*file].after_crash(mode, random);
            *file = files.len();
            files.push(File { now: bytes.clone(), safe: bytes, changes: Vec::new() });
        }
        let crashed = FaultyDisk::new(random.next());
        {
            let mut new = crashed.state();
            new.files = files;
            new.names = names.clone();
            new.safe_names = names;
        }
        crashed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation and says whether it is the one to fail.
    fn fails(&mut self) -> bool {
        self.operations += 1;
        let fails = self.fails_at.is_some_and(|at| self.operations > at);
        if fails {
            self.fails_at = None;
        }
        fails
    }

    fn count(&mut self) -> io::Result<()> {
        if self.fails() { Err(io::Error::other("a fault of the disk")) } else { Ok(()) }
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].now.len() as u64).sum()
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Set(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => overwrite(bytes, *offset, written),
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Hole(offset, length) => fill_with_zeros(bytes, *offset, *length),
        }
    }

    /// Applies a random selection of the sectors of a write.
    fn apply_torn(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        let Self::Write(offset, written) = self else {
            if random.once_in(2) {
                self.apply(bytes);
            }
            return;
        };
        let mut at = 0;
        while at < written.len() {
            let next = ((offset + at) / SECTOR + 1) * SECTOR - offset;
            let end = next.min(written.len());
            if random.once_in(2) {
                overwrite(bytes, offset + at, &written[at..end]);
            }
            at = end;
        }
    }
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.changes.push(change);
    }

    fn after_crash(&self, mode: CrashMode, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.safe.clone();
        match mode {
            CrashMode::LoseAll => {}
            CrashMode::KeepAll => self.changes.iter().for_each(|change| change.apply(&mut bytes)),
            CrashMode::Prefix => {
                let whole = random.below(self.changes.len() as u64 + 1) as usize;
                self.changes[..whole].iter().for_each(|change| change.apply(&mut bytes));
                if let Some(torn) = self.changes.get(whole) {
                    torn.apply_torn(&mut bytes, random);
                }
            }
            CrashMode::Any => {
                for change in &self.changes {
                    change.apply_torn(&mut bytes, random);
                }
            }
        }
        bytes
    }
}

impl Disk for FaultyDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.count()?;
        let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), file }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.count()?;
        let file = match state.names.get(name) {
            Some(file) => *file,
            None => {
                state.files.push(File::default());
                let file = state.files.len() - 1;
                state.change_names(NameChange::Set(name.to_owned(), file));
                file
            }
        };
        state.files[file].change(Change::Length(0));
        Ok(Box::new(FaultyFile { disk: self.clone(), file }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.count()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.count()?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.count()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        state.count()?;
        state.safe_names = state.names.clone();
        state.name_changes.clear();
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut state = self.state();
        state.count()?;
        if state.locked.iter().any(|other| other == name) {
            return Ok(None);
        }
        state.locked.push(name.to_owned());
        Ok(Some(Box::new(FaultyLock { disk: self.clone(), name: name.to_owned() })))
    }
}

struct FaultyLock {
    disk: FaultyDisk,
    name: String,
}

impl DiskLock for FaultyLock {}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        self.disk.state().locked.retain(|other| *other != self.name);
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    file: usize,
}

impl DiskFile for FaultyFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.count()?;
        let start = place(offset)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let bytes = &state.files[self.file].now;
        buffer.copy_from_slice(bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let start = place(offset)?;
        let fails = state.fails();
        let grows =
            (offset + bytes.len() as u64).saturating_sub(state.files[self.file].now.len() as u64);
        let is_full = state.used() + grows > state.capacity;
        if fails || is_full {
            // Some of it may have been written all the same.
            let part = state.random.below(bytes.len() as u64 + 1) as usize;
            if fails && part > 0 {
                state.files[self.file].change(Change::Write(start, bytes[..part].to_vec()));
            }
            let fault = io::Error::other("a fault of the disk");
            return Err(if is_full { io::ErrorKind::StorageFull.into() } else { fault });
        }
        state.files[self.file].change(Change::Write(start, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let fails = state.fails();
        let State { files, random, .. } = &mut *state;
        let file = &mut files[self.file];
        for change in std::mem::take(&mut file.changes) {
            if fails {
                // What could not be written is forgotten: another sync would find nothing to do and succeed.
                change.apply_torn(&mut file.safe, random);
            } else {
                change.apply(&mut file.safe);
            }
        }
        if fails { Err(io::Error::other("a fault of the disk")) } else { Ok(()) }
    }

    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.count()?;
        Ok(state.files[self.file].now.len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.count()?;
        state.files[self.file].change(Change::Length(place(length)?));
        Ok(())
    }

    fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.count()?;
        state.files[self.file].change(Change::Hole(place(offset)?, place(length)?));
        Ok(())
    }
}
