//! The places of HTTP connections: a bounded number, and who loses one to a newcomer when all are taken. Knows what each
//! connection waits for and since when; no sockets and no HTTP.
//!
//! A connection is in one of three states. While its client has to send something, the head of a request or a part of
//! its body, the client is silent from the first moment. While a request is evaluated the client has nothing to do, and
//! the place is safe. While an answer is sent, the client is silent once it has taken less than [`limits::HTTP_PACE_BYTES`]
//! for [`limits::HTTP_STALL_TIME`]. The place of the client that has been silent longest goes to the newcomer.
//!
//! A part of the places is kept in reserve, for newcomers that find no other place. Whoever has one of these may ask what is
//! answered at once, and nothing that takes time; so there is always a place for those who watch over the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::limits;
use crate::shutdown::UnderWay;
use crate::unread::{Share, Unread};

/// The places of all listeners together.
#[derive(Debug)]
pub struct Places {
    /// How long a client may take nothing of its answer before it counts as silent.
    stall: Duration,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    /// Tells entries of the same moment apart.
    next: u64,
    general: Part,
    reserve: Part,
}

/// Some of the places.
#[derive(Debug, Default)]
struct Part {
    most: usize,
    count: usize,
    /// Connections whose client has to do something, by the moment from which on it counts as silent.
    silent_from: BTreeMap<Turn, CancellationToken>,
}

/// A moment, and a number that no other entry has.
type Turn = (Instant, u64);

impl Places {
    /// So many places, all free, and so many more in reserve.
    pub fn new(most: usize, reserved: usize) -> Arc<Self> {
        Self::with_stall(most, reserved, limits::HTTP_STALL_TIME)
    }

    fn with_stall(most: usize, reserved: usize, stall: Duration) -> Arc<Self> {
        let part = |most| Part { most, ..Part::default() };
        let open = Open { next: 0, general: part(most), reserve: part(reserved) };
        Arc::new(Self { stall, open: Mutex::new(open) })
    }

    /// A place, if need be that of the client that has been silent longest. None when no client is silent.
    pub fn enter(self: &Arc<Self>) -> Option<Arc<Place>> {
        let mut open = self.open.lock();
        let now = Instant::now();
        let is_reserved = !open.general.take(now);
        if is_reserved && !open.reserve.take(now) {
            return None;
        }
        drop(open);
        let (places, evicted) = (self.clone(), CancellationToken::new());
        let state =
            State { awaits: Awaits::Server, turn: None, taken: 0, answer: None, request: None };
        let (state, closed) = (Mutex::new(state), CancellationToken::new());
        let place = Arc::new(Place { places, is_reserved, evicted, closed, state });
        place.awaits(Awaits::Request);
        Some(place)
    }
}

impl Open {
    fn part(&mut self, is_reserved: bool) -> &mut Part {
        if is_reserved { &mut self.reserve } else { &mut self.general }
    }
}

impl Part {
    /// Whether there is a place for a newcomer, which has it now.
    fn take(&mut self, now: Instant) -> bool {
        if self.count < self.most {
            self.count += 1;
            return true;
        }
        if self.silent_from.first_key_value().is_none_or(|((from, _), _)| *from > now) {
            return false;
        }
        if let Some((_, silent)) = self.silent_from.pop_first() {
            silent.cancel();
        }
        true
    }
}

/// What has to happen before a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// Its client has to send a request, or more of one.
    Request,
    /// The server has to evaluate a request.
    Server,
    /// Its client has to take the answer, of which more is to come.
    Answer,
    /// Its client has to take the rest of the answer.
    Rest,
}

/// The place of one connection; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    is_reserved: bool,
    /// Cancelled when another client has got the place.
    evicted: CancellationToken,
    /// Cancelled when the client holds an answer that it does not read, and memory is short.
    closed: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    awaits: Awaits,
    /// Its entry among those whose client has to do something.
    turn: Option<Turn>,
    /// Bytes of answers that the client has taken since it got its turn.
    taken: usize,
    /// The answer that its client has not read to the end, among those of all clients.
    answer: Option<Share>,
    /// Its request, for which a stopping server waits until the answer is sent.
    request: Option<UnderWay>,
}

impl Place {
    /// The client is to read an answer of so many bytes.
    pub fn answers(&self, unread: &Arc<Unread>, bytes: usize) {
        let closed = self.closed.clone();
        let share = unread.enter(bytes, Box::new(move || closed.cancel()));
        let before = self.state.lock().answer.replace(share);
        drop(before);
    }

    /// A request has come; none when the server stops and waits for no further ones.
    pub fn begins(&self, request: Option<UnderWay>) {
        let mut state = self.state.lock();
        if request.is_some() {
            state.request = request;
        }
        self.turn(&mut state, Awaits::Server);
    }

    /// Whether a stopping server waits for its request.
    pub fn is_under_way(&self) -> bool {
        self.state.lock().request.is_some()
    }

    /// Whether it is one of the reserve: for what is answered at once.
    pub fn is_reserved(&self) -> bool {
        self.is_reserved
    }

    /// Cancelled when the client holds an answer that it does not read, and memory is short.
    pub fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Cancelled when another client has got the place.
    pub fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }

    /// Whether its client has to send something.
    #[cfg(any(test, fuzzing))]
    pub fn awaits_request(&self) -> bool {
        self.state.lock().awaits == Awaits::Request
    }

    /// What the connection waits for from now on.
    pub fn awaits(&self, awaits: Awaits) {
        self.turn(&mut self.state.lock(), awaits);
    }

    /// The same, unless something else has come in between: `from` is what it waited for.
    pub fn goes_on(&self, from: Awaits, awaits: Awaits) {
        let mut state = self.state.lock();
        if state.awaits == from {
            self.turn(&mut state, awaits);
        }
    }

    /// Everything that was to be sent so far has been taken.
    pub fn flushed(&self) {
        let mut state = self.state.lock();
        if state.awaits == Awaits::Rest {
            self.turn(&mut state, Awaits::Request);
            let read = (state.answer.take(), state.request.take());
            drop(state);
            drop(read);
        }
    }

    /// The client has taken so many bytes of its answers.
    pub fn taken(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.taken = state.taken.saturating_add(bytes);
        if let Some(answer) = state.answer.as_mut().filter(|_| bytes > 0) {
            answer.progressed();
        }
        let awaits = state.awaits;
        if matches!(awaits, Awaits::Answer | Awaits::Rest) && state.taken >= limits::HTTP_PACE_BYTES
        {
            self.turn(&mut state, awaits);
        }
    }

    fn turn(&self, state: &mut State, awaits: Awaits) {
        let mut open = self.places.open.lock();
        if let Some(turn) = state.turn.take() {
            open.part(self.is_reserved).silent_from.remove(&turn);
        }
        (state.awaits, state.taken) = (awaits, 0);
        let now = Instant::now();
        let silent_from = match awaits {
            Awaits::Request => now,
            // Answers to who has a place of the reserve are short: only who does not read them leaves any.
            Awaits::Answer | Awaits::Rest if self.is_reserved => now,
            Awaits::Answer | Awaits::Rest => now + self.places.stall,
            Awaits::Server => return,
        };
        // One that has lost its place has none to lose again.
        if !self.evicted.is_cancelled() {
            let turn = (silent_from, open.next);
            open.next += 1;
            open.part(self.is_reserved).silent_from.insert(turn, self.evicted.clone());
            state.turn = Some(turn);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.open.lock();
        let part = open.part(self.is_reserved);
        if let Some(turn) = self.state.get_mut().turn.take() {
            part.silent_from.remove(&turn);
        }
        // A client that has got the place of another counts in its stead.
        if !self.evicted.is_cancelled() {
            part.count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_that_has_been_silent_longest_makes_room() {
        let places = Places::new(3, 0);
        let [first, second, third] = [(); 3].map(|()| places.enter().unwrap());
        first.awaits(Awaits::Server);
        // A part of a body came, and then no more.
        second.awaits(Awaits::Server);
        second.awaits(Awaits::Request);
        let fourth = places.enter().unwrap();
        assert!(third.evicted().is_cancelled() && !second.evicted().is_cancelled());
        fourth.awaits(Awaits::Server);
        places.enter().unwrap().awaits(Awaits::Server);
        assert!(second.evicted().is_cancelled() && !first.evicted().is_cancelled());
    }

    #[test]
    fn a_client_that_takes_its_answer_keeps_its_place_and_one_that_stopped_does_not() {
        let stall = Duration::from_millis(50);
        let places = Places::with_stall(2, 0, stall);
        let [reading, stalled] = [(); 2].map(|()| places.enter().unwrap());
        reading.awaits(Awaits::Answer);
        stalled.awaits(Awaits::Answer);
        assert!(places.enter().is_none());
        std::thread::sleep(stall);
        reading.taken(limits::HTTP_PACE_BYTES);
        stalled.taken(limits::HTTP_PACE_BYTES - 1);
        drop(places.enter().unwrap());
        assert!(stalled.evicted().is_cancelled() && !reading.evicted().is_cancelled());
        reading.awaits(Awaits::Server);
        drop(stalled);
        assert_eq!(places.open.lock().general.count, 1);
        assert!(places.open.lock().general.silent_from.is_empty());
    }

    #[test]
    fn a_reserve_is_left_when_every_place_is_at_work() {
        let places = Places::new(2, 1);
        let [first, second] = [(); 2].map(|()| places.enter().unwrap());
        first.awaits(Awaits::Server);
        second.awaits(Awaits::Answer);
        let watching = places.enter().unwrap();
        assert!(watching.is_reserved() && !first.is_reserved() && !second.is_reserved());
        watching.awaits(Awaits::Server);
        assert!(places.enter().is_none());
        // Who does not read at once has had its turn.
        watching.awaits(Awaits::Rest);
        let next = places.enter().unwrap();
        assert!(next.is_reserved() && watching.evicted().is_cancelled());
        drop(first);
        assert!(!places.enter().unwrap().is_reserved());
        drop((watching, next, second));
        assert_eq!(places.open.lock().reserve.count, 0);
        assert!(places.open.lock().reserve.silent_from.is_empty());
    }

    #[test]
    fn every_place_is_given_back_once() {
        let places = Places::new(2, 0);
        let [first, second] = [(); 2].map(|()| places.enter().unwrap());
        let third = places.enter().unwrap();
        first.awaits(Awaits::Request);
        assert_eq!(places.open.lock().general.silent_from.len(), 2);
        drop((first, second, third));
        assert_eq!(places.open.lock().general.count, 0);
        assert!(places.open.lock().general.silent_from.is_empty());
    }

    #[test]
    fn an_answer_is_charged_until_its_client_has_taken_it() {
        let (places, unread) = (Places::new(1, 0), Arc::new(Unread::default()));
        let place = places.enter().unwrap();
        place.awaits(Awaits::Answer);
        place.answers(&unread, 1_000);
        place.taken(600);
        assert_eq!(unread.account().held(), 1_000);
        place.goes_on(Awaits::Answer, Awaits::Rest);
        place.flushed();
        assert_eq!(unread.account().held(), 0);
        place.answers(&unread, 1_000);
        drop(place);
        assert_eq!(unread.account().held(), 0);
    }
}
