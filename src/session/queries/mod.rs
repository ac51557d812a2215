//! The queries of one client by token: which are being evaluated, which are open streams, what waits for them.
//! `start.rs` begins a query, `long.rs` one that is read on the pool, `finish.rs` takes what came of one that was
//! evaluated elsewhere; what a client asks of a query that it has is here.

mod finish;
mod long;
#[cfg(test)]
mod long_tests;
mod start;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use photondb_protocol::frame::write_response;
use photondb_protocol::numbers::{ResponseType, Version};
use photondb_protocol::query::{self, Query};
use photondb_protocol::response;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::clock::Clock;
use super::evaluate::{self, Finished, Job, Ticket, Work};
use super::inbox::Inbox;
use super::pool::Queued;
use super::service::{Service, whose};
use crate::holders::{Hold, Owner};
use crate::limits;
use crate::metrics::{self, Recorder};
use crate::reql::running::{Client, Running};
use crate::reql::{CancelFlag, Cursor, Program};
use crate::turns::Whose;

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
    whose: Whose,
    /// As which it holds what its queries take while they wait.
    owner: Arc<Owner>,
    clock: Clock,
    recorder: Recorder,
    /// The flag of what is evaluated inline. Only an open stream keeps it, and then the next query gets a new one.
    inline_cancel: CancelFlag,
    slots: HashMap<u64, Slot>,
    inbox: Arc<Inbox>,
    arrived: Vec<Finished>,
    /// Heavy queries that are not on the pool yet.
    waiting: VecDeque<Job>,
    /// The numbers of those that are there.
    on_pool: Vec<(u64, Queued)>,
    /// The same for those of administration, which have threads of their own.
    waiting_for_lane: VecDeque<Job>,
    on_lane: Vec<(u64, Queued)>,
    /// Queries that are evaluated and wait for the disk.
    syncing: usize,
    /// CONTINUEs and STOPs of all tokens that are to be answered later.
    behind: usize,
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
    /// Of the job that was begun last for it, or waits to be.
    ticket: Ticket,
    noreply: bool,
    state: State,
    /// Its place among those that run.
    running: Option<Running>,
    /// None once it was given up for the memory.
    program: Option<Arc<Program>>,
    /// Bytes of its text and its tree, and of this entry.
    own_bytes: usize,
    /// What it is charged for: that, and what its stream keeps. None until it is read, and once it was given up.
    hold: Option<Hold>,
    /// When it was read; none once its first answer has been counted.
    began: Option<Instant>,
    /// Batches that were evaluated, and when the next one was asked for.
    batches: u64,
    asked: Instant,
    /// CONTINUEs that came before the last one was answered.
    continues: usize,
    /// STOPs to be answered when the evaluation under way has ended.
    stops: usize,
}

#[derive(Debug)]
enum State {
    /// A long query that is read and compiled on the pool, or waits to get there.
    Reading,
    /// On the pool, or waiting to get there.
    Evaluating,
    /// A stream, until the client asks for more.
    Open(Box<Cursor>),
    /// A feed that the client has asked for rows it does not have yet.
    Expecting(Box<Cursor>, AbortHandle),
    /// A stream that was deleted from the table of jobs, or given up because it held too much while others needed the
    /// memory: nothing of it is left, and the client is told when it asks for more.
    Ended,
}

#[derive(Debug)]
struct NoreplyWait {
    number: u64,
    token: u64,
}

impl Session {
    /// A client that speaks this version, and has not asked for anything yet.
    pub fn new(service: Arc<Service>, version: Version, client: Client) -> Session {
        Session {
            recorder: service.metrics.recorder(),
            owner: service.holders.owner(client.user.clone(), client.address.ip()),
            service,
            one_at_a_time: version == Version::V0_3,
            whose: whose(&client),
            client: Arc::new(client),
            clock: Clock::new(),
            inline_cancel: CancelFlag::default(),
            slots: HashMap::new(),
            inbox: Arc::default(),
            arrived: Vec::new(),
            waiting: VecDeque::new(),
            on_pool: Vec::new(),
            waiting_for_lane: VecDeque::new(),
            on_lane: Vec::new(),
            syncing: 0,
            behind: 0,
            next_number: 0,
            noreply: BTreeSet::new(),
            noreply_waits: Vec::new(),
        }
    }

    /// Whether another query may be given. While not, frames are to be held back.
    pub fn has_room(&self) -> bool {
        let most = if self.one_at_a_time { 1 } else { limits::QUERIES_PER_CONNECTION };
        self.unanswered() < most && self.behind < limits::QUERIES_PER_CONNECTION
    }

    /// Whether answers may come from elsewhere: without it there is no need to poll.
    pub fn expects_answers(&self) -> bool {
        // A job that was given up is on the pool until it has noticed.
        !(self.slots.is_empty() && self.on_pool.is_empty() && self.on_lane.is_empty())
    }

    /// Whether no query is being evaluated. Open streams and feeds that wait do not count.
    pub fn is_idle(&self) -> bool {
        self.unanswered() == 0
    }

    fn unanswered(&self) -> usize {
        let waiting = self.waiting.len() + self.waiting_for_lane.len();
        self.on_pool.len() + self.on_lane.len() + self.syncing + waiting + self.noreply_waits.len()
    }

    /// Takes a query: evaluates it and appends its answer, or begins to. A query that may have to wait for others is
    /// answered by [`Session::poll_answers`].
    pub fn receive(&mut self, token: u64, body: &[u8], out: &mut Vec<u8>) {
        if body.len() <= limits::INLINE_BODY_BYTES {
            self.take(token, body, out);
        } else {
            self.receive_long(token, Bytes::copy_from_slice(body), Box::new(()), out);
        }
    }

    fn take(&mut self, token: u64, body: &[u8], out: &mut Vec<u8>) {
        match query::parse(body) {
            Ok(Query::Start { term, optargs }) => {
                self.start(token, body.len(), term, optargs, out);
            }
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

    fn more(&mut self, token: u64, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.get_mut(&token) else {
            return write_response(out, token, |out| response::write_no_such_stream(out, token));
        };
        slot.continues += 1;
        self.behind += 1;
        self.read_on(token, out);
    }

    /// Begins to read the next batch of an open stream, if one was asked for.
    fn read_on(&mut self, token: u64, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.get_mut(&token) else { return };
        if slot.continues == 0 || !matches!(slot.state, State::Open(_) | State::Ended) {
            return;
        }
        if matches!(slot.state, State::Ended) {
            slot.continues -= 1;
            self.behind -= 1;
            finish::write_cancelled(&self.service, slot, token, out);
            return self.close(token, out);
        }
        if let State::Open(cursor) = std::mem::replace(&mut slot.state, State::Evaluating) {
            slot.continues -= 1;
            self.behind -= 1;
            let cancel = slot.cancel.clone();
            let (number, ticket) = self.submit(token, Work::Continue(cursor, false), cancel);
            self.renumber(token, number, ticket);
        }
    }

    fn renumber(&mut self, token: u64, number: u64, ticket: Ticket) {
        if let Some(slot) = self.slots.get_mut(&token) {
            (slot.number, slot.ticket, slot.asked) = (number, ticket, Instant::now());
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
                self.behind += 1;
                if slot.ticket.take() {
                    self.give_up(token, out);
                }
                return;
            }
            State::Reading => {
                // Nothing of it has been evaluated. Whoever reads it finds out by itself.
                slot.stops += 1;
                self.behind += 1;
                slot.ticket.take();
                return self.give_up(token, out);
            }
            State::Open(_) | State::Ended => {}
            State::Expecting(_, wait) => {
                wait.abort();
                evaluate::write_stopped(out, token);
            }
        }
        slot.stops += 1;
        self.behind += 1;
        self.close(token, out);
    }

    /// Forgets a token and answers what still waited for it.
    fn close(&mut self, token: u64, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.remove(&token) else { return };
        self.behind -= slot.stops + slot.continues;
        for _ in 0..slot.stops {
            evaluate::write_stopped(out, token);
        }
        for _ in 0..slot.continues {
            write_response(out, token, |out| response::write_no_such_stream(out, token));
        }
        if slot.is_large() {
            drop_aside(slot);
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

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn submit(&mut self, token: u64, work: Work, cancel: CancelFlag) -> (u64, Ticket) {
        let number = self.number();
        let is_in_lane = work.is_administrative();
        let asked = Instant::now();
        (number, self.line_up(number, token, work, asked, cancel, is_in_lane))
    }

    fn line_up(
        &mut self,
        number: u64,
        token: u64,
        work: Work,
        asked: Instant,
        cancel: CancelFlag,
        is_in_lane: bool,
    ) -> Ticket {
        let (inbox, context) = (self.inbox.clone(), self.service.context.clone());
        let ticket = Ticket::default();
        let there = ticket.clone();
        let job =
            Job { number, token, work, asked, is_in_lane, ticket: there, cancel, inbox, context };
        let line = if is_in_lane { &mut self.waiting_for_lane } else { &mut self.waiting };
        line.push_back(job);
        ticket
    }

    /// Begins a query anew, outside of the lane of administration.
    fn start_over(&mut self, token: u64) {
        // Only what was ended has no program, and that is not started over.
        let Some(slot) = self.slots.get(&token) else { return };
        let Some(program) = slot.program.clone() else { return };
        let (number, asked, cancel) = (slot.number, slot.asked, slot.cancel.clone());
        let work = Work::Start(program);
        let ticket = self.line_up(number, token, work, asked, cancel, false);
        if let Some(slot) = self.slots.get_mut(&token) {
            slot.ticket = ticket;
        }
    }

    fn begin_waiting(&mut self) {
        while self.on_lane.len() < limits::POOL_LANE_QUERIES_PER_CONNECTION
            && let Some(job) = self.waiting_for_lane.pop_front()
        {
            let number = job.number;
            let queued = self.service.pool.run_in_lane(&self.whose, Box::new(move || job.run()));
            self.on_lane.push((number, queued));
        }
        while self.on_pool.len() < limits::POOL_QUERIES_PER_CONNECTION
            && !self.waiting.is_empty()
            && self.service.pool.admits(&self.whose, self.on_pool.len(), &self.inbox)
            && let Some(job) = self.waiting.pop_front()
        {
            let number = job.number;
            let queued = self.service.pool.run(&self.whose, Box::new(move || job.run()));
            self.on_pool.push((number, queued));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let arrived = (self.inbox.close(), std::mem::take(&mut self.arrived));
        let slots = std::mem::take(&mut self.slots);
        let is_long = slots.len() > limits::SLOTS_DROPPED_AT_ONCE
            || !arrived.0.is_empty()
            || slots.values().any(Slot::is_large);
        // Each may have the last handle of what is large.
        let waiting =
            (std::mem::take(&mut self.waiting), std::mem::take(&mut self.waiting_for_lane));
        let on_pool = (std::mem::take(&mut self.on_pool), std::mem::take(&mut self.on_lane));
        let end = move || {
            for slot in slots.values() {
                slot.cancel.cancel();
                if let State::Expecting(_, wait) = &slot.state {
                    wait.abort();
                }
            }
            drop((on_pool, waiting, slots, arrived));
        };
        if is_long { aside(end) } else { end() }
    }
}

impl Slot {
    /// A query that was asked at that time, and of which nothing is known yet.
    fn new(number: u64, state: State, asked: Instant) -> Self {
        Self {
            number,
            cancel: CancelFlag::default(),
            ticket: Ticket::default(),
            noreply: false,
            state,
            running: None,
            program: None,
            own_bytes: 0,
            hold: None,
            began: None,
            batches: 0,
            asked,
            continues: 0,
            stops: 0,
        }
    }

    /// Whether it takes long to drop it.
    fn is_large(&self) -> bool {
        let most = limits::PROGRAM_DROPPED_AT_ONCE;
        self.program.as_ref().is_some_and(|program| is_large(program))
            || self.hold.as_ref().is_some_and(|hold| hold.bytes() > most)
    }
}

/// Whether it takes long to drop a program.
fn is_large(program: &Program) -> bool {
    program.tree_bytes() > limits::PROGRAM_DROPPED_AT_ONCE
}

/// Drops something large elsewhere: the network's threads have others to serve than a client that wants it no more.
fn drop_aside<T: Send + 'static>(large: T) {
    aside(move || drop(large));
}

fn aside(work: impl FnOnce() + Send + 'static) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}
