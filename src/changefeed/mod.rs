//! Changefeeds below the query language: who listens to which keys of which table, and what waits for them.
//!
//! Knows keys, documents and commit sequences; must not know terms, functions or sessions. A commit hands its changes to
//! the [`Hub`] in commit order; the hub puts each into the queue of every listener whose keys it touches and wakes it. A
//! slow listener never slows a writer: its queue is bounded in changes and in bytes, all queues together are bounded in
//! bytes, and the listener is told how many changes it lost, as the operator is. What several queues hold of one change they share.

mod hub;
mod lost;
mod queue;

pub use hub::{Change, Hub, Interest, Subscription};
pub use queue::{Drained, Ended};
