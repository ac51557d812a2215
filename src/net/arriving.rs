//! Large frames that are arriving: how many bytes all connections may collect for them, and who has to go when others
//! wait for that.
//!
//! A frame has a place here from its header on until its query has been read. It takes the bytes that the header
//! announces, all at once, so that those who have a place can get to their end. The others wait, and are not read from:
//! the smallest is next, unless one has waited for long. While somebody waits, those whose frames do not come on lose their connection.
//! Knows bytes and times; nothing of sockets and of what a frame says.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use crate::account::{Account, Charge};
use crate::limits;

/// The large frames of all connections.
#[derive(Debug, Default)]
pub struct Frames {
    account: Arc<Account>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiting: HashMap<u64, Waiting>,
    arriving: HashMap<u64, Arriving>,
    /// Whether a task looks after those who wait.
    is_watched: bool,
}

#[derive(Debug)]
struct Waiting {
    bytes: usize,
    since: Instant,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Arriving {
    charge: Charge,
    /// When it came on last.
    since: Instant,
    /// All of it is there: it waits for the server, not for its client.
    is_whole: bool,
    waker: Option<Waker>,
}

impl Arriving {
    /// How much it is to blame that others wait: what it takes, times how long it has not come on.
    fn weight(&self, now: Instant) -> u128 {
        let stalled = now.saturating_duration_since(self.since);
        stalled.as_millis().saturating_mul(self.charge.bytes() as u128)
    }
}

/// The frame did not come on while others waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evicted;

impl Frames {
    /// What all large frames take, in bytes, and how much they may.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// A frame of so many bytes is to arrive.
    pub(super) fn enter(self: &Arc<Self>, bytes: usize) -> Place {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, Waiting { bytes, since: Instant::now(), waker: None });
        self.admit(&mut state, Instant::now());
        drop(state);
        self.watch();
        Place { frames: self.clone(), number, came_on: 0 }
    }

    /// Gives places to those who are next, as long as there is room. One that is larger than all may be together gets
    /// its place when there is no other.
    fn admit(&self, state: &mut State, now: Instant) {
        while let Some((number, bytes)) = state.next_in_line(now)
            && self.has_room(bytes)
        {
            let Some(waiting) = state.waiting.remove(&number) else { return };
            let arriving = Arriving {
                charge: self.account.charge(bytes),
                since: now,
                is_whole: false,
                waker: None,
            };
            state.arriving.insert(number, arriving);
            wake(waiting.waker);
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        let held = self.account.held();
        held == 0 || held.saturating_add(bytes as u64) <= self.account.most()
    }

    /// Has a task look after those who wait. Outside of a runtime there is none, and no connection.
    fn watch(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let has_runtime = tokio::runtime::Handle::try_current().is_ok();
        if state.is_watched || state.waiting.is_empty() || !has_runtime {
            return;
        }
        state.is_watched = true;
        drop(state);
        let frames = self.clone();
        tokio::spawn(async move {
            while frames.goes_on() {
                tokio::time::sleep(limits::UNREAD_LOOK).await;
                frames.make_room(Instant::now());
            }
        });
    }

    /// True while somebody waits. The next one who has to starts another task.
    fn goes_on(&self) -> bool {
        let mut state = self.state.lock();
        state.is_watched = !state.waiting.is_empty();
        state.is_watched
    }

    /// Takes places away from those whose frames have not come on for a while, until the next in line has one.
    fn make_room(&self, now: Instant) {
        let mut state = self.state.lock();
        self.admit(&mut state, now);
        while !state.waiting.is_empty() {
            let stalled = |arriving: &Arriving| now.saturating_duration_since(arriving.since);
            let worst = state
                .arriving
                .iter()
                .filter(|(_, arriving)| !arriving.is_whole)
                .filter(|(_, arriving)| stalled(arriving) >= limits::LARGE_FRAME_PATIENCE)
                .max_by_key(|(_, arriving)| arriving.weight(now))
                .map(|(number, _)| *number);
            let Some(arriving) = worst.and_then(|number| state.arriving.remove(&number)) else {
                return;
            };
            let Arriving { charge, waker, .. } = arriving;
            drop(charge);
            wake(waker);
            self.admit(&mut state, now);
        }
    }
}

impl State {
    /// Who gets the next place, and how much it takes.
    fn next_in_line(&self, now: Instant) -> Option<(u64, usize)> {
        let waited = |waiting: &Waiting| now.saturating_duration_since(waiting.since);
        let is_late = |waiting: &Waiting| waited(waiting) >= limits::LARGE_FRAME_WAIT;
        let late = self
            .waiting
            .iter()
            .filter(|(_, waiting)| is_late(waiting))
            .min_by_key(|(number, _)| **number);
        let smallest =
            || self.waiting.iter().min_by_key(|(number, waiting)| (waiting.bytes, **number));
        late.or_else(smallest).map(|(number, waiting)| (*number, waiting.bytes))
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The place of one frame, or its place in the line. Dropping it says that the frame has been read.
#[derive(Debug)]
pub(super) struct Place {
    frames: Arc<Frames>,
    number: u64,
    /// What had arrived when it came on last.
    came_on: usize,
}

impl Place {
    /// Whether the frame may be read, of which so much has arrived; pending while it has to wait. The task is woken when it may
    /// be, or when the place is lost.
    pub(super) fn poll(
        &mut self,
        context: &Context<'_>,
        arrived: usize,
    ) -> Poll<Result<(), Evicted>> {
        let mut state = self.frames.state.lock();
        let own = || Some(context.waker().clone());
        if let Some(waiting) = state.waiting.get_mut(&self.number) {
            waiting.waker = own();
            return Poll::Pending;
        }
        let Some(arriving) = state.arriving.get_mut(&self.number) else {
            return Poll::Ready(Err(Evicted));
        };
        arriving.waker = own();
        if arrived >= self.came_on + limits::LARGE_FRAME_PACE_BYTES {
            self.came_on = arrived;
            arriving.since = Instant::now();
        }
        Poll::Ready(Ok(()))
    }
}

impl Place {
    /// All of the frame is there. Its place is not lost any more, and nobody is to be woken for it.
    pub(super) fn has_arrived(&mut self) {
        if let Some(arriving) = self.frames.state.lock().arriving.get_mut(&self.number) {
            (arriving.is_whole, arriving.waker) = (true, None);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.frames.state.lock();
        state.waiting.remove(&self.number);
        let gone = state.arriving.remove(&self.number);
        drop(gone);
        self.frames.admit(&mut state, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn poll(place: &mut Place, arrived: usize) -> Poll<Result<(), Evicted>> {
        place.poll(&Context::from_waker(Waker::noop()), arrived)
    }

    fn frames(most: u64) -> Arc<Frames> {
        let frames = Arc::new(Frames::default());
        frames.account().set_most(most);
        frames
    }

    const IN: Poll<Result<(), Evicted>> = Poll::Ready(Ok(()));
    const OUT: Poll<Result<(), Evicted>> = Poll::Ready(Err(Evicted));
    const SOON: Duration = limits::LARGE_FRAME_PATIENCE;

    #[test]
    fn frames_wait_until_there_is_room_for_all_of_them() {
        let frames = frames(100);
        let mut first = frames.enter(60);
        let (mut large, mut small) = (frames.enter(60), frames.enter(50));
        assert_eq!(poll(&mut first, 0), IN);
        assert_eq!([poll(&mut large, 0), poll(&mut small, 0)], [Poll::Pending; 2]);
        let mut fits = frames.enter(40);
        assert_eq!((poll(&mut fits, 0), frames.account().held()), (IN, 100));
        drop((first, fits));
        assert_eq!((poll(&mut large, 0), poll(&mut small, 0)), (Poll::Pending, IN));
        drop(small);
        assert_eq!(poll(&mut large, 0), IN);
        drop(large);
        assert_eq!(frames.account().held(), 0);
        let mut larger_than_all = frames.enter(1_000);
        assert_eq!(poll(&mut larger_than_all, 0), IN);
    }

    #[test]
    fn a_frame_that_has_arrived_keeps_its_place_until_it_is_read() {
        let frames = frames(100);
        let mut whole = frames.enter(80);
        whole.has_arrived();
        let mut waits = frames.enter(50);
        frames.make_room(Instant::now() + SOON);
        assert_eq!((poll(&mut waits, 0), frames.account().held()), (Poll::Pending, 80));
        drop(whole);
        assert_eq!(poll(&mut waits, 0), IN);
    }

    #[test]
    fn a_large_frame_is_not_passed_for_ever() {
        let frames = frames(100);
        let first = frames.enter(50);
        let (mut large, mut small) = (frames.enter(90), frames.enter(60));
        frames.make_room(Instant::now());
        frames.state.lock().waiting.get_mut(&1).unwrap().since -= limits::LARGE_FRAME_WAIT;
        drop(first);
        assert_eq!((poll(&mut large, 0), poll(&mut small, 0)), (IN, Poll::Pending));
    }

    #[test]
    fn who_does_not_come_on_makes_room_for_who_waits() {
        let frames = frames(100);
        let (mut stalls, mut small) = (frames.enter(80), frames.enter(10));
        let mut comes_on = frames.enter(10);
        frames.make_room(Instant::now() + SOON);
        assert_eq!(poll(&mut stalls, 0), IN, "nobody waits");
        let mut waits = frames.enter(50);
        let before = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(poll(&mut comes_on, limits::LARGE_FRAME_PACE_BYTES), IN);
        frames.make_room(before + SOON);
        assert_eq!((poll(&mut stalls, 0), poll(&mut waits, 0)), (OUT, IN));
        assert_eq!((poll(&mut small, 0), poll(&mut comes_on, 0)), (IN, IN), "there was room");
        assert_eq!(frames.account().held(), 70);
    }
}
