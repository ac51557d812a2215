//! How a long query begins: it has its token from its arrival on, is read and compiled on the pool, and is evaluated there
//! after that. Knows what a reading came to; not how it is done.

use std::time::Instant;

use bytes::Bytes;
use photondb_protocol::frame::write_response;
use photondb_protocol::numbers::{QueryType, ResponseType};
use photondb_protocol::response;

use super::start::{own_bytes, write_compile_error};
use super::{Session, Slot, State, drop_aside};
use crate::metrics;
use crate::reql::CancelFlag;
use crate::session::evaluate::{self, Finished, Outcome, Work};
use crate::session::long_query::{
    Kept, LongQuery, ReadQuery, Unread, other_than_start, seems_noreply,
};

impl Session {
    /// As [`Session::receive`], for a query that is too long to be read by the caller; `kept` is dropped with its text.
    pub fn receive_long(&mut self, token: u64, body: Bytes, kept: Kept, out: &mut Vec<u8>) {
        match other_than_start(&body) {
            None | Some(QueryType::Start) => {}
            Some(kind) => return self.take(token, format!("[{}]", kind.number()).as_bytes(), out),
        }
        if !self.slots.is_empty() && !self.check_token(token, out) {
            return;
        }
        let began = Instant::now();
        let cancel = CancelFlag::default();
        // Until it is read nobody knows whether an answer is wanted: those who wait for what is not answered wait for it.
        let noreply = seems_noreply(&body);
        let query = LongQuery::new(body, kept, self.clock.now().clone());
        let (number, ticket) = self.submit(token, Work::Read(Box::new(query)), cancel.clone());
        self.noreply.insert(number);
        let slot = Slot {
            cancel,
            ticket,
            noreply,
            began: Some(began),
            ..Slot::new(number, State::Reading, began)
        };
        self.slots.insert(token, slot);
    }

    /// A query has been read: it is put on the pool once more, to be evaluated, or it is answered.
    pub(super) fn has_read(
        &mut self,
        number: u64,
        token: u64,
        query: ReadQuery,
        out: &mut Vec<u8>,
    ) {
        // It may have been stopped, and the token is another query's by now.
        let is_it = |slot: &&mut Slot| slot.number == number;
        let Some(slot) = self.slots.get_mut(&token).filter(is_it) else {
            return drop_aside(query);
        };
        slot.state = State::Evaluating;
        slot.noreply = query.noreply.unwrap_or(slot.noreply);
        let (noreply, cancel) = (slot.noreply, slot.cancel.clone());
        let program = match query.program {
            Ok(program) if cancel.is_cancelled() => {
                drop_aside(program);
                return self.finish(Finished { number, token, outcome: Outcome::Cancelled }, out);
            }
            Ok(program) => program,
            Err(unread) => return self.refuse(number, token, unread, out),
        };
        let own_bytes = own_bytes(query.size, &program);
        let hold = Some(self.hold(token, own_bytes, &cancel));
        let running = Some(self.enter(token, &program, &cancel));
        let work = Work::Start(program.clone());
        let is_in_lane = work.is_administrative();
        let ticket = self.line_up(number, token, work, Instant::now(), cancel, is_in_lane);
        if let Some(slot) = self.slots.get_mut(&token) {
            (slot.program, slot.hold, slot.running) = (Some(program), hold, running);
            (slot.ticket, slot.own_bytes) = (ticket, own_bytes);
        }
        if !noreply && self.noreply.remove(&number) {
            self.answer_noreply_waits(out);
        }
    }

    /// Answers a query that cannot be run.
    fn refuse(&mut self, number: u64, token: u64, unread: Unread, out: &mut Vec<u8>) {
        let mut frame = Vec::new();
        let counted = match &unread {
            Unread::Stopped => {
                return self.finish(Finished { number, token, outcome: Outcome::Cancelled }, out);
            }
            Unread::Query(error) => {
                write_response(&mut frame, token, |out| response::write_query_error(out, error));
                match error.kind {
                    ResponseType::CompileError => metrics::Outcome::CompileError,
                    _ => metrics::Outcome::ClientError,
                }
            }
            Unread::Other => metrics::Outcome::ClientError,
            Unread::Compile(error) => {
                write_compile_error(&mut frame, token, error);
                metrics::Outcome::CompileError
            }
            Unread::Failure(failure) => {
                evaluate::write_failure(&mut frame, token, failure);
                metrics::Outcome::RuntimeError
            }
            Unread::Panic => {
                evaluate::write_panic(&mut frame, token);
                metrics::Outcome::RuntimeError
            }
        };
        let Some(slot) = self.slots.get_mut(&token) else { return };
        if let Some(began) = slot.began.take() {
            self.recorder.record(counted, began.elapsed());
        }
        if !slot.noreply {
            out.extend_from_slice(&frame);
        }
        self.close(token, out);
        if self.noreply.remove(&number) {
            self.answer_noreply_waits(out);
        }
    }
}
