//! How many script helpers a server has at once, who of those that wait has the next, and those that are kept for the next
//! query. Knows nothing of what runs in them.
//!
//! A query has its helper for as long as it is evaluated, which may be long. So no connection has more than half of the
//! helpers and no user more than seven eighths, and a helper that becomes free goes to the connection that has fewest.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::error;

use super::ScriptError;
use super::helper::Helper;
use crate::cancel::CancelFlag;
use crate::limits;
use crate::seldom::Seldom;
use crate::shares::Shares;

/// The script helpers of a server.
#[derive(Debug, Default)]
pub struct ScriptHost {
    off: AtomicBool,
    used: Arc<Used>,
    /// Helpers that could not be started.
    not_started: Seldom,
}

#[derive(Debug, Default)]
struct Used {
    state: Mutex<State>,
    /// Helpers that nobody uses now.
    kept: Mutex<Vec<Helper>>,
    freed: Condvar,
}

/// Who has helpers, and who waits for one.
#[derive(Debug)]
struct State {
    connections: Shares<SocketAddr>,
    users: Shares<Arc<str>>,
    /// In the order they came.
    line: Vec<(u64, Asker)>,
    next: u64,
}

/// For whom a script runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The other end of the connection.
    pub connection: SocketAddr,
    /// Who logged in.
    pub user: Arc<str>,
}

/// The right to one helper, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    used: Arc<Used>,
    asker: Asker,
}

impl Asker {
    /// For scripts that run on behalf of no client.
    pub fn nobody() -> Asker {
        Asker { connection: (Ipv4Addr::UNSPECIFIED, 0).into(), user: Arc::default() }
    }
}

impl Default for State {
    fn default() -> State {
        let most = limits::SCRIPT_HELPERS;
        State {
            connections: Shares::new(most, limits::SCRIPT_CONNECTION_TIMES_FREE),
            users: Shares::new(most, limits::SCRIPT_USER_TIMES_FREE),
            line: Vec::new(),
            next: 0,
        }
    }
}

impl State {
    /// Who of those that wait has the next helper: of those that may have another one, the connection that has least, and
    /// of these the one that came first.
    fn first(&self) -> Option<u64> {
        if self.users.taken() >= limits::SCRIPT_HELPERS {
            return None;
        }
        let may = self.line.iter().filter(|(_, asker)| {
            self.connections.admits(&asker.connection) && self.users.admits(&asker.user)
        });
        let has = |asker: &Asker| self.connections.held_by(&asker.connection);
        may.min_by_key(|(number, asker)| (has(asker), *number)).map(|(number, _)| *number)
    }

    fn leave(&mut self, number: u64) {
        self.line.retain(|(waiting, _)| *waiting != number);
    }
}

impl Used {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ScriptHost {
    /// From now on no script runs.
    pub fn switch_off(&self) {
        self.off.store(true, Ordering::Relaxed);
    }

    /// Whether no script may run.
    pub fn are_off(&self) -> bool {
        self.off.load(Ordering::Relaxed)
    }

    /// Tells the operator that a helper could not be started, as clients that ask for scripts see it each time.
    pub(super) fn tell_not_started(&self, problem: &str) {
        let problem = problem.to_owned();
        self.not_started.tell(move |count| {
            error!(
                count,
                "processes for scripts could not be started, the last one because: {problem}"
            );
        });
    }

    /// How many helpers are used now.
    pub fn helpers(&self) -> usize {
        self.used.state().users.taken()
    }

    /// Waits until there may be another helper for this asker.
    pub(super) fn acquire(
        &self,
        asker: &Asker,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
    ) -> Result<Slot, ScriptError> {
        let mut state = self.used.state();
        let number = state.next;
        state.next += 1;
        state.line.push((number, asker.clone()));
        let failed = loop {
            if state.first() == Some(number) {
                state.leave(number);
                state.connections.take(asker.connection);
                state.users.take(asker.user.clone());
                drop(state);
                // There may be one for the next in the line as well.
                self.used.freed.notify_all();
                return Ok(Slot { used: self.used.clone(), asker: asker.clone() });
            }
            if cancel.is_cancelled() {
                break ScriptError::Interrupted;
            }
            if deadline.is_some_and(|end| Instant::now() >= end) {
                break ScriptError::Busy;
            }
            let waited = self.used.freed.wait_timeout(state, limits::SCRIPT_GRACE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        state.leave(number);
        drop(state);
        self.used.freed.notify_all();
        Err(failed)
    }
}

impl Slot {
    /// A helper that another query has left, if there is one.
    pub(super) fn kept(&self) -> Option<Helper> {
        self.kept_helpers().pop()
    }

    /// Leaves a helper to another query. A few are kept, which saves the time to start them.
    pub(super) fn keep(&self, helper: Helper) {
        let mut kept = self.kept_helpers();
        if kept.len() < limits::SCRIPT_HELPERS_KEPT {
            kept.push(helper);
        }
    }

    fn kept_helpers(&self) -> MutexGuard<'_, Vec<Helper>> {
        self.used.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.used.state();
        state.connections.give_back(&self.asker.connection);
        state.users.give_back(&self.asker.user);
        drop(state);
        self.used.freed.notify_all();
    }
}

#[cfg(test)]
impl ScriptHost {
    /// The processes of the helpers that are kept.
    pub(super) fn kept_ids(&self) -> Vec<u32> {
        self.used.kept.lock().unwrap().iter().map(Helper::id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn asker(port: u16, user: &str) -> Asker {
        Asker { connection: (Ipv4Addr::LOCALHOST, port).into(), user: user.into() }
    }

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_millis(1))
    }

    /// Takes what one connection may have.
    fn fill(host: &ScriptHost, asker: &Asker) -> Vec<Slot> {
        let cancel = CancelFlag::default();
        std::iter::from_fn(|| host.acquire(asker, &cancel, soon()).ok()).collect()
    }

    #[test]
    fn slots_are_bounded_and_come_back() {
        let host = ScriptHost::default();
        let cancel = CancelFlag::default();
        let held: Vec<Slot> = (0..limits::SCRIPT_HELPERS as u16)
            .map(|at| host.acquire(&asker(at, &at.to_string()), &cancel, None))
            .collect::<Result<_, _>>()
            .expect("there is room");
        let next = asker(99, "next");
        assert_eq!(host.acquire(&next, &cancel, soon()).err(), Some(ScriptError::Busy));
        drop(held);
        assert_eq!(host.helpers(), 0);
        assert!(host.acquire(&next, &cancel, soon()).is_ok());
        assert!(host.used.state().line.is_empty());
    }

    #[test]
    fn a_stopped_query_does_not_wait() {
        let host = ScriptHost::default();
        let cancel = CancelFlag::default();
        let _held = fill(&host, &asker(1, "bob"));
        cancel.cancel();
        let stopped = host.acquire(&asker(1, "bob"), &cancel, None);
        assert_eq!(stopped.err(), Some(ScriptError::Interrupted));
        assert!(host.used.state().line.is_empty());
    }

    #[test]
    fn neither_a_connection_nor_a_user_has_all_helpers() {
        let host = ScriptHost::default();
        let first = fill(&host, &asker(1, "bob"));
        assert_eq!(first.len(), limits::SCRIPT_HELPERS / 2);
        let others: Vec<_> = (2..99).map(|port| fill(&host, &asker(port, "bob"))).collect();
        assert!(!others[0].is_empty());
        let alice = fill(&host, &asker(100, "alice"));
        assert!(!alice.is_empty(), "{} are taken", host.helpers());
    }

    #[test]
    fn who_has_least_comes_next_and_among_equals_who_came_first() {
        let host = Arc::new(ScriptHost::default());
        let mut held = fill(&host, &asker(1, "bob"));
        held.extend((2..).map_while(|at| {
            let asker = asker(at, &at.to_string());
            host.acquire(&asker, &CancelFlag::default(), soon()).ok()
        }));
        assert_eq!(host.helpers(), limits::SCRIPT_HELPERS);
        let (sender, order) = std::sync::mpsc::channel();
        let mut waiting = Vec::new();
        for port in [1, 101, 102, 2] {
            let (there, sender, asker) =
                (host.clone(), sender.clone(), asker(port, &format!("user {port}")));
            waiting.push(std::thread::spawn(move || {
                let slot = there.acquire(&asker, &CancelFlag::default(), None).expect("in time");
                sender.send((port, slot)).expect("somebody listens");
            }));
            while host.used.state().line.len() < waiting.len() {
                std::thread::yield_now();
            }
        }
        // Each that is given back, but for those who have had their turn, serves the next.
        let mut came = Vec::new();
        let mut slots = Vec::new();
        for _ in 0..2 {
            drop(held.pop());
            let (port, slot) = order.recv().unwrap();
            came.push(port);
            slots.push(slot);
        }
        assert_eq!(came, [101, 102]);
        drop((held, slots));
        waiting.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
