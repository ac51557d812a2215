//! Evaluates queries and writes their answers as response frames, on whatever thread it is called. Knows tokens and
//! the form of responses; not which queries a client has.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use photondb_protocol::frame::write_response;
use photondb_protocol::numbers::{ErrorType, ResponseType};
use photondb_protocol::response;
use tokio::sync::futures::OwnedNotified;

use crate::datum::{Datum, write_json};
use crate::reql::{self, Answer, Batch, CancelFlag, Context, Cursor, ErrorKind, Failure, Program};
use crate::storage::{CommitSequence, Engine, StorageError};
use crate::{limits, turns};

use super::ending::Ending;
use super::inbox::Inbox;
use super::long_query::{LongQuery, ReadQuery};

/// A query of a session, to be evaluated where waiting is allowed.
#[derive(Debug)]
pub(super) struct Job {
    /// Which query of the session.
    pub number: u64,
    /// Its token.
    pub token: u64,
    /// What to do.
    pub work: Work,
    /// When the client asked for it.
    pub asked: Instant,
    /// Whether it is put on the threads that are kept for administration, and leaves them when it takes long.
    pub is_in_lane: bool,
    /// Whether it has been begun, or given up before.
    pub ticket: Ticket,
    /// Stops it.
    pub cancel: CancelFlag,
    /// Where the answer goes.
    pub inbox: Arc<Inbox>,
    /// What it is evaluated on.
    pub context: Arc<Context>,
}

/// Goes to whoever takes it first: the thread that begins a job, or the session that gives it up before.
#[derive(Clone, Debug, Default)]
pub(super) struct Ticket(Arc<AtomicBool>);

impl Ticket {
    /// Whether the caller is the first.
    pub fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// What a job does.
#[derive(Debug)]
pub(super) enum Work {
    /// Evaluates a query from its start.
    Start(Arc<Program>),
    /// Reads and compiles a long query.
    Read(Box<LongQuery>),
    /// Reads the next batch of a stream. The flag says that an empty batch of a feed is to be answered too.
    Continue(Box<Cursor>, bool),
}

/// What came of a job.
#[derive(Debug)]
pub(super) struct Finished {
    /// Which query of the session.
    pub number: u64,
    /// Its token.
    pub token: u64,
    /// The end of the job, or the end of a feed's wait.
    pub outcome: Outcome,
}

/// How an evaluation ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The query is over; its last response frame, and how it ended.
    Ended(Vec<u8>, Ending),
    /// It was stopped from outside before it was done: whoever stopped it knows what to answer.
    Cancelled,
    /// A long query has been read: nothing has been evaluated yet.
    Read(Box<ReadQuery>),
    /// A batch, as a response frame, and the stream for the batches to come.
    More(Vec<u8>, Box<Cursor>),
    /// A feed that has nothing yet. The notification was registered before it was asked.
    Nothing(Box<Cursor>, OwnedNotified),
    /// The session had given the job up, and answered, before it was begun.
    GivenUp,
    /// It took too long in the lane of administration and had no effect.
    StartOver,
    /// Not of a job: the wait of a feed is over, by a notification or (true) by time.
    WaitOver(bool),
    /// Not of a job: the query was deleted from the table of jobs. The number is that among those that run.
    Terminated,
    /// Not of a job: the query holds too much, while others need the memory. The number is that among those that hold much.
    Evicted,
    /// Evaluated, but what it wrote is not on disk yet: the answer follows as [`Outcome::Synced`].
    Syncing,
    /// What was written is on disk, or cannot be brought there: only now may the answer leave.
    Synced(Result<(), StorageError>, Box<Outcome>),
}

impl Work {
    /// Whether it may be done on the threads that are kept for administration.
    pub fn is_administrative(&self) -> bool {
        match self {
            Work::Start(program) => program.is_administrative(),
            // A later batch cannot start over on the pool when it takes long.
            Work::Read(_) | Work::Continue(..) => false,
        }
    }
}

impl Job {
    /// Evaluates and hands over the answer.
    pub fn run(self) {
        let Job { number, token, work, ticket, inbox, context, asked, is_in_lane, cancel } = self;
        if !ticket.take() {
            return inbox.push(Finished { number, token, outcome: Outcome::GivenUp });
        }
        let engine = context.catalog.engine();
        let evaluated = catch_unwind(AssertUnwindSafe(|| match work {
            Work::Start(program) => {
                let mut request = reql::RunRequest::new(cancel, true);
                (request.is_brief, request.asked) = (is_in_lane, asked);
                start(&program, &context, token, request)
            }
            Work::Read(query) => (Outcome::Read(Box::new(query.read(&context, &cancel))), None),
            Work::Continue(mut cursor, answer_empty) => {
                cursor.set_asked(asked);
                turns::go_on(cursor.ran);
                next(cursor, &context, token, answer_empty)
            }
        }));
        let (mut outcome, durable_at) = evaluated.unwrap_or_else(|_| {
            let mut frame = Vec::new();
            write_panic(&mut frame, token);
            (Outcome::Ended(frame, Ending::Failed), None)
        });
        if let Outcome::More(_, cursor) | Outcome::Nothing(cursor, _) = &mut outcome {
            cursor.ran = turns::rest();
        }
        match durable_at.filter(|sequence| !engine.is_durable(*sequence)) {
            None => inbox.push(Finished { number, token, outcome }),
            Some(sequence) => {
                inbox.push(Finished { number, token, outcome: Outcome::Syncing });
                push_when_durable(engine, sequence, &inbox, Finished { number, token, outcome });
            }
        }
    }
}

/// Hands an answer over once everything up to a commit is durable. Waits for it on no thread.
pub(super) fn push_when_durable(
    engine: &Arc<dyn Engine>,
    sequence: CommitSequence,
    inbox: &Arc<Inbox>,
    finished: Finished,
) {
    let inbox = inbox.clone();
    let Finished { number, token, outcome } = finished;
    let push = move |result| {
        let outcome = Outcome::Synced(result, Box::new(outcome));
        inbox.push(Finished { number, token, outcome });
    };
    engine.when_durable(sequence, Box::new(push));
}

/// What came of an evaluation, and the commit that must be durable before it is answered.
type Evaluated = (Outcome, Option<CommitSequence>);

fn start(
    program: &Arc<Program>,
    context: &Arc<Context>,
    token: u64,
    request: reql::RunRequest,
) -> Evaluated {
    let cancel = request.cancel.clone();
    if cancel.is_cancelled() {
        return (Outcome::Cancelled, None);
    }
    match reql::run(program, context, request) {
        Ok(Answer::Atom { value, profile, durable_at, deadline }) => {
            let written = reql::write_watched(context, &cancel, deadline, || {
                let mut frame = Vec::new();
                write_atom(&mut frame, token, &value, profile.as_ref());
                frame
            });
            match written {
                Ok(frame) => (Outcome::Ended(frame, Ending::Answered), durable_at),
                Err(failure) => (ended_by(&failure, token), durable_at),
            }
        }
        // The first batch of a feed is answered even when it is empty: it tells what kind of feed it is.
        Ok(Answer::Stream(cursor)) => next(cursor, context, token, true),
        Err(failure) => (ended_by(&failure, token), None),
    }
}

fn next(
    mut cursor: Box<Cursor>,
    context: &Arc<Context>,
    token: u64,
    answer_empty: bool,
) -> Evaluated {
    if cursor.cancel_flag().is_cancelled() {
        return (Outcome::Cancelled, None);
    }
    let notified = cursor.ready().map(|ready| ready.clone().notified_owned());
    let batch = match cursor.next_batch() {
        Ok(batch) => batch,
        Err(failure) => return (ended_by(&failure, token), None),
    };
    let durable_at = batch.durable_at;
    let outcome = match notified {
        Some(notified) if batch.rows.is_empty() && !batch.done && !answer_empty => {
            cursor.rest();
            Outcome::Nothing(cursor, notified)
        }
        _ => {
            let (cancel, deadline) = (cursor.cancel_flag().clone(), cursor.deadline());
            let write = || {
                let mut frame = Vec::new();
                let goes_on = write_batch(&mut frame, token, &batch, &cursor);
                (frame, goes_on)
            };
            let written = cursor.write(|| reql::write_watched(context, &cancel, deadline, write));
            drop(batch);
            cursor.rest();
            match written {
                Ok((frame, true)) => Outcome::More(frame, cursor),
                Ok((frame, false)) => Outcome::Ended(frame, Ending::Answered),
                Err(failure) => ended_by(&failure, token),
            }
        }
    };
    (outcome, durable_at)
}

fn ended_by(failure: &Failure, token: u64) -> Outcome {
    if failure.kind == ErrorKind::Cancelled {
        return Outcome::Cancelled;
    }
    if failure.kind == ErrorKind::NotResident {
        return Outcome::StartOver;
    }
    let mut frame = Vec::new();
    write_failure(&mut frame, token, failure);
    Outcome::Ended(frame, Ending::of(failure))
}

/// Writes a value as the whole answer.
pub(super) fn write_atom(out: &mut Vec<u8>, token: u64, value: &Datum, profile: Option<&Datum>) {
    write_bounded(out, token, |out| {
        let profile = profile.map(json);
        response::write_atom(out, |out| write_json(value, out), profile.as_deref());
    });
}

/// Writes a batch. Gives whether the stream goes on.
pub(super) fn write_batch(out: &mut Vec<u8>, token: u64, batch: &Batch, cursor: &Cursor) -> bool {
    // A stream that is no feed and gives nothing has ended, whatever it says.
    let goes_on = !batch.done && (cursor.ready().is_some() || !batch.rows.is_empty());
    write_bounded(out, token, |out| {
        let profile = batch.profile.as_ref().map(json);
        let rows = |rows: &mut response::Rows<'_>| {
            for row in &batch.rows {
                let row_out = rows.row();
                write_json(row, row_out);
                if row_out.len() > limits::JSON_BYTES {
                    return;
                }
            }
        };
        response::write_sequence(out, goes_on, rows, profile.as_deref(), cursor.notes());
    });
    goes_on
}

/// Writes an answer of values, or an error in its stead where they are too long to be written.
fn write_bounded(out: &mut Vec<u8>, token: u64, body: impl FnOnce(&mut Vec<u8>)) {
    write_response(out, token, |out| {
        let start = out.len();
        body(out);
        if out.len() > limits::JSON_BYTES {
            // Not all of it was written.
            out.truncate(start);
            out.shrink_to(limits::KEPT_OUTPUT_BYTES);
            let message = format!("The answer is longer than {} bytes.", limits::JSON_BYTES);
            let error_type = Some(ErrorType::ResourceLimit);
            response::write_error(out, ResponseType::RuntimeError, error_type, &message, &[]);
        }
    });
}

/// Writes a sequence without rows: the answer to STOP, and to the query that it stopped.
pub(super) fn write_stopped(out: &mut Vec<u8>, token: u64) {
    write_response(out, token, |out| response::write_sequence(out, false, |_| {}, None, &[]));
}

/// Writes a run-time error.
pub(super) fn write_failure(out: &mut Vec<u8>, token: u64, failure: &Failure) {
    write_response(out, token, |out| {
        let error_type = Some(failure.error_type());
        let kind = ResponseType::RuntimeError;
        response::write_error(out, kind, error_type, &failure.message, &failure.path);
    });
}

/// Writes that the query wrote, but that what it wrote may be lost.
pub(super) fn write_not_durable(out: &mut Vec<u8>, token: u64, error: &StorageError) {
    write_response(out, token, |out| {
        let message = format!("The write was applied but could not be made durable: {error}");
        let error_type = Some(ErrorType::OpIndeterminate);
        response::write_error(out, ResponseType::RuntimeError, error_type, &message, &[]);
    });
}

/// Writes that the evaluation met a fault of the server's own.
pub(super) fn write_panic(out: &mut Vec<u8>, token: u64) {
    write_response(out, token, |out| {
        let message = "The server failed while it evaluated the query. The log tells more.";
        let error_type = Some(ErrorType::Internal);
        response::write_error(out, ResponseType::RuntimeError, error_type, message, &[]);
    });
}

fn json(datum: &Datum) -> Vec<u8> {
    let mut out = Vec::new();
    write_json(datum, &mut out);
    out
}
