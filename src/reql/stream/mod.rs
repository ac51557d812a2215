//! Lazy streams of values, read in batches.

mod array;
mod batch;
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
mod table_rows;
mod table_scan;
#[cfg(test)]
mod tests;
mod transform;
mod turns;
mod union;
mod wait;
mod zip;

pub use array::ArrayStream;
pub use batch::{BatchSpec, Pick};
pub use budget::Budget;
pub use concat::{Expand, concat};
pub use gathered::Gathered;
pub use index_rows::{IndexRow, IndexRows};
pub use merge::Merge;
pub use on_first_read::{NoRows, OnFirstRead, Unreadable};
pub use origin::{Origin, no_origin};
pub use range::RangeStream;
pub use shards::Shards;
pub use slice::Slice;
pub use sorted_groups::SortedGroups;
pub use table_scan::TableScan;
pub use transform::{Rows, Transform, Transformed, transform, undetermined};
pub use turns::Turns;
pub use union::Union;
pub use wait::next_rows;
pub use zip::Zip;

use std::fmt::Debug;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::datum::Datum;

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
