//! Scripts: JavaScript in an embedded QuickJS, one thread for each query that runs any.
//!
//! Knows values and limits; nothing of terms, streams and tables, and not what a failed script means to a query. A
//! script sees the language alone: no modules, no files, no network, no clock but `Date`.
//!
//! A thread of its own gives a script a stack of known size, wherever in a query it stands, and lets the query go on
//! when a script is stuck inside one long built-in operation that the engine cannot interrupt: the query is answered,
//! the thread ends when that operation does, and until then it counts among the [`ScriptHost`]'s threads.

mod convert;
mod slots;
mod worker;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Instant;

use super::env::CancelFlag;
use crate::datum::Datum;
use crate::limits;

pub use slots::ScriptHost;

/// What to run.
#[derive(Debug)]
pub struct Job {
    /// The text of the script.
    pub source: Arc<str>,
    /// The arguments of the function that the script evaluates to; `None` runs the script itself.
    pub args: Option<Vec<Datum>>,
    /// How long an array of the result may be.
    pub array_limit: usize,
    /// It must end by then.
    pub deadline: Option<Instant>,
}

/// What a script gives.
#[derive(Debug)]
pub enum Outcome {
    /// A value.
    Value(Datum),
    /// A function, kept under the script's text for as long as the query's thread lives.
    Function,
}

/// Why a script gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptError {
    /// It threw, or its result is no value; the text says what.
    Failed(String),
    /// The result has an array of so many elements, more than allowed.
    ArrayTooLong(usize),
    /// It was told to stop, or its time was over.
    Interrupted,
    /// It asked for more memory than a query's scripts may have.
    OutOfMemory,
    /// No thread became free in time.
    Busy,
    /// Its thread died.
    Crashed,
}

/// The scripts of one query. The thread starts with the first.
#[derive(Debug, Default)]
pub struct Scripts {
    thread: RefCell<Option<Thread>>,
}

#[derive(Debug)]
struct Thread {
    jobs: SyncSender<Job>,
    results: Receiver<Result<Outcome, ScriptError>>,
}

impl Scripts {
    /// Runs a script, or calls the function it evaluates to. Waits for it.
    pub fn run(
        &self,
        host: &ScriptHost,
        cancel: &CancelFlag,
        job: Job,
    ) -> Result<Outcome, ScriptError> {
        let mut slot = self.thread.borrow_mut();
        let thread = match slot.take() {
            Some(thread) => thread,
            None => Thread::start(host, cancel, job.deadline)?,
        };
        let result = thread.run(cancel, job);
        // What an interrupted engine still holds is of no use to the query's next script.
        if !matches!(
            result,
            Err(ScriptError::Interrupted | ScriptError::OutOfMemory | ScriptError::Crashed)
        ) {
            *slot = Some(thread);
        }
        result
    }

    /// Gives the thread back, and what its scripts hold. Functions are made again from their text when they are called.
    pub fn release(&self) {
        self.thread.borrow_mut().take();
    }
}

impl Thread {
    fn start(
        host: &ScriptHost,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
    ) -> Result<Thread, ScriptError> {
        let slot = host.acquire(cancel, deadline)?;
        let (jobs, waiting) = sync_channel::<Job>(1);
        let (answers, results) = sync_channel(1);
        let cancel = cancel.clone();
        std::thread::Builder::new()
            .name("script".to_owned())
            .stack_size(limits::SCRIPT_THREAD_STACK_BYTES)
            .spawn(move || {
                let _slot = slot;
                worker::serve(cancel, &waiting, &answers);
            })
            .map_err(|_| ScriptError::Busy)?;
        Ok(Thread { jobs, results })
    }

    fn run(&self, cancel: &CancelFlag, job: Job) -> Result<Outcome, ScriptError> {
        let given_up = job.deadline.and_then(|end| end.checked_add(limits::SCRIPT_GRACE));
        let mut cancelled: Option<Instant> = None;
        self.jobs.send(job).map_err(|_| ScriptError::Crashed)?;
        loop {
            match self.results.recv_timeout(limits::SCRIPT_GRACE) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(ScriptError::Crashed),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if cancel.is_cancelled() {
                // The engine sees the flag itself, unless it is inside of a long operation.
                let since = *cancelled.get_or_insert(now);
                if now.duration_since(since) >= limits::SCRIPT_GRACE {
                    return Err(left_behind());
                }
            }
            if given_up.is_some_and(|end| now >= end) {
                return Err(left_behind());
            }
        }
    }
}

/// Only whoever runs the server can help against one that never ends.
fn left_behind() -> ScriptError {
    tracing::warn!("A script does not end when told to; its thread goes on without its query");
    ScriptError::Interrupted
}

#[cfg(test)]
mod tests;
