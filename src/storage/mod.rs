//! Ordered trees of bytes: what a storage engine is, and the engines themselves.
//!
//! Knows trees, keys, values and commits. Must not know documents, tables, ReQL or the network.
//!
//! An engine holds many ordered trees, each named by a [`TreeId`]. It is read through a [`Snapshot`], which sees one
//! commit point of all trees, and written by a [`WriteBatch`], which is applied whole or not at all. Applying and
//! being durable are two steps: [`Engine::apply`] makes a batch visible and gives it a [`CommitSequence`], and
//! [`Engine::when_durable`] or [`Engine::wait_durable`] tells when everything up to that number has reached the disk,
//! so that one sync serves all who wait.
//!
//! What an engine promises (those without a disk have nothing to do for 2, 3, 6 and 7):
//!
//! 1. A batch is all there or not at all, in every tree it touched.
//! 2. After a hard commit is acknowledged, no crash, power cut or kill loses it. After any crash the state equals some
//!    prefix of the commits that contains every acknowledged one.
//! 3. Every page and every log record has a checksum, checked on read; a damaged one is an error with its place, never
//!    an answer. A torn log tail never stops a start.
//! 4. After a failed write or sync the engine alters no file any more and says so. Want of room is no such failure: commits
//!    are refused until there is some.
//! 5. Readers see one commit point and never block writers; writers of one tree never block those of another.
//! 6. Memory stays within the cache budget, whatever the data size.
//! 7. Space comes back: what is freed is reused, and given back to the file system without a stop.
//! 8. `count`, `skip`, `nth`, and the size of any key range cost O(log n).
//!
//! Nothing here assumes that a call is quick: an engine may speak to another machine. A caller that must not wait
//! reads with [`ReadMode::CachedOnly`] and starts over elsewhere when it is told [`StorageError::NotResident`].

mod allowance;
mod batch;
mod btree;
#[cfg(test)]
mod conformance;
mod crossed;
mod damage;
pub mod disk;
mod encoding;
mod engine;
mod entries;
mod error;
#[cfg(test)]
mod fixture;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod health;
mod ledger;
mod long_reads;
pub mod memory;
#[cfg(test)]
pub(crate) mod overlay;
#[cfg(test)]
mod promises;
mod range;
mod renewable;
mod scratch;
#[cfg(test)]
mod simulation;
mod slab;
pub mod store;
pub mod wal;

pub use allowance::allow_reads_at_once;
pub use batch::{Condition, Operation, WriteBatch};
pub use damage::{Damage, Lost};
pub use engine::{
    BulkLoad, Commit, CommitSequence, Cursor, DiskRoom, Durability, DurableCallback, Engine,
};
pub use engine::{ReadMode, Snapshot, TreeId};
pub use entries::{EntryBatch, FillLimit, Scanner};
pub use error::StorageError;
pub use long_reads::{Patience, wait_for_long_values};
pub use range::{Direction, KeyRange};
pub use renewable::{Readers, RenewableSnapshot, RenewalHandle};
pub use scratch::Scratch;
pub use store::{VerifyReport, verify_and_look, verify_directory};
