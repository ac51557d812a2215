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
//!
//! A step for which there is no room on the disk ends the checkpoint and nothing else: slots that were taken for nothing
//! are free again, what has been stored stays stored, and what was released waits for the checkpoint that comes after it.
//! The meta tree in memory is changed as far as the checkpoint came, and the next one goes on with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Event, Events, OpenTree, Shared, View};
use crate::limits::{CHECKPOINT_PART_BYTES, SETTLE_NODES, TIDY_SECONDS};
use crate::storage::batch::key_of;
use crate::storage::btree::{Edit, Origin, Tree};
use crate::storage::crossed::crossed;
use crate::storage::encoding::Identity;
use crate::storage::slab::{
    Epoch, ExtentRecord, REFERENCE_BYTES, Reference, Superblock, decode_reference, encode_reference,
};
use crate::storage::{CommitSequence, StorageError, TreeId};

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
    /// What has not been told to the data file.
    events: Events,
    next_tree: u64,
    /// Bytes of commits that it has beyond the last one, and when the first of them came.
    logged: usize,
    since: Option<Instant>,
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

fn meta_key(kind: u8, name: u64) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&name.to_be_bytes());
    key
}

fn tree_value(record: &TreeRecord) -> Vec<u8> {
    let mut value = encode_reference(record.root).to_vec();
    value.extend_from_slice(&record.count.to_le_bytes());
    value
}

fn extent_value(record: &ExtentRecord) -> Vec<u8> {
    let mut value = record.tree.to_le_bytes().to_vec();
    value.push(record.class);
    value.extend_from_slice(&record.live);
    value
}

/// Puts an entry into the meta tree.
fn put_meta(
    meta: &mut Tree,
    edit: &mut Edit<'_>,
    mut key: Vec<u8>,
    value: &[u8],
) -> Result<(), StorageError> {
    let length = key.len();
    key.extend_from_slice(value);
    let entry = edit.hold(key);
    meta.put(edit, entry.slice(..length), entry.slice(length..))
}

impl Shared {
    /// Writes a checkpoint, unless the last one has everything. After an error the store takes no more writes, except
    /// after [`StorageError::DiskFull`]: then it is as it was, and the next checkpoint has everything.
    pub(super) fn checkpoint(&self) -> Result<(), StorageError> {
        let last = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        self.checkpoint_after(last)
    }

    /// The same, unless one is being written, in which case nothing is done.
    pub(super) fn checkpoint_if_idle(&self) -> Result<(), StorageError> {
        match self.checkpoints.try_lock() {
            Ok(last) => self.checkpoint_after(last),
            Err(TryLockError::Poisoned(last)) => self.checkpoint_after(last.into_inner()),
            Err(TryLockError::WouldBlock) => Ok(()),
        }
    }

    fn checkpoint_after(&self, mut last: MutexGuard<'_, Checkpoints>) -> Result<(), StorageError> {
        self.log.check()?;
        let Some(mut frozen) = self.freeze(&last) else { return Ok(()) };
        let _running = self.counters.checkpoint_begins();
        // The log counts anew.
        self.relieve();
        let written = self.write(&mut last, &mut frozen);
        match &written {
            Ok(()) => {}
            Err(StorageError::DiskFull { .. }) => self.give_up(frozen),
            Err(error) => self.log.poison(&error.to_string()),
        }
        self.relieve();
        written
    }

    /// Takes back what was to be written: there is no room for it on the disk.
    fn give_up(&self, frozen: Frozen) {
        self.health.set_full(true);
        self.pages.slab.give_up(Arc::downgrade(&frozen.view.holder));
        let mut state = self.write_state();
        state.given_up = std::mem::take(&mut state.frozen);
        state.logged += frozen.logged;
        state.since = frozen.since.or(state.since);
        let mut events = frozen.events;
        events.extend(state.events.take());
        state.events = events;
    }

    /// The thread. A panic in it ends the store, so that nobody waits for what will not come.
    pub(super) fn run_or_end(&self) {
        let run = AssertUnwindSafe(|| self.run_checkpoints());
        if catch_unwind(run).is_err() {
            self.log.poison("the thread of the checkpoints has panicked");
        }
        let _wanted = self.wanted();
        self.done.notify_all();
    }

    /// Writes checkpoints when they are wanted, until it is told to stop or the store takes no more writes.
    fn run_checkpoints(&self) {
        loop {
            let outcome = match self.next_task() {
                Task::Stop => return,
                Task::Checkpoint => self.checkpoint(),
                Task::Tidy => self.tidy(),
            };
            if let Err(error) = self.unless_full(outcome) {
                // Said once, with the first cause.
                return self.log.poison(&error.to_string());
            }
            if self.health.is_full() {
                let _wanted = self.wanted();
                self.done.notify_all();
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
            if self.health.is_full() {
                // A checkpoint is tried by the one task there is then.
                wanted.checkpoint = false;
                let again = now + Duration::from_secs(TIDY_SECONDS);
                let at = *wanted.tidy_at.get_or_insert(again);
                if at.min(again) <= now {
                    wanted.tidy_at = None;
                    return Task::Tidy;
                }
                let woken = self.wake.wait_timeout(wanted, at.min(again) - now);
                wanted = woken.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            if wanted.checkpoint || due.is_some_and(|due| due <= now) {
                wanted.checkpoint = false;
                return Task::Checkpoint;
            }
            if wanted.tidy_at.is_some_and(|at| at <= now) {
                wanted.tidy_at = None;
                return Task::Tidy;
            }
            // Whoever meets a full disk wakes nobody: it may hold any lock. So nobody sleeps for longer than this.
            let look = now + Duration::from_secs(TIDY_SECONDS);
            let next = due.into_iter().chain(wanted.tidy_at).fold(look, Instant::min);
            let woken = self.wake.wait_timeout(wanted, next - now);
            wanted = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Makes free what could not be made free by the checkpoint that did without it, and gives back what is free, as
    /// long as nothing else is to be done.
    fn tidy(&self) -> Result<(), StorageError> {
        {
            let last = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
            self.log.check()?;
            let is_idle = || !self.stops.load(Ordering::Acquire) && !self.wanted().checkpoint;
            self.pages.reclaim();
            self.let_go_for_disk(CommitSequence(last.sequence));
            self.pages.slab.give_back(&is_idle);
        }
        if self.health.is_full() {
            self.make_room()?;
        }
        self.tidy_later();
        Ok(())
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
        let account = Arc::clone(&view.account);
        state.view.account = account.of_epoch(account.epoch() + 1);
        state.frozen = std::mem::take(&mut state.given_up);
        state.frozen.push(account);
        state.view.holder = Arc::new(Epoch);
        let logged = std::mem::take(&mut state.logged);
        let since = state.since.take();
        let no_events = Events::new(&state.view.account);
        let events = std::mem::replace(&mut state.events, no_events);
        Some(Frozen { view, events, next_tree, logged, since })
    }

    fn write(&self, last: &mut Checkpoints, frozen: &mut Frozen) -> Result<(), StorageError> {
        let sequence = frozen.view.sequence;
        if self.log.durable() < sequence {
            self.wait_for_log(sequence)?;
        }
        // Only the first checkpoint may be without a log.
        self.log.ensure_segment()?;
        self.tell_events(&mut frozen.events)?;
        self.write_trees(&mut frozen.view, last)?;
        let meta_root = self.write_meta(last)?;
        let superblock = Superblock {
            identity: last.identity,
            checkpoint: last.number + 1,
            sequence: sequence.0,
            next_tree: frozen.next_tree,
            extents: 0,
            meta_root,
            meta_entries: last.meta.len(),
            least_length: 0,
        };
        self.pages.slab.commit(superblock, Arc::downgrade(&frozen.view.holder))?;
        last.number += 1;
        last.sequence = sequence.0;
        last.next_tree = frozen.next_tree;
        last.meta = last.meta.settle();
        self.counters.checkpoint_written();
        self.log.cut(sequence)?;
        self.settle(&frozen.view);
        // Nobody but snapshots holds the state any more.
        frozen.view = self.read_state().view.clone();
        self.write_state().frozen.clear();
        self.let_go_for_memory(sequence);
        self.relieve();
        self.pages.reclaim();
        self.let_go_for_disk(sequence);
        if !self.has_threads() {
            self.pages.slab.give_back(&|| true);
        }
        self.tidy_later();
        Ok(())
    }

    /// Tells the data file what has become of trees. What is damaged and cannot be released is lost room.
    fn tell_events(&self, events: &mut Events) -> Result<(), StorageError> {
        let slab = &self.pages.slab;
        for event in events.take() {
            match event {
                Event::Replaced(replaced) => {
                    if let Some(damage) = replaced.release(slab)? {
                        self.counters.leaked(&damage);
                    }
                }
                Event::Dropped(tree) => slab.release_tree(tree),
                Event::Adopted(adoption) => slab.adopt(&adoption.extents)?,
            }
        }
        Ok(())
    }

    /// Puts the records of extents into the meta tree and stores it: where its root is.
    fn write_meta(&self, last: &mut Checkpoints) -> Result<Option<Reference>, StorageError> {
        let slab = &self.pages.slab;
        let mut edit = self.edit_meta(last);
        for (extent, record) in slab.take_changes() {
            let key = meta_key(EXTENT_KEY, extent);
            match record {
                Some(record) => put_meta(&mut last.meta, &mut edit, key, &extent_value(&record))?,
                None => drop(last.meta.delete(&mut edit, &key)?),
            }
        }
        self.release_meta(last, edit)?;
        let meta_root = last.meta.store(&self.pages)?;
        // What the meta tree has taken is its own, of which there are no records.
        drop(slab.take_changes());
        Ok(meta_root)
    }

    /// A change of the meta tree, whose epochs are its own.
    fn edit_meta(&self, last: &Checkpoints) -> Edit<'_> {
        let account = self.read_state().view.account.of_epoch(last.number);
        Edit::new(&self.pages, &account, Origin::OwnRecord)
    }

    /// Releases what a change of the meta tree has replaced. A checkpoint that was given up may have stored nodes that
    /// are as young as their replacements.
    fn release_meta(&self, last: &Checkpoints, edit: Edit<'_>) -> Result<(), StorageError> {
        for replaced in edit.finish(last.number + 1) {
            replaced.release(&self.pages.slab)?;
        }
        Ok(())
    }

    /// Stores the trees of a view and puts their records into the meta tree where they have changed.
    fn write_trees(&self, view: &mut View, last: &mut Checkpoints) -> Result<(), StorageError> {
        let trees = open_trees(view);
        let names: BTreeSet<u64> = trees.iter().map(|(name, _)| name.0).collect();
        for (name, tree) in trees {
            let count = tree.tree.len();
            let record = TreeRecord { root: self.write_tree(view, name, tree)?, count };
            if last.trees.get(&name.0) != Some(&record) {
                let mut edit = self.edit_meta(last);
                let key = meta_key(TREE_KEY, name.0);
                put_meta(&mut last.meta, &mut edit, key, &tree_value(&record))?;
                last.trees.insert(name.0, record);
                self.release_meta(last, edit)?;
            }
        }
        let gone: Vec<u64> =
            last.trees.keys().filter(|name| !names.contains(name)).copied().collect();
        for name in gone {
            let mut edit = self.edit_meta(last);
            last.meta.delete(&mut edit, &meta_key(TREE_KEY, name))?;
            last.trees.remove(&name);
            self.release_meta(last, edit)?;
        }
        Ok(())
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
            if bytes >= CHECKPOINT_PART_BYTES {
                crossed("CHECKPOINT_PART_BYTES");
            }
            // What a failed sync has lost must still be in memory.
            self.pages.slab.sync()?;
            let part = (from.as_ref(), Some(next.as_ref()));
            tree.tree = tree.tree.settle_some(part, usize::MAX).0;
            drop(view.trees.insert(key_of(name), tree.clone()));
            self.settle_part(name, &tree.writer, part);
            self.relieve();
            from = next;
        }
        Ok(tree.tree.reference())
    }

    fn wait_for_log(&self, sequence: CommitSequence) -> Result<(), StorageError> {
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
        let _alone = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |view: &View| {
            // It may have been dropped, and even made anew, in which case its writer is another.
            let found = view.trees.get(&key_of(name));
            found.filter(|found| Arc::ptr_eq(&found.writer, writer)).cloned()
        };
        let Some(found) = find(&self.read_state().view) else { return (None, None) };
        let (tree, next) = found.tree.settle_some(part, SETTLE_NODES);
        if next.is_some() {
            crossed("SETTLE_NODES");
        }
        let settled = OpenTree { tree, writer: Arc::clone(writer) };
        let mut state = self.write_state();
        if find(&state.view).is_none() {
            return (None, None);
        }
        drop(state.view.trees.insert(key_of(name), settled));
        drop(state);
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
