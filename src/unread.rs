//! Answers that clients have not read: how many bytes wait for all of them, and who has to go when that is too much.
//!
//! A connection with an answer that its socket does not take has a share here, for as long as that lasts. When all
//! shares together pass the account's bound, those whose clients have taken nothing for a while lose their connection:
//! first those with most bytes for the longest time. A client that reads, however slowly, keeps its answer while there are
//! others to choose. Knows bytes and times; nothing of sockets and of what an answer is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::debug;

use crate::account::{Account, Charge};
use crate::limits;

/// The shares of all connections.
#[derive(Debug, Default)]
pub struct Unread {
    account: Arc<Account>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    shares: HashMap<u64, Waiting>,
    /// Whether a task looks after them.
    is_watched: bool,
}

struct Waiting {
    charge: Charge,
    /// When its client took something last, or the answer began to wait.
    since: Instant,
    evict: Evict,
}

/// Ends a connection whose client does not read. Must return at once.
pub type Evict = Box<dyn FnOnce() + Send>;

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("charge", &self.charge).finish_non_exhaustive()
    }
}

impl Unread {
    /// What waits for all clients, in bytes, and how much may.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// True when so much waits that a client with unread answers should get no further ones.
    pub fn is_crowded(&self) -> bool {
        self.account.held() > self.account.most() / 2
    }

    /// An answer of so many bytes begins to wait for a client.
    pub fn enter(self: &Arc<Self>, bytes: usize, evict: Evict) -> Share {
        let charge = self.account.charge(bytes);
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.shares.insert(number, Waiting { charge, since: Instant::now(), evict });
        drop(state);
        self.watch();
        Share { unread: self.clone(), number, bytes }
    }

    /// Has a task look after the shares while there is too much. Outside of a runtime there is none, and no connection.
    fn watch(self: &Arc<Self>) {
        if !self.account.is_over() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        if std::mem::replace(&mut self.state.lock().is_watched, true) {
            return;
        }
        let unread = self.clone();
        tokio::spawn(async move {
            while unread.goes_on() {
                tokio::time::sleep(limits::UNREAD_LOOK).await;
                unread.make_room(Instant::now());
            }
        });
    }

    /// True while there is too much. The next one to bring too much starts another task.
    fn goes_on(&self) -> bool {
        let mut state = self.state.lock();
        state.is_watched = self.account.is_over();
        state.is_watched
    }

    /// Ends connections until there is room, or none is left whose client has taken nothing for long enough.
    fn make_room(&self, now: Instant) {
        let (held, most) = (self.account.held(), self.account.most());
        let Some(mut over) = held.checked_sub(most) else { return };
        let patience = match held / most.max(1) {
            0 | 1 => limits::UNREAD_PATIENCE,
            2 | 3 => limits::UNREAD_PATIENCE_SHORT,
            _ => limits::UNREAD_PATIENCE_MIN,
        };
        let mut evicted = Vec::new();
        let mut state = self.state.lock();
        let stalled = |waiting: &Waiting| now.saturating_duration_since(waiting.since);
        let mut candidates: Vec<_> = state
            .shares
            .iter()
            .filter(|(_, waiting)| stalled(waiting) >= patience)
            .map(|(number, waiting)| (weight(stalled(waiting), waiting.charge.bytes()), *number))
            .collect();
        candidates.sort_unstable_by(|one, other| other.cmp(one));
        for (_, number) in candidates {
            if over == 0 {
                break;
            }
            let Some(waiting) = state.shares.remove(&number) else { continue };
            over = over.saturating_sub(waiting.charge.bytes() as u64);
            evicted.push(waiting);
        }
        drop(state);
        if !evicted.is_empty() {
            debug!("{} clients did not read their answers and were closed", evicted.len());
        }
        for waiting in evicted {
            (waiting.evict)();
        }
    }
}

/// How much a share is to blame: what it holds, times how long its client has not read.
fn weight(stalled: Duration, bytes: usize) -> u128 {
    stalled.as_millis().saturating_mul(bytes as u128)
}

/// The share of one connection. Dropping it says that nothing waits any more.
#[derive(Debug)]
pub struct Share {
    unread: Arc<Unread>,
    number: u64,
    bytes: usize,
}

impl Share {
    /// So many bytes wait now; `progressed` when the client has taken some since it was said last.
    pub fn update(&mut self, bytes: usize, progressed: bool) {
        if bytes == self.bytes && !progressed {
            return;
        }
        let grown = bytes > self.bytes;
        self.bytes = bytes;
        let mut state = self.unread.state.lock();
        if let Some(waiting) = state.shares.get_mut(&self.number) {
            waiting.charge.set(bytes);
            if progressed {
                waiting.since = Instant::now();
            }
        }
        drop(state);
        if grown {
            self.unread.watch();
        }
    }

    /// The client has taken something.
    pub fn progressed(&mut self) {
        self.update(self.bytes, true);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let gone = self.unread.state.lock().shares.remove(&self.number);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A share, and whether its connection was ended.
    fn enter(unread: &Arc<Unread>, bytes: usize) -> (Share, Arc<AtomicBool>) {
        let evicted = Arc::new(AtomicBool::new(false));
        let told = evicted.clone();
        let share = unread.enter(bytes, Box::new(move || told.store(true, Ordering::Relaxed)));
        (share, evicted)
    }

    fn is_gone(client: &(Share, Arc<AtomicBool>)) -> bool {
        client.1.load(Ordering::Relaxed)
    }

    #[test]
    fn who_takes_nothing_of_most_for_longest_is_closed_alone() {
        let unread = Arc::new(Unread::default());
        unread.account().set_most(100);
        let (large, small) = (enter(&unread, 80), enter(&unread, 10));
        let mut reads = enter(&unread, 90);
        let later = Instant::now() + limits::UNREAD_PATIENCE;
        std::thread::sleep(limits::UNREAD_PATIENCE_MIN);
        // It has taken something only now, which is not long ago.
        reads.0.progressed();
        let now = Instant::now();
        unread.make_room(now);
        assert!(![&large, &small, &reads].into_iter().any(is_gone), "nobody has waited for long");
        reads.0.progressed();
        unread.make_room(later);
        assert!(is_gone(&large));
        assert!(!is_gone(&small), "there was room without it");
        assert!(!is_gone(&reads));
    }

    #[test]
    fn a_client_that_reads_keeps_an_answer_that_is_more_than_all_may_have() {
        let unread = Arc::new(Unread::default());
        unread.account().set_most(100);
        let mut reads = enter(&unread, 1_000);
        for _ in 0..3 {
            std::thread::sleep(limits::UNREAD_PATIENCE_MIN / 2);
            reads.0.progressed();
            unread.make_room(Instant::now());
        }
        assert!(!is_gone(&reads));
        assert!(unread.is_crowded());
        // Far over the bound a client has less time than otherwise.
        unread.make_room(Instant::now() + limits::UNREAD_PATIENCE_MIN);
        assert!(is_gone(&reads));
        assert_eq!(unread.account().held(), 0);
        drop(reads);
        assert_eq!(unread.account().held(), 0);
    }

    #[tokio::test]
    async fn what_is_too_much_is_noticed_without_anybody_asking() {
        let unread = Arc::new(Unread::default());
        unread.account().set_most(100);
        let stuck = enter(&unread, 500);
        let began = Instant::now();
        while !is_gone(&stuck) {
            assert!(began.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(limits::UNREAD_LOOK).await;
        }
        assert!(began.elapsed() >= limits::UNREAD_PATIENCE_MIN);
        while unread.state.lock().is_watched {
            tokio::time::sleep(limits::UNREAD_LOOK).await;
        }
    }
}
