//! What queries may take of memory: one of them, and all together. A value may double with each step of a query, so that
//! what a query holds is watched while it is evaluated. Knows counters and bounds; not what is held.

use std::cell::Cell;

use super::context::Context;
use super::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::memory::{resident, taken_by_thread};
use crate::storage::Engine;

/// Bounds on what queries hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBounds {
    /// Bytes of one query.
    pub one: u64,
    /// Bytes of the machine that may be in use.
    machine: u64,
    /// Bytes of memory that the server may have.
    limit: u64,
}

impl MemoryBounds {
    /// Those of a server that may have `machine` bytes; `one` when the operator has said how much a query may take.
    pub fn of(machine: u64, one: Option<u64>) -> MemoryBounds {
        let part = machine / limits::QUERY_MACHINE_PART;
        let one = one.unwrap_or_else(|| part.max(limits::QUERY_BYTES.min(machine / 4)));
        MemoryBounds { one, machine: machine - part, limit: machine }
    }

    /// Bytes of all queries beside a cache of so many bytes.
    fn all(self, cache: u64) -> u64 {
        self.machine.saturating_sub(cache).max(self.one)
    }

    /// Which bound is passed by a query that holds `held` bytes, in a process that has `outside` bytes beside its
    /// cache, which may have `cache` bytes. What a thread has taken may be in the cache: it counts only as far as it can be elsewhere.
    fn passed(self, held: u64, outside: u64, cache: u64) -> Option<Passed> {
        let held = held.min(outside);
        if held > self.one {
            return Some(Passed::One(self.one));
        }
        let all = self.all(cache);
        let over = outside.checked_sub(all).filter(|over| *over > 0)?;
        // Those that hold most are ended first. What a small query takes is never looked at, so that it is ended by none.
        let spared = match over {
            _ if over <= all / 32 => self.one / 4,
            _ if over <= all / 16 => self.one / 32,
            _ => 0,
        };
        (held > spared).then_some(Passed::All { bytes: all, of: self.limit })
    }

    /// Bytes that a query has taken since it was last looked at, after which it is looked at again.
    fn look_bytes(self) -> u64 {
        (self.machine / limits::QUERY_LOOK_PART)
            .clamp(limits::QUERY_LOOK_BYTES_MIN, limits::QUERY_LOOK_BYTES)
    }
}

/// A bound that a query has passed, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Its own.
    One(u64),
    /// That of all queries together, and what it is a part of: the rest is the cache's and everything else's.
    All {
        /// The bound.
        bytes: u64,
        /// What the server may have.
        of: u64,
    },
    /// That of all parse trees together.
    Trees(u64),
}

impl Passed {
    /// What the client is told.
    pub fn message(self) -> String {
        let megabytes = |bytes: u64| bytes / (1024 * 1024);
        match self {
            Passed::One(bytes) => format!(
                "The query takes more than {} MB of memory. `--query-memory` of the server bounds that.",
                megabytes(bytes)
            ),
            Passed::All { bytes, of } => format!(
                "All queries together take more than {} of the {} MB of `--memory-limit` of the server: its cache and others \
                 have the rest.",
                megabytes(bytes),
                megabytes(of)
            ),
            Passed::Trees(bytes) => format!(
                "The parse trees of all queries together take more than {} of the {} MB of `--memory-limit` of the server.",
                megabytes(bytes),
                megabytes(bytes.saturating_mul(limits::HELD_MACHINE_PART))
            ),
        }
    }
}

/// What an evaluation has taken since it began. It stays on one thread while it is evaluated. A cursor keeps one, so it
/// is small: it counts in blocks.
#[derive(Debug, Default)]
pub struct MemoryMeter {
    /// The thread's counter when it began, in blocks, modulo 2^32.
    base: Cell<u32>,
    /// The blocks it may hold before it is looked at closely.
    look_at: Cell<u32>,
    /// Bytes that other threads took for it, as far as they are no whole block.
    from_others: Cell<u32>,
}

const BLOCK_BYTES: u64 = 64 * 1024;

impl MemoryMeter {
    /// An evaluation begins on this thread.
    pub fn begin(&self, context: &Context) {
        let facts = context.facts();
        self.base.set(blocks_of_thread());
        self.look_at.set(blocks(facts.map_or(u64::MAX, |facts| facts.memory.look_bytes())));
    }

    /// What it was given has been taken by another thread: so many bytes, which this one will give back.
    pub fn receive(&self, bytes: usize) {
        let bytes = bytes as u64 + u64::from(self.from_others.get());
        self.base.set(self.base.get().wrapping_sub(blocks(bytes)));
        self.from_others.set((bytes % BLOCK_BYTES) as u32);
    }

    /// Whether it has taken so much that a look is due. `checks` counts how often it was asked.
    pub fn is_due(&self, checks: u32) -> bool {
        let held = self.held();
        held > self.look_at.get()
            || (held > blocks(limits::QUERY_BYTES_MIN)
                && checks.is_multiple_of(limits::MEMORY_LOOK_INTERVAL))
    }

    /// Fails when the evaluation, or all of them together, would pass a bound if it took `more` bytes.
    pub fn check(&self, context: &Context, more: u64) -> Result<()> {
        let Some(facts) = context.facts() else { return Ok(()) };
        match self.look(facts.memory, more, &**context.catalog.engine()) {
            Some(passed) => Err(Error::new(ErrorKind::OutOfMemory, passed.message())),
            None => Ok(()),
        }
    }

    /// Which bound is passed once the evaluation has taken `more` bytes, which no count has in it yet.
    fn look(&self, bounds: MemoryBounds, more: u64, engine: &dyn Engine) -> Option<Passed> {
        let held = u64::from(self.held()) * BLOCK_BYTES + more;
        self.look_at.set(blocks(held + bounds.look_bytes()));
        let outside = resident()?.saturating_sub(engine.cached_bytes()).saturating_add(more);
        bounds.passed(held, outside, engine.memory_bytes().unwrap_or(0))
    }

    /// What it has taken, in blocks. Less than nothing is nothing: it may have given back what another thread took.
    fn held(&self) -> u32 {
        let held = blocks_of_thread().wrapping_sub(self.base.get());
        if i32::try_from(held).is_ok() { held } else { 0 }
    }
}

fn blocks(bytes: u64) -> u32 {
    u32::try_from(bytes / BLOCK_BYTES).unwrap_or(u32::MAX)
}

/// The thread's counter; only differences mean something, so its upper bits do not.
fn blocks_of_thread() -> u32 {
    (taken_by_thread() / BLOCK_BYTES) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryEngine;

    const MB: u64 = 1 << 20;
    const BOUNDS: MemoryBounds = MemoryBounds { one: 100 * MB, machine: 500 * MB, limit: 570 * MB };
    const ALL: Passed = Passed::All { bytes: 300 * MB, of: 570 * MB };
    const CACHE: u64 = 200 * MB;

    #[test]
    fn bounds_are_parts_of_the_machine() {
        let gb = 1024 * MB;
        let all = |bounds: MemoryBounds, cache| (bounds.one, bounds.all(cache));
        assert_eq!(all(MemoryBounds::of(24 * gb, None), 6 * gb), (3 * gb, 15 * gb));
        assert_eq!(all(MemoryBounds::of(4 * gb, None), gb), (gb, 2 * gb + gb / 2));
        let most_is_cache = MemoryBounds::of(4 * gb, Some(128 * MB));
        assert_eq!(all(most_is_cache, 4 * gb), (128 * MB, 128 * MB));
    }

    #[test]
    fn a_query_is_told_which_bound_it_passed() {
        let passed = |held, outside| BOUNDS.passed(held * MB, outside * MB, CACHE);
        assert_eq!(passed(100, 300), None);
        assert_eq!(passed(101, 101), Some(Passed::One(100 * MB)));
        assert_eq!(passed(40, 301), Some(ALL));
        assert_eq!([passed(20, 301), passed(2, 312)], [None; 2], "larger ones are ended first");
        assert_eq!([passed(20, 312), passed(2, 320)], [Some(ALL); 2]);
    }

    #[test]
    fn an_error_names_the_option_that_raises_its_bound_and_the_value_of_that() {
        let texts = [Passed::One(100 * MB), ALL, Passed::Trees(100 * MB)].map(Passed::message);
        assert_eq!(
            texts,
            [
                "The query takes more than 100 MB of memory. `--query-memory` of the server bounds that.",
                "All queries together take more than 300 of the 570 MB of `--memory-limit` of the server: its cache and others have the rest.",
                "The parse trees of all queries together take more than 100 of the 400 MB of `--memory-limit` of the server.",
            ]
        );
    }

    #[test]
    fn what_a_scan_brought_into_the_cache_is_not_the_querys() {
        assert_eq!(BOUNDS.passed(5_000 * MB, 20 * MB, CACHE), None);
    }

    #[test]
    fn what_other_threads_took_for_a_query_counts() {
        let meter = MemoryMeter::default();
        meter.begin(&Context::in_memory("test_server").unwrap());
        for _ in 0..100 {
            meter.receive(30_000_000);
        }
        assert_eq!(u64::from(meter.held()), 3_000_000_000 / BLOCK_BYTES);
        // It goes on with the next batch, and holds nothing of that.
        meter.begin(&Context::in_memory("test_server").unwrap());
        assert_eq!(meter.held(), 0);
    }

    #[test]
    fn what_is_about_to_be_taken_counts_already() {
        let (meter, engine) = (MemoryMeter::default(), MemoryEngine::new());
        assert!(!meter.is_due(1));
        let wide = MemoryBounds { machine: u64::MAX, ..BOUNDS };
        assert_eq!(meter.look(wide, MB, &engine), None);
        assert_eq!(meter.look(wide, 101 * MB, &engine), Some(Passed::One(100 * MB)));
    }
}
