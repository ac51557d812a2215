//! redb. Its own cursor for loads, its own cache for reads, `Durability::Immediate` for every transaction.

use std::ops::Bound;
use std::path::Path;

use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition, WriteTransaction,
};

use super::{Entries, See, Store, View};
use crate::Error;
use crate::data::Key;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("bench");

/// An open store.
pub struct RedbStore {
    database: Database,
}

impl RedbStore {
    /// Opens the store of a directory, or makes one.
    pub fn open(directory: &Path, cache_bytes: usize) -> Result<Self, Error> {
        let path = directory.join("bench.redb");
        let database = Database::builder().set_cache_size(cache_bytes).create(path)?;
        let store = Self { database };
        let transaction = store.begin()?;
        drop(transaction.open_table(TABLE)?);
        transaction.commit()?;
        Ok(store)
    }

    fn begin(&self) -> Result<WriteTransaction, Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        Ok(transaction)
    }

    fn table(&self) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, Error> {
        Ok(self.database.begin_read()?.open_table(TABLE)?)
    }
}

impl Store for RedbStore {
    fn bulk_load<'a>(&self, entries: &mut Entries<'a>) -> Result<(), Error> {
        let transaction = self.begin()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            let mut cursor = table.upper_bound_mut(Bound::<&[u8]>::Unbounded)?;
            for (key, value) in entries {
                cursor.insert_before(key.as_slice(), value)?;
            }
            cursor.close()?;
        }
        Ok(transaction.commit()?)
    }

    fn put_all<'a>(&self, entries: &mut Entries<'a>) -> Result<(), Error> {
        let transaction = self.begin()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in entries {
                table.insert(key.as_slice(), value)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn put(&self, key: &Key, value: &[u8]) -> Result<(), Error> {
        self.put_all(&mut std::iter::once((*key, value)))
    }

    fn view(&self, work: &mut dyn FnMut(&dyn View) -> Result<(), Error>) -> Result<(), Error> {
        work(&RedbView(self.table()?))
    }

    fn get_fresh(&self, key: &Key, see: &mut See<'_>) -> Result<bool, Error> {
        RedbView(self.table()?).get(key, see)
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(self.database.close()?)
    }
}

struct RedbView(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl View for RedbView {
    fn get(&self, key: &Key, see: &mut See<'_>) -> Result<bool, Error> {
        let found = self.0.get(key.as_slice())?;
        if let Some(value) = &found {
            see(value.value());
        }
        Ok(found.is_some())
    }

    fn scan(&self, backward: bool, see: &mut See<'_>) -> Result<(), Error> {
        let mut range = self.0.range::<&[u8]>(..)?;
        while let Some(entry) = if backward { range.next_back() } else { range.next() } {
            let (key, value) = entry?;
            see(key.value());
            see(value.value());
        }
        Ok(())
    }
}
