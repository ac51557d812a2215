//! What becomes of the rows of system tables, for those who listen to them.
//!
//! A system table that somebody listens to has a watch: a thread that wakes when the rows may have changed, compares
//! them with what they were, and hands the differences to the hub, as a commit does with those of a table. All feeds of
//! a table in one format of identifiers share one watch; with the last of them it goes. Must not know feeds or queries.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::bell::{Listener, Woken};
use crate::limits::{SYSTEM_FEED_REST, SYSTEM_FEED_RETRY, SYSTEM_FEED_TICK};
use crate::reql::context::Context;
use crate::reql::error::{Error, Result};
use crate::reql::watches::{SystemSnapshot, Watch};
use crate::storage::CommitSequence;
use crate::table::{ChangeSink, CommittedChanges, Document, DocumentChange, PrimaryKey, TableId};
use crate::turns;

use super::{Look, News, SystemTable, id_of};

/// Rows by their keys.
type Rows = BTreeMap<PrimaryKey, Document>;

/// The watch over one table.
#[derive(Debug)]
pub(super) struct TableWatch {
    table: &'static SystemTable,
    by_id: bool,
    context: Weak<Context>,
    seen: Mutex<Seen>,
    listener: Arc<Listener>,
}

/// The rows as listeners know them.
#[derive(Debug, Default)]
struct Seen {
    rows: Rows,
    /// Grows with every look that found a difference.
    sequence: u64,
}

impl TableWatch {
    /// Looks at the table from now on.
    pub(super) fn begin(
        context: &Arc<Context>,
        table: &'static SystemTable,
        by_id: bool,
    ) -> Result<Arc<Self>> {
        let watch = Arc::new(Self {
            table,
            by_id,
            context: Arc::downgrade(context),
            seen: Mutex::default(),
            listener: Arc::default(),
        });
        // Nobody listens yet: what the first look finds is told to nobody.
        drop(watch.look(context)?);
        watch.start(context)?;
        Ok(watch)
    }

    /// Hands over what has changed since the last look.
    fn look(&self, context: &Context) -> Result<MutexGuard<'_, Seen>> {
        // Held until the differences are handed over, so that they come in order.
        let mut seen = self.seen.lock();
        let now = self.rows(context)?;
        // A log only grows: old lines go from memory, not from it, and another name of the server is no news of them.
        let grows = self.table.news.contains(&News::Log);
        let documents = differences(&seen.rows, &now, grows);
        seen.rows = now;
        if !documents.is_empty() {
            seen.sequence += 1;
            let (table, sequence) = (self.id(), CommitSequence(seen.sequence));
            context.hub.deliver(CommittedChanges { table, sequence, documents });
        }
        Ok(seen)
    }

    fn rows(&self, context: &Context) -> Result<Rows> {
        let look = Look { context, by_id: self.by_id };
        let mut rows = Rows::new();
        for row in (self.table.rows)(&look)? {
            let key = PrimaryKey::encode(row.get_or_error("id")?)?;
            let document = Document::encode(&row);
            rows.insert(key, document.map_err(|error| Error::internal(error.to_string()))?);
        }
        Ok(rows)
    }

    fn id(&self) -> TableId {
        id_of(self.table.name, self.by_id)
    }

    /// Begins to look whenever there is news.
    fn start(self: &Arc<Self>, context: &Context) -> Result<()> {
        let mut tick = None;
        for news in self.table.news {
            match news {
                News::Catalog => context.catalog.changed().add(&self.listener),
                News::Users => context.users.changed().add(&self.listener),
                News::Clock => tick = Some(SYSTEM_FEED_TICK),
                News::Log => {
                    if let Some(facts) = context.facts() {
                        facts.log.added().add(&self.listener);
                    }
                }
            }
        }
        let (watch, listener) = (Arc::downgrade(self), self.listener.clone());
        let thread = std::thread::Builder::new().name(format!("watch {}", self.table.name));
        let started = thread.spawn(move || keep_looking(&watch, &listener, tick));
        started.map(drop).map_err(|error| Error::internal(format!("No thread: {error}")))
    }
}

impl Watch for TableWatch {
    fn snapshot(&self) -> Result<SystemSnapshot> {
        let _pause = turns::pause();
        let context =
            self.context.upgrade().ok_or_else(|| Error::internal("The server is gone."))?;
        let seen = self.look(&context)?;
        Ok(SystemSnapshot { sequence: CommitSequence(seen.sequence), rows: seen.rows.clone() })
    }
}

impl Drop for TableWatch {
    fn drop(&mut self) {
        self.listener.end();
    }
}

/// Looks until the watch or the server is gone. Holds neither while it waits.
fn keep_looking(watch: &Weak<TableWatch>, listener: &Listener, tick: Option<Duration>) {
    while listener.wait(tick) != Woken::Ended {
        let Some(watch) = watch.upgrade() else { return };
        let Some(context) = watch.context.upgrade() else { return };
        let began = Instant::now();
        let rest = match watch.look(&context).map(drop) {
            Ok(()) => began.elapsed().saturating_mul(SYSTEM_FEED_REST),
            Err(_) => {
                // Nobody can tell what was missed.
                context.hub.dropped(watch.id());
                SYSTEM_FEED_RETRY
            }
        };
        drop((watch, context));
        if !listener.pause(rest) {
            return;
        }
    }
}

/// What is other than before, in the order of the keys. Of what only `grows` nothing but new rows is told.
fn differences(old: &Rows, new: &Rows, grows: bool) -> Vec<DocumentChange> {
    let mut changes = Vec::new();
    let gone = old.iter().filter(|(key, _)| !grows && !new.contains_key(key));
    for (key, row) in gone {
        changes.push(DocumentChange { key: key.clone(), old: Some(row.clone()), new: None });
    }
    for (key, row) in new {
        let old = old.get(key);
        if old != Some(row) && !(grows && old.is_some()) {
            let (key, old, new) = (key.clone(), old.cloned(), Some(row.clone()));
            changes.push(DocumentChange { key, old, new });
        }
    }
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datum::Datum;
    use crate::reql::system::TABLES;

    fn table(name: &str) -> &'static SystemTable {
        TABLES.iter().find(|table| table.name == name).unwrap()
    }

    fn rows(rows: &[(f64, &str)]) -> Rows {
        let row = |&(id, text): &(f64, &str)| {
            let key = PrimaryKey::encode(&Datum::Number(id)).unwrap();
            let row = Datum::object([("id", Datum::Number(id)), ("text", text.into())]);
            (key, Document::encode(&row).unwrap())
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn differences_come_in_the_order_of_keys() {
        let (old, new) = (
            rows(&[(1.0, "stays"), (2.0, "goes"), (3.0, "changes")]),
            rows(&[(0.0, "comes"), (1.0, "stays"), (3.0, "changed")]),
        );
        let what = |grows| -> Vec<(bool, bool)> {
            let found = differences(&old, &new, grows);
            assert!(found.is_sorted_by(|a, b| a.key < b.key));
            found.iter().map(|change| (change.old.is_some(), change.new.is_some())).collect()
        };
        assert_eq!(what(false), [(false, true), (true, false), (true, true)]);
        assert_eq!(what(true), [(false, true)]);
        assert!(differences(&old, &old, false).is_empty());
    }

    #[test]
    fn a_watch_is_shared_and_its_thread_ends_with_the_last_who_holds_it() {
        let context = Arc::new(Context::in_memory("test").unwrap());
        for name in ["stats", "db_config"] {
            let mut listeners = Vec::new();
            let mut watch = |by_id| {
                context.watches.of(id_of(name, by_id), || {
                    let begun = TableWatch::begin(&context, table(name), by_id)?;
                    listeners.push(Arc::downgrade(&begun.listener));
                    Ok(begun)
                })
            };
            let (one, other) = (watch(false).unwrap(), watch(false).unwrap());
            assert!(Arc::ptr_eq(&one, &other));
            let by_id = watch(true).unwrap();
            assert!(!Arc::ptr_eq(&one, &by_id));
            let [listener, _] = &listeners[..] else { panic!("{} watches", listeners.len()) };
            drop(one);
            assert!(listener.strong_count() > 0);
            drop(other);
            let began = Instant::now();
            while listener.strong_count() > 0 {
                assert!(began.elapsed() < Duration::from_secs(30), "the thread goes on");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
