//! Who has places for large frames, who waits for one, who is next and who is to blame. Knows no tasks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::{Lost, wake};
use crate::account::{Account, Charge};
use crate::limits;
use crate::session::Whose;

/// Who sends a frame.
#[derive(Clone, Debug)]
pub(super) struct Who {
    /// The connection.
    pub connection: u64,
    /// Its user and address.
    pub whose: Arc<Whose>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    next: u64,
    waiting: HashMap<u64, Waiting>,
    arriving: HashMap<u64, Arriving>,
    /// What those that have a place take, by connection and by whose they are.
    by_connection: HashMap<u64, u64>,
    by_whose: HashMap<Arc<Whose>, u64>,
    /// Whether a task looks after those who wait.
    pub is_watched: bool,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub bytes: usize,
    pub who: Who,
    pub since: Instant,
    pub waker: Option<Waker>,
}

impl Waiting {
    fn is_late(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= limits::LARGE_FRAME_WAIT
    }
}

#[derive(Debug)]
pub(super) struct Arriving {
    charge: Charge,
    who: Who,
    /// When it got its place.
    began: Instant,
    /// How much has arrived since, and how much had when it came on last, and when that was.
    arrived: usize,
    came_on: (usize, Instant),
    stage: Stage,
    waker: Option<Waker>,
}

/// How far a frame has come.
#[derive(Debug)]
enum Stage {
    Arriving,
    /// All of it is there since then, and nobody reads it. Whom to tell that its place is lost.
    Whole(Instant, u64, Arc<Lost>),
    /// It is being read and compiled: it waits for the server alone.
    Read,
}

impl Arriving {
    /// So much of it has arrived.
    pub fn comes_on(&mut self, arrived: usize, waker: Option<Waker>, now: Instant) {
        (self.arrived, self.waker) = (arrived, waker);
        if arrived >= self.came_on.0 + limits::LARGE_FRAME_PACE_BYTES {
            self.came_on = (arrived, now);
        }
    }

    pub fn is_whole(&mut self, token: u64, lost: Arc<Lost>, now: Instant) {
        (self.stage, self.waker) = (Stage::Whole(now, token, lost), None);
    }

    pub fn is_being_read(&mut self) {
        self.stage = Stage::Read;
    }

    /// For how long it has kept others waiting that could have had its place; none while its client does what can be
    /// expected.
    fn fault(&self, now: Instant) -> Option<Duration> {
        let since = |then: Instant| now.saturating_duration_since(then);
        let (fault, patience) = match &self.stage {
            Stage::Arriving => {
                let stalled = since(self.came_on.1);
                // What it takes is to be there in a bounded time, whatever it takes.
                let whole = limits::LARGE_FRAME_TIME.as_secs_f64();
                let pace =
                    (self.charge.bytes() as f64 / whole).max(limits::LARGE_FRAME_PACE_BYTES as f64);
                let due = Duration::from_secs_f64(self.arrived as f64 / pace);
                (stalled.max(since(self.began).saturating_sub(due)), limits::LARGE_FRAME_PATIENCE)
            }
            Stage::Whole(then, ..) => (since(*then), limits::LARGE_FRAME_WAIT),
            Stage::Read => return None,
        };
        (fault >= patience).then_some(fault)
    }
}

impl State {
    /// A number that nothing else has.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn waiting_mut(&mut self, number: u64) -> Option<&mut Waiting> {
        self.waiting.get_mut(&number)
    }

    pub fn arriving_mut(&mut self, number: u64) -> Option<&mut Arriving> {
        self.arriving.get_mut(&number)
    }

    /// Puts a frame into the line.
    pub fn enter(&mut self, waiting: Waiting) -> u64 {
        let number = self.number();
        self.waiting.insert(number, waiting);
        number
    }

    /// Gives a place to one that waits.
    pub fn admit(&mut self, number: u64, account: &Arc<Account>, now: Instant) {
        let Some(Waiting { bytes, who, waker, .. }) = self.waiting.remove(&number) else { return };
        *self.by_connection.entry(who.connection).or_default() += bytes as u64;
        *self.by_whose.entry(who.whose.clone()).or_default() += bytes as u64;
        let (charge, stage) = (account.charge(bytes), Stage::Arriving);
        let came_on = (0, now);
        let arriving =
            Arriving { charge, who, began: now, arrived: 0, came_on, stage, waker: None };
        self.arriving.insert(number, arriving);
        wake(waker);
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        let is_idle = self.waiting.is_empty() && self.arriving.is_empty();
        is_idle && self.by_connection.is_empty() && self.by_whose.is_empty()
    }

    /// Takes a frame from the line, or its place. What it held is to be dropped by the caller.
    pub fn leave(&mut self, number: u64) -> (Option<Waiting>, Option<Arriving>) {
        (self.waiting.remove(&number), self.take(number))
    }

    fn take(&mut self, number: u64) -> Option<Arriving> {
        let mut gone = self.arriving.remove(&number)?;
        let bytes = gone.charge.bytes() as u64;
        gone.charge.set(0);
        let left = |held: &mut u64| {
            *held = held.saturating_sub(bytes);
            *held == 0
        };
        if self.by_connection.get_mut(&gone.who.connection).is_some_and(left) {
            self.by_connection.remove(&gone.who.connection);
        }
        if self.by_whose.get_mut(&gone.who.whose).is_some_and(left) {
            self.by_whose.remove(&gone.who.whose);
        }
        Some(gone)
    }

    /// Takes its place from a frame, and tells its connection.
    pub fn evict(&mut self, number: u64) {
        let Some(gone) = self.take(number) else { return };
        if let Stage::Whole(_, token, lost) = &gone.stage {
            lost.tell(*token);
        }
        wake(gone.waker);
    }

    fn of_connection(&self, who: &Who) -> u64 {
        self.by_connection.get(&who.connection).copied().unwrap_or_default()
    }

    fn of_whose(&self, who: &Who) -> u64 {
        self.by_whose.get(&who.whose).copied().unwrap_or_default()
    }

    /// Whether the connection may have a place for it too. One that has none always may.
    fn connection_may(&self, waiting: &Waiting, account: &Account) -> bool {
        let (held, part) = (self.of_connection(&waiting.who), limits::LARGE_FRAMES_CONNECTION_PART);
        may_have(held, waiting.bytes, part, account)
    }

    /// The same for the user at the address.
    fn whose_may(&self, waiting: &Waiting, account: &Account) -> bool {
        let (held, part) = (self.of_whose(&waiting.who), limits::LARGE_FRAMES_ADDRESS_PART);
        may_have(held, waiting.bytes, part, account)
    }

    /// Who gets the next place, if there is room for it. One that has waited for long is passed by nobody, unless it waits
    /// for others of the same user and address alone: then by nobody of those.
    pub fn next_in_line(&self, account: &Account, now: Instant) -> Option<u64> {
        let may = |waiting: &Waiting| self.connection_may(waiting, account);
        let late = self.waiting.iter().filter(|(_, waiting)| waiting.is_late(now) && may(waiting));
        let mut stuck: HashSet<&Whose> = HashSet::new();
        let mut oldest: Option<(u64, &Waiting)> = None;
        for (number, waiting) in late {
            if !self.whose_may(waiting, account) {
                stuck.insert(&waiting.who.whose);
            } else if oldest.is_none_or(|(oldest, _)| *number < oldest) {
                oldest = Some((*number, waiting));
            }
        }
        let smallest = || {
            let rest = self.waiting.iter().filter(|(_, waiting)| {
                !stuck.contains(&*waiting.who.whose)
                    && may(waiting)
                    && self.whose_may(waiting, account)
            });
            let smallest = rest.min_by_key(|(number, waiting)| (waiting.bytes, **number));
            smallest.map(|(number, waiting)| (*number, waiting))
        };
        let (number, waiting) = oldest.or_else(smallest)?;
        has_room(waiting.bytes, account).then_some(number)
    }

    /// The frame that is most to blame that others wait: by what it takes, times how long. Nobody loses one for somebody
    /// who has more, nor for another frame of the same connection.
    pub fn worst(&self, account: &Account, now: Instant) -> Option<u64> {
        let (mut least, mut connections) = (u64::MAX, (None, false));
        let waiting = self.waiting.values();
        for waiting in waiting.filter(|waiting| self.connection_may(waiting, account)) {
            least = least.min(self.of_whose(&waiting.who));
            let connection = waiting.who.connection;
            connections.1 |= *connections.0.get_or_insert(connection) != connection;
        }
        let (first, several) = connections;
        let first = first?;
        let blamed = self.arriving.iter().filter_map(|(number, arriving)| {
            let connection = arriving.who.connection;
            let is_meant =
                self.of_whose(&arriving.who) >= least && (several || connection != first);
            let fault = arriving.fault(now).filter(|_| is_meant)?;
            Some((fault.as_millis().saturating_mul(arriving.charge.bytes() as u128), *number))
        });
        blamed.max().map(|(_, number)| number)
    }
}

/// Whether who holds so much may have so many bytes more, if its part of all is so small: it may have its part of what would
/// be left to it and those who have none.
fn may_have(held: u64, bytes: usize, part: u64, account: &Account) -> bool {
    let bytes = bytes as u64;
    let free = account.most().saturating_sub(account.held().saturating_add(bytes));
    held == 0 || held.saturating_add(bytes).saturating_mul(part - 1) <= free
}

/// One that is larger than all may be together gets its place when there is no other.
fn has_room(bytes: usize, account: &Account) -> bool {
    let held = account.held();
    held == 0 || held.saturating_add(bytes as u64) <= account.most()
}
