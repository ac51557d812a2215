//! Large frames that are arriving: how many bytes all connections may collect for them, and who has to go when others
//! wait for that.
//!
//! A frame has a place here from its header on until its text has been dropped: once its query is compiled, or given up. It
//! takes the bytes that the header announces, all at once. The others wait, and are not read from: the smallest is next,
//! unless one has waited for long. A connection has a share of the room, and a user at one address another one, so that
//! the room is never all one's own. While somebody waits, those who are to blame lose their connection: frames that do not
//! come on, frames that come too slowly for what they take, and frames that are whole and not read because their
//! connection has too much else to do. Knows bytes and times; nothing of sockets and of what a frame says.

mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use crate::account::Account;
use crate::limits;
use crate::session::{KeepsText, Whose};

use state::{State, Waiting, Who};

/// The large frames of all connections.
#[derive(Debug, Default)]
pub struct Frames {
    account: Arc<Account>,
    state: Mutex<State>,
}

/// The frame had to go while others waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evicted;

impl Frames {
    /// What all large frames take, in bytes, and how much they may.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Those of one connection.
    pub(super) fn of(self: &Arc<Self>, whose: Whose) -> Sender {
        let connection = self.state.lock().number();
        let who = Who { connection, whose: Arc::new(whose) };
        Sender { frames: self.clone(), who, lost: Arc::default(), may_lose: false }
    }

    /// Gives places to those who are next, as long as there is room.
    fn admit(&self, state: &mut State, now: Instant) {
        while let Some(number) = state.next_in_line(&self.account, now) {
            state.admit(number, &self.account, now);
        }
    }

    /// Has a task look after those who wait. Outside of a runtime there is none, and no connection.
    fn watch(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let has_runtime = tokio::runtime::Handle::try_current().is_ok();
        if state.is_watched || !state.has_waiting() || !has_runtime {
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
        state.is_watched = state.has_waiting();
        state.is_watched
    }

    /// Takes places away from those who are to blame that others wait, until nobody does, or nobody is.
    fn make_room(&self, now: Instant) {
        let mut state = self.state.lock();
        self.admit(&mut state, now);
        while let Some(number) = state.worst(&self.account, now) {
            state.evict(number);
            self.admit(&mut state, now);
        }
    }
}

#[cfg(test)]
impl Frames {
    fn has_place(&self, place: &Place) -> bool {
        self.state.lock().arriving_mut(place.number).is_some()
    }
}

/// What one connection knows of the large frames that it sends.
#[derive(Debug)]
pub(super) struct Sender {
    frames: Arc<Frames>,
    who: Who,
    lost: Arc<Lost>,
    /// One of its frames is whole: it may lose the place of it.
    may_lose: bool,
}

/// Where the connection of a whole frame is told that it has lost the place of it: the frame itself waits elsewhere.
#[derive(Debug, Default)]
struct Lost(Mutex<(Option<u64>, Option<Waker>)>);

impl Lost {
    fn tell(&self, token: u64) {
        let mut lost = self.0.lock();
        lost.0.get_or_insert(token);
        let waker = lost.1.take();
        drop(lost);
        wake(waker);
    }
}

impl Sender {
    /// A frame of so many bytes is to arrive, with this token.
    pub(super) fn enter(&self, token: u64, bytes: usize) -> Place {
        let (frames, now) = (self.frames.clone(), Instant::now());
        let mut state = frames.state.lock();
        let waiting = Waiting { bytes, who: self.who.clone(), since: now, waker: None };
        let number = state.enter(waiting);
        frames.admit(&mut state, now);
        drop(state);
        frames.watch();
        Place { frames, number, token }
    }

    /// All of a frame is there. What it has lost from now on is told by [`Sender::poll_lost`].
    pub(super) fn has_arrived(&mut self, place: &Place) {
        self.may_lose = true;
        let mut state = self.frames.state.lock();
        if let Some(arriving) = state.arriving_mut(place.number) {
            arriving.is_whole(place.token, self.lost.clone(), Instant::now());
        }
    }

    /// The token of a whole frame that has lost its place.
    pub(super) fn poll_lost(&mut self, context: &Context<'_>) -> Poll<u64> {
        if !self.may_lose {
            return Poll::Pending;
        }
        let mut lost = self.lost.0.lock();
        if let Some(token) = lost.0 {
            return Poll::Ready(token);
        }
        if !lost.1.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            lost.1 = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The place of one frame, or its place in the line. Dropping it says that its text has been dropped.
#[derive(Debug)]
pub(super) struct Place {
    frames: Arc<Frames>,
    number: u64,
    token: u64,
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
        if let Some(waiting) = state.waiting_mut(self.number) {
            waiting.waker = own();
            return Poll::Pending;
        }
        let Some(arriving) = state.arriving_mut(self.number) else {
            return Poll::Ready(Err(Evicted));
        };
        arriving.comes_on(arrived, own(), Instant::now());
        Poll::Ready(Ok(()))
    }
}

impl KeepsText for Place {
    /// It is not lost any more: the server is at it.
    fn is_being_read(&self) {
        if let Some(arriving) = self.frames.state.lock().arriving_mut(self.number) {
            arriving.is_being_read();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.frames.state.lock();
        let gone = state.leave(self.number);
        self.frames.admit(&mut state, Instant::now());
        drop(state);
        drop(gone);
    }
}
