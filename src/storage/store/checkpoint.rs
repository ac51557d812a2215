//! Checkpoints: bringing the data file up to a commit, so that the log before it can go and memory is free again.
//! Must not know what is in a batch.
//!
//! The steps, and what a crash after each of them finds:
//!
//! 1. Fix the state of a commit, and wait until the log has it. (The last checkpoint, and the log.)
//! 2. Release what the state does without; store its trees, then the meta tree. Only slots that nobody refers to are
//!    written. Part by part, references take the place of what has been stored, so that it is not in memory twice.
//!    (The same.)
//! 3. [`Slab::commit`](crate::storage::slab::Slab::commit). (This checkpoint, and the log.)
//! 4. Cut the log; put references in place of what is left; make free what was released before and is not read any
//!    more. (This checkpoint, and what is left of the log, which begins no later.)

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Event, OpenTree, Shared, View};
use crate::limits::{SETTLE_NODES, TIDY_SECONDS};
use crate::storage::batch::key_of;
use crate::storage::btree::{Edit, Tree};
use crate::storage::encoding::Identity;
use crate::storage::slab::{
    Epoch, ExtentRecord, REFERENCE_BYTES, Reference, Superblock, decode_reference, encode_reference,
};
use crate::storage::{StorageError, TreeId};

const TREE_KEY: u8 = 1;
const EXTENT_KEY: u8 = 2;

/// What the last checkpoint wrote.
pub(super) struct Checkpoints {
    pub(super) identity: Identity,
    pub(super) number: u64,
    pub(super) sequence: u64,
    pub(super) next_tree: u64,
    pub(super) meta: Tree,
    pub(super) trees: BTreeMap<u64, TreeRecord>,
}

/// What the meta tree says of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TreeRecord {
    pub(super) root: Option<Reference>,
    pub(super) count: u64,
}

/// An entry of the meta tree.
pub(super) enum MetaEntry {
    Tree(u64, TreeRecord),
    Extent(u64, ExtentRecord),
}

/// What the thread does next.
enum Task {
    Stop,
    Checkpoint,
    /// See [`Shared::tidy`].
    Tidy,
}

/// A state that is to be written.
struct Frozen {
    view: View,
    events: Vec<Event>,
    next_tree: u64,
}

impl MetaEntry {
    pub(super) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let (kind, name) = key.split_first()?;
        let name = u64::from_be_bytes(name.try_into().ok()?);
        match *kind {
            TREE_KEY => {
                let (root, count) = value.split_first_chunk::<REFERENCE_BYTES>()?;
                let count = u64::from_le_bytes(count.try_into().ok()?);
                Some(Self::Tree(name, TreeRecord { root: decode_reference(root), count }))
            }
            EXTENT_KEY => {
                let (tree, rest) = value.split_first_chunk::<8>()?;
                let (class, live) = rest.split_first()?;
                let (tree, live) = (u64::from_le_bytes(*tree), live.try_into().ok()?);
                Some(Self::Extent(name, ExtentRecord { tree, class: *class, live }))
            }
            _ => None,
        }
    }
}

fn meta_key(kind: u8, name: u64) -> Bytes {
    let mut key = vec![kind];
    key.extend_from_slice(&name.to_be_bytes());
    Bytes::from(key)
}

fn tree_value(record: &TreeRecord) -> Bytes {
    let mut value = encode_reference(record.root).to_vec();
    value.extend_from_slice(&record.count.to_le_bytes());
    Bytes::from(value)
}

fn extent_value(record: &ExtentRecord) -> Bytes {
    let mut value = record.tree.to_le_bytes().to_vec();
    value.push(record.class);
    value.extend_from_slice(&record.live);
    Bytes::from(value)
}

impl Shared {
    /// Writes a checkpoint, unless the last one has everything. After an error the store takes no more writes.
    pub(super) fn checkpoint(&self) -> Result<(), StorageError> {
        let mut last = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        self.log.check()?;
        let Some(frozen) = self.freeze(&last) else { return Ok(()) };
        // The log counts anew.
        self.relieve(0);
        let written = self.write(&mut last, frozen);
        if let Err(error) = &written {
            self.log.poison(&error.to_string());
        }
        self.relieve(usize::MAX);
        written
    }

    /// The thread: writes checkpoints when they are wanted.
    pub(super) fn run_checkpoints(&self) {
        loop {
            let outcome = match self.next_task() {
                Task::Stop => return,
                Task::Checkpoint => self.checkpoint(),
                Task::Tidy => self.tidy(),
            };
            if let Err(error) = outcome {
                tracing::error!("the storage engine stopped writing: {error}");
                let _wanted = self.wanted();
                self.done.notify_all();
                return;
            }
        }
    }

    /// Waits until the thread has something to do.
    fn next_task(&self) -> Task {
        let mut wanted = self.wanted();
        loop {
            if self.stops.load(Ordering::Acquire) {
                return Task::Stop;
            }
            let now = Instant::now();
            let since = self.read_state().since;
            let due = since.map(|since| since + self.options.checkpoint_interval);
            if wanted.checkpoint || due.is_some_and(|due| due <= now) {
                wanted.checkpoint = false;
                return Task::Checkpoint;
            }
            if wanted.tidy_at.is_some_and(|at| at <= now) {
                wanted.tidy_at = None;
                return Task::Tidy;
            }
            wanted = match due.into_iter().chain(wanted.tidy_at).min() {
                Some(next) => {
                    let woken = self.wake.wait_timeout(wanted, next - now);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(wanted).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Makes free what could not be made free by the checkpoint that did without it, and gives back what is free, as
    /// long as nothing else is to be done.
    fn tidy(&self) -> Result<(), StorageError> {
        let _last = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        self.log.check()?;
        let is_idle = || !self.stops.load(Ordering::Acquire) && !self.wanted().checkpoint;
        let tidied = self.pages.reclaim().and_then(|()| self.pages.slab.give_back(&is_idle));
        if let Err(error) = &tidied {
            self.log.poison(&error.to_string());
        }
        self.tidy_later();
        tidied
    }

    /// Looks again soon when there is something left that a snapshot holds.
    pub(super) fn tidy_later(&self) {
        if self.has_threads() && self.pages.slab.has_waiting() {
            let at = Instant::now() + Duration::from_secs(TIDY_SECONDS);
            self.wanted().tidy_at = Some(at);
            self.wake.notify_one();
        }
    }

    /// To be called once a commit is visible that was the first since a checkpoint began: the thread has to know when
    /// the next one is due.
    pub(super) fn begin_interval(&self) {
        if self.has_threads() {
            let _wanted = self.wanted();
            self.wake.notify_one();
        }
    }

    fn freeze(&self, last: &Checkpoints) -> Option<Frozen> {
        let mut state = self.write_state();
        let next_tree = self.next_tree.load(Ordering::Relaxed);
        if state.view.sequence.0 == last.sequence && next_tree == last.next_tree {
            return None;
        }
        let view = state.view.clone();
        state.view.epoch += 1;
        state.view.holder = Arc::new(Epoch);
        state.frozen = std::mem::take(&mut state.dirty);
        state.logged = 0;
        state.since = None;
        let events = std::mem::take(&mut state.events);
        Some(Frozen { view, events, next_tree })
    }

    fn write(&self, last: &mut Checkpoints, mut frozen: Frozen) -> Result<(), StorageError> {
        let sequence = frozen.view.sequence;
        if self.log.durable() < sequence {
            self.wait_for_log(sequence)?;
        }
        let slab = &self.pages.slab;
        for event in &frozen.events {
            match event {
                Event::Replaced(replaced) => replaced.release(slab)?,
                Event::Dropped(tree) => slab.release_tree(*tree),
                Event::Adopted(adoption) => slab.adopt(&adoption.extents)?,
            }
        }
        let mut meta = last.meta.clone();
        let mut edit = Edit::new(&self.pages, last.number);
        let trees = self.write_trees(&mut frozen.view, last, &mut meta, &mut edit)?;
        for (extent, record) in slab.take_changes() {
            let key = meta_key(EXTENT_KEY, extent);
            match record {
                Some(record) => meta.put(&mut edit, key, extent_value(&record))?,
                None => drop(meta.delete(&mut edit, &key)?),
            }
        }
        let (replaced, _) = edit.finish(last.number);
        for replaced in replaced {
            replaced.release(slab)?;
        }
        let meta_root = meta.store(&self.pages)?;
        // What the meta tree has taken is its own, of which there are no records.
        drop(slab.take_changes());
        let superblock = Superblock {
            identity: last.identity,
            checkpoint: last.number + 1,
            sequence: sequence.0,
            next_tree: frozen.next_tree,
            extents: 0,
            meta_root,
            meta_entries: meta.len(),
        };
        slab.commit(superblock, Arc::downgrade(&frozen.view.holder))?;
        last.number += 1;
        last.sequence = sequence.0;
        last.next_tree = frozen.next_tree;
        last.meta = meta.settle();
        last.trees = trees;
        self.counters.checkpoint_written();
        self.log.cut(sequence)?;
        self.settle(&frozen.view);
        drop(frozen);
        self.relieve(usize::MAX);
        self.pages.reclaim()?;
        if !self.has_threads() {
            slab.give_back(&|| true)?;
        }
        self.tidy_later();
        Ok(())
    }

    /// Stores the trees of a view and puts their records into the meta tree where they have changed.
    fn write_trees(
        &self,
        view: &mut View,
        last: &Checkpoints,
        meta: &mut Tree,
        edit: &mut Edit<'_>,
    ) -> Result<BTreeMap<u64, TreeRecord>, StorageError> {
        let mut records = BTreeMap::new();
        for (name, tree) in open_trees(view) {
            let count = tree.tree.len();
            let record = TreeRecord { root: self.write_tree(view, name, tree)?, count };
            if last.trees.get(&name.0) != Some(&record) {
                meta.put(edit, meta_key(TREE_KEY, name.0), tree_value(&record))?;
            }
            records.insert(name.0, record);
        }
        for name in last.trees.keys().filter(|name| !records.contains_key(name)) {
            meta.delete(edit, &meta_key(TREE_KEY, *name))?;
        }
        Ok(records)
    }

    /// Stores a tree of a view, a part at a time: what is safe goes from memory before the next part, and writers who
    /// wait for room go on.
    fn write_tree(
        &self,
        view: &mut View,
        name: TreeId,
        mut tree: OpenTree,
    ) -> Result<Option<Reference>, StorageError> {
        let mut from = Bytes::new();
        let bytes = self.options.checkpoint_part_bytes;
        while let Some(next) = tree.tree.store_some(&self.pages, bytes)? {
            // What a failed sync has lost must still be in memory.
            self.pages.slab.sync()?;
            let part = (from.as_ref(), Some(next.as_ref()));
            tree.tree = tree.tree.settle_some(part, usize::MAX).0;
            drop(view.trees.insert(key_of(name), tree.clone()));
            self.settle_part(name, &tree.writer, part);
            self.relieve(bytes);
            from = next;
        }
        Ok(tree.tree.reference())
    }

    fn wait_for_log(&self, sequence: crate::storage::CommitSequence) -> Result<(), StorageError> {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        self.log.when_durable(sequence, Box::new(move |outcome| drop(send.send(outcome))));
        receive.recv().unwrap_or(Err(StorageError::Closed))
    }

    /// Puts references in place of the nodes that were stored, tree by tree.
    fn settle(&self, written: &View) {
        for (name, tree) in open_trees(written) {
            if !tree.tree.is_stored() {
                self.settle_part(name, &tree.writer, (&[], None));
            }
        }
    }

    /// The same for a part of a tree, in steps that are brief: each is like a batch that changes nothing.
    fn settle_part(
        &self,
        name: TreeId,
        writer: &Arc<Mutex<()>>,
        (from, to): (&[u8], Option<&[u8]>),
    ) {
        let mut next = Some(Bytes::copy_from_slice(from));
        while let Some(from) = next {
            let (old, rest) = self.settle_some(name, writer, (&from, to));
            // Whatever nobody else has is freed here, with no lock held.
            drop(old);
            next = rest;
        }
    }

    /// One step: the tree as it was before, and where to go on.
    fn settle_some(
        &self,
        name: TreeId,
        writer: &Arc<Mutex<()>>,
        part: (&[u8], Option<&[u8]>),
    ) -> (Option<OpenTree>, Option<Bytes>) {
        let _shared = self.structure.read().unwrap_or_else(PoisonError::into_inner);
        let _alone = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.read_state().view.trees.get(&key_of(name)).cloned();
        // It may have been dropped, and even made anew, in which case its writer is another.
        let Some(found) = found.filter(|found| Arc::ptr_eq(&found.writer, writer)) else {
            return (None, None);
        };
        let (tree, next) = found.tree.settle_some(part, SETTLE_NODES);
        let settled = OpenTree { tree, writer: Arc::clone(writer) };
        drop(self.write_state().view.trees.insert(key_of(name), settled));
        (Some(found), next)
    }
}

fn open_trees(view: &View) -> Vec<(TreeId, OpenTree)> {
    let mut trees = Vec::new();
    let _ = view.trees.visit_up(0, &mut |key, tree| {
        if let Ok(name) = <[u8; 8]>::try_from(key.as_ref()) {
            trees.push((TreeId(u64::from_be_bytes(name)), tree.clone()));
        }
        ControlFlow::Continue(())
    });
    trees
}
