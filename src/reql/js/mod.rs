//! Scripts: JavaScript in QuickJS, in helper processes of this binary, one for each query that runs any.
//!
//! Knows values and limits; nothing of terms, streams and tables, and not what a failed script means to a query. A
//! script sees the language alone: no modules, no files, no network, no clock but `Date`.
//!
//! A process can be killed at any moment, whatever built-in operation its script is stuck in: when the script's time is
//! over or its query is stopped. It has a bound on its memory of its own. A helper whose query has ended serves another
//! one, with an engine in which nothing has run yet.

mod convert;
mod helper;
mod slots;
mod wire;
mod worker;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Instant;

use crate::cancel::CancelFlag;
use crate::datum::Datum;
use crate::limits;

pub use helper::{ARGUMENT as HELPER_ARGUMENT, serve as serve_helper};
pub use slots::{Asker, ScriptHost};

use helper::{Helper, Leash};
use slots::Slot;

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
    /// A function, kept under the script's text for as long as the query has its helper.
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
    /// No helper became free in time.
    Busy,
    /// No helper could be started; the text says what the system said.
    NotStarted(String),
    /// Its helper died.
    Crashed,
}

impl ScriptError {
    /// Whether nobody should have the helper afterwards.
    fn spoils_helper(&self) -> bool {
        matches!(self, ScriptError::Interrupted | ScriptError::OutOfMemory | ScriptError::Crashed)
    }
}

/// The scripts of one query. The helper starts with the first.
#[derive(Debug, Default)]
pub struct Scripts {
    thread: RefCell<Option<Thread>>,
}

/// A helper, and the thread that waits for its results.
#[derive(Debug)]
struct Thread {
    jobs: SyncSender<Vec<u8>>,
    results: Receiver<Result<Outcome, ScriptError>>,
    leash: Arc<Leash>,
}

impl Scripts {
    /// Runs a script, or calls the function it evaluates to. Waits for it.
    pub fn run(
        &self,
        host: &ScriptHost,
        asker: &Asker,
        cancel: &CancelFlag,
        job: Job,
    ) -> Result<Outcome, ScriptError> {
        let mut slot = self.thread.borrow_mut();
        let thread = match slot.take() {
            Some(thread) => thread,
            None => Thread::start(host, asker, cancel, job.deadline).inspect_err(|error| {
                if let ScriptError::NotStarted(problem) = error {
                    host.tell_not_started(problem);
                }
            })?,
        };
        let frame = match wire::write_job(&job) {
            Ok(frame) => frame,
            Err(error) => {
                *slot = Some(thread);
                return Err(error);
            }
        };
        let result = thread.run(cancel, job.deadline, frame);
        // What an interrupted engine still holds is of no use to the query's next script.
        match &result {
            Err(ScriptError::NotStarted(problem)) => host.tell_not_started(problem),
            Err(error) if error.spoils_helper() => thread.leash.kill(),
            _ => *slot = Some(thread),
        }
        result
    }

    /// Gives the helper back, and what its scripts hold. Functions are made again from their text when they are called.
    pub fn release(&self) {
        self.thread.borrow_mut().take();
    }
}

impl Thread {
    fn start(
        host: &ScriptHost,
        asker: &Asker,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
    ) -> Result<Thread, ScriptError> {
        Thread::start_with(host, asker, cancel, deadline, Helper::start)
    }

    /// As [`Thread::start`], with helpers that are started so.
    fn start_with(
        host: &ScriptHost,
        asker: &Asker,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
        start: fn() -> io::Result<Helper>,
    ) -> Result<Thread, ScriptError> {
        let slot = host.acquire(asker, cancel, deadline)?;
        let (jobs, waiting) = sync_channel(1);
        let (answers, results) = sync_channel(1);
        let leash = Arc::new(Leash::default());
        let held = leash.clone();
        std::thread::Builder::new()
            .name("script".to_owned())
            .stack_size(limits::SCRIPT_THREAD_STACK_BYTES)
            .spawn(move || wait_for_helper(slot, start, &held, &waiting, &answers))
            .map_err(|error| ScriptError::NotStarted(error.to_string()))?;
        Ok(Thread { jobs, results, leash })
    }

    fn run(
        &self,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
        job: Vec<u8>,
    ) -> Result<Outcome, ScriptError> {
        let given_up = deadline.and_then(|end| end.checked_add(limits::SCRIPT_GRACE));
        // Where the thread has ended, it has said why.
        self.jobs.send(job).map_err(|_| match self.results.try_recv() {
            Ok(Err(error)) => error,
            _ => ScriptError::Crashed,
        })?;
        loop {
            match self.results.recv_timeout(limits::SCRIPT_GRACE) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Err(ScriptError::Crashed),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // The engine looks at its own clock, unless it is inside of a long operation.
            if cancel.is_cancelled() || given_up.is_some_and(|end| Instant::now() >= end) {
                return Err(ScriptError::Interrupted);
            }
        }
    }
}

/// Serves a query's jobs with one helper, and keeps the helper for others when the query wants no more.
fn wait_for_helper(
    slot: Slot,
    start: fn() -> io::Result<Helper>,
    leash: &Leash,
    jobs: &Receiver<Vec<u8>>,
    answers: &SyncSender<Result<Outcome, ScriptError>>,
) {
    // One that was killed while it was kept is of no use.
    let kept = std::iter::from_fn(|| slot.kept()).find(Helper::is_alive);
    let started = kept.map_or_else(start, Ok);
    let mut helper = match started {
        Ok(helper) => helper,
        Err(error) => {
            // The first answer, so that there is room for it. Who has gone away does not want to know.
            drop(answers.send(Err(ScriptError::NotStarted(error.to_string()))));
            return;
        }
    };
    if !leash.hold(&helper) {
        return;
    }
    while let Ok(job) = jobs.recv() {
        let result = helper.run(&job);
        let is_spoilt = result.as_ref().is_err_and(ScriptError::spoils_helper);
        if answers.send(result).is_err() || is_spoilt {
            return;
        }
    }
    if helper.renew().is_ok() {
        slot.keep(helper);
    }
}

#[cfg(test)]
mod tests;
