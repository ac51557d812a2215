//! One client: its queries, its open streams, the order of their answers.
//!
//! Frames go in, response frames come out; a [`Session`] knows no socket and is owned by one task. What is light is
//! evaluated at once, on the thread that calls; the rest goes to the [`Pool`] and its answers come back through the
//! inbox. Knows nothing of transports and of the bytes before the first query.

mod ask;
mod clock;
#[cfg(test)]
mod crowd_tests;
mod ending;
mod evaluate;
mod inbox;
#[cfg(test)]
mod jobs_tests;
mod long_query;
#[cfg(test)]
mod memory_tests;
mod pool;
mod queries;
#[cfg(test)]
mod resident_tests;
mod service;
mod slow;
#[cfg(test)]
mod sync_tests;

pub use crate::reql::running::Client;
pub use crate::turns::Whose;
pub use ask::{AskBounds, AskError, Asked, NotRead, ask, ask_long};
pub use ending::Ended;
pub use long_query::KeepsText;
pub use pool::Pool;
pub use queries::Session;
pub use service::{Identity, Service, whose};
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod timeout_tests;
