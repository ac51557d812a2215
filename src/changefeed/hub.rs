//! Fans changes out to listeners.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use tokio::sync::Notify;

use super::lost::Lost;
use super::queue::{Bounds, Drained, Ended, Queue};
use crate::account::{Account, Charge};
use crate::limits;
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
    /// What it takes of memory, once for all queues that it waits in, until the last feed has told of it.
    charge: Charge,
}

impl Change {
    /// Bytes that it takes of memory.
    pub fn bytes(&self) -> usize {
        self.charge.bytes()
    }
}

/// All listeners of the server, by table.
#[derive(Debug, Default)]
pub struct Hub {
    tables: RwLock<HashMap<TableId, Listeners>>,
    /// What waits for all of them.
    account: Arc<Account>,
    /// What the queues gave up of it.
    lost: Lost,
    next: AtomicU64,
}

/// The listeners of a table by their numbers: one client may have many thousand, and closes all of them at once.
#[derive(Debug, Default)]
struct Listeners {
    points: HashMap<PrimaryKey, BTreeMap<u64, Arc<Queue>>>,
    ranges: BTreeMap<u64, (KeyRange, Arc<Queue>)>,
}

impl Hub {
    /// What waits for all listeners, in bytes. Its bound is that of all of them together.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Changes that feeds have lost since the start.
    pub fn lost(&self) -> u64 {
        self.lost.all()
    }

    /// Bytes that may wait for one listener.
    pub fn most_of_one(&self) -> usize {
        let part = usize::try_from(self.account.most() / limits::FEED_QUEUE_PART);
        part.unwrap_or(usize::MAX).min(limits::FEED_QUEUE_BYTES)
    }

    /// Listens from now on: every change committed after this call is put into the queue.
    ///
    /// At most `limit` changes wait in the queue, and at most [`Hub::most_of_one`] bytes of them; when all queues
    /// together are too much, the largest are emptied. See [`Drained::skipped`].
    pub fn subscribe(
        self: &Arc<Self>,
        table: TableId,
        interest: Interest,
        limit: usize,
    ) -> Subscription {
        let bounds = Bounds { changes: limit, bytes: self.most_of_one() };
        let queue = Arc::new(Queue::new(bounds, &self.account));
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let listeners = tables.entry(table).or_default();
        match &interest {
            Interest::Point(key) => {
                listeners.points.entry(key.clone()).or_default().insert(number, queue.clone());
            }
            Interest::Range(range) => {
                listeners.ranges.insert(number, (range.clone(), queue.clone()));
            }
        }
        drop(tables);
        Subscription { hub: Arc::downgrade(self), table, interest, number, queue }
    }

    fn unsubscribe(&self, table: TableId, interest: &Interest, number: u64) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let Some(listeners) = tables.get_mut(&table) else { return };
        match interest {
            Interest::Point(key) => {
                if let Some(queues) = listeners.points.get_mut(key) {
                    queues.remove(&number);
                    if queues.is_empty() {
                        listeners.points.remove(key);
                    }
                }
            }
            Interest::Range(_) => drop(listeners.ranges.remove(&number)),
        }
        if listeners.points.is_empty() && listeners.ranges.is_empty() {
            tables.remove(&table);
        }
    }
}

impl Hub {
    /// Empties queues, those with most bytes first, until there is room again: a quarter of what may wait, so that this
    /// is not done for every change. What a queue shares with others is not free before they have let go of it, too. Gives
    /// how many changes were lost.
    fn shed(&self, tables: &HashMap<TableId, Listeners>) -> u64 {
        let room = self.account.most() / 4 * 3;
        let mut queues: Vec<_> = tables.values().flat_map(Listeners::queues).collect();
        queues.sort_by_cached_key(|queue| std::cmp::Reverse(queue.bytes()));
        let fullest = queues.into_iter().take_while(|_| self.account.held() > room);
        fullest.map(|queue| queue.shed()).sum()
    }
}

#[cfg(test)]
impl Hub {
    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.tables.read().unwrap().values().map(|table| table.queues().count()).sum()
    }
}

/// What a change takes of memory.
fn bytes_of(change: &DocumentChange) -> usize {
    let documents = [&change.old, &change.new].into_iter().flatten();
    let documents: usize = documents.map(|document| document.as_bytes().len()).sum();
    size_of::<Change>() + change.key.as_bytes().len() + documents
}

impl ChangeSink for Hub {
    fn listens(&self, table: TableId) -> bool {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).contains_key(&table)
    }

    fn deliver(&self, changes: CommittedChanges) {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let Some(listeners) = tables.get(&changes.table) else { return };
        let mut behind = 0;
        for document in changes.documents {
            let charge = self.account.charge(bytes_of(&document));
            let change = Change { sequence: changes.sequence, document, charge };
            behind += listeners.deliver(&Arc::new(change));
        }
        let shed = if self.account.is_over() { self.shed(&tables) } else { 0 };
        // The log is told once nobody waits for the listeners.
        drop(tables);
        self.lost.by_slow_readers(changes.table, behind);
        self.lost.by_all_together(shed);
    }

    fn dropped(&self, table: TableId) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let Some(listeners) = tables.remove(&table) else { return };
        drop(tables);
        for queue in listeners.queues() {
            queue.end(Ended::TableDropped);
        }
    }
}

impl Listeners {
    fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        let points = self.points.values().flat_map(BTreeMap::values);
        points.chain(self.ranges.values().map(|(_, queue)| queue))
    }

    /// Gives how many changes were lost for it, by all queues together.
    fn deliver(&self, change: &Arc<Change>) -> u64 {
        let key = &change.document.key;
        let mut lost = 0;
        for queue in self.points.get(key).into_iter().flat_map(BTreeMap::values) {
            lost += queue.push(change);
        }
        for (range, queue) in self.ranges.values() {
            if range.contains(key.as_bytes()) {
                lost += queue.push(change);
            }
        }
        lost
    }
}

/// One listener. Dropping it ends the listening.
#[derive(Debug)]
pub struct Subscription {
    hub: Weak<Hub>,
    table: TableId,
    interest: Interest,
    number: u64,
    queue: Arc<Queue>,
}

impl Subscription {
    /// Takes up to `most` changes that have arrived, and no more than are about so many bytes.
    pub fn drain(&self, most: usize, bytes: usize) -> Drained {
        self.queue.drain(most, bytes)
    }

    /// From now on no changes of these keys arrive: whoever listens will read them at a later commit point than all that
    /// are delivered until this is taken back, which must come before it takes the snapshot to read from.
    pub fn pass_over(&self, keys: Option<KeyRange>) {
        self.queue.pass_over(keys);
    }

    /// Notified when there is something to take.
    pub fn ready(&self) -> &Arc<Notify> {
        self.queue.ready()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.unsubscribe(self.table, &self.interest, self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;
    use std::time::{Duration, Instant};

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
        assert_eq!(sequences(&point.drain(10, usize::MAX)), [1, 3]);
        assert_eq!(sequences(&range.drain(2, usize::MAX)), [1, 1]);
        assert_eq!(sequences(&range.drain(2, usize::MAX)), [3]);
        drop((point, range));
        assert!(!hub.listens(TABLE));
    }

    #[test]
    fn a_hundred_thousand_listeners_leave_as_quickly_as_they_came() {
        let hub = Arc::new(Hub::default());
        for interest in [Interest::Range(KeyRange::ALL), Interest::Point(key(1.0))] {
            let began = Instant::now();
            let all: Vec<_> =
                (0..100_000).map(|_| hub.subscribe(TABLE, interest.clone(), 10)).collect();
            let came = began.elapsed();
            // From the first on, which was the slowest way.
            drop(all);
            let left = began.elapsed() - came;
            assert!(left < came * 5 + Duration::from_secs(1), "came in {came:?}, left in {left:?}");
            assert!(!hub.listens(TABLE));
        }
    }

    #[test]
    fn a_slow_listener_loses_the_oldest_and_is_told_how_many() {
        let hub = Arc::new(Hub::default());
        let slow = hub.subscribe(TABLE, Interest::Range(KeyRange::ALL), 2);
        for sequence in 1..=5 {
            commit(&hub, sequence, &[1.0]);
        }
        let drained = slow.drain(10, usize::MAX);
        assert_eq!(drained.skipped, 4);
        assert_eq!(sequences(&drained), [5]);
        assert_eq!(hub.lost(), 4, "and the operator as well");
    }

    #[test]
    fn changes_of_keys_that_are_passed_over_do_not_wait() {
        let hub = Arc::new(Hub::default());
        let feed = hub.subscribe(TABLE, Interest::Range(KeyRange::ALL), 2);
        feed.pass_over(Some(KeyRange::new(
            Bound::Excluded(key(1.0).as_bytes().clone()),
            Bound::Unbounded,
        )));
        commit(&hub, 1, &[1.0, 2.0, 3.0, 4.0]);
        feed.pass_over(None);
        commit(&hub, 2, &[2.0]);
        let drained = feed.drain(10, usize::MAX);
        assert_eq!((sequences(&drained), drained.skipped), (vec![1, 2], 0));
    }

    #[test]
    fn a_dropped_table_ends_its_feeds_after_what_is_left() {
        let hub = Arc::new(Hub::default());
        let feed = hub.subscribe(TABLE, Interest::Range(KeyRange::ALL), 10);
        commit(&hub, 1, &[1.0, 2.0]);
        hub.dropped(TABLE);
        assert_eq!(feed.drain(1, usize::MAX).ended, None);
        assert_eq!(feed.drain(1, usize::MAX).ended, Some(Ended::TableDropped));
    }

    /// Changes one document, which becomes so long.
    fn commit_long(hub: &Hub, sequence: u64, table: TableId, bytes: usize) {
        let text = Datum::string(&"x".repeat(bytes));
        let document = Datum::object([("id", Datum::Number(1.0)), ("text", text)]);
        let new = Some(Document::encode(&document).unwrap());
        let change = DocumentChange { key: key(1.0), old: None, new };
        let sequence = CommitSequence(sequence);
        hub.deliver(CommittedChanges { table, sequence, documents: vec![change] });
    }

    #[test]
    fn a_queue_is_bounded_in_bytes_and_tells_what_it_lost() {
        let hub = Arc::new(Hub::default());
        let slow = hub.subscribe(TABLE, Interest::Range(KeyRange::ALL), 1_000_000);
        let fits = limits::FEED_QUEUE_BYTES / (1 << 20) - 1;
        for sequence in 1..=fits as u64 + 1 {
            commit_long(&hub, sequence, TABLE, 1 << 20);
        }
        assert!(hub.account().held() < 2 << 20, "{}", hub.account().held());
        let drained = slow.drain(1_000, usize::MAX);
        assert_eq!(drained.skipped, fits as u64);
        assert_eq!(sequences(&drained), [fits as u64 + 1]);
        // One that is longer than the bound may wait alone.
        hub.account().set_most(16 << 20);
        let slow = hub.subscribe(TABLE, Interest::Range(KeyRange::ALL), 1_000_000);
        commit_long(&hub, 1_000, TABLE, 5 << 20);
        commit_long(&hub, 1_001, TABLE, 1);
        let drained = slow.drain(1_000, usize::MAX);
        assert_eq!((drained.skipped, sequences(&drained)), (1, vec![1_001]));
    }

    #[test]
    fn what_queues_share_is_charged_once_and_given_back_with_the_last() {
        let hub = Arc::new(Hub::default());
        let feeds: Vec<_> =
            (0..50).map(|_| hub.subscribe(TABLE, Interest::Range(KeyRange::ALL), 10)).collect();
        let empty = hub.account().held();
        commit_long(&hub, 1, TABLE, 1 << 20);
        let held = hub.account().held() - empty;
        assert!((1 << 20..(1 << 20) + 50_000).contains(&held), "{held}");
        let drained = feeds[0].drain(1, usize::MAX);
        feeds[1..].iter().for_each(|feed| drop(feed.drain(1, usize::MAX)));
        assert!(hub.account().held() - empty > 1 << 20, "one feed has not told of it yet");
        drop(drained);
        assert_eq!(hub.account().held(), empty);
        drop(feeds);
        assert_eq!(hub.account().held(), 0);
    }

    #[test]
    fn when_all_queues_are_too_much_the_largest_are_emptied_alone() {
        let hub = Arc::new(Hub::default());
        hub.account().set_most(8 << 20);
        let feeds: Vec<_> = (0..9)
            .map(|at| {
                let (table, is_large) = (TableId(Uuid::from_u128(at)), at < 2);
                let feed = hub.subscribe(table, Interest::Range(KeyRange::ALL), 10);
                commit_long(&hub, 1, table, if is_large { 1_900 << 10 } else { 800 << 10 });
                feed
            })
            .collect();
        let skipped = feeds.iter().map(|feed| feed.drain(1, usize::MAX).skipped);
        assert_eq!(skipped.collect::<Vec<_>>(), [1, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(hub.lost(), 2);
    }

    #[test]
    fn no_more_bytes_than_asked_are_taken_at_once() {
        let hub = Arc::new(Hub::default());
        let feed = hub.subscribe(TABLE, Interest::Range(KeyRange::ALL), 10);
        (1..=3).for_each(|sequence| commit_long(&hub, sequence, TABLE, 1_000));
        assert_eq!(sequences(&feed.drain(10, 1_500)), [1, 2]);
        assert_eq!(sequences(&feed.drain(10, 1)), [3]);
    }
}
