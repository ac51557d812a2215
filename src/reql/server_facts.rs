//! What is known of the server only once it runs: system tables show it, and it bounds what queries may take. Told by
//! whoever starts the server; must not know who asks.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use crate::log_lines::LogLines;

use super::memory_budget::MemoryBounds;

/// This server, as its system tables show it.
#[derive(Debug, Clone)]
pub struct ServerFacts {
    /// The server's identity.
    pub id: String,
    /// Bytes of memory for the engine where none are set.
    pub automatic_cache_bytes: u64,
    /// Most bytes that can be set, where the operator has bounded the memory of the server.
    pub cache_bytes_most: Option<u64>,
    /// What queries may take of memory.
    pub memory: MemoryBounds,
    /// The port for drivers.
    pub driver_port: u16,
    /// The port for HTTP, unless it is off.
    pub http_port: Option<u16>,
    /// When it was started.
    pub started: SystemTime,
    /// The last lines of the log.
    pub log: Arc<LogLines>,
    /// What is counted outside of tables.
    pub numbers: Arc<dyn ServerNumbers>,
}

/// What is counted outside of tables.
pub trait ServerNumbers: Debug + Send + Sync {
    /// Open connections of drivers.
    fn client_connections(&self) -> u64;

    /// Queries since the start.
    fn queries_total(&self) -> u64;

    /// Queries in a second, lately.
    fn queries_per_sec(&self) -> f64;
}
