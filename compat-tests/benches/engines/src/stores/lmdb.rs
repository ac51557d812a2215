//! LMDB, by its binding heed: `MDB_APPEND` for loads, and a sync with every transaction, which is its default.

use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvOpenOptions, PutFlags, RoTxn};

use super::{Entries, See, Store, View};
use crate::Error;
use crate::data::Key;

/// Address space for the map: more than any workload fills.
const MAP_BYTES: usize = 64 << 30;

/// Threads that may read at the same time.
const READERS: u32 = 256;

/// An open store.
pub struct LmdbStore {
    environment: Env,
    database: Database<Bytes, Bytes>,
}

impl LmdbStore {
    /// Opens the store of a directory, or makes one.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let environment = open_environment(directory)?;
        let mut transaction = environment.write_txn()?;
        let database = environment.create_database(&mut transaction, Some("bench"))?;
        transaction.commit()?;
        Ok(Self { environment, database })
    }
}

#[expect(
    unsafe_code,
    reason = "the map is sound as long as nobody else changes the file of this new directory"
)]
fn open_environment(directory: &Path) -> heed::Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES).max_readers(READERS).max_dbs(1);
    unsafe { options.open(directory) }
}

impl Store for LmdbStore {
    fn bulk_load<'a>(&self, entries: &mut Entries<'a>) -> Result<(), Error> {
        let mut transaction = self.environment.write_txn()?;
        for (key, value) in entries {
            self.database.put_with_flags(&mut transaction, PutFlags::APPEND, &key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn put_all<'a>(&self, entries: &mut Entries<'a>) -> Result<(), Error> {
        let mut transaction = self.environment.write_txn()?;
        for (key, value) in entries {
            self.database.put(&mut transaction, &key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn put(&self, key: &Key, value: &[u8]) -> Result<(), Error> {
        let mut transaction = self.environment.write_txn()?;
        self.database.put(&mut transaction, key, value)?;
        Ok(transaction.commit()?)
    }

    fn view(&self, work: &mut dyn FnMut(&dyn View) -> Result<(), Error>) -> Result<(), Error> {
        let transaction = self.environment.read_txn()?;
        work(&LmdbView { transaction: &transaction, database: &self.database })
    }

    fn get_fresh(&self, key: &Key, see: &mut See<'_>) -> Result<bool, Error> {
        let transaction = self.environment.read_txn()?;
        LmdbView { transaction: &transaction, database: &self.database }.get(key, see)
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        self.environment.prepare_for_closing().wait();
        Ok(())
    }
}

struct LmdbView<'a> {
    transaction: &'a RoTxn<'a>,
    database: &'a Database<Bytes, Bytes>,
}

impl View for LmdbView<'_> {
    fn get(&self, key: &Key, see: &mut See<'_>) -> Result<bool, Error> {
        let found = self.database.get(self.transaction, key)?;
        if let Some(value) = found {
            see(value);
        }
        Ok(found.is_some())
    }

    fn scan(&self, backward: bool, see: &mut See<'_>) -> Result<(), Error> {
        let mut show = |entry: heed::Result<(&[u8], &[u8])>| -> Result<(), Error> {
            let (key, value) = entry?;
            see(key);
            see(value);
            Ok(())
        };
        if backward {
            self.database.rev_iter(self.transaction)?.try_for_each(&mut show)
        } else {
            self.database.iter(self.transaction)?.try_for_each(&mut show)
        }
    }
}
