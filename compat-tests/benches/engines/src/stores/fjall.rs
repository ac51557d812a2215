//! fjall, as it comes: one keyspace, its ingestion for loads, `PersistMode::SyncData` for every transaction.

use std::path::Path;

use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use super::{Entries, See, Store, View};
use crate::Error;
use crate::data::Key;

/// The same call of the operating system as the other engines make.
const SYNC: PersistMode = PersistMode::SyncData;

/// An open store.
pub struct FjallStore {
    database: Database,
    keyspace: Keyspace,
}

impl FjallStore {
    /// Opens the store of a directory, or makes one.
    pub fn open(directory: &Path, cache_bytes: usize) -> Result<Self, Error> {
        let database = Database::builder(directory).cache_size(cache_bytes as u64).open()?;
        let keyspace = database.keyspace("bench", KeyspaceCreateOptions::default)?;
        Ok(Self { database, keyspace })
    }
}

impl Store for FjallStore {
    fn bulk_load<'a>(&self, entries: &mut Entries<'a>) -> Result<(), Error> {
        let mut ingestion = self.keyspace.start_ingestion()?;
        for (key, value) in entries {
            ingestion.write(key, value)?;
        }
        ingestion.finish()?;
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn put_all<'a>(&self, entries: &mut Entries<'a>) -> Result<(), Error> {
        let mut batch = self.database.batch().durability(Some(SYNC));
        for (key, value) in entries {
            batch.insert(&self.keyspace, key, value);
        }
        Ok(batch.commit()?)
    }

    fn put(&self, key: &Key, value: &[u8]) -> Result<(), Error> {
        self.keyspace.insert(*key, value)?;
        Ok(self.database.persist(SYNC)?)
    }

    fn view(&self, work: &mut dyn FnMut(&dyn View) -> Result<(), Error>) -> Result<(), Error> {
        work(&FjallView { snapshot: self.database.snapshot(), keyspace: &self.keyspace })
    }

    fn get_fresh(&self, key: &Key, see: &mut See<'_>) -> Result<bool, Error> {
        let found = self.keyspace.get(key)?;
        if let Some(value) = &found {
            see(value);
        }
        Ok(found.is_some())
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        self.database.persist(PersistMode::SyncAll)?;
        drop(self.keyspace);
        drop(self.database);
        Ok(())
    }
}

struct FjallView<'a> {
    snapshot: Snapshot,
    keyspace: &'a Keyspace,
}

impl View for FjallView<'_> {
    fn get(&self, key: &Key, see: &mut See<'_>) -> Result<bool, Error> {
        let found = self.snapshot.get(self.keyspace, key)?;
        if let Some(value) = &found {
            see(value);
        }
        Ok(found.is_some())
    }

    fn scan(&self, backward: bool, see: &mut See<'_>) -> Result<(), Error> {
        let mut entries = self.snapshot.iter(self.keyspace);
        let mut next = || if backward { entries.next_back() } else { entries.next() };
        while let Some((key, value)) = next().map(Guard::into_inner).transpose()? {
            see(&key);
            see(&value);
        }
        Ok(())
    }
}
