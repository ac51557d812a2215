//! What queries know of the server around them.

use super::js::ScriptHost;

/// The server, as a query sees it. One for the whole server, shared by all queries.
#[derive(Debug, Default)]
pub struct Context {
    /// The threads that run scripts.
    pub scripts: ScriptHost,
}
