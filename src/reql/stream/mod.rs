//! Lazy streams of values, read in batches.

mod array;
mod budget;
mod concat;
mod gathered;
#[cfg(test)]
mod idle_tests;
mod index_rows;
#[cfg(test)]
mod lent_tests;
mod merge;
mod on_first_read;
mod origin;
mod range;
mod shards;
mod slice;
mod sorted_groups;
mod table_scan;
#[cfg(test)]
mod tests;
mod transform;
mod union;
mod wait;
mod zip;

pub use array::ArrayStream;
pub use budget::Budget;
pub use concat::{Expand, concat};
pub use gathered::Gathered;
pub use index_rows::{IndexRow, IndexRows};
pub use merge::Merge;
pub use on_first_read::{NoRows, OnFirstRead, Unreadable};
pub use origin::{Origin, no_origin};
pub use range::RangeStream;
pub use shards::{Shards, Turns};
pub use slice::Slice;
pub use sorted_groups::SortedGroups;
pub use table_scan::TableScan;
pub use transform::{Rows, Transform, Transformed, transform, undetermined};
pub use union::Union;
pub use wait::next_rows;
pub use zip::Zip;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use crate::datum::Datum;
use crate::table::Document;

use super::env::Env;
use super::error::{Error, NodeId, Result};

/// A stream behind a pointer.
pub type BoxStream = Box<dyn Stream>;

/// A lazy stream of values.
pub trait Stream: Debug + Send {
    /// The next rows: at least one, and about as many as the batch allows, unless the stream is exhausted or is a
    /// changefeed that has nothing yet.
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>>;

    /// Whether all rows were read. False does not promise another row.
    fn is_exhausted(&self) -> bool;

    /// The client has its batch and may never ask for another, and the snapshots were let go of: nothing is kept from now
    /// on that the engine lent. Documents that were read and not given are copied, or read again.
    fn let_go(&mut self);

    /// Whether its rows are read, and made, where the documents of a table lie: RethinkDB's shards. What goes wrong there
    /// and has no term of its own to blame is blamed on the whole query.
    fn is_on_shards(&self) -> bool {
        false
    }

    /// Whether some of its rows come of a table, which has to be asked for them; those of an array are there at once.
    fn asks_tables(&self) -> bool {
        self.source().is_some_and(Stream::asks_tables)
    }

    /// A term has added to what is done with each row: it is blamed from now on for errors that name no other.
    fn blame(&mut self, _at: NodeId) {}

    /// The stream of whose rows it makes its own, where it is an array, endless, or a changefeed when that one is.
    fn source(&self) -> Option<&dyn Stream> {
        None
    }

    /// Whether it is an array in stream's clothes: its type is ARRAY and a query that ends in it answers one value.
    fn is_array(&self) -> bool {
        self.source().is_some_and(Stream::is_array)
    }

    /// Whether it never ends (`r.range()`, changefeeds): what must read it to its end refuses it.
    fn is_infinite(&self) -> bool {
        self.source().is_some_and(Stream::is_infinite)
    }

    /// Of a changefeed, what it is.
    fn feed(&self) -> Option<Feed> {
        self.source().and_then(Stream::feed)
    }

    /// Where its rows come from, and what becomes of them on their way, if a changefeed can tell of it; why not otherwise.
    /// What is computed from rows together has no changes to tell of.
    fn origin(self: Box<Self>) -> Result<Origin> {
        Err(no_origin(true))
    }

    /// Passes over so many rows; fewer when the stream ends before, or is a changefeed that has no more yet. Returns how
    /// many. Worth its own code where rows need not be made to be passed over.
    fn advance(&mut self, env: &Env, rows: u64) -> Result<u64> {
        let mut passed = 0;
        while passed < rows && !self.is_exhausted() {
            let wanted = usize::try_from(rows - passed).unwrap_or(usize::MAX);
            let batch = self.next_batch(env, &BatchSpec::TERMINAL.in_turn().at_most(wanted))?;
            passed += batch.len() as u64;
            if batch.is_empty() && self.feed().is_some() {
                break;
            }
            env.check_interrupt()?;
        }
        Ok(passed)
    }

    /// How many shards with rows there are, where the rows come from shards and may be asked of each alone: `0` where they
    /// have an order, or are too many.
    fn shards(&mut self, _env: &Env) -> Result<usize> {
        Ok(0)
    }

    /// How many rows are left, where that is known without making them.
    fn remaining(&mut self, _env: &Env) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// What a session must know of a changefeed.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The kind, told to the driver in the response's notes.
    pub note: photondb_protocol::numbers::ResponseNote,
    /// Whether the notes also say that the feed includes states.
    pub includes_states: bool,
    /// Told whenever rows may have arrived: wait for it when a batch was empty, then ask again.
    pub ready: Arc<Notify>,
}

/// How much to read at a time.
#[derive(Clone, Copy, Debug)]
pub struct BatchSpec {
    /// At most so many rows; at least 1.
    pub max_rows: usize,
    /// Stop once the rows read are about so many bytes as JSON...
    pub max_bytes: usize,
    /// ...and at least so many.
    pub min_rows: usize,
    /// Stop then, once there is a row.
    pub until: Option<Instant>,
    /// Whether the rows are for the server itself, which reads them all.
    pub terminal: bool,
    /// In which order the rows of a small table come, where nothing orders them.
    pub pick: Pick,
    /// Whether the rows may lie in pages that the engine lends: whoever asks lets go of them before the next batch, or
    /// keeps them [detached](Datum::detached).
    pub lent: bool,
}

/// From which shard the next row comes: docs/decisions/0009-the-order-of-unordered-rows.md
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// From the first one that has any: so RethinkDB gives rows that it gathers or reduces.
    ByShard,
    /// From one after the other: so it gives those that go on row by row.
    InTurn,
    /// From the shard of this number, of those that [`Stream::shards`] counted.
    Shard(usize),
}

impl BatchSpec {
    /// For reading a stream to its end inside the server.
    pub const TERMINAL: BatchSpec = BatchSpec {
        max_rows: crate::limits::TERMINAL_BATCH_ROWS,
        max_bytes: crate::limits::BATCH_BYTES,
        min_rows: 1,
        until: None,
        terminal: true,
        pick: Pick::ByShard,
        lent: false,
    };

    /// The same for one who keeps no rows.
    pub const PASSING: BatchSpec = BatchSpec { lent: true, ..BatchSpec::TERMINAL };

    /// The same with the rows of shards in turn.
    #[must_use]
    pub const fn in_turn(self) -> BatchSpec {
        BatchSpec { pick: Pick::InTurn, ..self }
    }

    /// The same for rows of which some are kept for the next batch: they must be no lent ones, unless that is asked for at
    /// once. Whoever looked for what was lent in values that are kept would have to walk through them.
    #[must_use]
    pub const fn kept(self) -> BatchSpec {
        BatchSpec { lent: self.lent && self.terminal, ..self }
    }

    /// A document as a row of such a batch.
    pub fn value_of(&self, document: &Document) -> Datum {
        if self.lent { document.brief_value() } else { document.value() }
    }

    /// The same with at most so many rows; at least one.
    #[must_use]
    pub fn at_most(self, rows: usize) -> BatchSpec {
        BatchSpec { max_rows: self.max_rows.min(rows).max(1), ..self }
    }
}

/// Refuses a stream without an end.
pub fn check_finite(stream: &dyn Stream) -> Result<()> {
    if !stream.is_infinite() {
        return Ok(());
    }
    Err(Error::logic(if stream.feed().is_some() {
        "Cannot call a terminal (`reduce`, `count`, etc.) on an infinite stream (such as a changefeed)."
    } else {
        "Cannot use an infinite stream with an aggregation function (`reduce`, `count`, etc.) or coerce it to an array."
    }))
}

/// Calls a function with each batch of rows of a stream until it ends. A stream without an end is refused.
pub fn for_each_batch(
    mut stream: BoxStream,
    env: &Env,
    batch: &BatchSpec,
    mut take: impl FnMut(Vec<Datum>) -> Result<()>,
) -> Result<()> {
    check_finite(stream.as_ref())?;
    while !stream.is_exhausted() {
        take(next_rows(stream.as_mut(), env, batch)?)?;
    }
    Ok(())
}

/// Reads a stream to its end as an array, within the array limit.
pub fn collect_array(stream: BoxStream, env: &Env) -> Result<Datum> {
    collect_rows(stream, env).map(Datum::array)
}

/// Reads a stream to its end, within the array limit.
pub fn collect_rows(stream: BoxStream, env: &Env) -> Result<Vec<Datum>> {
    let mut rows = Vec::new();
    for_each_batch(stream, env, &BatchSpec::TERMINAL, |batch| {
        if rows.is_empty() {
            rows = batch;
        } else {
            rows.extend(batch);
        }
        env.check_array_size(rows.len())
    })?;
    Ok(rows)
}
