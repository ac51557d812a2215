//! What a pool has of threads and jobs, and who gets the next thread. Knows numbers; starts and wakes no thread.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::Job;
use crate::limits;
use crate::session::inbox::Inbox;
use crate::turns::FairLine;

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
    /// Jobs that have no thread yet, by their users.
    pub queue: FairLine<Arc<str>, Job>,
    /// Threads that do a job, by its user.
    at_work: HashMap<Arc<str>, usize>,
    /// All of these.
    working: usize,
    pub lane_threads: usize,
    /// Jobs of administration.
    pub lane_queue: VecDeque<Job>,
    /// Sessions that have jobs for the pool and were not admitted.
    pub held_back: Vec<Arc<Inbox>>,
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
            working: 0,
            lane_threads: 0,
            lane_queue: VecDeque::new(),
            held_back: Vec::new(),
        }
    }

    /// Threads at work, and those that are about to be.
    pub fn busy(&self) -> usize {
        self.working + self.queue.len().min(self.threads_max - self.working)
    }

    /// How many threads may be at work when a connection with so many jobs gets another: the more it has, the more are
    /// left to others.
    pub fn threads_of(&self, running: usize) -> usize {
        let part = if running < limits::POOL_FEW_QUERIES { 4 } else { 2 };
        self.threads_max - self.threads_max / part
    }

    /// Whether a user may have another thread: the more it has, the more must be left to others.
    pub fn may_begin(&self, user: &Arc<str>) -> bool {
        may_begin(&self.at_work, self.threads_max - self.working, user)
    }

    /// Whether there is a job that may be done now.
    pub fn has_job(&self) -> bool {
        self.queue.has(|user| self.may_begin(user))
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
    pub fn begin(&mut self) -> Option<(Arc<str>, Job)> {
        let (at_work, free) = (&self.at_work, self.threads_max - self.working);
        let (user, job) = self.queue.pop(|user| may_begin(at_work, free, user))?;
        self.working += 1;
        *self.at_work.entry(user.clone()).or_default() += 1;
        Some((user, job))
    }

    /// A thread has done a job.
    pub fn end(&mut self, user: &Arc<str>) {
        self.working -= 1;
        if let Some(has) = self.at_work.get_mut(user) {
            *has -= 1;
            if *has == 0 {
                self.at_work.remove(user);
            }
        }
    }
}

fn may_begin(at_work: &HashMap<Arc<str>, usize>, free: usize, user: &Arc<str>) -> bool {
    let has = at_work.get(user).copied().unwrap_or_default();
    has < limits::POOL_USER_TIMES_FREE * free
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
