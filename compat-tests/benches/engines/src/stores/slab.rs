//! The engine of PhotonDB.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use photondb::storage::disk::FileDisk;
use photondb::storage::store::{SlabEngine, SlabOptions};
use photondb::storage::{
    Commit, Direction, Durability, Engine, EntryBatch, FillLimit, KeyRange, ReadMode, Snapshot,
    TreeId, WriteBatch,
};

use super::{Entries, See, Store, View};
use crate::Error;
use crate::data::Key;

/// The tree that everything is in.
pub const TREE: TreeId = TreeId(1);

/// Entries and bytes of one step of a scan.
const STEP: FillLimit = FillLimit { entries: 1_024, bytes: 1 << 20 };

/// An open store.
pub struct SlabStore {
    /// The engine itself, for workloads that only it has.
    pub engine: SlabEngine,
}

impl SlabStore {
    /// Opens the store of a directory, or makes one.
    pub fn open(directory: &Path, cache_bytes: usize) -> Result<Self, Error> {
        Self::open_with(directory, SlabOptions::new(*b"bench of engines", cache_bytes))
    }

    /// The same with other options.
    pub fn open_with(directory: &Path, options: SlabOptions) -> Result<Self, Error> {
        let engine = SlabEngine::open(Arc::new(FileDisk::new(directory)), options)?;
        if !engine.snapshot()?.has_tree(TREE, ReadMode::MayBlock)? {
            let mut batch = WriteBatch::new(Durability::Hard);
            batch.create_tree(TREE);
            let commit = engine.apply(batch)?;
            engine.wait_durable(commit.sequence)?;
        }
        Ok(Self { engine })
    }

    /// Sets entries in one batch, which becomes durable later.
    pub fn put_soft<'a>(&self, entries: &mut Entries<'a>) -> Result<Commit, Error> {
        let mut batch = WriteBatch::new(Durability::Soft);
        for (key, value) in entries {
            batch.put(TREE, Bytes::copy_from_slice(&key), Bytes::copy_from_slice(value));
        }
        Ok(self.engine.apply(batch)?)
    }
}

impl Store for SlabStore {
    fn bulk_load<'a>(&self, entries: &mut Entries<'a>) -> Result<(), Error> {
        let mut load = self.engine.bulk_load(TREE)?;
        for (key, value) in entries {
            load.push(&key, value)?;
        }
        let commit = load.finish(Durability::Hard)?;
        Ok(self.engine.wait_durable(commit.sequence)?)
    }

    fn put_all<'a>(&self, entries: &mut Entries<'a>) -> Result<(), Error> {
        let commit = self.put_soft(entries)?;
        Ok(self.engine.wait_durable(commit.sequence)?)
    }

    fn put(&self, key: &Key, value: &[u8]) -> Result<(), Error> {
        let mut batch = WriteBatch::new(Durability::Hard);
        batch.put(TREE, Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        let commit = self.engine.apply(batch)?;
        Ok(self.engine.wait_durable(commit.sequence)?)
    }

    fn view(&self, work: &mut dyn FnMut(&dyn View) -> Result<(), Error>) -> Result<(), Error> {
        work(&SlabView(self.engine.snapshot()?))
    }

    fn get_fresh(&self, key: &Key, see: &mut See<'_>) -> Result<bool, Error> {
        SlabView(self.engine.snapshot()?).get(key, see)
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(self.engine.close()?)
    }
}

struct SlabView(Arc<dyn Snapshot>);

impl View for SlabView {
    fn get(&self, key: &Key, see: &mut See<'_>) -> Result<bool, Error> {
        Ok(self.0.read(TREE, key, ReadMode::MayBlock, see)?)
    }

    fn scan(&self, backward: bool, see: &mut See<'_>) -> Result<(), Error> {
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        let mut cursor = self.0.cursor(TREE, &KeyRange::ALL, direction)?;
        let mut batch = EntryBatch::new();
        let mut more = true;
        while more {
            batch.clear();
            more = cursor.fill(&mut batch, STEP, ReadMode::MayBlock)?;
            for (key, value) in batch.iter() {
                see(key);
                see(value);
            }
        }
        Ok(())
    }
}
