//! How a query begins: compiled, and then evaluated at once or on the pool, which its cost decides.
//! Knows how a query becomes an answer, a stream or a wait; not what the client asks of it later.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use photondb_protocol::frame::write_response;
use photondb_protocol::numbers::{ErrorType, ResponseType};
use photondb_protocol::raw_term::RawTerm;
use photondb_protocol::response;

use super::{Session, Slot, State};
use crate::holders::Hold;
use crate::limits;
use crate::metrics;
use crate::reql::facts::Cost;
use crate::reql::running::Running;
use crate::reql::{self, Answer, Batch, CancelFlag, CompileError, Cursor, ErrorKind, Program};
use crate::session::ending::{self, Ending};
use crate::session::evaluate::{self, Finished, Outcome, Ticket, Work};
use crate::session::slow::{self, Slow};
use crate::storage::CommitSequence;

type Optargs<'q> = Vec<(Cow<'q, str>, RawTerm<'q>)>;

impl Session {
    /// Compiles a query and evaluates it, or begins to.
    pub(super) fn start(
        &mut self,
        token: u64,
        size: usize,
        term: RawTerm<'_>,
        optargs: Optargs<'_>,
        out: &mut Vec<u8>,
    ) {
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
                let asked = Asked { token, size, noreply, began };
                self.evaluate_inline(asked, &program, out)
            }));
            match evaluated {
                Ok(Inline::Done(ending)) => {
                    let took = began.elapsed();
                    let (client, program) = (&self.client, &program);
                    let of = Slow { client, program, running: None, is_http: false, batch: 1 };
                    slow::tell(&self.service, &of, &ending, took);
                    ending::tell(&self.service, client, &ending);
                    return self.recorder.record(ending.counted(), took);
                }
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
        let (number, ticket) = self.submit(token, Work::Start(program.clone()), cancel.clone());
        let asked = Asked { token, size, noreply, began };
        self.keep_evaluating(asked, program, number, cancel, Some(running));
        self.renumber(token, number, ticket);
    }

    /// Enters a query among those that run.
    pub(super) fn enter(&self, token: u64, program: &Arc<Program>, cancel: &CancelFlag) -> Running {
        let inbox = self.inbox.clone();
        let wake = move |number| {
            inbox.push(Finished { number, token, outcome: Outcome::Terminated });
        };
        let queries = &self.service.context.running;
        program.is_asked_by(&self.client);
        queries.enter(program.clone(), self.client.clone(), cancel.clone(), Box::new(wake))
    }

    /// Charges a query with so many bytes, for as long as its entry lives. It is ended when others need the memory.
    pub(super) fn hold(&self, token: u64, bytes: usize, cancel: &CancelFlag) -> Hold {
        let (inbox, cancel) = (self.inbox.clone(), cancel.clone());
        let evict = move |number| {
            cancel.evict();
            inbox.push(Finished { number, token, outcome: Outcome::Evicted });
        };
        self.owner.enter(bytes, Box::new(evict))
    }

    fn keep_evaluating(
        &mut self,
        asked: Asked,
        program: Arc<Program>,
        number: u64,
        cancel: CancelFlag,
        running: Option<Running>,
    ) {
        let Asked { token, size, noreply, began } = asked;
        if noreply {
            self.noreply.insert(number);
        }
        let own_bytes = own_bytes(size, &program);
        let hold = Some(self.hold(token, own_bytes, &cancel));
        let ticket = Ticket::default();
        ticket.take();
        let slot = Slot {
            cancel,
            ticket,
            noreply,
            running,
            program: Some(program),
            own_bytes,
            hold,
            began: Some(began),
            ..Slot::new(number, State::Evaluating, began)
        };
        self.slots.insert(token, slot);
    }

    /// The commit that a query evaluated inline must wait for, if it is not durable already.
    fn not_durable(&self, sequence: Option<CommitSequence>) -> Option<CommitSequence> {
        sequence.filter(|sequence| !self.service.engine().is_durable(*sequence))
    }

    /// Answers a query that was evaluated inline when the disk has what it wrote.
    fn sync(
        &mut self,
        asked: Asked,
        program: &Arc<Program>,
        sequence: CommitSequence,
        outcome: Outcome,
    ) -> Inline {
        let number = self.number();
        self.syncing += 1;
        self.keep_evaluating(asked, program.clone(), number, CancelFlag::default(), None);
        let finished = Finished { number, token: asked.token, outcome };
        evaluate::push_when_durable(self.service.engine(), sequence, &self.inbox, finished);
        Inline::Later
    }

    /// Whether the token is free and there is room for another stream; answers if not.
    pub(super) fn check_token(&self, token: u64, out: &mut Vec<u8>) -> bool {
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
        let request = reql::RunRequest::new(cancel, false);
        let failure = match reql::run(program, &self.service.context, request) {
            Ok(Answer::Atom { value, profile, durable_at, .. }) => {
                if let Some(sequence) = self.not_durable(durable_at) {
                    let mut frame = Vec::new();
                    evaluate::write_atom(&mut frame, token, &value, profile.as_ref());
                    return self.sync(
                        asked,
                        program,
                        sequence,
                        Outcome::Ended(frame, Ending::Answered),
                    );
                }
                if !noreply {
                    evaluate::write_atom(out, token, &value, profile.as_ref());
                }
                return Inline::Done(Ending::Answered);
            }
            Ok(Answer::Stream(mut cursor)) => match cursor.next_batch() {
                Ok(batch) => {
                    let sequence = self.not_durable(batch.durable_at);
                    return self.answer_first_batch(asked, program, sequence, batch, cursor, out);
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
        Inline::Done(Ending::of(&failure))
    }

    fn answer_first_batch(
        &mut self,
        asked: Asked,
        program: &Arc<Program>,
        wait_for: Option<CommitSequence>,
        batch: Batch,
        mut cursor: Box<Cursor>,
        out: &mut Vec<u8>,
    ) -> Inline {
        let Asked { token, noreply, .. } = asked;
        if let Some(sequence) = wait_for {
            let mut frame = Vec::new();
            let goes_on =
                cursor.write(|| evaluate::write_batch(&mut frame, token, &batch, &cursor));
            drop(batch);
            let outcome = if goes_on {
                cursor.rest();
                cursor.allow_blocking();
                Outcome::More(frame, cursor)
            } else {
                Outcome::Ended(frame, Ending::Answered)
            };
            return self.sync(asked, program, sequence, outcome);
        }
        if !noreply && cursor.write(|| evaluate::write_batch(out, token, &batch, &cursor)) {
            drop(batch);
            cursor.rest();
            self.keep_open(asked, program, cursor, out);
        }
        Inline::Done(Ending::Answered)
    }

    fn keep_open(
        &mut self,
        asked: Asked,
        program: &Arc<Program>,
        mut cursor: Box<Cursor>,
        out: &mut Vec<u8>,
    ) {
        let Asked { token, size, .. } = asked;
        // Later batches are read on the pool: rows that were taken from a table cannot be read again there.
        cursor.allow_blocking();
        let number = self.number();
        let cancel = std::mem::take(&mut self.inline_cancel);
        let running = Some(self.enter(token, program, &cancel));
        let own_bytes = own_bytes(size, program);
        let slot = Slot {
            cancel,
            running,
            program: Some(program.clone()),
            own_bytes,
            // The first was answered where it was read.
            batches: 1,
            ..Slot::new(number, State::Evaluating, Instant::now())
        };
        self.slots.insert(token, slot);
        self.wait_for_client(token, cursor, out);
    }
}

/// What a query takes beside what it evaluates to, its text having so many bytes.
pub(super) fn own_bytes(size: usize, program: &Program) -> usize {
    size + program.tree_bytes() + limits::HELD_ENTRY_BYTES
}

/// A query that is being evaluated on the caller's thread.
#[derive(Clone, Copy)]
struct Asked {
    token: u64,
    /// Bytes of its text.
    size: usize,
    noreply: bool,
    began: Instant,
}

/// How an evaluation on the caller's thread ended.
enum Inline {
    /// Answered, so.
    Done(Ending),
    /// To be answered when the disk has what it wrote.
    Later,
    /// It would have had to wait; it had no effect, and is to be evaluated on the pool.
    StartOver,
}

pub(super) fn write_compile_error(out: &mut Vec<u8>, token: u64, error: &CompileError) {
    write_response(out, token, |out| {
        let kind = ResponseType::CompileError;
        response::write_error(out, kind, None, &error.message, &error.path);
    });
}
