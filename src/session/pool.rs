//! Threads for evaluations that may take long: at most so many at once, the rest in the order they came. Knows nothing
//! of queries but that some are of administration: those have a few threads of their own. The length of the queue is bounded
//! by those who put into it: each connection has its own bound.
//!
//! A thread whose job goes on for long, or begins while several others are equal to the network's, gets a lower priority,
//! and ends with the job: a process may not raise priorities again. Otherwise a hundred scans would have a hundred turns
//! on the processors for one of the thread that answers everybody else, and for one of a short job that came after them.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, getpriority_process, setpriority_process};
use rustix::thread::gettid;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::inbox::Inbox;
use crate::limits;

/// Something to do on a thread of the pool.
pub type Job = Box<dyn FnOnce() + Send>;

/// How long a thread waits for another job before it ends.
const LINGERS: Duration = Duration::from_secs(10);

/// A bounded number of threads and a queue before them. They are made when there are jobs, and end when there are none.
#[derive(Debug)]
pub struct Pool {
    handle: Handle,
    threads_max: usize,
    state: Mutex<State>,
    has_job: Condvar,
    /// A job has begun, or the thread of one has ended.
    to_watch: Condvar,
}

/// A thread that does a job.
struct AtWork {
    thread: Pid,
    since: Instant,
    gives_way: bool,
}

#[derive(Default)]
struct State {
    /// Threads there are.
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    queue: VecDeque<Job>,
    /// Those that do a job, by the number of the thread.
    at_work: HashMap<i32, AtWork>,
    is_watched: bool,
    lane_threads: usize,
    /// Jobs of administration.
    lane_queue: VecDeque<Job>,
    /// Sessions that have jobs for the pool and were not admitted.
    held_back: Vec<Arc<Inbox>>,
}

impl State {
    /// Jobs for which there is no thread and could be one.
    fn missed(&self, threads_max: usize) -> usize {
        self.queue.len().saturating_sub(self.idle).min(threads_max - self.threads)
    }

    /// Threads at work, and those that are about to be.
    fn busy(&self) -> usize {
        self.threads - self.idle + self.idle.min(self.queue.len())
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("threads", &self.threads)
            .field("idle", &self.idle)
            .field("queued", &self.queue.len())
            .finish()
    }
}

impl Pool {
    /// A pool of at most so many threads, whose jobs may use the runtime.
    pub fn new(handle: Handle, threads_max: usize) -> Arc<Pool> {
        Arc::new(Pool {
            handle,
            threads_max,
            state: Mutex::default(),
            has_job: Condvar::new(),
            to_watch: Condvar::new(),
        })
    }

    /// Runs a job as soon as a thread is free.
    pub fn run(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        state.queue.push_back(job);
        if state.queue.len() <= state.idle {
            drop(state);
            self.has_job.notify_one();
        } else if state.threads < self.threads_max {
            state.threads += 1;
            drop(state);
            self.add_thread();
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
            let mut state = self.state();
            if state.threads > 1 {
                state.threads -= 1;
            } else {
                drop(state);
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

    /// Whether a connection that has so many jobs on the pool may put another one there. If not, its inbox is nudged when
    /// a thread has become free. One that has none may always: its job waits in the queue if need be.
    pub(super) fn admits(&self, running: usize, inbox: &Arc<Inbox>) -> bool {
        let mut state = self.state();
        if running == 0 || state.busy() < self.threads_of(running) {
            return true;
        }
        state.held_back.push(inbox.clone());
        false
    }

    /// How many threads may be at work when a connection with so many jobs gets another: the more it has, the more are
    /// left to others.
    fn threads_of(&self, running: usize) -> usize {
        let part = if running < limits::POOL_FEW_QUERIES { 4 } else { 2 };
        self.threads_max - self.threads_max / part
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

    /// Does one job after another, until there has been none for a while, or until one has taken long.
    fn work(self: &Arc<Self>) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                self.begin(state);
                do_job(job);
                state = self.state();
                let done = state.at_work.remove(&gettid().as_raw_nonzero().get());
                if done.is_some_and(|thread| thread.gives_way) {
                    return self.leave(state);
                }
                continue;
            }
            let held_back = std::mem::take(&mut state.held_back);
            state.idle += 1;
            if !held_back.is_empty() {
                drop(state);
                held_back.iter().for_each(|inbox| inbox.nudge());
                state = self.state();
            }
            let waited =
                self.has_job.wait_timeout_while(state, LINGERS, |state| state.queue.is_empty());
            let (woken, time) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if time.timed_out() {
                return self.leave(state);
            }
        }
    }

    /// This thread ends. One that it made would have its priority: if there are jobs left, another makes one.
    fn leave(&self, mut state: MutexGuard<'_, State>) {
        state.threads -= 1;
        self.to_watch.notify_one();
        let held_back = std::mem::take(&mut state.held_back);
        drop(state);
        held_back.iter().for_each(|inbox| inbox.nudge());
    }

    /// This thread begins with a job.
    fn begin(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let thread = gettid();
        let equals = state.at_work.values().filter(|thread| !thread.gives_way).count();
        let gives_way = equals >= limits::POOL_EQUALS;
        if gives_way {
            give_way(thread);
        }
        let at_work = AtWork { thread, since: Instant::now(), gives_way };
        state.at_work.insert(thread.as_raw_nonzero().get(), at_work);
        if state.is_watched {
            drop(state);
            return self.to_watch.notify_one();
        }
        state.is_watched = true;
        drop(state);
        let pool = self.clone();
        let watcher = std::thread::Builder::new().name("priorities".to_owned());
        if let Err(error) = watcher.spawn(move || pool.watch()) {
            // Until there is one, all threads are equal.
            tracing::error!("no thread for priorities: {error}");
            self.state().is_watched = false;
        }
    }

    /// Lowers the priority of threads whose job goes on for long, and replaces those that have ended, as long as there
    /// are any at work.
    fn watch(self: &Arc<Self>) {
        let has_nothing_to_do = |state: &mut State| {
            state.at_work.values().all(|thread| thread.gives_way)
                && state.missed(self.threads_max) == 0
        };
        let mut state = self.state();
        loop {
            let waited = self.to_watch.wait_timeout_while(state, LINGERS, has_nothing_to_do);
            let (woken, time) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if time.timed_out() && state.at_work.is_empty() {
                state.is_watched = false;
                return;
            }
            let missed = state.missed(self.threads_max);
            state.threads += missed;
            drop(state);
            (0..missed).for_each(|_| self.add_thread());
            std::thread::sleep(limits::POOL_PATIENCE / 2);
            state = self.state();
            for thread in state.at_work.values_mut() {
                if !thread.gives_way && thread.since.elapsed() > limits::POOL_PATIENCE {
                    give_way(thread.thread);
                    thread.gives_way = true;
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lowers the priority of a thread of this process. On a system that refuses all threads are equal.
fn give_way(thread: Pid) {
    if let Ok(now) = getpriority_process(Some(thread)) {
        let _ = setpriority_process(Some(thread), (now + limits::POOL_NICENESS).min(19));
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

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn no_more_threads_than_allowed_and_every_job_runs() {
        let pool = Pool::new(Handle::current(), 3);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (sender, receiver) = mpsc::channel();
        for i in 0..100 {
            let (running, most, sender) = (running.clone(), most.clone(), sender.clone());
            pool.run(Box::new(move || {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                sender.send(i).unwrap();
            }));
        }
        drop(sender);
        let mut done: Vec<i32> = receiver.iter().collect();
        done.sort_unstable();
        assert_eq!(done, (0..100).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= 3);
    }

    /// Puts jobs that end when the lock is let go on the pool, for so many connections as many as it admits of each.
    fn occupy(pool: &Arc<Pool>, connections: usize, lock: &Arc<Mutex<()>>) {
        for _ in 0..connections {
            let inbox = Arc::new(Inbox::default());
            for running in 0..limits::POOL_QUERIES_PER_CONNECTION {
                if !pool.admits(running, &inbox) {
                    break;
                }
                let lock = lock.clone();
                pool.run(Box::new(move || drop(lock.lock())));
            }
        }
    }

    #[tokio::test]
    async fn connections_with_endless_queries_leave_threads_to_others() {
        let pool = Pool::new(Handle::current(), limits::POOL_THREADS);
        let lock = Arc::new(Mutex::new(()));
        let guard = lock.lock().unwrap();
        occupy(&pool, limits::POOL_QUERIES_PER_CONNECTION, &lock);
        // Many others that have none find a thread each at once.
        let (sender, receiver) = mpsc::channel();
        for _ in 0..limits::POOL_THREADS / 4 {
            let (sender, lock) = (sender.clone(), lock.clone());
            assert!(pool.admits(0, &Arc::default()));
            pool.run(Box::new(move || {
                sender.send(()).unwrap();
                drop(lock.lock());
            }));
        }
        for _ in 0..limits::POOL_THREADS / 4 {
            receiver.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
        }
        drop(guard);
    }

    #[tokio::test]
    async fn who_was_held_back_is_told_when_a_thread_is_free() {
        let pool = Pool::new(Handle::current(), 4);
        let lock = Arc::new(Mutex::new(()));
        let guard = lock.lock().unwrap();
        occupy(&pool, 4, &lock);
        let inbox = Arc::new(Inbox::default());
        assert!(!pool.admits(1, &inbox));
        let mut none = Vec::new();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(inbox.poll(&mut context, &mut none).is_pending());
        drop(guard);
        std::future::poll_fn(|context| inbox.poll(context, &mut none)).await;
        assert!(none.is_empty());
        while !pool.admits(1, &inbox) {
            std::future::poll_fn(|context| inbox.poll(context, &mut none)).await;
        }
    }

    #[tokio::test]
    async fn a_job_that_takes_long_gives_way_to_others() {
        let priority = || getpriority_process(None).unwrap();
        let (own, lower) = (priority(), (priority() + limits::POOL_NICENESS).min(19));
        let pool = Pool::new(Handle::current(), 1);
        let (sender, receiver) = mpsc::channel();
        for _ in 0..2 {
            let sender = sender.clone();
            pool.run(Box::new(move || {
                sender.send(priority()).unwrap();
                let began = Instant::now();
                while priority() == own && began.elapsed() < Duration::from_secs(20) {
                    std::thread::yield_now();
                }
                sender.send(priority()).unwrap();
            }));
        }
        drop(sender);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [own, lower, own, lower]);
    }

    #[tokio::test]
    async fn a_job_that_panics_leaves_the_thread_to_the_next() {
        let pool = Pool::new(Handle::current(), 1);
        let (sender, receiver) = mpsc::channel();
        let barrier = Arc::new(Barrier::new(2));
        let waiting = barrier.clone();
        pool.run(Box::new(move || {
            waiting.wait();
            panic!("as the test wants it");
        }));
        pool.run(Box::new(move || sender.send(()).unwrap()));
        barrier.wait();
        receiver.recv().unwrap();
    }
}
