//! What queries hold while nothing is evaluated for them, and while they wait for that: the text and the tree of each, and
//! what an open stream keeps between its batches. It is summed by connection, by user and address, and for all.
//!
//! When all of it is more than may be, something is ended: of the user at an address that holds most, the connection that
//! holds most loses the largest of what it has. Who holds less is never ended for it. A connection with little keeps its
//! sum to itself until that is worth the lock that all share. Knows bytes and owners; nothing of queries.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::account::{Account, Charge};
use crate::{addresses, limits};

/// Everything that is held.
#[derive(Debug, Default)]
pub struct Holders {
    account: Arc<Account>,
    owners: AtomicU64,
    state: Mutex<State>,
}

/// A user at an address. In many installations all clients are one user, so the address counts too.
type Place = (Arc<str>, IpAddr);

#[derive(Debug, Default)]
struct State {
    places: HashMap<Place, Sums>,
    /// The same by what they hold.
    by_bytes: BTreeSet<(u64, Place)>,
    /// What was ended lately to make room, and when.
    leaving: VecDeque<(Instant, u64)>,
}

/// What the connections of one place hold.
#[derive(Debug, Default)]
struct Sums {
    bytes: u64,
    /// By what they have told, and their numbers.
    owners: BTreeMap<(u64, u64), Arc<Owner>>,
}

/// Whoever holds something: one connection, or one request without a connection.
#[derive(Debug)]
pub struct Owner {
    holders: Arc<Holders>,
    number: u64,
    place: Place,
    /// Is never held while the lock of all is waited for.
    own: Mutex<Own>,
}

struct Own {
    /// All that it holds.
    charge: Charge,
    /// What of that is known to all.
    told: u64,
    next: u64,
    /// By size.
    held: BTreeMap<(usize, u64), Evict>,
}

/// Ends something that holds too much, which is told its number. Must return at once.
pub type Evict = Box<dyn FnOnce(u64) + Send>;

/// What is to be ended.
struct Evicted {
    number: u64,
    bytes: u64,
    evict: Evict,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").field("charge", &self.charge).finish_non_exhaustive()
    }
}

impl Holders {
    /// What is held, in bytes, and how much may be.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// One that will hold something, of a user at an address.
    pub fn owner(self: &Arc<Self>, user: Arc<str>, address: IpAddr) -> Arc<Owner> {
        let number = self.owners.fetch_add(1, Ordering::Relaxed);
        let charge = self.account.charge(0);
        let own = Mutex::new(Own { charge, told: 0, next: 0, held: BTreeMap::new() });
        let place = (user, addresses::network(address));
        Arc::new(Owner { holders: self.clone(), number, place, own })
    }

    /// Ends what is held by those who hold more than `least`, until it was so many bytes or nobody does. Gives how many it
    /// was; they are free soon.
    pub fn make_room(&self, bytes: u64, least: u64) -> u64 {
        let mut evicted = Vec::new();
        let mut room = 0;
        let mut state = self.state.lock();
        while room < bytes
            && let Some(largest) = state.take_largest(least)
        {
            room += largest.bytes;
            evicted.push(largest);
        }
        if room > 0 {
            state.leaving.push_back((Instant::now(), room));
        }
        drop(state);
        end(evicted);
        room
    }

    /// Bytes that [`Holders::make_room`] has freed, or will have very soon, and that the process may still have.
    pub fn leaving(&self) -> u64 {
        let mut state = self.state.lock();
        let is_gone = |(since, _): &(Instant, u64)| since.elapsed() > limits::HELD_LEAVES;
        while state.leaving.front().is_some_and(is_gone) {
            state.leaving.pop_front();
        }
        state.leaving.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Takes down what an owner holds, and ends something when all is too much.
    fn tell(&self, owner: &Arc<Owner>) {
        let mut evicted = Vec::new();
        let mut state = self.state.lock();
        state.tell(owner);
        while self.account.is_over()
            && let Some(largest) = state.take_largest(0)
        {
            evicted.push(largest);
        }
        drop(state);
        end(evicted);
    }

    /// How much an owner may have more, or less, than it has told. With half of what may be held, every byte counts.
    fn slack(&self) -> u64 {
        if self.account.held() > self.account.most() / 2 { 1 } else { limits::HELD_CHUNK_BYTES }
    }
}

fn end(evicted: Vec<Evicted>) {
    for Evicted { number, evict, .. } in evicted {
        evict(number);
    }
}

impl State {
    fn tell(&mut self, owner: &Arc<Owner>) {
        let mut own = owner.own.lock();
        let now = own.bytes();
        let before = std::mem::replace(&mut own.told, now);
        drop(own);
        if now == before {
            return;
        }
        let sums = self.places.entry(owner.place.clone()).or_default();
        if sums.bytes > 0 {
            self.by_bytes.remove(&(sums.bytes, owner.place.clone()));
        }
        sums.owners.remove(&(before, owner.number));
        sums.bytes = sums.bytes - before + now;
        if now > 0 {
            sums.owners.insert((now, owner.number), owner.clone());
        }
        if sums.bytes > 0 {
            self.by_bytes.insert((sums.bytes, owner.place.clone()));
        } else {
            self.places.remove(&owner.place);
        }
    }

    /// Takes what is to be ended first, if its user has more than `least` there. Of those that are as large, it is the last.
    fn take_largest(&mut self, least: u64) -> Option<Evicted> {
        loop {
            let (_, place) = self.by_bytes.last().filter(|(bytes, _)| *bytes > least)?;
            let (_, owner) = self.places.get(place)?.owners.last_key_value()?;
            let owner = owner.clone();
            let mut own = owner.own.lock();
            // It may have less by now.
            let is_known = own.bytes() == own.told;
            let largest = if is_known { own.take_largest() } else { None };
            drop(own);
            self.tell(&owner);
            if is_known {
                return largest;
            }
        }
    }
}

impl Own {
    fn bytes(&self) -> u64 {
        self.charge.bytes() as u64
    }

    fn insert(&mut self, key: (usize, u64), evict: Evict) {
        self.charge.set(self.charge.bytes() + key.0);
        self.held.insert(key, evict);
    }

    fn remove(&mut self, key: (usize, u64)) -> Option<Evict> {
        let evict = self.held.remove(&key)?;
        self.charge.set(self.charge.bytes() - key.0);
        Some(evict)
    }

    fn take_largest(&mut self) -> Option<Evicted> {
        let (&key, _) = self.held.last_key_value()?;
        let evict = self.remove(key)?;
        Some(Evicted { number: key.1, bytes: key.0 as u64, evict })
    }

    /// Whether all are to know how much it is now.
    fn is_news(&self, slack: u64) -> bool {
        let bytes = self.bytes();
        bytes != self.told && (bytes == 0 || bytes.abs_diff(self.told) >= slack)
    }
}

impl Owner {
    /// Something holds so many bytes, until the result is dropped. It may be what is ended for that, before this returns.
    pub fn enter(self: &Arc<Self>, bytes: usize, evict: Evict) -> Hold {
        let number = self.change(|own| {
            own.next += 1;
            own.insert((bytes, own.next), evict);
            own.next
        });
        Hold { owner: self.clone(), bytes, number }
    }

    /// Changes what it holds, and tells of it when that is worth it.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut Own) -> T) -> T {
        let mut own = self.own.lock();
        let changed = change(&mut own);
        let is_news = own.is_news(self.holders.slack());
        drop(own);
        if is_news {
            self.holders.tell(self);
        }
        changed
    }
}

/// That something is held.
#[derive(Debug)]
pub struct Hold {
    owner: Arc<Owner>,
    bytes: usize,
    number: u64,
}

impl Hold {
    /// No other of its owner has it, and none will.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// It holds so many bytes from now on. As for [`Owner::enter`], it may be ended for that; what was ended is charged for
    /// nothing.
    pub fn update(&mut self, bytes: usize) {
        let before = (std::mem::replace(&mut self.bytes, bytes), self.number);
        if before.0 == bytes {
            return;
        }
        self.owner.change(|own| {
            if let Some(evict) = own.remove(before) {
                own.insert((bytes, before.1), evict);
            }
        });
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // What it is ended with may hold the last handle of something: not under the lock.
        drop(self.owner.change(|own| own.remove((self.bytes, self.number))));
    }
}
