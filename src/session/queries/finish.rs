//! What comes of a query that was evaluated elsewhere, and of a feed that waited for rows.
//! Knows the outcomes; not how they came about.

use std::time::Duration;

use photondb_protocol::frame::write_response;
use photondb_protocol::numbers::{ErrorType, ResponseType};
use photondb_protocol::response;
use tokio::sync::futures::OwnedNotified;
use tokio::task::AbortHandle;

use super::{Session, Slot, State, drop_aside};
use crate::limits;
use crate::metrics::Recorder;
use crate::reql::{Cursor, Passed};
use crate::session::ending::{self, Ending};
use crate::session::evaluate::{self, Finished, Outcome, Work};
use crate::session::slow::{self, Slow};
use crate::session::{Client, Service};

impl Session {
    /// Takes what came of something that was evaluated elsewhere, or waited for, and answers.
    pub(super) fn finish(&mut self, finished: Finished, out: &mut Vec<u8>) {
        let Finished { number, token, outcome } = finished;
        let outcome = match outcome {
            Outcome::WaitOver(by_time) => return self.wait_over(number, token, by_time),
            Outcome::Terminated => {
                let is_it =
                    |slot: &Slot| slot.running.as_ref().is_some_and(|it| it.number() == number);
                return self.ended_by_others(token, is_it, out);
            }
            Outcome::Evicted => {
                let is_it =
                    |slot: &Slot| slot.hold.as_ref().is_some_and(|it| it.number() == number);
                return self.ended_by_others(token, is_it, out);
            }
            Outcome::GivenUp => return self.leave_pool(number),
            Outcome::Read(query) => {
                self.leave_pool(number);
                return self.has_read(number, token, *query, out);
            }
            Outcome::StartOver => {
                self.leave_pool(number);
                let is_stopped = |slot: &Slot| slot.cancel.is_cancelled();
                if !self.slots.get(&token).is_some_and(is_stopped) {
                    return self.start_over(token);
                }
                Outcome::Cancelled
            }
            Outcome::Syncing => {
                self.leave_pool(number);
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
                        Outcome::Ended(frame, Ending::Failed)
                    }
                }
            }
            outcome => {
                self.leave_pool(number);
                outcome
            }
        };
        let is_noreply = self.noreply.remove(&number);
        // The entry is there: only the end of its evaluation removes one that is being evaluated.
        let Some(slot) = self.slots.get_mut(&token) else { return };
        let cancelled = slot.cancelled(&self.service);
        let ending = match &outcome {
            Outcome::Ended(_, ending) => ending,
            Outcome::Cancelled => &cancelled,
            _ => &Ending::Answered,
        };
        slot.batches += 1;
        slot.tell(&self.service, &self.client, &mut self.recorder, ending);
        ending::tell(&self.service, &self.client, ending);
        match outcome {
            Outcome::Ended(frame, _) => {
                if !slot.noreply {
                    append(frame, out);
                }
                self.close(token, out);
            }
            Outcome::Cancelled => {
                write_cancelled(&self.service, slot, token, out);
                self.close(token, out);
            }
            Outcome::More(frame, cursor) => {
                if !slot.noreply {
                    append(frame, out);
                }
                if slot.noreply || slot.stops > 0 {
                    slot.state = State::Open(cursor);
                    self.close(token, out);
                } else {
                    self.wait_for_client(token, cursor, out);
                }
            }
            Outcome::Nothing(_, _) if slot.stops > 0 => {
                evaluate::write_stopped(out, token);
                self.close(token, out);
            }
            Outcome::Nothing(cursor, notified) => {
                let kept = cursor.kept();
                let wait = self.expect_rows(number, token, notified);
                if let Some(slot) = self.slots.get_mut(&token) {
                    slot.state = State::Expecting(cursor, wait);
                }
                // It may be ended for that, and hears of it next.
                self.charge(token, kept);
            }
            // Dealt with above; what is synced is an answer.
            Outcome::WaitOver(_)
            | Outcome::Terminated
            | Outcome::Evicted
            | Outcome::GivenUp
            | Outcome::Read(_)
            | Outcome::StartOver
            | Outcome::Syncing
            | Outcome::Synced(..) => {}
        }
        if is_noreply {
            self.answer_noreply_waits(out);
        }
    }

    /// A stream has answered, and keeps what it has until its client asks for more.
    pub(super) fn wait_for_client(&mut self, token: u64, cursor: Box<Cursor>, out: &mut Vec<u8>) {
        let kept = cursor.kept();
        self.charge(token, kept);
        let Some(slot) = self.slots.get_mut(&token) else { return drop_aside(cursor) };
        slot.state = State::Open(cursor);
        // It may have been ended when the batch had been read, or for what it keeps.
        if slot.cancel.is_terminated() || slot.cancel.is_evicted() {
            slot.end(&self.service, &self.client);
        }
        self.read_on(token, out);
    }

    /// Charges a query for what its stream keeps as well.
    fn charge(&mut self, token: u64, kept: usize) {
        let Some(slot) = self.slots.get_mut(&token) else { return };
        let bytes = slot.own_bytes.saturating_add(kept);
        match &mut slot.hold {
            Some(hold) => hold.update(bytes),
            None => {
                let cancel = slot.cancel.clone();
                let hold = self.hold(token, bytes, &cancel);
                if let Some(slot) = self.slots.get_mut(&token) {
                    slot.hold = Some(hold);
                }
            }
        }
    }

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
            let (number, ticket) = self.submit(token, Work::Continue(cursor, by_time), cancel);
            self.renumber(token, number, ticket);
        }
    }

    /// A query was deleted from the table of jobs, or it holds too much while others need the memory. One that is evaluated
    /// finds out by itself; of one whose client has all its rows so far nothing is kept, and the client is told when it
    /// asks for more; a feed that waits ends now.
    fn ended_by_others(&mut self, token: u64, is_it: impl Fn(&Slot) -> bool, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.get_mut(&token).filter(|slot| is_it(slot)) else { return };
        match &slot.state {
            State::Expecting(_, wait) => {
                wait.abort();
                ending::tell(&self.service, &self.client, &slot.cancelled(&self.service));
                write_cancelled(&self.service, slot, token, out);
                self.close(token, out);
            }
            State::Evaluating if slot.ticket.take() => self.give_up(token, out),
            State::Open(_) => slot.end(&self.service, &self.client),
            State::Reading | State::Evaluating | State::Ended => {}
        }
    }

    /// Answers a query that was stopped before its job was begun, which will never be.
    pub(super) fn give_up(&mut self, token: u64, out: &mut Vec<u8>) {
        let Some(slot) = self.slots.get_mut(&token) else { return };
        let number = slot.number;
        let ending = slot.cancelled(&self.service);
        slot.batches += 1;
        slot.tell(&self.service, &self.client, &mut self.recorder, &ending);
        ending::tell(&self.service, &self.client, &ending);
        write_cancelled(&self.service, slot, token, out);
        self.waiting.retain(|job| job.number != number);
        self.waiting_for_lane.retain(|job| job.number != number);
        let mut on_pool = self.on_pool.iter().chain(&self.on_lane);
        if on_pool.any(|(on_pool, queued)| *on_pool == number && queued.remove()) {
            self.leave_pool(number);
        }
        self.close(token, out);
        if self.noreply.remove(&number) {
            self.answer_noreply_waits(out);
        }
    }

    /// A job is no longer on the pool.
    fn leave_pool(&mut self, number: u64) {
        for jobs in [&mut self.on_lane, &mut self.on_pool] {
            jobs.retain(|(on_pool, _)| *on_pool != number);
        }
    }
}

impl Slot {
    /// Counts how it ended, the first time, and tells of it if it took long.
    fn tell(&mut self, service: &Service, client: &Client, counts: &mut Recorder, ending: &Ending) {
        let first = self.began.take();
        let took = first.unwrap_or(self.asked).elapsed();
        if first.is_some() {
            counts.record(ending.counted(), took);
        }
        let Some(program) = &self.program else { return };
        let running = self.running.as_ref();
        let of = Slow { client, program, running, is_http: false, batch: self.batches };
        slow::tell(service, &of, ending, took);
    }

    /// How it ends when it was stopped, by whomever.
    fn cancelled(&self, service: &Service) -> Ending {
        if self.cancel.is_evicted() {
            return Ending::Evicted(service.holders.account().most());
        }
        Ending::Stopped
    }

    /// Drops everything that the stream of a client holds, and remembers that.
    fn end(&mut self, service: &Service, client: &Client) {
        ending::tell(service, client, &self.cancelled(service));
        let is_large = self.is_large();
        let state = std::mem::replace(&mut self.state, State::Ended);
        let held = (state, self.program.take(), self.running.take(), self.hold.take());
        if is_large {
            drop_aside(held);
        }
    }
}

/// Hands an answer to the connection: a long one as it is, when nothing is before it.
fn append(frame: Vec<u8>, out: &mut Vec<u8>) {
    if out.is_empty() && frame.len() > limits::KEPT_OUTPUT_BYTES {
        *out = frame;
        out.shrink_to_fit();
    } else {
        out.extend_from_slice(&frame);
    }
}

/// Of a query that was stopped, by whomever.
pub(super) fn write_cancelled(service: &Service, slot: &Slot, token: u64, out: &mut Vec<u8>) {
    if slot.noreply {
        return;
    }
    if slot.stops > 0 {
        evaluate::write_stopped(out, token);
    } else if slot.cancel.is_terminated() {
        write_terminated(out, token);
    } else if slot.cancel.is_evicted() {
        let bound = Passed::Held(service.holders.account().most());
        let error_type = Some(ErrorType::ResourceLimit);
        write_response(out, token, |out| {
            let (kind, message) = (ResponseType::RuntimeError, bound.message());
            response::write_error(out, kind, error_type, &message, &[]);
        });
    } else {
        write_interrupted(out, token);
    }
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
