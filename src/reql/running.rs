//! The queries that are being evaluated or have an open stream: what the table of jobs shows, and a way to end them.
//!
//! Whoever evaluates a query enters it here and leaves with it. Queries that are over before anybody could look are not
//! entered. Must not know sessions, connections or how a query is told that it ended.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::cancel::CancelFlag;

/// Who asks queries over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// Who logged in.
    pub user: Arc<str>,
}

/// A query as a text for people.
pub trait Shown: Send + Sync {
    /// No longer than so many bytes.
    fn text(&self, most: usize) -> String;
}

/// All queries that run.
#[derive(Debug, Default)]
pub struct RunningQueries(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    queries: BTreeMap<u64, Arc<RunningQuery>>,
}

/// One of them.
pub struct RunningQuery {
    /// Drawn when somebody first looks: most queries are never looked at.
    id: OnceLock<Uuid>,
    began: Instant,
    query: Arc<dyn Shown>,
    client: Arc<Client>,
    cancel: CancelFlag,
    /// Tells whoever waits on behalf of the query that it has been ended.
    wake: Wake,
}

/// Called once at most, with the number that [`Running::number`] gives.
pub type Wake = Box<dyn Fn(u64) + Send + Sync>;

impl RunningQueries {
    /// Enters a query for as long as the result lives.
    pub fn enter(
        self: &Arc<Self>,
        query: Arc<dyn Shown>,
        client: Arc<Client>,
        cancel: CancelFlag,
        wake: Wake,
    ) -> Running {
        let (id, began) = (OnceLock::new(), Instant::now());
        let running = Arc::new(RunningQuery { id, began, query, client, cancel, wake });
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.queries.insert(number, running.clone());
        Running { number, query: running, queries: self.clone() }
    }

    /// All of them, in the order they were entered.
    pub fn all(&self) -> Vec<Arc<RunningQuery>> {
        self.state().queries.values().cloned().collect()
    }

    /// Ends a query; nothing happens when it is over already.
    pub fn end(&self, id: Uuid) {
        let mut state = self.state();
        let found = state.queries.iter().find(|(_, query)| query.id.get() == Some(&id));
        let Some(number) = found.map(|(number, _)| *number) else { return };
        let query = state.queries.remove(&number);
        drop(state);
        if let Some(query) = query {
            query.cancel.terminate();
            (query.wake)(number);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The map is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningQuery {
    /// Its identity.
    pub fn id(&self) -> Uuid {
        *self.id.get_or_init(Uuid::new_v4)
    }

    /// How long it has been running.
    pub fn duration(&self) -> Duration {
        self.began.elapsed()
    }

    /// What it is, in no more than so many bytes.
    pub fn text(&self, most: usize) -> String {
        self.query.text(most)
    }

    /// Who asked for it.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

impl std::fmt::Debug for RunningQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningQuery").field("client", &self.client).finish_non_exhaustive()
    }
}

/// The place of one query among those that run.
#[derive(Debug)]
pub struct Running {
    number: u64,
    query: Arc<RunningQuery>,
    queries: Arc<RunningQueries>,
}

impl Running {
    /// Its number: no other query has it, and none will.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its identity in the table of jobs.
    pub fn id(&self) -> Uuid {
        self.query.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let gone = self.queries.state().queries.remove(&self.number);
        // It may hold the last handle of its client: not under the lock.
        drop(gone);
    }
}
