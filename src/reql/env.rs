//! What a running query has besides its term: the server around it, its options, its limits, its interruption.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use super::context::Context;
use super::deadline::{Deadline, Timeout, interrupted};
use super::error::{Error, Result};
use super::js::{Asker, Job, Outcome, ScriptError, Scripts};
use super::memory_meter::MemoryMeter;
use super::program::Program;
use super::scope::Scope;
use super::trace::{Task, Trace};
use super::value::Val;
use super::walk_watch::{self, WalkWatch};
use crate::cancel::CancelFlag;
use crate::datum::{Datum, work};
use crate::storage::{
    Commit, CommitSequence, Durability, ReadMode, RenewalHandle, allow_reads_at_once,
};
use crate::{limits, turns};

/// A flag that is set until this is dropped, be it because an evaluation unwinds: a query goes on after some of those.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    flag: &'a Cell<bool>,
    before: bool,
}

impl<'a> Setting<'a> {
    fn new(flag: &'a Cell<bool>, value: bool) -> Setting<'a> {
        Setting { flag, before: flag.replace(value) }
    }

    /// The flag as it was, and will be.
    pub(super) fn before(&self) -> bool {
        self.before
    }
}

impl Drop for Setting<'_> {
    fn drop(&mut self) {
        self.flag.set(self.before);
    }
}

/// The environment of one query; moves with the query from thread to thread.
pub struct Env {
    /// The server.
    pub context: Arc<Context>,
    /// The compiled query.
    pub program: Arc<Program>,
    /// Whether waiting (for pages, the network, a script) is allowed on this thread.
    pub may_block: bool,
    /// Whether it starts over elsewhere when it takes long.
    is_brief: bool,
    cancel: CancelFlag,
    /// When it was asked for what is evaluated.
    asked: Instant,
    /// When the caller wants the query to have ended.
    caller_deadline: Option<Deadline>,
    timeout: Option<Timeout>,
    /// When the evaluation under way must have ended.
    deadline: Cell<Option<Deadline>>,
    array_limit: usize,
    batch_rows: usize,
    checks: Cell<u32>,
    memory: MemoryMeter,
    /// Whether `r.literal` may stand where evaluation is.
    literals_legal: Cell<bool>,
    /// Whether what is evaluated is not the query's own, so that its options do not hold.
    is_foreign: Cell<bool>,
    trace: Option<RefCell<Trace>>,
    /// Whether the query has had an effect: it must not be started over any more.
    wrote: Cell<bool>,
    /// The last commit that must be durable before the query is answered.
    hard_commit: Cell<Option<CommitSequence>>,
    scripts: Scripts,
    /// The snapshots that streams read.
    held: RefCell<Vec<RenewalHandle>>,
}

impl Env {
    /// The environment of a query about to run. Reads the options that bind from the start (`array_limit`, `profile`).
    pub fn new(
        context: Arc<Context>,
        program: Arc<Program>,
        cancel: CancelFlag,
        may_block: bool,
    ) -> Result<Env> {
        let timeout = context.query_timeout().map(Timeout::of_server);
        let mut env = Env {
            context,
            program,
            may_block,
            is_brief: false,
            cancel,
            asked: Instant::now(),
            caller_deadline: None,
            timeout,
            deadline: Cell::new(None),
            array_limit: limits::ARRAY_LIMIT,
            batch_rows: limits::BATCH_ROWS,
            checks: Cell::new(0),
            memory: MemoryMeter::default(),
            literals_legal: Cell::new(false),
            is_foreign: Cell::new(false),
            trace: None,
            wrote: Cell::new(false),
            hard_commit: Cell::new(None),
            scripts: Scripts::default(),
            held: RefCell::default(),
        };
        env.begin();
        if !may_block {
            allow_reads_at_once(limits::INLINE_READ_BYTES);
        }
        if env.program.has_globals() {
            env.read_options()?;
        }
        Ok(env)
    }

    fn read_options(&mut self) -> Result<()> {
        if let Some(limit) = self.global_optarg("array_limit")? {
            let limit = limit.integer(self)?;
            self.array_limit =
                usize::try_from(limit).ok().filter(|n| *n >= 1).ok_or_else(|| {
                    Error::logic(format!("Illegal array size limit `{limit}`.  (Must be >= 1.)"))
                })?;
        }
        if let Some(timeout) = self.global_optarg("timeout_ms")? {
            let timeout = Timeout::read(&timeout.into_datum(self)?)?;
            self.timeout = Some(timeout.shorter(self.timeout));
            self.begin();
        }
        // Whoever makes batches of it says what is wrong with it.
        if let Some(rows) = self.global_optarg("max_batch_rows")?
            && let Ok(rows) = rows.integer(self)
        {
            self.batch_rows = usize::try_from(rows).unwrap_or(1).max(1);
        }
        if let Some(profile) = self.global_optarg("profile")?
            && profile.truthy(self)?
        {
            self.trace = Some(RefCell::new(Trace::start()));
        }
        Ok(())
    }

    /// An evaluation begins on this thread, or goes on there: what it takes of memory is counted from now, and its time
    /// from when it was asked for.
    pub fn begin(&self) {
        self.memory.begin(&self.context);
        let timeout = self.timeout.and_then(|timeout| timeout.starting_at(self.asked));
        self.deadline.set(Deadline::earlier(self.caller_deadline, timeout));
    }

    /// It is asked for what is evaluated next at that time.
    pub fn set_asked(&mut self, asked: Instant) {
        self.asked = asked;
    }

    /// Whether it is to start over elsewhere when it takes long.
    pub fn set_brief(&mut self, is_brief: bool) {
        self.is_brief = is_brief;
    }

    /// The query must end by then.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.caller_deadline = Some(Deadline::over_http(deadline));
        self.deadline.set(Deadline::earlier(self.caller_deadline, self.deadline.get()));
    }

    /// Fails when the query was asked to stop or its time is over. Cheap: called for every term.
    pub fn check_interrupt(&self) -> Result<()> {
        work::steps(limits::TERM_STEPS);
        let checks = self.checks.get().wrapping_add(1);
        self.checks.set(checks);
        if self.cancel.is_cancelled() || checks.is_multiple_of(limits::DEADLINE_CHECK_INTERVAL) {
            self.check_interrupt_now()?;
            if self.bounds().is_some_and(|(most, _)| checks >= most) {
                return Err(Error::too_long_inline());
            }
        }
        if checks.is_multiple_of(limits::MEMORY_CHECK_INTERVAL) && self.memory.is_due(checks) {
            self.look_at_memory(0)?;
        }
        Ok(())
    }

    /// Fails when so many bytes more would be too many for one query, or for all. To be asked before something large is
    /// made at once; what is made little by little is watched by [`Env::check_interrupt`].
    pub fn reserve(&self, bytes: usize) -> Result<()> {
        if bytes < limits::QUERY_RESERVE_BYTES {
            return Ok(());
        }
        self.look_at_memory(bytes)
    }

    /// Another thread has made so many bytes for the query, which keeps them or makes a value of them. Fails when there is no
    /// memory for that value beside them.
    pub fn receive(&self, bytes: usize) -> Result<()> {
        self.memory.receive(bytes);
        self.reserve(bytes)
    }

    /// Fails when the answer, of so many bytes of JSON, is too long to be written where the query was read.
    pub(super) fn check_inline_answer(&self, bytes: usize) -> Result<()> {
        if bytes <= limits::INLINE_ANSWER_BYTES || self.may_wait() {
            return Ok(());
        }
        Err(Error::too_long_inline())
    }

    /// How often it may look whether it goes on, and how often during walks, before it starts over elsewhere.
    fn bounds(&self) -> Option<(u32, u32)> {
        match (self.wrote.get(), self.may_block) {
            (false, false) => Some((limits::INLINE_CHECKS, limits::INLINE_WALK_LOOKS)),
            (false, true) if self.is_brief => Some((limits::LANE_CHECKS, limits::LANE_WALK_LOOKS)),
            _ => None,
        }
    }

    /// Whether the query is to start over elsewhere when it takes long.
    pub fn starts_over(&self) -> bool {
        self.bounds().is_some()
    }

    /// What the query has of memory.
    pub(super) fn memory(&self) -> &MemoryMeter {
        &self.memory
    }

    fn look_at_memory(&self, wanted: usize) -> Result<()> {
        self.memory.check(&self.context, wanted as u64)
    }

    /// As [`Env::check_interrupt`], looking at the clock each time.
    pub fn check_interrupt_now(&self) -> Result<()> {
        interrupted(&self.cancel, self.deadline.get())
    }

    /// What the walks through values of an evaluation are watched with; it begins, or goes on, on this thread.
    pub(super) fn walk_watch(&self) -> WalkWatch {
        let (context, cancel) = (self.context.clone(), self.cancel.clone());
        let looks = self.bounds().map(|(_, looks)| looks);
        WalkWatch::new(context, cancel, self.deadline.get(), looks).waiting(self.may_block)
    }

    /// When the evaluation under way must end.
    pub fn deadline(&self) -> Option<Deadline> {
        self.deadline.get()
    }

    /// Runs an evaluation in which `r.literal` may stand: the argument of merge or update, or a function's body there.
    pub fn with_literals<T>(&self, eval: impl FnOnce() -> T) -> T {
        let _legal = Setting::new(&self.literals_legal, true);
        eval()
    }

    /// Runs an evaluation that knows nothing of the options of the query: of a function that belongs to a table.
    pub fn without_options<T>(&self, eval: impl FnOnce() -> T) -> T {
        let _foreign = Setting::new(&self.is_foreign, true);
        eval()
    }

    /// Whether a literal may stand where evaluation is.
    pub fn literals_legal(&self) -> bool {
        self.literals_legal.get()
    }

    /// A term's arguments are evaluated next, where no literal may stand, until the result is dropped. What held before
    /// tells whether the term itself may be one.
    pub(super) fn forbid_literals(&self) -> Setting<'_> {
        Setting::new(&self.literals_legal, false)
    }

    /// The flag that stops this query.
    pub fn cancel_flag(&self) -> &CancelFlag {
        &self.cancel
    }

    /// How long an array may become.
    pub fn array_limit(&self) -> usize {
        if self.is_foreign.get() { limits::ARRAY_LIMIT } else { self.array_limit }
    }

    /// How many rows the query wants of a batch.
    pub fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    /// Fails when an array of so many elements is over the limit.
    pub fn check_array_size(&self, len: usize) -> Result<()> {
        if len <= self.array_limit() {
            return Ok(());
        }
        Err(Error::resource_limit(format!(
            "Array over size limit `{}`.  To raise the number of allowed elements, modify the `array_limit` option to \
             `.run` (not available in the Data Explorer), or use an index.",
            self.array_limit()
        )))
    }

    /// Whether the query may wait. One that has written can no longer start over elsewhere, so it waits where it is.
    pub fn may_wait(&self) -> bool {
        self.may_block || self.wrote.get()
    }

    /// Whether a read may wait.
    pub fn read_mode(&self) -> ReadMode {
        if self.may_wait() { ReadMode::MayBlock } else { ReadMode::CachedOnly }
    }

    /// Runs a script, or calls its function, and waits for it.
    pub fn run_script(&self, job: Job) -> std::result::Result<Outcome, ScriptError> {
        let _pause = turns::pause();
        let asker = self.program.client().map_or_else(Asker::nobody, |client| Asker {
            connection: client.address,
            user: client.user.clone(),
        });
        self.scripts.run(&self.context.scripts, &asker, &self.cancel, job)
    }

    /// Gives back what costs something while the query waits for its client: the thread of its scripts.
    pub fn rest(&self) {
        self.scripts.release();
    }

    /// Whether the query has had an effect.
    pub(super) fn has_written(&self) -> bool {
        self.wrote.get()
    }

    /// Keeps a snapshot that a stream reads until the client has its batch.
    pub(super) fn hold(&self, handle: RenewalHandle) {
        let mut held = self.held.borrow_mut();
        if held.len() == held.capacity() {
            // A query may open any number of streams before it has a batch.
            held.retain(RenewalHandle::is_held);
        }
        held.push(handle);
    }

    /// The client has its batch and may never ask for another: nothing is held of the store until it does.
    pub fn release_snapshots(&self) {
        self.held.borrow_mut().retain(RenewalHandle::release);
    }

    /// Notes a write: the query must not be started over, and if its durability is hard the answer waits for it.
    pub fn note_commit(&self, commit: Commit) {
        self.note_effect();
        if commit.durability == Durability::Hard {
            let last = self.hard_commit.get().max(Some(commit.sequence));
            self.hard_commit.set(last);
        }
    }

    /// Notes an effect outside of tables (the catalog): the query must not be started over.
    pub fn note_effect(&self) {
        self.wrote.set(true);
        walk_watch::stay_inline();
    }

    /// The last commit that must be durable before what was computed so far is answered.
    pub fn hard_commit(&self) -> Option<CommitSequence> {
        self.hard_commit.get()
    }

    /// A global optional argument, evaluated.
    pub fn global_optarg(&self, name: &str) -> Result<Option<Val>> {
        match self.program.global(name) {
            Some(node) if !self.is_foreign.get() => node.eval(self, &Scope::EMPTY).map(Some),
            _ => Ok(None),
        }
    }

    /// Whether a profile is asked for.
    pub fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Notes in the profile, when one is asked for, that a term is being evaluated until the result is dropped.
    pub fn trace_enter(&self, name: &'static str) -> Option<Task<'_>> {
        self.trace.as_ref().map(|trace| Task::enter(trace, name))
    }

    /// The profile so far, as the response carries it.
    pub fn take_profile(&self) -> Option<Datum> {
        self.trace.as_ref().map(|trace| trace.borrow_mut().take())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::*;

    #[test]
    fn a_flag_is_set_back_when_evaluation_unwinds() {
        let flag = Cell::new(false);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let setting = Setting::new(&flag, true);
            assert!(flag.get() && !setting.before());
            resume_unwind(Box::new("as the test wants it"))
        }));
        assert!(unwound.is_err());
        assert!(!flag.get());
    }
}
