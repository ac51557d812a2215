//! Queries that hold much from their beginning on, whether they are evaluated or wait for their clients: how many bytes all
//! of them may hold, and which are ended when that is too much: those that hold most. A connection has a share, so that
//! one with many of them loses its own. Knows bytes and owners; nothing of queries.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::account::{Account, Charge};
use crate::limits;

/// Everything that is held.
#[derive(Debug, Default)]
pub struct Holders {
    account: Arc<Account>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    held: HashMap<u64, Held>,
}

struct Held {
    owner: usize,
    charge: Charge,
    evict: Evict,
}

/// Ends a query that holds too much, which is told its number. Must return at once.
pub type Evict = Box<dyn FnOnce(u64) + Send>;

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("charge", &self.charge).finish_non_exhaustive()
    }
}

impl Holders {
    /// What is held, in bytes, and how much may be.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Something of an owner holds so many bytes, until the result is dropped. Those that hold most are ended when that is
    /// too much; this may be one of them.
    pub fn enter(self: &Arc<Self>, owner: usize, bytes: usize, evict: Evict) -> Hold {
        let charge = self.account.charge(bytes);
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.held.insert(number, Held { owner, charge, evict });
        let mut evicted = Vec::new();
        let share = self.account.most() / limits::HELD_CONNECTION_PART;
        while state.is_over(owner, share)
            && let Some(largest) = state.take_largest(|held| held.owner == owner)
        {
            evicted.push(largest);
        }
        while self.account.held().saturating_sub(bytes_of(&evicted)) > self.account.most()
            && let Some(largest) = state.take_largest(|_| true)
        {
            evicted.push(largest);
        }
        drop(state);
        for (number, held) in evicted {
            drop(held.charge);
            (held.evict)(number);
        }
        Hold { holders: self.clone(), number }
    }
}

fn bytes_of(evicted: &[(u64, Held)]) -> u64 {
    evicted.iter().map(|(_, held)| held.charge.bytes() as u64).sum()
}

impl State {
    /// Whether an owner has more than its share, and more than one thing: one alone may take what all may.
    fn is_over(&self, owner: usize, share: u64) -> bool {
        let own = self.held.values().filter(|held| held.owner == owner);
        let (count, bytes) =
            own.fold((0, 0), |(count, sum), held| (count + 1, sum + held.charge.bytes() as u64));
        count > 1 && bytes > share
    }

    /// Of those that hold as much, the last is taken.
    fn take_largest(&mut self, is_meant: impl Fn(&Held) -> bool) -> Option<(u64, Held)> {
        let meant = self.held.iter().filter(|(_, held)| is_meant(held));
        let (number, _) = meant.max_by_key(|(number, held)| (held.charge.bytes(), **number))?;
        let number = *number;
        Some((number, self.held.remove(&number)?))
    }
}

/// That something is held.
#[derive(Debug)]
pub struct Hold {
    holders: Arc<Holders>,
    number: u64,
}

impl Hold {
    /// No other has it, and none will.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let gone = self.holders.state.lock().held.remove(&self.number);
        // What it is ended with may hold the last handle of something: not under the lock.
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(
        holders: &Arc<Holders>,
        owner: usize,
        bytes: usize,
        ended: &Arc<Mutex<Vec<u64>>>,
    ) -> Hold {
        let ended = ended.clone();
        holders.enter(owner, bytes, Box::new(move |number| ended.lock().push(number)))
    }

    #[test]
    fn those_that_hold_most_are_ended() {
        let (holders, ended) = (Arc::new(Holders::default()), Arc::default());
        holders.account().set_most(100);
        let hold = |owner, bytes| enter(&holders, owner, bytes, &ended);
        let (large, small) = (hold(1, 60), hold(2, 10));
        let other = hold(3, 25);
        assert!(ended.lock().is_empty());
        let last = hold(4, 20);
        assert_eq!(*ended.lock(), [large.number()]);
        assert_eq!(holders.account().held(), 55);
        drop((large, small, other, last));
        assert_eq!(holders.account().held(), 0);
        let alone = hold(5, 1_000);
        assert_eq!(ended.lock()[1..], [alone.number()]);
    }

    #[test]
    fn a_connection_with_many_loses_its_own() {
        let (holders, ended) = (Arc::new(Holders::default()), Arc::default());
        holders.account().set_most(100);
        let one = enter(&holders, 1, 70, &ended);
        let mut many = Vec::new();
        for _ in 0..50 {
            many.push(enter(&holders, 2, 10, &ended));
        }
        assert!(!ended.lock().contains(&one.number()));
        let share = 100 / limits::HELD_CONNECTION_PART;
        assert_eq!(holders.account().held(), 70 + share / 10 * 10);
    }
}
