//! What was committed to a table, handed on in commit order.
//! Knows that someone may listen; must not know who, or why.
//!
//! Writers of one table commit side by side, so the end of their calls says nothing about the order of their commits.
//! Each writer therefore announces itself before it commits, with the last commit number there was; its own will be
//! greater. What a writer committed waits until every writer that could still turn out to be before it has returned.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Document, PrimaryKey, TableId};
use crate::storage::{CommitSequence, Engine};

/// One document before and after a commit.
#[derive(Debug, Clone)]
pub struct DocumentChange {
    /// Its primary key.
    pub key: PrimaryKey,
    /// What it was; `None` if it was not there.
    pub old: Option<Document>,
    /// What it is; `None` if it is gone.
    pub new: Option<Document>,
}

/// What one commit changed in one table.
#[derive(Debug, Clone)]
pub struct CommittedChanges {
    /// The table.
    pub table: TableId,
    /// The commit.
    pub sequence: CommitSequence,
    /// The documents, in the order they were written; one that was written twice is there twice.
    pub documents: Vec<DocumentChange>,
}

/// Whoever wants to know of changes.
///
/// Who begins to listen first makes [`ChangeSink::listens`] true and then takes a snapshot: every change after the
/// snapshot's sequence is delivered, and those up to it, which may be delivered too, are to be passed over.
pub trait ChangeSink: Send + Sync {
    /// Whether the changes of this table are wanted. Asked after every commit: must be cheap.
    fn listens(&self, table: TableId) -> bool;

    /// Takes the changes of one commit. For one table the calls come one at a time, in the order of their commits.
    /// Runs on a writer's thread: must hand over and return, and must not write to the table.
    fn deliver(&self, changes: CommittedChanges);

    /// The table was dropped; no more changes of it follow.
    fn dropped(&self, table: TableId);
}

/// A sink for those who do not care.
#[derive(Debug, Default)]
pub struct NoSink;

impl ChangeSink for NoSink {
    fn listens(&self, _table: TableId) -> bool {
        false
    }

    fn deliver(&self, _changes: CommittedChanges) {}

    fn dropped(&self, _table: TableId) {}
}

/// Puts the commits of one table in order.
pub(super) struct ChangeOrder {
    sink: Arc<dyn ChangeSink>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_writer: u64,
    /// Writers that have not returned, oldest first, each with a commit number that its own will be greater than.
    /// Numbers are taken under the lock, so they do not fall.
    writers: BTreeMap<u64, CommitSequence>,
    waiting: BTreeMap<CommitSequence, CommittedChanges>,
    /// Whether some thread is delivering; it will look again before it stops.
    delivering: bool,
}

/// A writer that is under way. However it ends, others no longer wait for it.
pub(super) struct Writer<'a> {
    order: &'a ChangeOrder,
    number: u64,
}

impl ChangeOrder {
    pub(super) fn new(sink: Arc<dyn ChangeSink>) -> Self {
        Self { sink, state: Mutex::default() }
    }

    /// Announces a writer, before its commit.
    pub(super) fn announce(&self, engine: &dyn Engine) -> Writer<'_> {
        let mut state = self.lock();
        let number = state.next_writer;
        state.next_writer += 1;
        state.writers.insert(number, engine.last_sequence());
        Writer { order: self, number }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers what no writer under way can come before any more, unless another thread is at it. A delivery that panics
    /// is lost; those that follow are made, whoever waits for them, before the panic goes on.
    fn deliver_ready<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        if state.delivering {
            return;
        }
        state.delivering = true;
        let mut panicked = None;
        while let Some(changes) = state.take_ready() {
            drop(state);
            let delivered = catch_unwind(AssertUnwindSafe(|| self.sink.deliver(changes)));
            panicked = panicked.or(delivered.err());
            state = self.lock();
        }
        state.delivering = false;
        drop(state);
        // A second panic while the first one unwinds would end the process.
        if let Some(panicked) = panicked.filter(|_| !std::thread::panicking()) {
            resume_unwind(panicked);
        }
    }
}

impl State {
    fn take_ready(&mut self) -> Option<CommittedChanges> {
        let first = self.waiting.first_entry()?;
        if self.writers.values().next().is_some_and(|after| first.key() > after) {
            return None;
        }
        Some(first.remove())
    }
}

impl Writer<'_> {
    /// Whether the changes of this table are wanted. To be asked after the commit.
    pub(super) fn listens(&self, table: TableId) -> bool {
        self.order.sink.listens(table)
    }

    /// The writer committed these changes.
    pub(super) fn committed(self, changes: CommittedChanges) {
        self.order.lock().waiting.insert(changes.sequence, changes);
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        let mut state = self.order.lock();
        state.writers.remove(&self.number);
        if !state.waiting.is_empty() {
            self.order.deliver_ready(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryEngine;

    /// Fails at the commits of odd numbers.
    #[derive(Default)]
    struct Fragile(Mutex<Vec<u64>>);

    impl ChangeSink for Fragile {
        fn listens(&self, _table: TableId) -> bool {
            true
        }

        fn deliver(&self, changes: CommittedChanges) {
            assert!(changes.sequence.0.is_multiple_of(2), "an odd number");
            self.0.lock().unwrap().push(changes.sequence.0);
        }

        fn dropped(&self, _table: TableId) {}
    }

    #[test]
    fn feeds_go_on_after_a_delivery_that_panicked() {
        let sink = Arc::new(Fragile::default());
        let order = ChangeOrder::new(sink.clone());
        let engine = MemoryEngine::new();
        let commit = |sequence| {
            let changes = CommittedChanges {
                table: TableId(uuid::Uuid::nil()),
                sequence: CommitSequence(sequence),
                documents: Vec::new(),
            };
            order.announce(&engine).committed(changes);
        };
        // What waits behind it is delivered by the same call.
        let first = order.announce(&engine);
        commit(1);
        commit(2);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(first))).is_err());
        assert_eq!(*sink.0.lock().unwrap(), [2]);
        commit(4);
        assert!(catch_unwind(AssertUnwindSafe(|| commit(5))).is_err());
        commit(6);
        assert_eq!(*sink.0.lock().unwrap(), [2, 4, 6]);
    }
}
