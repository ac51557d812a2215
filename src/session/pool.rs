//! Threads for evaluations that may take long: at most so many at once, the rest in the order they came. Knows nothing
//! of queries. The length of the queue is bounded by those who put into it: each connection has its own bound.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::limits;

/// Something to do on a thread of the pool.
pub type Job = Box<dyn FnOnce() + Send>;

/// A bounded number of threads and a queue before them. The threads are the runtime's blocking ones, which come and go.
#[derive(Debug)]
pub struct Pool {
    handle: Handle,
    threads_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    threads: usize,
    queue: VecDeque<Job>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("threads", &self.threads)
            .field("queued", &self.queue.len())
            .finish()
    }
}

impl Pool {
    /// A pool of at most so many threads of the runtime.
    pub fn new(handle: Handle, threads_max: usize) -> Arc<Pool> {
        Arc::new(Pool { handle, threads_max, state: Mutex::default() })
    }

    /// Runs a job as soon as a thread is free.
    pub fn run(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        if state.threads >= self.threads_max {
            state.queue.push_back(job);
            return;
        }
        state.threads += 1;
        drop(state);
        let pool = self.clone();
        self.handle.spawn_blocking(move || pool.work(job));
    }

    /// How many threads a connection may have now: a part of those that are free, one in any case.
    pub fn share(&self) -> usize {
        (self.threads_max - self.busy()) / limits::POOL_FREE_PART + 1
    }

    /// Threads at work.
    pub fn busy(&self) -> usize {
        self.state().threads
    }

    fn work(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            // A job tells its own failures; one that panics must not take the thread from the pool's count.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("a job of the pool panicked");
            }
            let mut state = self.state();
            next = state.queue.pop_front();
            if next.is_none() {
                state.threads -= 1;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test]
    async fn connections_with_endless_queries_leave_threads_to_others() {
        let pool = Pool::new(Handle::current(), limits::POOL_THREADS);
        let (release, held) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
        let guard = release.lock().unwrap();
        for _connection in 0..32 {
            for _query in 0..limits::POOL_QUERIES_PER_CONNECTION.min(pool.share()) {
                let (release, held) = (release.clone(), held.clone());
                pool.run(Box::new(move || {
                    held.fetch_add(1, Ordering::SeqCst);
                    drop(release.lock());
                }));
            }
        }
        assert!(pool.busy() < limits::POOL_THREADS, "{} threads are taken", pool.busy());
        let (sender, receiver) = mpsc::channel();
        pool.run(Box::new(move || sender.send(()).unwrap()));
        receiver.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        drop(guard);
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
