//! Runs a compiled query to its answer: one value, or a cursor that gives rows in batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use photondb_protocol::numbers::{ErrorType, ResponseNote};
use photondb_protocol::raw_term::Frame;
use tokio::sync::Notify;

use crate::cancel::CancelFlag;
use crate::datum::{Datum, number_to_text, work};
use crate::limits;
use crate::storage::CommitSequence;
use crate::turns::Ran;

use super::context::Context;
use super::damage;
use super::deadline::Deadline;
use super::env::Env;
use super::error::{Error, ErrorKind, Result};
use super::program::Program;
use super::scope::Scope;
use super::selection::Selection;
use super::stream::{BatchSpec, BoxStream, Pick, collect_array};
use super::value::{Val, ValKind};
use super::walk_watch::{self, WalkWatch};

/// What a session adds to a query.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// Stops the query from outside.
    pub cancel: CancelFlag,
    /// The query must end by then.
    pub deadline: Option<Instant>,
    /// Whether this thread may wait for pages, the network or a script. Where it may not, a query that must wait fails
    /// with [`ErrorKind::NotResident`] before it had any effect.
    pub may_block: bool,
    /// Whether a query that takes long fails so too, before it had any effect, although waiting is allowed.
    pub is_brief: bool,
    /// When it was asked: the time it may take counts from then.
    pub asked: Instant,
}

impl RunRequest {
    /// One that is asked now, and has as much time as the server and the query allow.
    pub fn new(cancel: CancelFlag, may_block: bool) -> RunRequest {
        RunRequest { cancel, deadline: None, may_block, is_brief: false, asked: Instant::now() }
    }
}

/// What a query gives.
#[derive(Debug)]
pub enum Answer {
    /// One value.
    Atom {
        /// The value.
        value: Datum,
        /// The profile, when one was asked for.
        profile: Option<Datum>,
        /// The commit that must be durable before the answer leaves.
        durable_at: Option<CommitSequence>,
        /// When the answer must have been written.
        deadline: Option<Deadline>,
    },
    /// Rows, in batches.
    Stream(Box<Cursor>),
}

/// A query that failed, as the response tells it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What kind of error.
    pub kind: ErrorKind,
    /// The text.
    pub message: String,
    /// The term to blame.
    pub path: Vec<Frame>,
}

impl Failure {
    /// The wire's number of the kind.
    pub fn error_type(&self) -> ErrorType {
        self.kind.error_type()
    }

    /// One that no single term is to blame for.
    fn of_all(error: &Error) -> Failure {
        Failure { kind: error.kind(), message: error.message().to_owned(), path: Vec::new() }
    }

    fn new(error: &Error, program: &Program) -> Failure {
        Failure {
            kind: error.kind(),
            message: error.message().to_owned(),
            path: error.blamed().map_or_else(Vec::new, |at| program.path(at)),
        }
    }
}

/// Evaluates a compiled query.
pub fn run(
    program: &Arc<Program>,
    context: &Arc<Context>,
    request: RunRequest,
) -> std::result::Result<Answer, Failure> {
    damage::noticed(context, || evaluate(program, context, request))
        .map_err(|error| Failure::new(&error, program))
}

fn evaluate(program: &Arc<Program>, context: &Arc<Context>, request: RunRequest) -> Result<Answer> {
    let mut env = Env::new(context.clone(), program.clone(), request.cancel, request.may_block)?;
    env.set_brief(request.is_brief);
    env.set_asked(request.asked);
    env.begin();
    if let Some(deadline) = request.deadline {
        env.set_deadline(deadline);
    }
    // It may have waited for a thread for as long as that.
    env.deadline().map_or(Ok(()), |deadline| deadline.check())?;
    walk_watch::watched(env.walk_watch(), || {
        let root = program.root();
        let val = root.eval(&env, &Scope::EMPTY)?;
        answer(val, env).map_err(|error| error.at(root.id))
    })
}

/// Writes an answer of the context's query, which may be far longer than the values it is written from: the query can
/// be stopped meanwhile, and fails when it takes too much memory. To be called where waiting is allowed.
pub fn write_watched<T>(
    context: &Arc<Context>,
    cancel: &CancelFlag,
    deadline: Option<Deadline>,
    write: impl FnOnce() -> T,
) -> std::result::Result<T, Failure> {
    let watch = WalkWatch::new(context.clone(), cancel.clone(), deadline, None);
    walk_watch::watched(watch, || Ok(write())).map_err(|error| Failure::of_all(&error))
}

/// Reads and compiles a query of the context, which may be long: it ends as an evaluation does. To be called where waiting is
/// allowed.
pub fn read_watched<T>(
    context: &Arc<Context>,
    cancel: &CancelFlag,
    read: impl FnOnce() -> T,
) -> std::result::Result<T, Failure> {
    let watch = WalkWatch::new(context.clone(), cancel.clone(), None, None);
    let read = || {
        // It may have been stopped while it waited for a thread.
        work::look();
        Ok(walk_watch::reading(read))
    };
    walk_watch::watched(watch, read).map_err(|error| Failure::of_all(&error))
}

fn answer(val: Val, env: Env) -> Result<Answer> {
    let value = match val.kind {
        ValKind::Datum(datum) => datum,
        ValKind::Grouped(grouped) => grouped.into_wire(),
        ValKind::GroupedStream(stream) => stream.gather(&env)?.into_wire(),
        ValKind::SingleSelection(single) => single.read(&env)?,
        ValKind::Sequence(stream) | ValKind::Selection(Selection { stream, .. })
            if stream.is_array() =>
        {
            collect_array(stream, &env)?
        }
        ValKind::Sequence(_) | ValKind::Selection(_) | ValKind::Table(_) => {
            let stream = val.into_stream(&env)?;
            return Ok(Answer::Stream(Box::new(Cursor::new(stream, env)?)));
        }
        ValKind::Func(_) | ValKind::Database(_) => {
            return Err(Error::logic(format!(
                "Query result must be of type DATUM, GROUPED_DATA, or STREAM (got {}).",
                val.kind_name()
            )));
        }
    };
    if env.program.mentions_bounds() {
        value.check_json()?;
    }
    // As text it may be far longer than it is.
    let size = value.approximate_size();
    env.reserve(size)?;
    env.check_inline_answer(size)?;
    let profile = env.take_profile();
    let durable_at = env.hard_commit();
    Ok(Answer::Atom { value, profile, durable_at, deadline: env.deadline() })
}

/// Rows that are still to come, with the environment that makes them.
pub struct Cursor {
    stream: BoxStream,
    env: Env,
    batching: Box<Batching>,
    first: bool,
    notes: Vec<ResponseNote>,
    ready: Option<Arc<Notify>>,
    /// How much it has run, which whoever reads its batches keeps here.
    pub ran: Ran,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Some rows of a cursor.
#[derive(Debug)]
pub struct Batch {
    /// The rows. Empty when the stream has ended, or when a changefeed has nothing yet.
    pub rows: Vec<Datum>,
    /// Whether the stream has ended.
    pub done: bool,
    /// The profile of this batch, when one was asked for.
    pub profile: Option<Datum>,
    /// The commit that must be durable before the rows leave.
    pub durable_at: Option<CommitSequence>,
}

impl Cursor {
    fn new(stream: BoxStream, env: Env) -> Result<Cursor> {
        let batching = Box::new(Batching::read(&env)?);
        let mut notes = Vec::new();
        let mut ready = None;
        if let Some(feed) = stream.feed() {
            notes.push(feed.note);
            if feed.includes_states {
                notes.push(ResponseNote::IncludesStates);
            }
            // One that has ended before it began (`limit(0)`) is not waited for.
            ready = (!stream.is_exhausted()).then_some(feed.ready);
        }
        // The first batch begins with what was evaluated for it.
        env.memory().rest();
        Ok(Cursor { stream, env, batching, first: true, notes, ready, ran: Ran::default() })
    }

    /// What the driver must know of the stream (changefeeds only).
    pub fn notes(&self) -> &[ResponseNote] {
        &self.notes
    }

    /// Of a changefeed: notified when rows may have arrived. An empty batch that is not done means: wait for this, then
    /// ask again. Register for the notification before asking, so that none is missed.
    pub fn ready(&self) -> Option<&Arc<Notify>> {
        self.ready.as_ref()
    }

    /// From now on batches are read on threads that may wait for pages, the network or a script.
    pub fn allow_blocking(&mut self) {
        self.env.may_block = true;
    }

    /// Stops the evaluation from another thread.
    pub fn cancel_flag(&self) -> &CancelFlag {
        self.env.cancel_flag()
    }

    /// The query.
    pub fn program(&self) -> &Program {
        &self.env.program
    }

    /// The client has asked for the next batch at that time.
    pub fn set_asked(&mut self, asked: Instant) {
        self.env.set_asked(asked);
    }

    /// When the batch that was read last must have been written.
    pub fn deadline(&self) -> Option<Deadline> {
        self.env.deadline()
    }

    /// Allows waiting from now on: the cursor goes on where that is possible.
    pub fn set_may_block(&mut self, may_block: bool) {
        self.env.may_block = may_block;
    }

    /// The next rows. The first call on a changefeed answers at once, with no rows: the driver learns that it has begun.
    pub fn next_batch(&mut self) -> std::result::Result<Batch, Failure> {
        if self.first && self.ready.is_some() {
            self.first = false;
            self.let_go();
            let durable_at = self.env.hard_commit();
            return Ok(Batch { rows: Vec::new(), done: false, profile: None, durable_at });
        }
        let spec = self.batching.spec(self.first);
        self.env.begin();
        let (stream, env) = (&mut self.stream, &self.env);
        let rows = damage::noticed(&env.context, || {
            walk_watch::watched(env.walk_watch(), || rows_to_answer(stream, env, &spec))
        });
        self.env.rest();
        match rows {
            Ok(rows) => {
                self.first = false;
                self.env.set_brief(false);
                self.env.set_asked(Instant::now());
                let done = self.stream.is_exhausted();
                self.let_go();
                let durable_at = self.env.hard_commit();
                Ok(Batch { rows, done, profile: self.env.take_profile(), durable_at })
            }
            Err(error) => {
                // An error without a place of its own is the whole query's.
                let error = error.at(self.env.program.root().id);
                Err(Failure::new(&error, &self.env.program))
            }
        }
    }

    /// Writes rows of it, which takes memory that is not the cursor's. On the thread that has read them.
    pub fn write<T>(&self, write: impl FnOnce() -> T) -> T {
        self.env.memory().beside(write)
    }

    /// Its batch has been written and dropped: what is left of what this thread has taken is what the cursor keeps.
    pub fn rest(&mut self) {
        self.env.memory().rest();
    }

    /// Bytes that it keeps between batches.
    pub fn kept(&self) -> usize {
        usize::try_from(self.env.memory().kept()).unwrap_or(usize::MAX)
    }

    /// Keeps nothing of the store until the next batch is asked for.
    fn let_go(&mut self) {
        self.env.release_snapshots();
        self.stream.let_go();
    }
}

/// The next rows of a stream, as far as they can be told to a client.
fn rows_to_answer(stream: &mut BoxStream, env: &Env, spec: &BatchSpec) -> Result<Vec<Datum>> {
    let rows = stream.next_batch(env, spec)?;
    if env.program.mentions_bounds() {
        rows.iter().try_for_each(Datum::check_json)?;
    }
    if !env.may_wait() {
        let most = limits::INLINE_ANSWER_BYTES;
        let mut size = 0;
        for row in &rows {
            size += row.size_up_to(most);
            if size > most {
                break;
            }
        }
        env.check_inline_answer(size)?;
    }
    Ok(rows)
}

/// How large batches may be, from the query's options.
#[derive(Clone, Copy, Debug)]
struct Batching {
    max_rows: usize,
    min_rows: usize,
    max_bytes: usize,
    time: Duration,
    first_scaledown: usize,
}

impl Batching {
    fn read(env: &Env) -> Result<Batching> {
        let mut batching = Batching {
            max_rows: limits::BATCH_ROWS,
            min_rows: limits::BATCH_ROWS_MIN,
            max_bytes: limits::BATCH_BYTES,
            time: limits::BATCH_TIME,
            first_scaledown: limits::FIRST_BATCH_SCALEDOWN,
        };
        if !env.program.has_globals() {
            return Ok(batching);
        }
        let option = |name: &'static str, slot: &mut usize| -> Result<()> {
            if let Some(val) = env.global_optarg(name)? {
                let value = val.integer(env)?;
                *slot = usize::try_from(value).ok().filter(|n| *n >= 1).ok_or_else(|| {
                    Error::logic(format!("{name} must be positive (got {value})."))
                })?;
            }
            Ok(())
        };
        option("max_batch_rows", &mut batching.max_rows)?;
        option("min_batch_rows", &mut batching.min_rows)?;
        option("max_batch_bytes", &mut batching.max_bytes)?;
        option("first_batch_scaledown_factor", &mut batching.first_scaledown)?;
        if let Some(val) = env.global_optarg("max_batch_seconds")? {
            let seconds = val.number(env)?;
            batching.time = Duration::try_from_secs_f64(seconds).map_err(|_| {
                Error::logic(format!(
                    "max_batch_seconds must be positive (got {}).",
                    number_to_text(seconds)
                ))
            })?;
        }
        Ok(batching)
    }

    fn spec(&self, first: bool) -> BatchSpec {
        let divisor = if first { self.first_scaledown } else { 1 };
        let max_rows = (self.max_rows / divisor).max(1);
        BatchSpec {
            max_rows,
            max_bytes: (self.max_bytes / divisor).max(1),
            min_rows: self.min_rows.min(max_rows),
            until: Instant::now().checked_add(self.time),
            terminal: false,
            pick: Pick::InTurn,
            lent: true,
        }
    }
}
