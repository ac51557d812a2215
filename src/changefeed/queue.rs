//! The changes that wait for one listener.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::hub::Change;

/// Why no further change will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The table was dropped.
    TableDropped,
}

/// What a listener takes out of its queue at once.
#[derive(Debug, Default)]
pub struct Drained {
    /// Changes in commit order.
    pub changes: VecDeque<Arc<Change>>,
    /// How many changes were lost before these, because the queue was full.
    pub skipped: u64,
    /// Why these are the last.
    pub ended: Option<Ended>,
}

/// A bounded queue with one reader.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<Drained>,
    limit: usize,
    ready: Arc<Notify>,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Queue { state: Mutex::default(), limit, ready: Arc::new(Notify::new()) }
    }

    /// Adds a change. A full queue is emptied first, as RethinkDB does: a reader that far behind is told how many
    /// changes it lost and goes on with the newest.
    pub(super) fn push(&self, change: &Arc<Change>) {
        let mut state = self.lock();
        if state.changes.len() >= self.limit {
            state.skipped += state.changes.len() as u64;
            state.changes.clear();
        }
        state.changes.push_back(change.clone());
        drop(state);
        self.ready.notify_one();
    }

    pub(super) fn end(&self, why: Ended) {
        self.lock().ended = Some(why);
        self.ready.notify_one();
    }

    /// Takes up to `most` changes; what was skipped and why the feed ended come with the changes they stand before.
    pub(super) fn drain(&self, most: usize) -> Drained {
        let mut state = self.lock();
        let skipped = std::mem::take(&mut state.skipped);
        if state.changes.len() <= most {
            let changes = std::mem::take(&mut state.changes);
            return Drained { changes, skipped, ended: state.ended };
        }
        Drained { changes: state.changes.drain(..most).collect(), skipped, ended: None }
    }

    pub(super) fn ready(&self) -> &Arc<Notify> {
        &self.ready
    }

    /// The state is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Drained> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
