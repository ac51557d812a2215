//! A disk for tests that does what real ones may do: it loses, tears and reorders whatever was not synced when the
//! machine stops, stops at the n-th operation or fails it, fills up, and flips bits. Everything follows from the seed.
//! Must not know what is in the files.

mod betrayal;
mod contents;
mod crash;
mod tally;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::betrayal::Betrayal;
use self::betrayal::ToCome;
use self::contents::{CHUNK, Contents};
pub(crate) use self::crash::CrashMode;
use self::crash::{Change, NameChange};
pub(crate) use self::tally::Tally;
use self::tally::kind;
use super::memory::place;
use super::{Disk, DiskFile, DiskLock};
use crate::testing::Random;

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
    fault: Option<Fault>,
    /// The next call of this kind for such a file fails.
    fails_next: Option<(Call, &'static str)>,
    interruption: Option<Interruption>,
    betrayal: Option<ToCome>,
    /// The operation that comes next was under way when another one failed.
    is_under_way: bool,
    /// Calls of this kind that fail for good.
    fails_always: Option<Call>,
    /// What has failed since the last [`FaultyDisk::forgive`], if anything did.
    failed: Option<Call>,
    /// Whether a call that makes something safe, or could, has failed since then.
    is_broken: bool,
    /// Whether there was no room for something since then.
    was_full: bool,
    late_writes: u64,
    alterations: u64,
    capacity: usize,
    /// Whether it says how much room there is.
    tells_room: bool,
    phase: &'static str,
    tally: Tally,
}

/// A file under whatever name.
#[derive(Default)]
struct File {
    kind: Arc<str>,
    now: Contents,
    safe: Contents,
    /// Since the last sync of the file.
    changes: Vec<Change>,
}

/// What others do while somebody waits for the data file.
type Interruption = Box<dyn FnMut() + Send>;

/// A fault to come.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The operation of this number fails.
    Once(u64),
    /// The machine stops at the operation of this number.
    Stop(u64),
}

impl Fault {
    /// Operations before it.
    fn at(self) -> u64 {
        match self {
            Self::Once(at) | Self::Stop(at) => at,
        }
    }
}

/// What the engine asks of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Create,
    List,
    Rename,
    Remove,
    SyncDirectory,
    Lock,
    Read,
    Write,
    Sync,
    Length,
    SetLength,
    Punch,
    Allocate,
}

impl Call {
    /// Whether it changes what a crash leaves.
    fn alters(self) -> bool {
        !matches!(self, Self::Open | Self::List | Self::Lock | Self::Read | Self::Length)
    }

    /// Whether nothing may be written any more once it has failed.
    pub(crate) fn must_not_fail(self) -> bool {
        matches!(self, Self::Write | Self::Sync | Self::SyncDirectory | Self::Create)
    }

    /// Whether nothing follows from its failure.
    pub(crate) fn is_harmless(self) -> bool {
        matches!(self, Self::Remove | Self::SetLength | Self::Punch | Self::Allocate)
    }

    fn failure(self) -> &'static str {
        match self {
            Self::Open => "failed open",
            Self::Create => "failed creation",
            Self::List => "failed listing",
            Self::Rename => "failed rename",
            Self::Remove => "failed removal",
            Self::SyncDirectory => "failed directory sync",
            Self::Lock => "failed lock",
            Self::Read => "failed read",
            Self::Write => "failed write",
            Self::Sync => "failed sync",
            Self::Length => "failed length",
            Self::SetLength => "failed change of length",
            Self::Punch => "failed hole",
            Self::Allocate => "failed allocation",
        }
    }
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
            fault: None,
            fails_next: None,
            interruption: None,
            betrayal: None,
            is_under_way: false,
            fails_always: None,
            failed: None,
            is_broken: false,
            was_full: false,
            late_writes: 0,
            alterations: 0,
            capacity: usize::MAX,
            tells_room: false,
            phase: "",
            tally: Tally::default(),
        })))
    }

    /// The operation that comes after so many others fails, once. Reading counts as well.
    pub(crate) fn fail_after(&self, operations: u64) {
        let mut state = self.state();
        state.fault = Some(Fault::Once(state.operations + operations));
    }

    /// The next call of this kind for a file of this kind fails.
    pub(crate) fn fail_next(&self, call: Call, file: &'static str) {
        self.state().fails_next = Some((call, file));
    }

    /// Every call of this kind fails from now on.
    pub(crate) fn fail_always(&self, call: Call) {
        self.state().fails_always = Some(call);
    }

    /// Before every operation on the data file this is done, on the same thread, unless it is being done: what other
    /// threads might do meanwhile. Whoever waits for the data file holds no lock that they need, but a checkpoint's own.
    pub(crate) fn interrupt(&self, interruption: Option<Interruption>) {
        self.state().interruption = interruption;
    }

    fn pass(&self, file: usize) {
        let (interruption, was_broken) = {
            let mut state = self.state();
            if &*state.files[file].kind != "slab.data" {
                return;
            }
            (state.interruption.take(), state.is_broken)
        };
        if let Some(mut interruption) = interruption {
            interruption();
            let mut state = self.state();
            state.interruption = Some(interruption);
            state.is_under_way = state.is_broken && !was_broken;
        }
    }

    /// The machine stops in the middle of the operation that comes after so many others: it and all later ones fail.
    pub(crate) fn stop_after(&self, operations: u64) {
        let mut state = self.state();
        state.fault = Some(Fault::Stop(state.operations + operations));
    }

    /// No operation fails by itself any more; returns whether one had still been to fail.
    pub(crate) fn fail_no_more(&self) -> bool {
        let mut state = self.state();
        let is_to_come = |fault: Fault| state.operations <= fault.at();
        let was_to_come = state.fault.is_some_and(is_to_come);
        state.fault = None;
        state.fails_next = None;
        was_to_come
    }

    /// A new process: what has failed before does not concern it.
    pub(crate) fn forgive(&self) {
        let mut state = self.state();
        state.fault = None;
        state.fails_next = None;
        state.fails_always = None;
        state.betrayal = None;
        state.is_under_way = false;
        state.failed = None;
        state.is_broken = false;
        state.was_full = false;
        state.late_writes = 0;
    }

    /// Whether the machine has stopped.
    pub(crate) fn has_stopped(&self) -> bool {
        let state = self.state();
        state.failed.is_some() && matches!(state.fault, Some(Fault::Stop(_)))
    }

    /// Whether there was no room for something.
    pub(crate) fn was_full(&self) -> bool {
        self.state().was_full
    }

    /// What has failed first, want of room left aside.
    pub(crate) fn failed(&self) -> Option<Call> {
        self.state().failed
    }

    /// Changes that were asked for after a write or sync had failed.
    pub(crate) fn late_writes(&self) -> u64 {
        self.state().late_writes
    }

    /// All files together may take so many bytes; holes take none.
    pub(crate) fn set_capacity(&self, bytes: usize) {
        self.state().capacity = bytes;
    }

    /// Says from now on how much room there is; before that nobody knows.
    pub(crate) fn tell_room(&self) {
        self.state().tells_room = true;
    }

    /// The room that all files take together.
    pub(crate) fn used(&self) -> usize {
        self.state().used()
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Those of them that change something, or make it safe.
    pub(crate) fn alterations(&self) -> u64 {
        self.state().alterations
    }

    /// What the engine is about, for the tally.
    pub(crate) fn set_phase(&self, phase: &'static str) {
        self.state().phase = phase;
    }

    /// Notes an event that others have brought about.
    pub(crate) fn note(&self, event: &'static str, file: &str) {
        let mut state = self.state();
        let phase = state.phase;
        state.tally.add(event, &kind(file), phase, 1);
    }

    /// Notes that a bound of the engine was met so many times.
    pub(crate) fn note_bound(&self, bound: &str, times: u64) {
        let mut state = self.state();
        let phase = state.phase;
        state.tally.add("bound met", bound, phase, times);
    }

    /// What has happened to this directory, and to those from which it came by crashes.
    pub(crate) fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    /// Turns one bit of a file around, as it is now and as it would be after a crash.
    pub(crate) fn flip_bit(&self, name: &str, offset: usize, bit: u8) {
        let mut state = self.state();
        let file = state.names[name];
        let file = &mut state.files[file];
        for contents in [&mut file.now, &mut file.safe] {
            let mut byte = [0];
            if contents.read(offset, &mut byte).is_some() {
                contents.write(offset, &[byte[0] ^ 1 << bit]);
            }
        }
        state.note("flipped bit", name);
    }

    /// What a file holds now.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        let contents = &state.files[state.names[name]].now;
        let mut bytes = vec![0; contents.length()];
        contents.read(0, &mut bytes);
        bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, event: &'static str, file: &str) {
        self.tally.add(event, &kind(file), self.phase, 1);
    }

    /// Counts an operation, and fails if it is the one to fail.
    fn begin(&mut self, call: Call, file: &str) -> io::Result<()> {
        self.operations += 1;
        self.alterations += u64::from(call.alters());
        let is_under_way = std::mem::take(&mut self.is_under_way);
        if self.is_broken && call.alters() && !is_under_way {
            self.late_writes += 1;
        }
        if self.fails_always == Some(call) {
            self.note("lasting fault", file);
            self.fail(call);
            return Err(io::Error::other("a fault of the disk that lasts"));
        }
        if self.fails_next.is_some_and(|(next, of)| next == call && of == file) {
            self.fails_next = None;
            self.note(call.failure(), file);
            self.fail(call);
            return Err(io::Error::other("a fault of the disk"));
        }
        let Some(fault) = self.fault.filter(|fault| self.operations > fault.at()) else {
            return Ok(());
        };
        let is_first = self.operations == fault.at() + 1;
        let event = match fault {
            Fault::Once(_) if !is_first => return Ok(()),
            Fault::Once(_) => call.failure(),
            Fault::Stop(_) => "stop of the machine",
        };
        if is_first {
            self.note(event, file);
        }
        if call == Call::Sync && matches!(fault, Fault::Once(_)) && self.random.once_in(3) {
            // Some file systems notice only then, and what was written is lost all the same.
            self.note("full disk at a sync", file);
            self.fail(call);
            return Err(io::ErrorKind::StorageFull.into());
        }
        // A reserve is of no consequence.
        if file != "slab.reserve" || matches!(fault, Fault::Stop(_)) {
            self.fail(call);
        }
        Err(io::Error::other("a fault of the disk"))
    }

    /// Whether the machine has stopped in the middle of an operation before this one.
    fn has_stopped(&self) -> bool {
        matches!(self.fault, Some(Fault::Stop(at)) if self.operations > at + 1)
    }

    /// Refuses a call for want of room, if there is none: file systems need some for names and for maps of holes.
    fn needs_room(&mut self, event: &'static str, file: &str) -> io::Result<()> {
        if self.capacity.saturating_sub(self.used()) >= CHUNK {
            return Ok(());
        }
        self.note(event, file);
        self.was_full = true;
        Err(io::ErrorKind::StorageFull.into())
    }

    fn fail(&mut self, call: Call) {
        self.failed = self.failed.or(Some(call));
        self.is_broken |= call.must_not_fail();
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn used(&self) -> usize {
        self.names.values().map(|file| self.files[*file].now.room()).sum()
    }

    fn begin_on(&mut self, call: Call, file: usize) -> io::Result<()> {
        let kind = Arc::clone(&self.files[file].kind);
        self.begin(call, &kind)
    }

    /// A write that fails, or for which there is no room, may have been done in part.
    fn write(&mut self, file: usize, start: usize, bytes: &[u8]) -> io::Result<()> {
        let begun = self.begin_on(Call::Write, file);
        if self.has_stopped() {
            return begun;
        }
        let room = self.capacity.saturating_sub(self.used());
        let is_full = begun.is_ok() && self.files[file].now.room_for(start, bytes.len()) > room;
        let written = match &begun {
            Ok(()) if !is_full => bytes.len(),
            _ => self.random.below(bytes.len() as u64 + 1) as usize,
        };
        let written = if is_full { written.min(room / CHUNK * CHUNK) } else { written };
        if written > 0
            && let Some(start) = self.place_of_write(file, start)
        {
            let change = Change::Write(start, Arc::from(&bytes[..written]));
            self.files[file].change(change);
        }
        begun?;
        if is_full {
            let kind = Arc::clone(&self.files[file].kind);
            self.note("full disk", &kind);
            self.was_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        let begun = self.begin_on(Call::Sync, file);
        if begun.is_err() && matches!(self.fault, Some(Fault::Stop(_))) {
            return begun;
        }
        let Self { files, random, .. } = self;
        let File { now, safe, changes, .. } = &mut files[file];
        for change in changes.drain(..) {
            if begun.is_ok() {
                let (start, length) = change.range(now.length());
                safe.take_over(now, start, length);
            } else {
                // What could not be written is forgotten: another sync would find nothing to do and succeed.
                change.apply_torn(safe, random);
            }
        }
        if begun.is_err() && random.once_in(2) {
            // It may even be gone from memory, and be read as what the disk has.
            let length = now.length();
            now.clone_from(safe);
            now.resize(length);
        }
        begun
    }
}

impl Disk for FaultyDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.begin(Call::Open, name)?;
        let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), file }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.begin(Call::Create, name)?;
        state.needs_room("full disk at a creation", name)?;
        let file = match state.names.get(name) {
            Some(file) => *file,
            None => {
                state.files.push(File { kind: kind(name).into(), ..File::default() });
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
        state.begin(Call::List, "directory")?;
        Ok(state.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin(Call::Rename, from)?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.files[file].kind = kind(to).into();
        state.change_names(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin(Call::Remove, name)?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        state.begin(Call::SyncDirectory, "directory")?;
        state.safe_names = state.names.clone();
        state.name_changes.clear();
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        let state = self.state();
        state.tells_room.then(|| state.capacity.saturating_sub(state.used()) as u64)
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut state = self.state();
        state.begin(Call::Lock, name)?;
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
        self.disk.pass(self.file);
        let mut state = self.disk.state();
        state.begin_on(Call::Read, self.file)?;
        let read = state.files[self.file].now.read(place(offset)?, buffer);
        read.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.pass(self.file);
        self.disk.state().write(self.file, place(offset)?, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.pass(self.file);
        self.disk.state().sync(self.file)
    }

    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.begin_on(Call::Length, self.file)?;
        Ok(state.files[self.file].now.length() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.disk.pass(self.file);
        let mut state = self.disk.state();
        state.begin_on(Call::SetLength, self.file)?;
        if state.random.once_in(4) {
            let kind = Arc::clone(&state.files[self.file].kind);
            state.needs_room("full disk at a cut", &kind)?;
        }
        state.files[self.file].change(Change::Length(place(length)?));
        Ok(())
    }

    fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        self.disk.pass(self.file);
        let mut state = self.disk.state();
        state.begin_on(Call::Punch, self.file)?;
        let kind = Arc::clone(&state.files[self.file].kind);
        state.needs_room("full disk at a hole", &kind)?;
        state.files[self.file].change(Change::Hole(place(offset)?, place(length)?));
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.begin_on(Call::Allocate, self.file)?;
        let length = place(length)?;
        let room = state.capacity.saturating_sub(state.used());
        if state.files[self.file].now.room_for(0, length) > room {
            state.note("full disk", "slab.reserve");
            state.was_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.files[self.file].change(Change::Write(0, vec![0; length].into()));
        Ok(())
    }
}
