//! What queries know of the server around them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::auth::Users;
use crate::catalog::Catalog;
use crate::changefeed::Hub;
use crate::holders::Holders;

use super::http_client::HttpHost;
use super::js::ScriptHost;
use super::running::RunningQueries;
use super::server_facts::ServerFacts;
use super::watches::Watches;

/// The server, as a query sees it. One for the whole server, shared by all queries.
pub struct Context {
    /// Databases and tables.
    pub catalog: Arc<Catalog>,
    /// Who listens to changes.
    pub hub: Arc<Hub>,
    /// The name the server was made with.
    first_name: Arc<str>,
    /// The threads that run scripts.
    pub scripts: ScriptHost,
    /// What asks other servers.
    pub http: HttpHost,
    /// Who may connect, and what they may do.
    pub users: Arc<Users>,
    /// The queries that run.
    pub running: Arc<RunningQueries>,
    /// What queries hold while they wait.
    pub holders: Arc<Holders>,
    /// The system tables that somebody listens to.
    pub watches: Watches,
    facts: OnceLock<ServerFacts>,
    query_timeout: OnceLock<Duration>,
}

impl Context {
    /// A server whose catalog is open and hands its changes to the hub. The name is for one that was given no other since.
    pub fn new(
        catalog: Arc<Catalog>,
        hub: Arc<Hub>,
        users: Arc<Users>,
        server_name: &str,
    ) -> Context {
        let scripts = ScriptHost::default();
        let http = HttpHost::default();
        let (first_name, facts) = (Arc::from(server_name), OnceLock::new());
        let (running, holders, watches) = Default::default();
        let query_timeout = OnceLock::new();
        Context {
            catalog,
            hub,
            first_name,
            scripts,
            http,
            users,
            running,
            holders,
            watches,
            facts,
            query_timeout,
        }
    }

    /// The server's name.
    pub fn server_name(&self) -> Arc<str> {
        let given = self.catalog.state().settings().name.as_deref().map(Arc::from);
        given.unwrap_or_else(|| self.first_name.clone())
    }

    /// What is known of the server only once it runs; nothing before.
    pub fn facts(&self) -> Option<&ServerFacts> {
        self.facts.get()
    }

    /// Tells what is known of the server now that it runs. Only the first word counts.
    pub fn set_facts(&self, facts: ServerFacts) {
        let _ = self.facts.set(facts);
    }

    /// How long an evaluation may take, if the operator has said so.
    pub fn query_timeout(&self) -> Option<Duration> {
        self.query_timeout.get().copied()
    }

    /// Bounds the time of each evaluation. Only the first word counts.
    pub fn set_query_timeout(&self, timeout: Duration) {
        let _ = self.query_timeout.set(timeout);
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("server_name", &self.server_name()).finish_non_exhaustive()
    }
}
