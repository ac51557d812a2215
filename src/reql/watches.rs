//! The system tables that somebody listens to: one watch for all who ask for the same table in the same way.
//! Knows what a watch gives; must not know how it comes by it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::storage::CommitSequence;
use crate::table::{Document, PrimaryKey, TableId};
use crate::turns;

use super::error::Result;

/// The rows of a system table at one moment.
#[derive(Debug)]
pub struct SystemSnapshot {
    /// Changes up to this one are in the rows.
    pub sequence: CommitSequence,
    /// The rows, by their keys.
    pub rows: BTreeMap<PrimaryKey, Document>,
}

/// Tells the hub what becomes of the rows of a system table, for as long as somebody holds it.
pub trait Watch: Debug + Send + Sync {
    /// The rows now: what changed before is handed to the hub before this returns, and comes in the sequence given or
    /// before it.
    fn snapshot(&self) -> Result<SystemSnapshot>;
}

/// The watches there are.
#[derive(Debug, Default)]
pub struct Watches(Mutex<HashMap<TableId, Weak<dyn Watch>>>);

impl Watches {
    /// The watch over a table; it begins with the first who asks.
    pub fn of(
        &self,
        table: TableId,
        begin: impl FnOnce() -> Result<Arc<dyn Watch>>,
    ) -> Result<Arc<dyn Watch>> {
        let _pause = turns::pause();
        let mut watches = self.0.lock();
        if let Some(watch) = watches.get(&table).and_then(Weak::upgrade) {
            return Ok(watch);
        }
        let watch = begin()?;
        watches.insert(table, Arc::downgrade(&watch));
        Ok(watch)
    }
}
