//! Which renewable snapshots are held just now, so that an engine can let go of the oldest when what they keep is too much.
//! Knows commits and who can let go; not what is kept, nor how much is too much.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Shared;
use crate::storage::CommitSequence;

/// The snapshots that are held, by what they see. One that was let go of is not among them until it is taken anew.
#[derive(Default)]
pub struct Readers {
    listed: Mutex<Listed>,
}

#[derive(Default)]
struct Listed {
    next: u64,
    /// By commit, and by the order in which they were taken.
    readers: BTreeMap<(CommitSequence, u64), Weak<Shared>>,
}

/// A place in the list, for as long as this is there.
pub(super) struct Place {
    readers: Arc<Readers>,
    key: (CommitSequence, u64),
}

impl Readers {
    /// Lets go of the snapshot that sees least, if it sees nothing beyond that commit. False when there is none. Whoever
    /// reads it goes on in a fresh one. Must not be called with a lock that taking or dropping a snapshot needs.
    pub fn let_go_of_oldest(&self, up_to: CommitSequence) -> bool {
        let oldest = {
            let mut listed = self.listed.lock();
            match listed.readers.first_entry() {
                Some(first) if first.key().0 <= up_to => first.remove(),
                _ => return false,
            }
        };
        // One that nobody has any more is being dropped by whoever had it.
        if let Some(oldest) = oldest.upgrade() {
            oldest.release();
        }
        true
    }

    pub(super) fn list(self: &Arc<Self>, sequence: CommitSequence, who: &Arc<Shared>) -> Place {
        let mut listed = self.listed.lock();
        let key = (sequence, listed.next);
        listed.next += 1;
        listed.readers.insert(key, Arc::downgrade(who));
        drop(listed);
        Place { readers: Arc::clone(self), key }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.listed.lock().readers.len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.readers.listed.lock().readers.remove(&self.key);
    }
}
