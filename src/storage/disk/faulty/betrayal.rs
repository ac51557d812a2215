//! Writes that are lost or land elsewhere although the disk says that they, and the sync behind them, succeeded.
//! Must not know which files there are, but by their kind.

use std::sync::Arc;

use super::contents::CHUNK;
use super::{FaultyDisk, State};

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Betrayal {
    /// Nothing.
    Lost,
    /// It lands at another block of the same file.
    Elsewhere,
}

/// A betrayal to come.
pub(super) struct ToCome {
    how: Betrayal,
    file: &'static str,
    /// Writes to such a file before it.
    after: u64,
}

impl FaultyDisk {
    /// Does something else with one write to a file of this kind, the one after so many others.
    pub(crate) fn betray(&self, how: Betrayal, file: &'static str, after: u64) {
        self.state().betrayal = Some(ToCome { how, file, after });
    }
}

impl State {
    /// Where a write is done: where it should be, elsewhere, or nowhere.
    pub(super) fn place_of_write(&mut self, file: usize, start: usize) -> Option<usize> {
        let kind = Arc::clone(&self.files[file].kind);
        let Some(betrayal) = self.betrayal.as_mut().filter(|betrayal| *betrayal.file == *kind)
        else {
            return Some(start);
        };
        if betrayal.after > 0 {
            betrayal.after -= 1;
            return Some(start);
        }
        let how = betrayal.how;
        self.betrayal = None;
        if how == Betrayal::Lost {
            self.note("write lost in silence", &kind);
            return None;
        }
        self.note("write elsewhere", &kind);
        let chunks = self.files[file].now.length() / CHUNK + 1;
        let other = self.random.below(chunks as u64) as usize * CHUNK;
        Some(if other == start { start + CHUNK } else { other })
    }
}
