//! Bulk loads: a tree is built in extents that nobody knows yet, and adopted in one commit.
//! Must not know how nodes are made, nor where extents come from.
//!
//! The steps, and what a crash after each of them finds:
//!
//! 1. Fill lent extents and write them. (They are in no record: free.)
//! 2. Sync the data file. (The same.)
//! 3. Append the adoption to the log. (The same, or the tree, once the log is safe: a start lends the extents again.)
//! 4. The next checkpoint puts the extents into their records. (The tree.)

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use super::pages::Pages;
use super::room::Growth;
use super::{Event, OpenTree, Shared, State};
use crate::limits::{LOAD_SYNC_BYTES, STORAGE_KEY_BYTES, STORAGE_VALUE_BYTES};
use crate::storage::batch::key_of;
use crate::storage::btree::{Tree, TreeBuilder};
use crate::storage::crossed::crossed;
use crate::storage::encoding::Reader;
use crate::storage::slab::{ExtentRecord, Filler, Reference, decode_reference, encode_reference};
use crate::storage::wal::encode_adoption;
use crate::storage::{BulkLoad, Commit, CommitSequence, Durability, StorageError, TreeId};

/// What a tree that was empty has from one commit on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Adoption {
    pub(super) tree: TreeId,
    pub(super) root: Option<Reference>,
    pub(super) count: u64,
    pub(super) extents: Vec<(u64, ExtentRecord)>,
}

impl Adoption {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = encode_reference(self.root).to_vec();
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&(self.extents.len() as u32).to_le_bytes());
        for (number, record) in &self.extents {
            bytes.extend_from_slice(&number.to_le_bytes());
            bytes.push(record.class);
            bytes.extend_from_slice(&record.live);
        }
        bytes
    }

    /// What the log has of it; `None` when the bytes cannot be that.
    pub(super) fn decode(tree: TreeId, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let root = decode_reference(&reader.array()?);
        let (count, extents) = (reader.u64()?, reader.u32()?);
        let mut adoption = Self { tree, root, count, extents: Vec::new() };
        for _ in 0..extents {
            let number = reader.u64()?;
            let [class] = reader.array()?;
            let record = ExtentRecord { tree: tree.0, class, live: reader.array()? };
            adoption.extents.push((number, record));
        }
        let is_empty = count == 0;
        (reader.is_empty() && is_empty == root.is_none()).then_some(adoption)
    }

    /// The tree as it is from then on.
    pub(super) fn loaded(&self) -> Tree {
        Tree::stored(self.tree.0, self.root, self.count)
    }
}

/// A load that is under way.
pub(super) struct SlabLoad {
    tree: TreeId,
    shared: Arc<Shared>,
    /// `None` after an error.
    builder: Option<TreeBuilder>,
    filler: Filler,
    output: Output,
}

impl SlabLoad {
    pub(super) fn begin(shared: &Arc<Shared>, tree: TreeId) -> Result<Self, StorageError> {
        shared.log.check()?;
        shared.check_room_on_disk(Growth::Adds)?;
        shared.read_state().view.tree(tree)?;
        Ok(Self {
            tree,
            shared: Arc::clone(shared),
            builder: Some(TreeBuilder::new(tree.0)),
            filler: Filler::new(tree.0),
            output: Output::begin(shared)?,
        })
    }

    /// Everything that was pushed, safe on the disk.
    fn build(&mut self) -> Result<Adoption, StorageError> {
        let builder = self.builder.take().ok_or(StorageError::Closed)?;
        let Self { shared, filler, output, .. } = self;
        let slab = &shared.pages.slab;
        let mut write = |extent, bytes: &[u8]| output.write(shared, extent, bytes);
        let (root, count) = builder.finish(&mut |image| filler.add(slab, image, &mut write))?;
        let extents = filler.finish(&mut write)?;
        output.finish(shared)?;
        Ok(Adoption { tree: self.tree, root, count, extents })
    }
}

impl BulkLoad for SlabLoad {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let Self { shared, filler, output, builder, .. } = self;
        let slab = &shared.pages.slab;
        let mut write = |extent, bytes: &[u8]| output.write(shared, extent, bytes);
        let mut put = |image: &[u8]| filler.add(slab, image, &mut write);
        let pushed = check_lengths(key, value).and_then(|()| {
            let builder = builder.as_mut().ok_or(StorageError::Closed)?;
            builder.push(key, value, &mut put)
        });
        if pushed.is_err() {
            self.builder = None;
        }
        pushed
    }

    fn finish(mut self: Box<Self>, durability: Durability) -> Result<Commit, StorageError> {
        let adoption = self.build()?;
        let commit = self.shared.adopt(adoption, durability)?;
        // They are the tree's from here on.
        drop(self.filler.take_lent());
        Ok(commit)
    }
}

impl Drop for SlabLoad {
    fn drop(&mut self) {
        // Nothing is written any more once this returns. What went wrong before was told then.
        drop(self.output.stop());
        let lent = self.filler.take_lent();
        if !lent.is_empty() {
            self.shared.pages.slab.take_back(lent);
            self.shared.tidy_later();
        }
    }
}

fn check_lengths(key: &[u8], value: &[u8]) -> Result<(), StorageError> {
    let (length, limit) = (key.len(), STORAGE_KEY_BYTES);
    if length > limit {
        return Err(StorageError::KeyTooLong { length, limit });
    }
    let (length, limit) = (value.len(), STORAGE_VALUE_BYTES);
    if length > limit {
        return Err(StorageError::ValueTooLong { length, limit });
    }
    Ok(())
}

impl Shared {
    /// Makes a loaded tree visible, in the place of an empty one.
    fn adopt(&self, adoption: Adoption, durability: Durability) -> Result<Commit, StorageError> {
        self.wait_for_room(Growth::Adds)?;
        let name = adoption.tree;
        let record = encode_adoption(name, &adoption.encode());
        let writer = self.read_state().view.open_tree(name)?.writer.clone();
        let sequence = {
            let _alone = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let mut state = self.write_state();
            state.check_adoption(&adoption)?;
            // One that was made anew meanwhile is not the one that was to be loaded.
            if !Arc::ptr_eq(&state.view.open_tree(name)?.writer, &writer) {
                return Err(StorageError::NoSuchTree(name));
            }
            let length = record.len();
            let sequence = self.log.append(record, durability == Durability::Hard)?;
            let is_first = state.note_logged(length);
            state.adopt(adoption, sequence);
            drop(state);
            if is_first {
                self.begin_interval();
            }
            sequence
        };
        self.want_checkpoint_if_due();
        Ok(Commit { sequence, durability })
    }
}

impl State {
    /// Whether the tree is there and has nothing in it.
    pub(super) fn check_adoption(&self, adoption: &Adoption) -> Result<(), StorageError> {
        if self.closed {
            return Err(StorageError::Closed);
        }
        let is_empty = self.view.tree(adoption.tree)?.len() == 0;
        if is_empty { Ok(()) } else { Err(StorageError::Conflict) }
    }

    /// Applies an adoption of the log while the store is being opened.
    pub(super) fn adopt_again(
        &mut self,
        pages: &Pages,
        sequence: CommitSequence,
        tree: TreeId,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let wrong = |problem: &str| {
            let problem = format!("commit {}: {problem} (rule 14)", sequence.0);
            StorageError::corrupt("the log", problem)
        };
        let adoption =
            Adoption::decode(tree, bytes).ok_or_else(|| wrong("an adoption is unreadable"))?;
        self.check_adoption(&adoption).map_err(|error| match error {
            StorageError::Conflict => wrong("the tree of an adoption has entries"),
            other => other,
        })?;
        pages.slab.lend_again(&adoption.extents)?;
        self.adopt(adoption, sequence);
        Ok(())
    }

    /// Puts a loaded tree in the place of the empty one.
    pub(super) fn adopt(&mut self, adoption: Adoption, sequence: CommitSequence) {
        if let Ok(found) = self.view.open_tree(adoption.tree) {
            let loaded = OpenTree { tree: adoption.loaded(), writer: Arc::clone(&found.writer) };
            // What was there is empty, so that dropping it takes no time.
            drop(self.view.trees.insert(key_of(adoption.tree), loaded));
        }
        self.view.sequence = sequence;
        self.events.extend([Event::Adopted(Box::new(adoption))]);
    }
}

/// Writes extents. Where there are threads, one of its own makes them safe while more is being built and written.
struct Output {
    unsynced: usize,
    send: Option<SyncSender<()>>,
    thread: Option<JoinHandle<Result<(), StorageError>>>,
}

impl Output {
    fn begin(shared: &Arc<Shared>) -> Result<Self, StorageError> {
        if !shared.has_threads() {
            return Ok(Self { unsynced: 0, send: None, thread: None });
        }
        // One that is under way and one that waits; whoever wants a third waits as well, which bounds what is unsafe.
        let (send, receive) = sync_channel(1);
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("load".to_owned());
        let thread = thread
            .spawn(move || receive.iter().try_for_each(|()| shared.sync_extents()))
            .map_err(|error| StorageError::io("starting the thread of a load", error))?;
        Ok(Self { unsynced: 0, send: Some(send), thread: Some(thread) })
    }

    fn write(&mut self, shared: &Shared, extent: u64, bytes: &[u8]) -> Result<(), StorageError> {
        shared.write_extent(extent, bytes)?;
        self.unsynced += bytes.len();
        // Not all at the end: what waits for the disk then also makes the log wait.
        if self.unsynced < LOAD_SYNC_BYTES {
            return Ok(());
        }
        crossed("LOAD_SYNC_BYTES");
        self.unsynced = 0;
        match &self.send {
            None => shared.sync_extents(),
            Some(send) if send.send(()).is_ok() => Ok(()),
            // It ends by itself only after an error.
            Some(_) => self.stop().and(Err(StorageError::Closed)),
        }
    }

    /// Makes everything safe.
    fn finish(&mut self, shared: &Shared) -> Result<(), StorageError> {
        self.stop()?;
        shared.sync_extents()
    }

    /// Waits until the thread has ended.
    fn stop(&mut self) -> Result<(), StorageError> {
        self.send = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| {
            Err(StorageError::io("a load", io::Error::other("its thread has panicked")))
        })
    }
}

impl Shared {
    // Something else may have failed since the load began: then nothing is written any more.

    fn write_extent(&self, extent: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.log.check()?;
        self.disk.check_left("the tree of an index", bytes.len() as u64)?;
        self.or_poison(self.pages.slab.write_extent(extent, bytes))
    }

    fn sync_extents(&self) -> Result<(), StorageError> {
        self.log.check()?;
        self.or_poison(self.pages.slab.sync())
    }

    /// After a write or sync that failed nothing is written any more.
    fn or_poison(&self, outcome: Result<(), StorageError>) -> Result<(), StorageError> {
        match &outcome {
            // The load gives up, and what it had is free.
            Ok(()) | Err(StorageError::DiskFull { .. }) => {}
            Err(error) => self.log.poison(&error.to_string()),
        }
        outcome
    }
}
