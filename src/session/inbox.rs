//! Where a session finds what was evaluated elsewhere. Knows who waits for it, nothing of the answers' meaning.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::evaluate::Finished;

/// Answers on their way to a session. Its length is bounded by the session, which asked for each of them.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    finished: Vec<Finished>,
    waker: Option<Waker>,
    /// Whether the session was asked to look around, without an answer for it.
    nudged: bool,
    /// Whether somebody keeps it to nudge the session.
    is_held_back: bool,
    closed: bool,
}

impl Inbox {
    /// Hands over an answer; it is dropped when the session is gone.
    pub fn push(&self, finished: Finished) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        state.finished.push(finished);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes the session without an answer: something that it waits for may have come.
    pub fn nudge(&self) {
        let mut state = self.state();
        (state.nudged, state.is_held_back) = (true, false);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Notes that somebody is going to nudge the session. Whether nobody was before.
    pub fn hold_back(&self) -> bool {
        !std::mem::replace(&mut self.state().is_held_back, true)
    }

    /// Moves all answers to `into`, which is empty; pending when there are none and nobody has nudged, and the
    /// task is woken for the next.
    pub fn poll(&self, context: &mut Context<'_>, into: &mut Vec<Finished>) -> Poll<()> {
        let mut state = self.state();
        if std::mem::take(&mut state.nudged) || !state.finished.is_empty() {
            std::mem::swap(&mut state.finished, into);
            return Poll::Ready(());
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Nobody will look any more. Gives what nobody has looked at.
    pub fn close(&self) -> Vec<Finished> {
        let mut state = self.state();
        state.closed = true;
        std::mem::take(&mut state.finished)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
