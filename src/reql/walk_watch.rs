//! Ends walks through values for the queries that they belong to. Comparing, printing and the like cannot fail and know
//! no query; they count their steps in [`crate::datum::work`]. While a query is evaluated, its thread has a watch: once
//! in so many steps it looks whether the query may go on, and if not, unwinds to [`watched`] with the query's error.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use photondb_protocol::pace;

use super::context::Context;
use super::deadline::{Deadline, interrupted};
use super::error::{Error, Result};
use super::memory_meter::MemoryMeter;
use crate::cancel::CancelFlag;
use crate::datum::work;
use crate::storage::{Patience, wait_for_long_values};
use crate::{limits, turns};

thread_local! {
    /// The watch of the query that is evaluated on this thread.
    static WATCH: RefCell<Option<WalkWatch>> = const { RefCell::new(None) };
    /// Looks left of what is evaluated by [`bounded`] on this thread.
    static LOOKS_LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// What is looked at during the walks of one evaluation.
#[derive(Debug)]
pub(super) struct WalkWatch {
    cancel: CancelFlag,
    deadline: Option<Deadline>,
    /// Looks left before the query has to start over on the pool; not bounded there, nor once the query has had an effect.
    looks_left: Cell<Option<u32>>,
    looks: Cell<u32>,
    /// Whether this thread may wait.
    may_wait: bool,
    memory: MemoryMeter,
    context: Arc<Context>,
}

/// What an ended walk unwinds with.
struct Ended(Error);

/// What an evaluation unwinds with that has done more work than it may.
struct OutOfLooks;

impl WalkWatch {
    /// Of an evaluation that begins, or goes on, on this thread.
    pub(super) fn new(
        context: Arc<Context>,
        cancel: CancelFlag,
        deadline: Option<Deadline>,
        most_looks: Option<u32>,
    ) -> Self {
        let memory = MemoryMeter::default();
        memory.begin(&context);
        let looks_left = Cell::new(most_looks);
        Self { cancel, deadline, looks_left, looks: Cell::new(0), may_wait: true, memory, context }
    }

    /// Says whether its thread may wait.
    pub(super) fn waiting(mut self, may_wait: bool) -> Self {
        self.may_wait = may_wait;
        self
    }

    fn look(&self, looks: u32) -> Result<()> {
        interrupted(&self.cancel, self.deadline)?;
        if let Some(left) = self.looks_left.get() {
            let left = left.checked_sub(looks).ok_or_else(Error::too_long_inline)?;
            self.looks_left.set(Some(left));
        }
        let all = self.looks.get().wrapping_add(looks);
        self.looks.set(all);
        if !self.memory.is_due(all) {
            return Ok(());
        }
        self.memory.check(&self.context, 0)
    }
}

/// Evaluates something whose walks end when the query may not go on.
pub(super) fn watched<T>(watch: WalkWatch, evaluate: impl FnOnce() -> Result<T>) -> Result<T> {
    let patience = watch.may_wait.then_some(wait_for_room as Patience);
    let outer = WATCH.replace(Some(watch));
    let observer = work::observe_with(Some(look));
    let patience = wait_for_long_values(patience);
    // What is evaluated is thrown away with everything it has touched. Commits are not, but after one the query stays
    // where it is: see [`stay_inline`].
    let evaluated = catch_unwind(AssertUnwindSafe(evaluate));
    wait_for_long_values(patience);
    work::observe_with(observer);
    WATCH.set(outer);
    evaluated.unwrap_or_else(|cause: Box<dyn Any + Send>| match cause.downcast::<Ended>() {
        Ok(ended) => Err(ended.0),
        Err(other) => resume_unwind(other),
    })
}

/// Reads JSON whose values are steps of the walks of the query that is watched.
pub(super) fn reading<T>(read: impl FnOnce() -> T) -> T {
    let _observed = Reading(pace::observe_with(Some(|| work::steps(pace::VALUES))));
    read()
}

/// Puts the observer of what a thread reads back, however the reading ends.
struct Reading(Option<fn()>);

impl Drop for Reading {
    fn drop(&mut self) {
        pace::observe_with(self.0);
    }
}

/// Evaluates something that may do so much work and no more, which says nothing of how long it takes: the same work always
/// ends the same way. `None` when it was too much. The query around it, if there is one, goes on being watched.
pub(super) fn bounded<T>(looks: u32, evaluate: impl FnOnce() -> T) -> Option<T> {
    let outer = LOOKS_LEFT.replace(Some(looks));
    let observer = work::observe_with(Some(look));
    let evaluated = catch_unwind(AssertUnwindSafe(evaluate));
    work::observe_with(observer);
    LOOKS_LEFT.set(outer);
    match evaluated {
        Ok(value) => Some(value),
        Err(cause) if cause.is::<OutOfLooks>() => None,
        Err(other) => resume_unwind(other),
    }
}

/// The query has had an effect: it goes on where it is, however long its walks are.
pub(super) fn stay_inline() {
    WATCH.with_borrow(|watch| {
        if let Some(watch) = watch {
            watch.looks_left.set(None);
        }
    });
}

/// Waits for room to read a long value, until the query that is watched may not go on or has waited for long. Holds no
/// turn meanwhile.
fn wait_for_room(wait: &mut dyn FnMut() -> bool) -> bool {
    let _pause = turns::pause();
    let began = Instant::now();
    let goes_on = || {
        let is_watched = |watch: &WalkWatch| interrupted(&watch.cancel, watch.deadline).is_ok();
        WATCH.with_borrow(|watch| watch.as_ref().is_none_or(is_watched))
            && began.elapsed() < limits::LONG_READ_WAIT
    };
    while goes_on() {
        if wait() {
            return true;
        }
    }
    false
}

fn look(looks: u32) {
    let looked =
        WATCH.with_borrow(|watch| watch.as_ref().map_or(Ok(()), |watch| watch.look(looks)));
    if let Err(error) = looked {
        resume_unwind(Box::new(Ended(error)));
    }
    if let Some(left) = LOOKS_LEFT.get() {
        match left.checked_sub(looks) {
            Some(left) => LOOKS_LEFT.set(Some(left)),
            None => resume_unwind(Box::new(OutOfLooks)),
        }
    }
}
