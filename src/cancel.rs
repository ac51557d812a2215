//! How a running query is told from outside to stop. Knows flags and threads; not what a query is.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

/// Told to a running query from outside: stop.
#[derive(Clone, Debug, Default)]
pub struct CancelFlag(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    word: AtomicU8,
    /// The thread that waits on behalf of the query.
    waiting: Mutex<Option<Thread>>,
}

/// Nobody wants the query to stop.
const RUNNING: u8 = 0;
/// The client, its going, or the server's end wants it.
const CANCELLED: u8 = 1;
/// Somebody deleted its row of the table of jobs.
const TERMINATED: u8 = 2;

/// All queries together take too much memory, and it is one of those that hold most.
const EVICTED: u8 = 3;

/// Lets the flag wake this thread until it is dropped.
#[derive(Debug)]
pub struct Waking<'a>(&'a CancelFlag);

impl CancelFlag {
    /// Asks the query to stop; it does so at its next check.
    pub fn cancel(&self) {
        self.ask(CANCELLED);
    }

    /// As [`CancelFlag::cancel`], on behalf of the table of jobs.
    pub fn terminate(&self) {
        self.ask(TERMINATED);
    }

    /// As [`CancelFlag::cancel`], because others need the memory.
    pub fn evict(&self) {
        self.ask(EVICTED);
    }

    /// The first word counts.
    fn ask(&self, why: u8) {
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        // It fails when the query was asked already.
        let _ = self.0.word.compare_exchange(RUNNING, why, set, fetch);
        let waiting = self.waiting().take();
        if let Some(thread) = waiting {
            thread.unpark();
        }
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.word.load(Ordering::Relaxed) != RUNNING
    }

    /// Whether it was the table of jobs that asked.
    pub fn is_terminated(&self) -> bool {
        self.0.word.load(Ordering::Relaxed) == TERMINATED
    }

    /// Whether it was asked because others need the memory.
    pub fn is_evicted(&self) -> bool {
        self.0.word.load(Ordering::Relaxed) == EVICTED
    }

    /// Unparks the calling thread when the query is asked to stop. Whoever looks at the flag after this call and finds it
    /// unset is not asked unnoticed. A query is evaluated by one thread at a time, so there is one place for it.
    pub fn wake_this_thread(&self) -> Waking<'_> {
        *self.waiting() = Some(std::thread::current());
        Waking(self)
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Thread>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        *self.0.waiting() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_first_word_counts() {
        let flag = CancelFlag::default();
        assert!(!flag.is_cancelled());
        flag.terminate();
        flag.cancel();
        assert!(flag.is_cancelled() && flag.is_terminated());
    }

    #[test]
    fn a_parked_thread_is_woken_by_a_cancellation() {
        let flag = CancelFlag::default();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let _waking = flag.wake_this_thread();
                let began = Instant::now();
                while !flag.is_cancelled() && began.elapsed() < Duration::from_secs(20) {
                    std::thread::park_timeout(Duration::from_secs(20));
                }
                began.elapsed()
            });
            std::thread::sleep(Duration::from_millis(20));
            flag.cancel();
            assert!(waiter.join().unwrap() < Duration::from_secs(10));
        });
        assert!(flag.waiting().is_none());
    }
}
