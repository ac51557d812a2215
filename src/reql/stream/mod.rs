//! Lazy streams of values, read in batches.

mod array;
mod table_scan;
mod transform;

pub use array::ArrayStream;
pub use table_scan::TableScan;
pub use transform::{Transform, Transformed, transform};

use std::fmt::Debug;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::datum::Datum;

use super::env::Env;
use super::error::Result;

/// A stream behind a pointer.
pub type BoxStream = Box<dyn Stream>;

/// A lazy stream of values.
pub trait Stream: Debug + Send {
    /// The next rows: at least one, and about as many as the batch allows, unless the stream is exhausted or is a
    /// changefeed that has nothing yet.
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>>;

    /// Whether all rows were read. False does not promise another row.
    fn is_exhausted(&self) -> bool;

    /// Whether it is an array in stream's clothes: its type is ARRAY and a query that ends in it answers one value.
    fn is_array(&self) -> bool {
        false
    }

    /// Whether it never ends (`r.range()`, changefeeds): what must read it to its end refuses it.
    fn is_infinite(&self) -> bool {
        false
    }

    /// Of a changefeed, what it is.
    fn feed(&self) -> Option<Feed> {
        None
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
    /// Stop once the rows read are about so many bytes as JSON.
    pub max_bytes: usize,
}

impl BatchSpec {
    /// For reading a stream to its end inside the server.
    pub const TERMINAL: BatchSpec = BatchSpec {
        max_rows: crate::limits::TERMINAL_BATCH_ROWS,
        max_bytes: crate::limits::BATCH_BYTES,
    };
}

/// Reads a stream to its end as an array, within the array limit.
pub fn collect_array(stream: BoxStream, env: &Env) -> Result<Datum> {
    collect_rows(stream, env).map(Datum::array)
}

/// Reads a stream to its end, within the array limit.
pub fn collect_rows(mut stream: BoxStream, env: &Env) -> Result<Vec<Datum>> {
    let mut rows = Vec::new();
    while !stream.is_exhausted() {
        let batch = stream.next_batch(env, &BatchSpec::TERMINAL)?;
        if rows.is_empty() {
            rows = batch;
        } else {
            rows.extend(batch);
        }
        env.check_array_size(rows.len())?;
        env.check_interrupt()?;
    }
    Ok(rows)
}
