//! Threads for evaluations that may take long: at most so many at once, the rest in line, users in turn, and of each user
//! the addresses. Knows nothing of queries but whose they are, and that some are of administration: those have a few threads
//! of their own. The length of the line is bounded by those who put into it: each connection has its own bound, and takes
//! out what it put there when it ends.
//!
//! There are far more threads than processors, since evaluations may wait for long. Which of them run is a matter of
//! [`Turns`]; those of administration need none.

mod state;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::inbox::Inbox;
use crate::limits;
use crate::turns::{Turns, Whose};
use state::{Call, State, Waiting};

/// Something to do on a thread of the pool.
pub type Job = Box<dyn FnOnce() + Send>;

/// How long a thread waits for another job before it ends.
const LINGERS: Duration = Duration::from_secs(10);

/// A bounded number of threads and a line before them. They are made when there are jobs, and end when there are none.
#[derive(Debug)]
pub struct Pool {
    handle: Handle,
    turns: Arc<Turns>,
    state: Mutex<State>,
    has_job: Condvar,
}

/// A job that was put on the pool. When this is dropped before the job has begun, it is taken from the line.
#[derive(Debug)]
#[must_use]
pub struct Queued {
    pool: Arc<Pool>,
    whose: Whose,
    is_in_lane: bool,
    has_begun: Arc<AtomicBool>,
}

impl Queued {
    /// Takes the job from the line. Whether it was still there, and will not be done.
    pub fn remove(&self) -> bool {
        if self.has_begun.load(Ordering::Acquire) {
            return false;
        }
        let mut state = self.pool.state();
        let line = if self.is_in_lane { &mut state.lane_queue } else { &mut state.queue };
        let is_it = |waiting: &Waiting| Arc::ptr_eq(waiting.has_begun(), &self.has_begun);
        let removed = line.remove(&self.whose, is_it);
        // What it holds may be much.
        drop(state);
        removed.is_some()
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Pool {
    /// A pool of at most so many threads, of which so many run at a time, whose jobs may use the runtime.
    pub fn new(handle: Handle, threads_max: usize, running_max: usize) -> Arc<Pool> {
        Arc::new(Pool {
            handle,
            turns: Turns::new(running_max),
            state: Mutex::new(State::new(threads_max)),
            has_job: Condvar::new(),
        })
    }

    /// Runs a job as soon as there is a thread for it.
    pub fn run(self: &Arc<Self>, whose: &Whose, job: Job) -> Queued {
        let waiting = Waiting::new(job);
        let queued = self.queued(whose, false, &waiting);
        let mut state = self.state();
        state.queue.push(whose, waiting);
        self.call(state);
        queued
    }

    fn queued(self: &Arc<Self>, whose: &Whose, is_in_lane: bool, waiting: &Waiting) -> Queued {
        let (pool, whose) = (self.clone(), whose.clone());
        Queued { pool, whose, is_in_lane, has_begun: waiting.has_begun().clone() }
    }

    /// Calls a thread for the next job that may be done, if none is on its way yet.
    fn call(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        match state.call() {
            Call::Nobody => {}
            Call::Idle => {
                drop(state);
                self.has_job.notify_one();
            }
            Call::Another => {
                drop(state);
                self.add_thread();
            }
        }
    }

    /// Starts a thread, which is counted already. Where the system has none to give, and the pool has none either, the
    /// runtime lends one.
    fn add_thread(self: &Arc<Self>) {
        let (pool, lent) = (self.clone(), self.clone());
        let thread = std::thread::Builder::new().name("query".to_owned());
        let thread = thread.stack_size(limits::THREAD_STACK_BYTES).spawn(move || {
            let _runtime = pool.handle.enter();
            pool.work();
        });
        if let Err(error) = thread {
            tracing::error!("no thread for a query: {error}");
            if !self.state().do_without() {
                self.handle.spawn_blocking(move || lent.work());
            }
        }
    }

    /// Runs a job of administration as soon as one of the threads for those is free.
    pub fn run_in_lane(self: &Arc<Self>, whose: &Whose, job: Job) -> Queued {
        let waiting = Waiting::new(job);
        let queued = self.queued(whose, true, &waiting);
        let mut state = self.state();
        if state.lane_threads >= limits::POOL_LANE_THREADS {
            state.lane_queue.push(whose, waiting);
            return queued;
        }
        state.lane_threads += 1;
        drop(state);
        let (pool, job) = (self.clone(), waiting.begin());
        self.handle.spawn_blocking(move || pool.work_in_lane(job));
        queued
    }

    /// Whether a connection that has so many jobs on the pool may put another one there. If not, its inbox is nudged when
    /// a thread has become free. One that has none may always: its job waits in line if need be.
    pub(super) fn admits(&self, whose: &Whose, running: usize, inbox: &Arc<Inbox>) -> bool {
        if running == 0 {
            return true;
        }
        let mut state = self.state();
        let admits = state.admits(whose, running);
        if !admits {
            state.hold_back(inbox);
        }
        admits
    }

    /// Threads at work.
    pub fn busy(&self) -> usize {
        self.state().busy()
    }

    /// Jobs that have no thread yet.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.state().queue.len()
    }

    fn work_in_lane(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            do_job(job);
            let mut state = self.state();
            next = state.lane_queue.pop(|_| true).map(|(_, waiting)| waiting.begin());
            if next.is_none() {
                state.lane_threads -= 1;
            }
        }
    }

    /// Does one job after another, until there has been none for a while.
    fn work(self: &Arc<Self>) {
        let mut state = self.state();
        state.starting -= 1;
        let (mut has_told, mut has_lingered) = (false, false);
        loop {
            if let Some((whose, job)) = state.begin() {
                // Perhaps there is another one that may be done by now.
                self.call(state);
                self.turns.seat(&whose, || do_job(job));
                state = self.state();
                state.end(&whose);
                (has_told, has_lingered) = (false, false);
                continue;
            }
            if has_lingered {
                state.threads -= 1;
                return;
            }
            let held_back = if has_told { Vec::new() } else { state.take_held_back() };
            if !held_back.is_empty() {
                drop(state);
                held_back.iter().for_each(|inbox| inbox.nudge());
                state = self.state();
                has_told = true;
                continue;
            }
            state.idle += 1;
            let waited = self.has_job.wait_timeout(state, LINGERS);
            let (woken, time) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            // Another thread may have taken the job that this one was called for.
            state.wake();
            (has_told, has_lingered) = (false, time.timed_out());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job tells its own failures; one that panics must not take the thread from the pool's count.
fn do_job(job: Job) {
    if catch_unwind(AssertUnwindSafe(job)).is_err() {
        tracing::error!("a job of the pool panicked");
    }
}
