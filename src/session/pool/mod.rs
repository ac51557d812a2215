//! Threads for evaluations that may take long: at most so many at once, the rest in line, users in turn. Knows nothing of
//! queries but whose they are, and that some are of administration: those have a few threads of their own. The length of
//! the line is bounded by those who put into it: each connection has its own bound.
//!
//! There are far more threads than processors, since evaluations may wait for long. Which of them run is a matter of
//! [`Turns`]; those of administration need none.

mod state;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use super::inbox::Inbox;
use crate::limits;
use crate::turns::Turns;
use state::{Call, State};

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

    /// Runs a job of a user as soon as there is a thread for it.
    pub fn run(self: &Arc<Self>, user: &Arc<str>, job: Job) {
        let mut state = self.state();
        state.queue.push(user, job);
        self.call(state);
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
    pub fn run_in_lane(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        if state.lane_threads >= limits::POOL_LANE_THREADS {
            state.lane_queue.push_back(job);
            return;
        }
        state.lane_threads += 1;
        drop(state);
        let pool = self.clone();
        self.handle.spawn_blocking(move || pool.work_in_lane(job));
    }

    /// Whether a connection of a user that has so many jobs on the pool may put another one there. If not, its inbox is
    /// nudged when a thread has become free. One that has none may always: its job waits in line if need be.
    pub(super) fn admits(&self, user: &Arc<str>, running: usize, inbox: &Arc<Inbox>) -> bool {
        let mut state = self.state();
        if running == 0 || (state.busy() < state.threads_of(running) && state.may_begin(user)) {
            return true;
        }
        state.held_back.push(inbox.clone());
        false
    }

    /// Threads at work.
    pub fn busy(&self) -> usize {
        self.state().busy()
    }

    fn work_in_lane(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            do_job(job);
            let mut state = self.state();
            next = state.lane_queue.pop_front();
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
            if let Some((user, job)) = state.begin() {
                // Perhaps there is another one that may be done by now.
                self.call(state);
                self.turns.seat(&user, || do_job(job));
                state = self.state();
                state.end(&user);
                (has_told, has_lingered) = (false, false);
                continue;
            }
            if has_lingered {
                state.threads -= 1;
                return;
            }
            if !has_told && !state.held_back.is_empty() {
                let held_back = std::mem::take(&mut state.held_back);
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

/// Does something that takes long on the thread that calls, and lets another take over what this thread serves.
pub fn step_aside<T>(work: impl FnOnce() -> T) -> T {
    let has_others = |handle: Handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread;
    if Handle::try_current().is_ok_and(has_others) {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}
