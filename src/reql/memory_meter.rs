//! What an evaluation has taken of memory, counted by its thread, held against the bounds on queries.

use std::cell::Cell;

use super::context::Context;
use super::error::{Error, ErrorKind, Result};
use super::memory_budget::{MemoryBounds, Passed};
use crate::holders::Holders;
use crate::limits;
use crate::memory::{resident, taken_by_thread};
use crate::storage::Engine;

/// What a query has taken. It stays on one thread while it is evaluated, and keeps its sum while it rests.
#[derive(Debug, Default)]
pub struct MemoryMeter {
    /// The thread's counter when the evaluation began, less what the query had then. Only differences of the counter mean
    /// something.
    base: Cell<u64>,
    /// The bytes it may hold before it is looked at closely.
    look_at: Cell<u64>,
    /// What it had when its last evaluation was over.
    kept: Cell<u64>,
}

impl MemoryMeter {
    /// An evaluation begins on this thread, or goes on there.
    pub fn begin(&self, context: &Context) {
        let (facts, kept) = (context.facts(), self.kept.get());
        self.base.set(taken_by_thread().wrapping_sub(kept));
        let look = facts.map_or(u64::MAX, |facts| facts.memory.look_bytes());
        self.look_at.set(kept.saturating_add(look));
    }

    /// The evaluation is over, and what it made for its client is gone from this thread. What is left is kept.
    pub fn rest(&self) {
        self.kept.set(self.held());
    }

    /// Bytes that the query keeps while it rests.
    pub fn kept(&self) -> u64 {
        self.kept.get()
    }

    /// What it was given has been taken by another thread: so many bytes, which this one will give back.
    pub fn receive(&self, bytes: usize) {
        self.base.set(self.base.get().wrapping_sub(bytes as u64));
    }

    /// Does something that takes memory which the query does not keep.
    pub fn beside<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = taken_by_thread();
        let done = work();
        let taken = taken_by_thread().wrapping_sub(before);
        self.base.set(self.base.get().wrapping_add(taken));
        done
    }

    /// Whether it has taken so much that a look is due. `checks` counts how often it was asked.
    pub fn is_due(&self, checks: u32) -> bool {
        let held = self.held();
        held > self.look_at.get()
            || (held > limits::QUERY_BYTES_MIN
                && checks.is_multiple_of(limits::MEMORY_LOOK_INTERVAL))
    }

    /// Fails when the evaluation, or all of them together, would pass a bound if it took `more` bytes.
    pub fn check(&self, context: &Context, more: u64) -> Result<()> {
        let Some(facts) = context.facts() else { return Ok(()) };
        let holders = &context.holders;
        match self.look(facts.memory, more, &**context.catalog.engine(), holders) {
            Some(passed) => Err(Error::new(ErrorKind::OutOfMemory, passed.message())),
            None => Ok(()),
        }
    }

    /// Which bound is passed once the evaluation has taken `more` bytes, which no count has in it yet.
    fn look(
        &self,
        bounds: MemoryBounds,
        more: u64,
        engine: &dyn Engine,
        holders: &Holders,
    ) -> Option<Passed> {
        let held = self.held() + more;
        self.look_at.set(held + bounds.look_bytes());
        let outside = resident()?.saturating_sub(engine.cached_bytes()).saturating_add(more);
        bounds.passed_beside(holders, held, outside, engine.memory_bytes().unwrap_or(0))
    }

    /// What it has taken, in bytes. Less than nothing is nothing: it may have given back what another thread took.
    fn held(&self) -> u64 {
        let held = taken_by_thread().wrapping_sub(self.base.get());
        if i64::try_from(held).is_ok() { held } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::takes_for_others;
    use crate::storage::memory::MemoryEngine;

    const MB: u64 = 1 << 20;
    const BOUNDS: MemoryBounds = MemoryBounds { one: 100 * MB, machine: 500 * MB, limit: 570 * MB };

    #[test]
    fn what_other_threads_took_for_a_query_counts() {
        let meter = MemoryMeter::default();
        meter.begin(&Context::in_memory("test_server").unwrap());
        for _ in 0..100 {
            meter.receive(30_000_000);
        }
        assert_eq!(meter.held(), 3_000_000_000);
        // It begins anew, and holds nothing of that.
        meter.begin(&Context::in_memory("test_server").unwrap());
        assert_eq!(meter.held(), 0);
    }

    #[test]
    fn what_a_query_keeps_between_batches_is_its_own() {
        let (meter, context) = (MemoryMeter::default(), Context::in_memory("test_server").unwrap());
        let taken = |bytes: i64| takes_for_others(-bytes);
        for batch in 1..=3 {
            meter.begin(&context);
            taken(1_000);
            // Its answer is not.
            meter.beside(|| taken(300));
            taken(-500);
            meter.rest();
            taken(-200);
            assert_eq!(meter.kept(), batch * 500);
        }
    }

    #[test]
    fn what_is_about_to_be_taken_counts_already() {
        let (meter, engine) = (MemoryMeter::default(), MemoryEngine::new());
        assert!(!meter.is_due(1));
        let wide = MemoryBounds { machine: u64::MAX, ..BOUNDS };
        let holders = Holders::default();
        assert_eq!(meter.look(wide, MB, &engine, &holders), None);
        let passed = meter.look(wide, 101 * MB, &engine, &holders);
        assert_eq!(passed, Some(Passed::One(100 * MB)));
    }
}
