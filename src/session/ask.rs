//! One query outside of any connection: asked, evaluated, answered whole within bounds. Knows no transport.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use photondb_protocol::raw_term::{Frame, RawTerm};
use tokio::sync::{Notify, oneshot};

use crate::datum::{Datum, write_json};
use crate::holders::Hold;
use crate::reql::facts::Cost;
use crate::reql::running::{Client, Running};
use crate::reql::{
    self, Answer, CancelFlag, CompileError, Cursor, ErrorKind, Failure, Passed, Program, RunRequest,
};
use crate::storage::{CommitSequence, StorageError};
use crate::{limits, metrics};

use super::clock::Clock;
use super::ending::{self, Ending};
use super::service::{Service, whose};
use super::slow::{self, Slow};

/// How much of an answer is wanted.
#[derive(Clone, Copy, Debug)]
pub struct AskBounds {
    /// Rows of a stream.
    pub rows: usize,
    /// Bytes of JSON of all rows.
    pub bytes: usize,
    /// When the query must have ended.
    pub deadline: Instant,
}

/// A whole answer, as JSON.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// One value.
    Value(Vec<u8>),
    /// The rows of a stream, with commas between them.
    Rows {
        /// The rows.
        json: Vec<u8>,
        /// Whether these are all.
        complete: bool,
    },
}

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// It is no query.
    NotRead(NotRead),
    /// The query cannot be run.
    Compile(CompileError),
    /// It failed.
    Run(Failure),
    /// It is a changefeed, which never ends.
    Feed,
    /// It was deleted from the table of jobs.
    Terminated,
    /// It wrote, but what it wrote may be lost.
    NotDurable(StorageError),
    /// The answer, or its first row, is longer than so many bytes.
    TooLong(usize),
    /// The server failed.
    Broken,
}

/// Evaluates one query of a client. When the future is dropped, the query is stopped.
pub async fn ask(
    service: &Arc<Service>,
    client: Client,
    term: RawTerm<'_>,
    optargs: Vec<(Cow<'_, str>, RawTerm<'_>)>,
    bounds: AskBounds,
) -> Result<Asked, AskError> {
    let began = Instant::now();
    let compiled = Program::compile(term, optargs, Clock::new().now());
    ask_compiled(service, client, compiled, Text { began, long: None }, bounds).await
}

/// What is wrong with a text that is no query, and where.
pub type NotRead = (String, Vec<Frame>);

/// Reads a text, which it owns, and compiles it at the given time.
pub type ReadText =
    Box<dyn FnOnce(&Datum) -> Result<Result<Program, CompileError>, NotRead> + Send>;

/// As [`ask`], for a text of so many bytes that is too long to be read by the caller: it is read on the pool, in turns, and
/// ends as an evaluation does.
pub async fn ask_long(
    service: &Arc<Service>,
    client: Client,
    size: usize,
    read: ReadText,
    bounds: AskBounds,
) -> Result<Asked, AskError> {
    let began = Instant::now();
    match read_aside(service, &client, read, bounds).await {
        Ok(compiled) => {
            let text = Text { began, long: Some(size) };
            ask_compiled(service, client, compiled, text, bounds).await
        }
        Err(error) => {
            let ending = match &error {
                AskError::Run(failure) => Ending::of(failure),
                _ => Ending::Failed,
            };
            ending::tell(service, &client, &ending);
            let counted = match &error {
                AskError::NotRead(_) => metrics::Outcome::ClientError,
                _ => ending.counted(),
            };
            service.metrics.recorder().record(counted, began.elapsed());
            Err(error)
        }
    }
}

async fn read_aside(
    service: &Arc<Service>,
    client: &Client,
    read: ReadText,
    bounds: AskBounds,
) -> Result<Result<Program, CompileError>, AskError> {
    let cancel = StopOnDrop(CancelFlag::default());
    let (sender, receiver) = oneshot::channel();
    let (there, flag, now) = (service.clone(), cancel.0.clone(), Clock::new().now().clone());
    let job = Box::new(move || {
        let read = AssertUnwindSafe(|| {
            reql::read_watched(&there.context, &flag, || read(&now)).map_err(AskError::Run)
        });
        drop(sender.send(catch_unwind(read).unwrap_or(Err(AskError::Broken))));
    });
    // Dropped with the client, it takes the job from the line, and the text with it.
    let _queued = service.pool.run(&whose(client), job);
    tokio::select! {
        read = receiver => {
            read.unwrap_or(Err(AskError::Broken))?.map_err(AskError::NotRead)
        }
        () = tokio::time::sleep_until(bounds.deadline.into()) => Err(AskError::Run(Failure {
            kind: ErrorKind::TimedOut,
            message: "The query took too long to be read.".to_owned(),
            path: Vec::new(),
        })),
    }
}

/// What the text of a query was: when it was there, and its bytes if it was a long one.
#[derive(Clone, Copy)]
struct Text {
    began: Instant,
    long: Option<usize>,
}

async fn ask_compiled(
    service: &Arc<Service>,
    client: Client,
    compiled: Result<Program, CompileError>,
    text: Text,
    bounds: AskBounds,
) -> Result<Asked, AskError> {
    let began = text.began;
    match compiled {
        Ok(program) => {
            let (program, client, mut running) = (Arc::new(program), Arc::new(client), None);
            let _aside = DropAside(Some(program.clone()));
            let asked = (program.clone(), text);
            let answer = evaluate(service, &client, asked, bounds, &mut running).await;
            let (ending, took) = (ending(&answer), began.elapsed());
            let (client, program, running) = (&client, &program, running.as_ref());
            let of = Slow { client, program, running, is_http: true, batch: 1 };
            slow::tell(service, &of, &ending, took);
            ending::tell(service, client, &ending);
            service.metrics.recorder().record(ending.counted(), took);
            answer
        }
        Err(error) => {
            let outcome = metrics::Outcome::CompileError;
            service.metrics.recorder().record(outcome, began.elapsed());
            Err(AskError::Compile(error))
        }
    }
}

fn ending(answer: &Result<Asked, AskError>) -> Ending {
    match answer {
        Ok(_) => Ending::Answered,
        Err(AskError::Terminated) => Ending::Stopped,
        Err(AskError::Run(failure)) => Ending::of(failure),
        Err(_) => Ending::Failed,
    }
}

async fn evaluate(
    service: &Arc<Service>,
    client: &Arc<Client>,
    (program, text): (Arc<Program>, Text),
    bounds: AskBounds,
    running: &mut Option<Running>,
) -> Result<Asked, AskError> {
    let cancel = StopOnDrop(CancelFlag::default());
    let asked = Instant::now();
    let request = |may_block, is_brief| {
        let (cancel, deadline) = (cancel.0.clone(), Some(bounds.deadline));
        RunRequest { cancel, deadline, may_block, is_brief, asked }
    };
    if text.long.is_none() && program.root().facts.cost == Cost::Light {
        match run(service, &program, request(false, false), bounds) {
            Err(AskError::Run(failure)) if failure.kind == ErrorKind::NotResident => {}
            answer => return durable(service, answer?).await,
        }
    }
    let queries = &service.context.running;
    // It may be ended before a thread is free for it.
    let ended = Arc::new(Notify::new());
    let wake = ended.clone();
    let wake = Box::new(move |_| wake.notify_one());
    program.is_asked_by(client);
    *running = Some(queries.enter(program.clone(), client.clone(), cancel.0.clone(), wake));
    let bytes = text.long.unwrap_or_default() + program.tree_bytes();
    let _held = hold(service, client, bytes, &cancel.0, &ended);
    let whose = whose(client);
    let mut is_in_lane = program.is_administrative();
    loop {
        let (sender, receiver) = oneshot::channel();
        let (there, program, request) =
            (service.clone(), program.clone(), request(true, is_in_lane));
        let job = Box::new(move || {
            // Nobody waits for the answer when the client is gone.
            drop(sender.send(run(&there, &program, request, bounds)));
        });
        // Dropped with the client, it takes the job from the line.
        let _queued = if is_in_lane {
            service.pool.run_in_lane(&whose, job)
        } else {
            service.pool.run(&whose, job)
        };
        let answer = tokio::select! {
            answer = receiver => answer.unwrap_or(Err(AskError::Broken)),
            () = ended.notified() => return Err(why_ended(service, &cancel.0)),
        };
        return match answer {
            Err(AskError::Run(failure)) if failure.kind == ErrorKind::NotResident && is_in_lane => {
                is_in_lane = false;
                continue;
            }
            Err(AskError::Run(failure))
                if failure.kind == ErrorKind::Cancelled
                    && (cancel.0.is_terminated() || cancel.0.is_evicted()) =>
            {
                Err(why_ended(service, &cancel.0))
            }
            answer => durable(service, answer?).await,
        };
    }
}

/// Charges a query, its text and its tree, until the result is dropped. It is ended when others need the memory.
fn hold(
    service: &Service,
    client: &Client,
    bytes: usize,
    cancel: &CancelFlag,
    ended: &Arc<Notify>,
) -> Hold {
    let (cancel, ended) = (cancel.clone(), ended.clone());
    let evict = move |_| {
        cancel.evict();
        ended.notify_one();
    };
    let owner = service.holders.owner(client.user.clone(), client.address.ip());
    owner.enter(bytes, Box::new(evict))
}

/// Why a query was ended that its client still wants.
fn why_ended(service: &Service, cancel: &CancelFlag) -> AskError {
    if !cancel.is_evicted() {
        return AskError::Terminated;
    }
    let bound = Passed::Held(service.holders.account().most());
    AskError::Run(Failure {
        kind: ErrorKind::OutOfMemory,
        message: bound.message(),
        path: Vec::new(),
    })
}

/// Drops a program elsewhere if it is large: the network's threads have others to serve.
struct DropAside(Option<Arc<Program>>);

impl Drop for DropAside {
    fn drop(&mut self) {
        let is_large =
            |program: &Arc<Program>| program.tree_bytes() > limits::PROGRAM_DROPPED_AT_ONCE;
        let Some(program) = self.0.take().filter(is_large) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(program));
        }
    }
}

/// The answer, once the disk has what the query wrote.
async fn durable(
    service: &Service,
    (answer, sequence): (Asked, Option<CommitSequence>),
) -> Result<Asked, AskError> {
    let Some(sequence) = sequence.filter(|sequence| !service.engine().is_durable(*sequence)) else {
        return Ok(answer);
    };
    let (sender, receiver) = oneshot::channel();
    service.engine().when_durable(sequence, Box::new(move |synced| drop(sender.send(synced))));
    match receiver.await {
        Ok(Ok(())) => Ok(answer),
        Ok(Err(error)) => Err(AskError::NotDurable(error)),
        Err(_) => Err(AskError::Broken),
    }
}

/// Stops a query when nobody waits for it any more.
struct StopOnDrop(CancelFlag);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn run(
    service: &Arc<Service>,
    program: &Arc<Program>,
    request: RunRequest,
    bounds: AskBounds,
) -> Result<(Asked, Option<CommitSequence>), AskError> {
    let cancel = request.cancel.clone();
    let evaluated = catch_unwind(AssertUnwindSafe(|| {
        match reql::run(program, &service.context, request).map_err(AskError::Run)? {
            Answer::Atom { value, durable_at, deadline, .. } => {
                let json = reql::write_watched(&service.context, &cancel, deadline, || {
                    let mut json = Vec::new();
                    write_json(&value, &mut json);
                    json
                })
                .map_err(AskError::Run)?;
                if json.len() > limits::JSON_BYTES {
                    return Err(AskError::TooLong(limits::JSON_BYTES));
                }
                Ok((Asked::Value(json), durable_at))
            }
            Answer::Stream(cursor) => rows(service, cursor, bounds),
        }
    }));
    evaluated.unwrap_or(Err(AskError::Broken))
}

fn rows(
    service: &Service,
    mut cursor: Box<Cursor>,
    bounds: AskBounds,
) -> Result<(Asked, Option<CommitSequence>), AskError> {
    if cursor.ready().is_some() {
        return Err(AskError::Feed);
    }
    let mut written = Rows { json: Vec::new(), count: 0, bounds };
    loop {
        let batch = cursor.next_batch().map_err(AskError::Run)?;
        let is_last = batch.done || batch.rows.is_empty();
        let (cancel, deadline) = (cursor.cancel_flag().clone(), cursor.deadline());
        let fit = reql::write_watched(&service.context, &cancel, deadline, || {
            batch.rows.iter().all(|row| written.add(row))
        });
        let complete = match fit.map_err(AskError::Run)? {
            // Not even the first one did.
            false if written.count == 0 && bounds.rows > 0 => {
                return Err(AskError::TooLong(bounds.bytes));
            }
            false => false,
            true if is_last => true,
            true => continue,
        };
        return Ok((Asked::Rows { json: written.json, complete }, batch.durable_at));
    }
}

/// Rows as JSON, with commas between them.
struct Rows {
    json: Vec<u8>,
    count: usize,
    bounds: AskBounds,
}

impl Rows {
    /// Adds a row; false when it does not fit any more. What is far too long is not written first.
    fn add(&mut self, row: &Datum) -> bool {
        let before = self.json.len();
        let left = self.bounds.bytes.saturating_sub(before);
        if self.count == self.bounds.rows || row.size_up_to(left) > left {
            return false;
        }
        if self.count > 0 {
            self.json.push(b',');
        }
        write_json(row, &mut self.json);
        if self.json.len() > self.bounds.bytes {
            self.json.truncate(before);
            return false;
        }
        self.count += 1;
        true
    }
}
