//! What a pool has of threads and jobs, and who gets the next thread. Knows numbers; starts and wakes no thread.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Job;
use crate::limits;
use crate::session::inbox::Inbox;
use crate::turns::{FairLine, Whose};

pub(super) struct State {
    threads_max: usize,
    /// Threads there are.
    pub threads: usize,
    /// Those that were made for a job and have not begun yet.
    pub starting: usize,
    /// Those that wait for a job.
    pub idle: usize,
    /// Those among the idle that were woken for one.
    called: usize,
    /// Jobs that have no thread yet.
    pub queue: FairLine<Waiting>,
    /// Threads that do a job, by whose it is.
    at_work: HashMap<Whose, usize>,
    /// The same by users.
    of_users: HashMap<Arc<str>, usize>,
    /// All of these.
    working: usize,
    pub lane_threads: usize,
    /// Jobs of administration.
    pub lane_queue: FairLine<Waiting>,
    /// Sessions that have jobs for the pool and were not admitted, each once.
    held_back: Vec<Arc<Inbox>>,
}

/// A job in a line.
pub(super) struct Waiting {
    job: Job,
    /// Whether it has left the line to be done.
    has_begun: Arc<AtomicBool>,
}

impl Waiting {
    pub fn new(job: Job) -> Self {
        Self { job, has_begun: Arc::default() }
    }

    pub fn has_begun(&self) -> &Arc<AtomicBool> {
        &self.has_begun
    }

    pub fn begin(self) -> Job {
        self.has_begun.store(true, Ordering::Release);
        self.job
    }
}

/// Who is to be called for the next job.
pub(super) enum Call {
    Nobody,
    /// A thread that waits for one; it is counted as called.
    Idle,
    /// A thread that has to be made; it is counted already.
    Another,
}

impl State {
    pub fn new(threads_max: usize) -> Self {
        Self {
            threads_max,
            threads: 0,
            starting: 0,
            idle: 0,
            called: 0,
            queue: FairLine::default(),
            at_work: HashMap::new(),
            of_users: HashMap::new(),
            working: 0,
            lane_threads: 0,
            lane_queue: FairLine::default(),
            held_back: Vec::new(),
        }
    }

    /// Threads at work, and those that are about to be.
    pub fn busy(&self) -> usize {
        self.working + self.queue.len().min(self.threads_max - self.working)
    }

    /// Whether a connection with so many jobs gets another: the more it has, the more is left to others of what its user
    /// has at its address. What other users have counts only in so far as this one's share becomes smaller.
    pub fn admits(&self, whose: &Whose, running: usize) -> bool {
        let at_work = has(&self.at_work, whose);
        let left = left_to(&self.at_work, &self.of_users, self.free(), whose);
        let part = if running < limits::POOL_FEW_QUERIES { 4 } else { 2 };
        let share = at_work + left;
        left > 0 && at_work + self.queue.len_of(whose) < share - share / part
    }

    /// Keeps a session that was not admitted.
    pub fn hold_back(&mut self, inbox: &Arc<Inbox>) {
        if !inbox.hold_back() {
            return;
        }
        if self.held_back.len() == self.held_back.capacity() {
            // Sessions may be gone before there is a thread for them.
            self.held_back.retain(|inbox| Arc::strong_count(inbox) > 1);
        }
        self.held_back.push(inbox.clone());
    }

    /// Those that were not admitted, to be asked again.
    pub fn take_held_back(&mut self) -> Vec<Arc<Inbox>> {
        std::mem::take(&mut self.held_back)
    }

    fn free(&self) -> usize {
        self.threads_max - self.working
    }

    /// Whether there is a job that may be done now.
    pub fn has_job(&self) -> bool {
        self.queue.has(|whose| left_to(&self.at_work, &self.of_users, self.free(), whose) > 0)
    }

    /// Who is to be called for a job that may be done now and for which nobody was.
    pub fn call(&mut self) -> Call {
        if self.queue.len() <= self.called + self.starting || !self.has_job() {
            Call::Nobody
        } else if self.called < self.idle {
            self.called += 1;
            Call::Idle
        } else if self.threads < self.threads_max {
            self.threads += 1;
            self.starting += 1;
            Call::Another
        } else {
            Call::Nobody
        }
    }

    /// A thread was counted that could not be made. Whether the others do without it; it stays counted when it was the
    /// only one.
    pub fn do_without(&mut self) -> bool {
        let has_others = self.threads > 1;
        if has_others {
            self.threads -= 1;
            self.starting -= 1;
        }
        has_others
    }

    /// A thread waits for a job no longer.
    pub fn wake(&mut self) {
        self.idle -= 1;
        self.called = self.called.saturating_sub(1).min(self.idle);
    }

    /// The job that a thread begins now.
    pub fn begin(&mut self) -> Option<(Whose, Job)> {
        let (at_work, of_users, free) = (&self.at_work, &self.of_users, self.free());
        let may_begin = |whose: &Whose| left_to(at_work, of_users, free, whose) > 0;
        let (whose, waiting) = self.queue.pop(may_begin)?;
        self.working += 1;
        *self.at_work.entry(whose.clone()).or_default() += 1;
        *self.of_users.entry(whose.user.clone()).or_default() += 1;
        Some((whose, waiting.begin()))
    }

    /// A thread has done a job.
    pub fn end(&mut self, whose: &Whose) {
        self.working -= 1;
        count_down(&mut self.at_work, whose);
        count_down(&mut self.of_users, &whose.user);
    }
}

fn has<K: Eq + Hash>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or_default()
}

fn count_down<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(has) = counts.get_mut(key) {
        *has -= 1;
        if *has == 0 {
            counts.remove(key);
        }
    }
}

/// How many threads more a user may have at an address: the more the user has, the more must be left to other users, and
/// of what is the user's, the more to its other addresses the more this one has.
fn left_to(
    at_work: &HashMap<Whose, usize>,
    of_users: &HashMap<Arc<str>, usize>,
    free: usize,
    whose: &Whose,
) -> usize {
    let of_user = share_left(limits::POOL_USER_TIMES_FREE, free, has(of_users, &whose.user));
    share_left(limits::POOL_ADDRESS_TIMES_FREE, of_user, has(at_work, whose))
}

/// How many more may be taken, one after the other, by who may have so many times as many as are free then.
fn share_left(times: usize, free: usize, has: usize) -> usize {
    (times * free).saturating_sub(has).div_ceil(times + 1)
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("threads", &self.threads)
            .field("working", &self.working)
            .field("queued", &self.queue.len())
            .finish()
    }
}
