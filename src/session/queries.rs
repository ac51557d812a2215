//! The queries of one client by token: which are being evaluated, which are open streams, what waits for them.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use photondb_protocol::frame::write_response;
use photondb_protocol::numbers::{ErrorType, ResponseType, Version};
use photondb_protocol::query::{self, Query};
use photondb_protocol::raw_term::RawTerm;
use photondb_protocol::response;
use tokio::sync::futures::OwnedNotified;
use tokio::task::AbortHandle;

use crate::limits;
use crate::metrics::{self, Recorder};
use crate::reql::running::{Client, Running};
use crate::reql::spec::Cost;
use crate::reql::{self, Answer, Batch, CancelFlag, CompileError, Cursor, ErrorKind, Program};
use crate::storage::CommitSequence;

use super::clock::Clock;
use super::evaluate::{self, Finished, Job, Outcome, Work};
use super::inbox::Inbox;
use super::pool::step_aside;
use super::service::Service;

/// The queries of one client.
///
/// A query is light or heavy, which is known once it is compiled. A light one is answered before [`Session::receive`]
/// returns; it never has an entry here unless it leaves an open stream behind. Of the others, a bounded number is on
/// the pool at a time and the rest waits in the order it came.
///
/// Dropping it stops everything.
#[derive(Debug)]
pub struct Session {
    service: Arc<Service>,
    /// A V0_3 client: it runs one query at a time, and a wait of a feed ends without rows after some time.
    one_at_a_time: bool,
    client: Arc<Client>,
    clock: Clock,
    recorder: Recorder,
    /// The flag of what is evaluated inline. Only an open stream keeps it, and then the next query gets a new one.
    inline_cancel: CancelFlag,
    slots: HashMap<u64, Slot>,
    inbox: Arc<Inbox>,
    arrived: Vec<Finished>,
    /// Heavy queries that are not on the pool yet.
    waiting: VecDeque<Job>,
    on_pool: usize,
    /// Queries that are evaluated and wait for the disk.
    syncing: usize,
    next_number: u64,
    /// The numbers of the `noreply` queries that are not done.
    noreply: BTreeSet<u64>,
    noreply_waits: Vec<NoreplyWait>,
}

/// What is known of a token.
#[derive(Debug)]
struct Slot {
    number: u64,
    cancel: CancelFlag,
    noreply: bool,
    state: State,
    /// Its place among those that run.
    running: Option<Running>,
    /// When it was read; none once its first answer has been counted.
    began: Option<Instant>,
    /// CONTINUEs that came before the last one was answered.
    continues: usize,
    /// STOPs to be answered when the evaluation under way has ended.
    stops: usize,
}

#[derive(Debug)]
enum State {
    /// On the pool, or waiting to get there.
    Evaluating,
    /// A stream, until the client asks for more.
    Open(Box<Cursor>),
    /// A feed that the client has asked for rows it does not have yet.
    Expecting(Box<Cursor>, AbortHandle),
}

#[derive(Debug)]
struct NoreplyWait {
    number: u64,
    token: u64,
}

type Optargs<'q> = Vec<(Cow<'q, str>, RawTerm<'q>)>;

impl Session {
    /// A client that speaks this version, and has not asked for anything yet.
    pub fn new(service: Arc<Service>, version: Version, client: Client) -> Session {
        Session {
            recorder: service.metrics.recorder(),
            service,
            one_at_a_time: version == Version::V0_3,
            client: Arc::new(client),
            clock: Clock::new(),
            inline_cancel: CancelFlag::default(),
            slots: HashMap::new(),
            inbox: Arc::default(),
            arrived: Vec::new(),
            waiting: VecDeque::new(),
            on_pool: 0,
            syncing: 0,
            next_number: 0,
            noreply: BTreeSet::new(),
            noreply_waits: Vec::new(),
        }
    }

    /// Whether another query may be given. While not, frames are to be held back.
    pub fn has_room(&self) -> bool {
        let most = if self.one_at_a_time { 1 } else { limits::QUERIES_PER_CONNECTION };
        self.unanswered() < most
    }

    /// Whether answers may come from elsewhere: without it there is no need to poll.
    pub fn expects_answers(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Whether no query is being evaluated. Open streams and feeds that wait do not count.
    pub fn is_idle(&self) -> bool {
        self.unanswered() == 0
    }

    fn unanswered(&self) -> usize {
        self.on_pool + self.syncing + self.waiting.len() + self.noreply_waits.len()
    }

    /// Takes a query: evaluates it and appends its answer, or begins to. A query that may have to wait for others is
    /// answered by [`Session::poll_answers`].
    pub fn receive(&mut self, token: u64, body: &[u8], out: &mut Vec<u8>) {
        if body.len() <= limits::INLINE_BODY_BYTES {
            self.take(token, body, out);
        } else {
            step_aside(|| self.take(token, body, out));
        }
    }

    fn take(&mut self, token: u64, body: &[u8], out: &mut Vec<u8>) {
        match query::parse(body) {
            Ok(Query::Start { term, optargs }) => self.start(token, term, optargs, out),
            Ok(Query::Continue) => self.more(token, out),
            Ok(Query::Stop) => self.stop(token, out),
            Ok(Query::NoreplyWait) => self.noreply_wait(token, out),
            Ok(Query::ServerInfo) => {
                let id = &self.service.identity.id;
                let name = self.service.context.server_name();
                write_response(out, token, |out| {
                    response::write_server_info(out, id, &name);
                });
            }
            Err(error) => {
                let outcome = match error.kind {
                    ResponseType::CompileError => metrics::Outcome::CompileError,
                    _ => metrics::Outcome::ClientError,
                };
                self.recorder.record(outcome, Duration::ZERO);
                if !error.noreply {
                    write_response(out, token, |out| response::write_query_error(out, &error));
                }
            }
        }
    }

    /// Hands on what was counted. To be called once in a while, as after a row of queries.
    pub fn flush_counts(&mut self) {
        self.recorder.flush();
    }

    /// Appends the answers that are ready; pending when there are none, and the task is woken for the next. Begins to
    /// evaluate what waits, if `may_begin`: a client that does not read its answers is to be given no more of them.
    pub fn poll_answers(
        &mut self,
        context: &mut Context<'_>,
        may_begin: bool,
        out: &mut Vec<u8>,
    ) -> Poll<()> {
        if may_begin {
            self.begin_waiting();
        }
        let mut arrived = std::mem::take(&mut self.arrived);
        let polled = self.inbox.poll(context, &mut arrived);
        for finished in arrived.drain(..) {
            self.finish(finished, out);
        }
        self.arrived = arrived;
        self.recorder.flush();
        polled
    }

    /// Stops everything that is being evaluated; the answers say so.
    pub fn cancel_all(&mut self) {
        for slot in self.slots.values() {
            slot.cancel.cancel();
        }
    }

    // START

    fn start(&mut self, token: u64, term: RawTerm<'_>, optargs: Optargs<'_>, out: &mut Vec<u8>) {
        let began = Instant::now();
        let noreply = optargs
            .iter()
            .any(|(name, value)| name == "noreply" && matches!(value, RawTerm::Bool(true)));
        if !self.slots.is_empty() && !self.check_token(token, out) {
            return;
        }
        let program = match Program::compile(term, optargs, self.clock.now()) {
            Ok(program) => Arc::new(program),
            Err(error) => {
                self.recorder.record(metrics::Outcome::CompileError, began.elapsed());
                if !noreply {
                    write_compile_error(out, token, &error);
                }
                return;
            }
        };
        if program.root().facts.cost == Cost::Light {
            let before = out.len();
            let evaluated = catch_unwind(AssertUnwindSafe(|| {
                let asked = Asked { token, noreply, began };
                self.evaluate_inline(asked, &program, out)
            }));
            match evaluated {
                Ok(Inline::Done(outcome)) => return self.recorder.record(outcome, began.elapsed()),
                Ok(Inline::Later) => return,
                Ok(Inline::StartOver) => {}
                Err(_) => {
                    self.recorder.record(metrics::Outcome::RuntimeError, began.elapsed());
                    out.truncate(before);
                    return evaluate::write_panic(out, token);
                }
            }
        }
        let cancel = CancelFlag::default();
        let running = self.enter(token, &program, &cancel);
        let number = self.submit(token, Work::Start(program), cancel.clone());
        let asked = Asked { token, noreply, began };
        self.keep_evaluating(asked, number, cancel, Some(running));
    }

    /// Enters a query among those that run.
    fn enter(&self, token: u64, program: &Arc<Program>, cancel: &CancelFlag) -> Running {
        let inbox = self.inbox.clone();
        let wake = move |number| {
            inbox.push(Finished { number, token, outcome: Outcome::Terminated });
        };
        let queries = &self.service.context.running;
        queries.enter(program.clone(), self.client.clone(), cancel.clone(), Box::new(wake))
    }

    fn keep_evaluating(
        &mut self,
        asked: Asked,
        number: u64,
        cancel: CancelFlag,
        running: Option<Running>,
    ) {
        let Asked { token, noreply, began } = asked;
        if noreply {
            self.noreply.insert(number);
        }
        let slot = Slot {
            number,
            cancel,
            noreply,
            state: State::Evaluating,
            running,
            began: Some(began),
            continues: 0,
            stops: 0,
        };
        self.slots.insert(token, slot);
    }

    /// The commit that a query evaluated inline must wait for, if it is not durable already.
    fn not_durable(&self, sequence: Option<CommitSequence>) -> Option<CommitSequence> {
        sequence.filter(|sequence| !self.service.engine().is_durable(*sequence))
    }

    /// Answers a query that was evaluated inline when the disk has what it wrote.
    fn sync(&mut self, asked: Asked, sequence: CommitSequence, outcome: Outcome) -> Inline {
        let number = self.number();
        self.syncing += 1;
        self.keep_evaluating(asked, number, CancelFlag::default(), None);
        let finished = Finished { number, token: asked.token, outcome };
        evaluate::push_when_durable(self.service.engine(), sequence, &self.inbox, finished);
        Inline::Later
    }

    /// Whether the token is free and there is room for another stream; answers if not.
    fn check_token(&self, token: u64, out: &mut Vec<u8>) -> bool {
        if self.slots.contains_key(&token) {
            write_response(out, token, |out| response::write_duplicate_token(out, token));
            return false;
        }
        if self.slots.len() < limits::CURSORS_PER_CONNECTION {
            return true;
        }
        let message = format!("More than {} open streams.", limits::CURSORS_PER_CONNECTION);
        let error_type = Some(ErrorType::ResourceLimit);
        write_response(out, token, |out| {
            response::write_error(out, ResponseType::RuntimeError, error_type, &message, &[]);
        });
        false
    }

    fn evaluate_inline(
        &mut self,
        asked: Asked,
        program: &Arc<Program>,
        out: &mut Vec<u8>,
    ) -> Inline {
        let Asked { token, noreply, .. } = asked;
        let cancel = self.inline_cancel.clone();
        let request = reql::RunRequest { cancel, deadline: None, may_block: false };
        let failure = match reql::run(program, &self.service.context, request) {
            Ok(Answer::Atom { value, profile, durable_at }) => {
                if let Some(sequence) = self.not_durable(durable_at) {
                    let mut frame = Vec::new();
                    evaluate::write_atom(&mut frame, token, &value, profile.as_ref());
                    return self.sync(asked, sequence, Outcome::Ended(frame, true));
                }
                if !noreply {
                    evaluate::write_atom(out, token, &value, profile.as_ref());
                }
                return Inline::Done(metrics::Outcome::Success);
            }
            Ok(Answer::Stream(mut cursor)) => match cursor.next_batch() {
                Ok(batch) => {
                    let sequence = self.not_durable(batch.durable_at);
                    return self.answer_first_batch(asked, program, sequence, &batch, cursor, out);
                }
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        if failure.kind == ErrorKind::NotResident {
            return Inline::StartOver;
        }
        if !noreply {
            evaluate::write_failure(out, token, &failure);
        }
        Inline::Done(metrics::Outcome::RuntimeError)
    }

    fn answer_first_batch(
        &mut self,
        asked: Asked,
        program: &Arc<Program>,
        wait_for: Option<CommitSequence>,
        batch: &Batch,
        mut cursor: Cursor,
        out: &mut Vec<u8>,
    ) -> Inline {
        let Asked { token, noreply, .. } = asked;
        if let Some(sequence) = wait_for {
            let mut frame = Vec::new();
            let outcome = if evaluate::write_batch(&mut frame, token, batch, &cursor) {
                cursor.allow_blocking();
                Outcome::More(frame, Box::new(cursor))
            } else {
                Outcome::Ended(frame, true)
            };
            return self.sync(asked, sequence, outcome);
        }
        if !noreply && evaluate::write_batch(out, token, batch, &cursor) {
            self.keep_open(token, program, cursor);
        }
        Inline::Done(metrics::Outcome::Success)
    }

    fn keep_open(&mut self, token: u64, program: &Arc<Program>, mut cursor: Cursor) {
        // Later batches are read on the pool: rows that were taken from a table cannot be read again there.
        cursor.allow_blocking();
        let number = self.number();
        let cancel = std::mem::take(&mut self.inline_cancel);
        let state = State::Open(Box::new(cursor));
        let running = Some(self.enter(token, program, &cancel));
        let (noreply, began) = (false, None);
        let slot = Slot { number, cancel, noreply, state, running, began, continues: 0, stops: 0 };
        self.slots.insert(token, slot);
    }

    // CONTINUE, STOP, NOREPLY_WAIT

    fn more(&mut self, token: u64, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.get_mut(&token) else {
            return write_response(out, token, |out| response::write_no_such_stream(out, token));
        };
        slot.continues += 1;
        self.read_on(token);
    }

    /// Begins to read the next batch of an open stream, if one was asked for.
    fn read_on(&mut self, token: u64) {
        let Some(slot) = self.slots.get_mut(&token) else { return };
        if slot.continues == 0 || !matches!(slot.state, State::Open(_)) {
            return;
        }
        if let State::Open(cursor) = std::mem::replace(&mut slot.state, State::Evaluating) {
            slot.continues -= 1;
            let cancel = slot.cancel.clone();
            let number = self.submit(token, Work::Continue(cursor, false), cancel);
            self.renumber(token, number);
        }
    }

    fn renumber(&mut self, token: u64, number: u64) {
        if let Some(slot) = self.slots.get_mut(&token) {
            slot.number = number;
        }
    }

    fn stop(&mut self, token: u64, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.get_mut(&token) else {
            return write_response(out, token, |out| response::write_no_such_stream(out, token));
        };
        slot.cancel.cancel();
        match &slot.state {
            State::Evaluating => {
                slot.stops += 1;
                return;
            }
            State::Open(_) => {}
            State::Expecting(_, wait) => {
                wait.abort();
                evaluate::write_stopped(out, token);
            }
        }
        slot.stops += 1;
        self.close(token, out);
    }

    /// Forgets a token and answers what still waited for it.
    fn close(&mut self, token: u64, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.remove(&token) else { return };
        for _ in 0..slot.stops {
            evaluate::write_stopped(out, token);
        }
        for _ in 0..slot.continues {
            write_response(out, token, |out| response::write_no_such_stream(out, token));
        }
    }

    fn noreply_wait(&mut self, token: u64, out: &mut Vec<u8>) {
        if self.slots.contains_key(&token) {
            return write_response(out, token, |out| response::write_duplicate_token(out, token));
        }
        let number = self.number();
        self.noreply_waits.push(NoreplyWait { number, token });
        self.answer_noreply_waits(out);
    }

    fn answer_noreply_waits(&mut self, out: &mut Vec<u8>) {
        let oldest = self.noreply.first().copied().unwrap_or(u64::MAX);
        self.noreply_waits.retain(|wait| {
            let is_over = wait.number < oldest;
            if is_over {
                write_response(out, wait.token, response::write_wait_complete);
            }
            !is_over
        });
    }

    // What runs elsewhere

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn submit(&mut self, token: u64, work: Work, cancel: CancelFlag) -> u64 {
        let number = self.number();
        let inbox = self.inbox.clone();
        let context = self.service.context.clone();
        self.waiting.push_back(Job { number, token, work, cancel, inbox, context });
        number
    }

    fn begin_waiting(&mut self) {
        while self.on_pool < limits::POOL_QUERIES_PER_CONNECTION
            && let Some(job) = self.waiting.pop_front()
        {
            self.on_pool += 1;
            self.service.pool.run(Box::new(move || job.run()));
        }
    }

    fn finish(&mut self, finished: Finished, out: &mut Vec<u8>) {
        let Finished { number, token, outcome } = finished;
        let outcome = match outcome {
            Outcome::WaitOver(by_time) => return self.wait_over(number, token, by_time),
            Outcome::Terminated => return self.terminated(number, token, out),
            Outcome::Syncing => {
                self.on_pool -= 1;
                self.syncing += 1;
                return;
            }
            Outcome::Synced(synced, outcome) => {
                self.syncing -= 1;
                match synced {
                    Ok(()) => *outcome,
                    Err(error) => {
                        let mut frame = Vec::new();
                        evaluate::write_not_durable(&mut frame, token, &error);
                        Outcome::Ended(frame, false)
                    }
                }
            }
            outcome => {
                self.on_pool -= 1;
                outcome
            }
        };
        let is_noreply = self.noreply.remove(&number);
        // The entry is there: only the end of its evaluation removes one that is being evaluated.
        let Some(slot) = self.slots.get_mut(&token) else { return };
        if let Some(began) = slot.began.take() {
            self.recorder.record(outcome.counted(), began.elapsed());
        }
        match outcome {
            Outcome::Ended(frame, _) => {
                if !slot.noreply {
                    out.extend_from_slice(&frame);
                }
                self.close(token, out);
            }
            Outcome::Cancelled => {
                if !slot.noreply && slot.stops > 0 {
                    evaluate::write_stopped(out, token);
                } else if !slot.noreply && slot.cancel.is_terminated() {
                    write_terminated(out, token);
                } else if !slot.noreply {
                    write_interrupted(out, token);
                }
                self.close(token, out);
            }
            Outcome::More(frame, cursor) => {
                if !slot.noreply {
                    out.extend_from_slice(&frame);
                }
                slot.state = State::Open(cursor);
                if slot.noreply || slot.stops > 0 {
                    self.close(token, out);
                } else {
                    self.read_on(token);
                }
            }
            Outcome::Nothing(_, _) if slot.stops > 0 => {
                evaluate::write_stopped(out, token);
                self.close(token, out);
            }
            Outcome::Nothing(cursor, notified) => {
                let wait = self.expect_rows(number, token, notified);
                if let Some(slot) = self.slots.get_mut(&token) {
                    slot.state = State::Expecting(cursor, wait);
                }
            }
            // Dealt with above; what is synced is an answer.
            Outcome::WaitOver(_) | Outcome::Terminated | Outcome::Syncing | Outcome::Synced(..) => {
            }
        }
        if is_noreply {
            self.answer_noreply_waits(out);
        }
    }

    // Feeds that have nothing yet

    /// A small task that waits: of the feeds of a client, many may wait, and each is woken alone.
    fn expect_rows(&self, number: u64, token: u64, notified: OwnedNotified) -> AbortHandle {
        let inbox = self.inbox.clone();
        let one_at_a_time = self.one_at_a_time;
        let wait = async move {
            let by_time = if one_at_a_time {
                let most = Duration::from_secs(limits::EMPTY_BATCH_SECONDS);
                tokio::time::timeout(most, notified).await.is_err()
            } else {
                notified.await;
                false
            };
            inbox.push(Finished { number, token, outcome: Outcome::WaitOver(by_time) });
        };
        tokio::spawn(wait).abort_handle()
    }

    fn wait_over(&mut self, number: u64, token: u64, by_time: bool) {
        let Some(slot) = self.slots.get_mut(&token) else { return };
        // A wait that was stopped may have ended before it heard of it.
        if slot.number != number || !matches!(slot.state, State::Expecting(_, _)) {
            return;
        }
        if let State::Expecting(cursor, _) = std::mem::replace(&mut slot.state, State::Evaluating) {
            let cancel = slot.cancel.clone();
            let number = self.submit(token, Work::Continue(cursor, by_time), cancel);
            self.renumber(token, number);
        }
    }
}

impl Session {
    /// Somebody deleted a query from the table of jobs. One that is evaluated finds out by itself; one whose client
    /// has all its rows so far is told with the next; a feed that waits ends now.
    fn terminated(&mut self, number: u64, token: u64, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.get(&token) else { return };
        let is_meant = slot.running.as_ref().is_some_and(|running| running.number() == number);
        if let State::Expecting(_, wait) = &slot.state
            && is_meant
        {
            wait.abort();
            write_terminated(out, token);
            self.close(token, out);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.inbox.close();
        for slot in self.slots.values() {
            slot.cancel.cancel();
            if let State::Expecting(_, wait) = &slot.state {
                wait.abort();
            }
        }
    }
}

/// A query that is being evaluated on the caller's thread.
#[derive(Clone, Copy)]
struct Asked {
    token: u64,
    noreply: bool,
    began: Instant,
}

/// How an evaluation on the caller's thread ended.
enum Inline {
    /// Answered, so.
    Done(metrics::Outcome),
    /// To be answered when the disk has what it wrote.
    Later,
    /// It would have had to wait; it had no effect, and is to be evaluated on the pool.
    StartOver,
}

fn write_compile_error(out: &mut Vec<u8>, token: u64, error: &CompileError) {
    write_response(out, token, |out| {
        let kind = ResponseType::CompileError;
        response::write_error(out, kind, None, &error.message, &error.path);
    });
}

/// Of a query that is interrupted though nobody asked to stop it.
fn write_interrupted(out: &mut Vec<u8>, token: u64) {
    let message = "Query interrupted.  Did you shut down the server?";
    let error_type = Some(ErrorType::OpFailed);
    write_response(out, token, |out| {
        response::write_error(out, ResponseType::RuntimeError, error_type, message, &[]);
    });
}

/// Of a query that was deleted from the table of jobs.
fn write_terminated(out: &mut Vec<u8>, token: u64) {
    let message = "Query terminated by the `rethinkdb.jobs` table.";
    let error_type = Some(ErrorType::OpIndeterminate);
    write_response(out, token, |out| {
        response::write_error(out, ResponseType::RuntimeError, error_type, message, &[]);
    });
}
