//! What a crash leaves of the changes that were not synced. Must not know which files there are, but by their kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::contents::Contents;
use super::tally::{Tally, kind};
use super::{FaultyDisk, File, State};
use crate::testing::Random;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What a crash leaves of the changes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrashMode {
    /// Nothing.
    LoseAll,
    /// Everything.
    KeepAll,
    /// The first changes of each file, the last one of them torn.
    Prefix,
    /// Any sectors of any changes, and any changes of names.
    Any,
}

impl CrashMode {
    /// Every mode.
    pub(crate) const ALL: [Self; 4] = [Self::LoseAll, Self::KeepAll, Self::Prefix, Self::Any];
}

pub(super) enum Change {
    Write(usize, Arc<[u8]>),
    Length(usize),
    Hole(usize, usize),
}

pub(super) enum NameChange {
    Set(String, usize),
    Remove(String),
    Rename(String, String),
}

/// What has become of a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Torn,
    Lost,
}

impl FaultyDisk {
    /// The directory as the machine finds it when it comes up again. This one is as it was.
    pub(crate) fn crash(&self, mode: CrashMode) -> FaultyDisk {
        let mut state = self.state();
        let State { random, files: old, name_changes, safe_names, tally, phase, capacity, .. } =
            &mut *state;
        let before = tally.clone();
        tally.add("crash", "", phase, 1);
        let mut names = safe_names.clone();
        let prefix = random.below(name_changes.len() as u64 + 1) as usize;
        for (at, change) in name_changes.iter().enumerate() {
            let is_kept = match mode {
                CrashMode::LoseAll => false,
                CrashMode::KeepAll => true,
                CrashMode::Prefix => at < prefix,
                CrashMode::Any => random.once_in(2),
            };
            if is_kept {
                change.apply(&mut names);
            } else {
                change.note_loss(tally, phase);
            }
        }
        let mut files = Vec::new();
        for file in names.values_mut() {
            let contents = old[*file].after_crash(mode, random, tally, phase);
            let kind = Arc::clone(&old[*file].kind);
            *file = files.len();
            files.push(File { kind, now: contents.clone(), safe: contents, changes: Vec::new() });
        }
        let crashed = FaultyDisk::new(random.next());
        {
            let mut new = crashed.state();
            new.files = files;
            new.names = names.clone();
            new.safe_names = names;
            new.phase = phase;
            new.capacity = *capacity;
            // What happens to the copy is counted there, this crash with it.
            new.tally = std::mem::replace(tally, before);
        }
        crashed
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
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

    fn note_loss(&self, tally: &mut Tally, phase: &'static str) {
        let (event, name) = match self {
            Self::Set(name, _) => ("lost creation", name),
            Self::Remove(name) => ("lost removal", name),
            Self::Rename(name, _) => ("lost rename", name),
        };
        tally.add(event, &kind(name), phase, 1);
    }
}

impl Change {
    pub(super) fn apply(&self, contents: &mut Contents) {
        match self {
            Self::Write(start, bytes) => contents.write(*start, bytes),
            Self::Length(length) => contents.resize(*length),
            Self::Hole(start, length) => contents.zero(*start, *length),
        }
    }

    /// The bytes that it may have altered in a file that is so long now, as their start and how many they are.
    pub(super) fn range(&self, length: usize) -> (usize, usize) {
        match self {
            Self::Write(start, bytes) => (*start, bytes.len()),
            // From the last byte that was kept on; what lay behind may have come back with a later change.
            Self::Length(kept) => (*kept, length.saturating_sub(*kept)),
            Self::Hole(start, length) => (*start, *length),
        }
    }

    /// Applies a random selection of the sectors of a write, or all of another change, or nothing.
    pub(super) fn apply_torn(&self, contents: &mut Contents, random: &mut Random) -> Fate {
        let Self::Write(start, written) = self else {
            if random.once_in(2) {
                return Fate::Lost;
            }
            self.apply(contents);
            return Fate::Kept;
        };
        let (mut at, mut kept, mut lost) = (0, false, false);
        while at < written.len() {
            let next = ((start + at) / SECTOR + 1) * SECTOR - start;
            let end = next.min(written.len());
            let is_kept = random.once_in(2);
            if is_kept {
                contents.write(start + at, &written[at..end]);
            }
            kept |= is_kept;
            lost |= !is_kept;
            at = end;
        }
        match (kept, lost) {
            (true, true) => Fate::Torn,
            (false, true) => Fate::Lost,
            (_, false) => Fate::Kept,
        }
    }

    fn loss(&self) -> &'static str {
        match self {
            Self::Write(..) => "lost write",
            Self::Length(_) => "lost change of length",
            Self::Hole(..) => "lost hole",
        }
    }
}

impl File {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.changes.push(change);
    }

    fn after_crash(
        &self,
        mode: CrashMode,
        random: &mut Random,
        tally: &mut Tally,
        phase: &'static str,
    ) -> Contents {
        let mut contents = self.safe.clone();
        let whole = random.below(self.changes.len() as u64 + 1) as usize;
        let mut has_lost = false;
        for (at, change) in self.changes.iter().enumerate() {
            let fate = match mode {
                CrashMode::LoseAll => Fate::Lost,
                CrashMode::KeepAll => {
                    change.apply(&mut contents);
                    Fate::Kept
                }
                CrashMode::Prefix if at > whole => Fate::Lost,
                CrashMode::Prefix if at < whole => {
                    change.apply(&mut contents);
                    Fate::Kept
                }
                CrashMode::Prefix if random.once_in(2) => Fate::Lost,
                _ => change.apply_torn(&mut contents, random),
            };
            match fate {
                Fate::Kept if has_lost => tally.add("reordered change", &self.kind, phase, 1),
                Fate::Kept => {}
                Fate::Torn => tally.add("torn write", &self.kind, phase, 1),
                Fate::Lost => tally.add(change.loss(), &self.kind, phase, 1),
            }
            has_lost |= fate != Fate::Kept;
        }
        contents
    }
}
