//! The changes that wait for one listener.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::hub::Change;
use crate::account::{Account, Charge};
use crate::storage::KeyRange;

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

/// How much may wait for one listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Changes.
    pub changes: usize,
    /// Bytes of them. One change may always wait, however long it is.
    pub bytes: usize,
}

/// A bounded queue with one reader.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    bounds: Bounds,
    ready: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    waiting: Drained,
    /// Changes of these keys are not taken.
    passed_over: Option<KeyRange>,
    /// Bytes of the changes that wait, those that other queues share included.
    bytes: usize,
    /// The queue's own memory: a place for each change. What the changes take is charged with them, once for all queues.
    places: Charge,
}

const PLACE_BYTES: usize = size_of::<Arc<Change>>();

impl Queue {
    pub(super) fn new(bounds: Bounds, account: &Arc<Account>) -> Self {
        let places = account.charge(size_of::<Queue>());
        let state = State { waiting: Drained::default(), passed_over: None, bytes: 0, places };
        Queue { state: Mutex::new(state), bounds, ready: Arc::new(Notify::new()) }
    }

    /// Adds a change. A full queue is emptied first, as RethinkDB does: a reader that far behind is told how many
    /// changes it lost and goes on with the newest. Gives how many these are.
    pub(super) fn push(&self, change: &Arc<Change>) -> u64 {
        let mut state = self.lock();
        let key = change.document.key.as_bytes();
        if state.passed_over.as_ref().is_some_and(|keys| keys.contains(key)) {
            return 0;
        }
        let bytes = change.bytes();
        let is_full = state.waiting.changes.len() >= self.bounds.changes
            || state.bytes.saturating_add(bytes) > self.bounds.bytes;
        let lost = if is_full { state.skip() } else { 0 };
        state.bytes += bytes;
        state.waiting.changes.push_back(change.clone());
        state.charge_places();
        drop(state);
        self.ready.notify_one();
        lost
    }

    /// From now on takes no changes of these keys, or those of all keys.
    pub(super) fn pass_over(&self, keys: Option<KeyRange>) {
        self.lock().passed_over = keys;
    }

    pub(super) fn end(&self, why: Ended) {
        self.lock().waiting.ended = Some(why);
        self.ready.notify_one();
    }

    /// Bytes of the changes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Gives up everything that waits; the reader is told how much it was. Gives that, too.
    pub(super) fn shed(&self) -> u64 {
        let mut state = self.lock();
        let lost = state.skip();
        state.charge_places();
        drop(state);
        self.ready.notify_one();
        lost
    }

    /// Takes up to `most` changes, and no more than are about so many bytes; what was skipped and why the feed ended come
    /// with the changes they stand before.
    pub(super) fn drain(&self, most: usize, bytes: usize) -> Drained {
        let mut state = self.lock();
        let skipped = std::mem::take(&mut state.waiting.skipped);
        let (mut count, mut taken) = (0, 0);
        for change in state.waiting.changes.iter().take(most) {
            if taken >= bytes {
                break;
            }
            count += 1;
            taken += change.bytes();
        }
        let all = count == state.waiting.changes.len();
        let changes = if all {
            std::mem::take(&mut state.waiting.changes)
        } else {
            state.waiting.changes.drain(..count).collect()
        };
        state.bytes -= taken;
        state.charge_places();
        let ended = state.waiting.ended.filter(|_| all);
        Drained { changes, skipped, ended }
    }

    pub(super) fn ready(&self) -> &Arc<Notify> {
        &self.ready
    }

    /// The state is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn skip(&mut self) -> u64 {
        let lost = self.waiting.changes.len() as u64;
        self.waiting.skipped += lost;
        self.waiting.changes = VecDeque::new();
        self.bytes = 0;
        lost
    }

    fn charge_places(&mut self) {
        let bytes = size_of::<Queue>() + self.waiting.changes.capacity() * PLACE_BYTES;
        if bytes != self.places.bytes() {
            self.places.set(bytes);
        }
    }
}
