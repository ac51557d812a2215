//! Fans changes out to listeners.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use tokio::sync::Notify;

use super::queue::{Drained, Ended, Queue};
use crate::storage::{CommitSequence, KeyRange};
use crate::table::{ChangeSink, CommittedChanges, DocumentChange, PrimaryKey, TableId};

/// Which keys a listener wants to hear of.
#[derive(Clone, Debug)]
pub enum Interest {
    /// One document.
    Point(PrimaryKey),
    /// Every document whose primary key lies in the range.
    Range(KeyRange),
}

/// A document's change, with the commit that made it.
#[derive(Debug)]
pub struct Change {
    /// The commit.
    pub sequence: CommitSequence,
    /// The document before and after.
    pub document: DocumentChange,
}

/// All listeners of the server, by table.
#[derive(Debug, Default)]
pub struct Hub {
    tables: RwLock<HashMap<TableId, Listeners>>,
}

#[derive(Debug, Default)]
struct Listeners {
    points: HashMap<PrimaryKey, Vec<Arc<Queue>>>,
    ranges: Vec<(KeyRange, Arc<Queue>)>,
}

impl Hub {
    /// Listens from now on: every change committed after this call is put into the queue.
    ///
    /// At most `limit` changes wait in the queue; see [`Drained::skipped`].
    pub fn subscribe(
        self: &Arc<Self>,
        table: TableId,
        interest: Interest,
        limit: usize,
    ) -> Subscription {
        let queue = Arc::new(Queue::new(limit));
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let listeners = tables.entry(table).or_default();
        match &interest {
            Interest::Point(key) => {
                listeners.points.entry(key.clone()).or_default().push(queue.clone());
            }
            Interest::Range(range) => listeners.ranges.push((range.clone(), queue.clone())),
        }
        drop(tables);
        Subscription { hub: Arc::downgrade(self), table, interest, queue }
    }

    fn unsubscribe(&self, table: TableId, interest: &Interest, queue: &Arc<Queue>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let Some(listeners) = tables.get_mut(&table) else { return };
        match interest {
            Interest::Point(key) => {
                if let Some(queues) = listeners.points.get_mut(key) {
                    queues.retain(|have| !Arc::ptr_eq(have, queue));
                    if queues.is_empty() {
                        listeners.points.remove(key);
                    }
                }
            }
            Interest::Range(_) => listeners.ranges.retain(|(_, have)| !Arc::ptr_eq(have, queue)),
        }
        if listeners.points.is_empty() && listeners.ranges.is_empty() {
            tables.remove(&table);
        }
    }
}

impl ChangeSink for Hub {
    fn listens(&self, table: TableId) -> bool {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).contains_key(&table)
    }

    fn deliver(&self, changes: CommittedChanges) {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let Some(listeners) = tables.get(&changes.table) else { return };
        for document in changes.documents {
            listeners.deliver(&Arc::new(Change { sequence: changes.sequence, document }));
        }
    }

    fn dropped(&self, table: TableId) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let Some(listeners) = tables.remove(&table) else { return };
        drop(tables);
        let points = listeners.points.into_values().flatten();
        for queue in points.chain(listeners.ranges.into_iter().map(|(_, queue)| queue)) {
            queue.end(Ended::TableDropped);
        }
    }
}

impl Listeners {
    fn deliver(&self, change: &Arc<Change>) {
        let key = &change.document.key;
        for queue in self.points.get(key).into_iter().flatten() {
            queue.push(change);
        }
        for (range, queue) in &self.ranges {
            if range.contains(key.as_bytes()) {
                queue.push(change);
            }
        }
    }
}

/// One listener. Dropping it ends the listening.
#[derive(Debug)]
pub struct Subscription {
    hub: Weak<Hub>,
    table: TableId,
    interest: Interest,
    queue: Arc<Queue>,
}

impl Subscription {
    /// Takes up to `most` changes that have arrived.
    pub fn drain(&self, most: usize) -> Drained {
        self.queue.drain(most)
    }

    /// Notified when there is something to take.
    pub fn ready(&self) -> &Arc<Notify> {
        self.queue.ready()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.unsubscribe(self.table, &self.interest, &self.queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;
    use crate::datum::Datum;
    use crate::table::{Document, key_range};
    use uuid::Uuid;

    const TABLE: TableId = TableId(Uuid::nil());

    fn key(number: f64) -> PrimaryKey {
        PrimaryKey::encode(&Datum::Number(number)).unwrap()
    }

    fn commit(hub: &Hub, sequence: u64, ids: &[f64]) {
        let documents = ids.iter().map(|id| DocumentChange {
            key: key(*id),
            old: None,
            new: Some(Document::encode(&Datum::object([("id", Datum::Number(*id))])).unwrap()),
        });
        hub.deliver(CommittedChanges {
            table: TABLE,
            sequence: CommitSequence(sequence),
            documents: documents.collect(),
        });
    }

    fn sequences(drained: &Drained) -> Vec<u64> {
        drained.changes.iter().map(|change| change.sequence.0).collect()
    }

    #[test]
    fn listeners_hear_of_their_keys_in_commit_order() {
        let hub = Arc::new(Hub::default());
        assert!(!hub.listens(TABLE));
        let point = hub.subscribe(TABLE, Interest::Point(key(2.0)), 10);
        let (low, high) = (Datum::Number(1.0), Datum::Number(3.0));
        let bounds = key_range(Bound::Included(&low), Bound::Excluded(&high)).unwrap();
        let range = hub.subscribe(TABLE, Interest::Range(bounds), 10);
        commit(&hub, 1, &[1.0, 2.0]);
        commit(&hub, 2, &[3.0]);
        commit(&hub, 3, &[2.0]);
        assert_eq!(sequences(&point.drain(10)), [1, 3]);
        assert_eq!(sequences(&range.drain(2)), [1, 1]);
        assert_eq!(sequences(&range.drain(2)), [3]);
        drop((point, range));
        assert!(!hub.listens(TABLE));
    }

    #[test]
    fn a_slow_listener_loses_the_oldest_and_is_told_how_many() {
        let hub = Arc::new(Hub::default());
        let slow = hub.subscribe(TABLE, Interest::Range(KeyRange::ALL), 2);
        for sequence in 1..=5 {
            commit(&hub, sequence, &[1.0]);
        }
        let drained = slow.drain(10);
        assert_eq!(drained.skipped, 4);
        assert_eq!(sequences(&drained), [5]);
    }

    #[test]
    fn a_dropped_table_ends_its_feeds_after_what_is_left() {
        let hub = Arc::new(Hub::default());
        let feed = hub.subscribe(TABLE, Interest::Range(KeyRange::ALL), 10);
        commit(&hub, 1, &[1.0, 2.0]);
        hub.dropped(TABLE);
        assert_eq!(feed.drain(1).ended, None);
        assert_eq!(feed.drain(1).ended, Some(Ended::TableDropped));
    }
}
