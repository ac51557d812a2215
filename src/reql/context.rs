//! What queries know of the server around them.

/// The server, as a query sees it. One for the whole server, shared by all queries.
#[derive(Debug, Default)]
pub struct Context {}
