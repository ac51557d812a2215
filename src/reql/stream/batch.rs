//! How much of a stream is read at a time, and in which order the rows of a small table come.

use std::time::Instant;

use crate::datum::Datum;
use crate::table::Document;

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
    /// From the shard of this number, of those that [`Stream::shards`](super::Stream::shards) counted.
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
