//! What snapshots keep of earlier states, in memory and on the disk: when that is too much, the oldest of those that can be
//! taken anew are let go of. Must not know who reads them, nor how a checkpoint is written.
//!
//! Looked at once a checkpoint has been written, since that is when changes become what only snapshots keep, and slots of
//! the data file what only snapshots need. A snapshot that sees nothing beyond a checkpoint is let go of at most once: the
//! next one sees more. What cannot be let go of is counted beside changes and pages: see [`super::room`].

use super::{Shared, State};
use crate::limits::RETAINED_PART;
use crate::storage::CommitSequence;

impl Shared {
    /// Lets go of snapshots that see nothing beyond the last checkpoint, as long as what snapshots keep in memory is more
    /// than its part.
    pub(super) fn let_go_for_memory(&self, checkpoint: CommitSequence) {
        let is_much = |state: &State| state.retained() > self.cache_bytes() / RETAINED_PART;
        while is_much(&self.read_state()) && self.readers.let_go_of_oldest(checkpoint) {}
    }

    /// The same for room on the disk. Must not run beside the writing of a checkpoint: what is free by then is made free.
    pub(super) fn let_go_for_disk(&self, checkpoint: CommitSequence) {
        while self.pages.slab.is_much_pinned() && self.readers.let_go_of_oldest(checkpoint) {
            self.pages.reclaim();
        }
    }
}
