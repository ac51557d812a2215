//! Engines of tests that are another engine but for a few things. Only compiled for tests.

use std::sync::Arc;

use super::{
    BulkLoad, Commit, CommitSequence, DurableCallback, Engine, Readers, Snapshot, StorageError,
    TreeId, WriteBatch,
};

/// What is different; the rest is the engine within.
pub(crate) trait Overlay: Send + Sync {
    fn inner(&self) -> &dyn Engine;

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StorageError> {
        self.inner().snapshot()
    }

    fn apply(&self, batch: WriteBatch) -> Result<Commit, StorageError> {
        self.inner().apply(batch)
    }

    fn has_room(&self) -> bool {
        self.inner().has_room()
    }

    fn durable_sequence(&self) -> CommitSequence {
        self.inner().durable_sequence()
    }

    fn when_durable(&self, sequence: CommitSequence, callback: DurableCallback) {
        self.inner().when_durable(sequence, callback);
    }

    fn is_sole_writer(&self) -> bool {
        self.inner().is_sole_writer()
    }
}

impl<O: Overlay> Engine for O {
    fn name(&self) -> &'static str {
        self.inner().name()
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StorageError> {
        Overlay::snapshot(self)
    }

    fn apply(&self, batch: WriteBatch) -> Result<Commit, StorageError> {
        Overlay::apply(self, batch)
    }

    fn readers(&self) -> Option<&Arc<Readers>> {
        self.inner().readers()
    }

    fn has_room(&self) -> bool {
        Overlay::has_room(self)
    }

    fn bulk_load(&self, tree: TreeId) -> Result<Box<dyn BulkLoad + '_>, StorageError> {
        self.inner().bulk_load(tree)
    }

    fn new_tree_id(&self) -> Result<TreeId, StorageError> {
        self.inner().new_tree_id()
    }

    fn last_sequence(&self) -> CommitSequence {
        self.inner().last_sequence()
    }

    fn durable_sequence(&self) -> CommitSequence {
        Overlay::durable_sequence(self)
    }

    fn when_durable(&self, sequence: CommitSequence, callback: DurableCallback) {
        Overlay::when_durable(self, sequence, callback);
    }

    fn is_sole_writer(&self) -> bool {
        Overlay::is_sole_writer(self)
    }

    fn close(&self) -> Result<(), StorageError> {
        self.inner().close()
    }
}
