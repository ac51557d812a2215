//! What queries may take of memory: one of them, and all together. A value may double with each step of a query, so that
//! what a query holds is watched while it is evaluated. Knows counters and bounds; not what is held.

use crate::holders::Holders;
use crate::limits;

/// Bounds on what queries hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBounds {
    /// Bytes of one query.
    pub one: u64,
    /// Bytes of the machine that may be in use.
    pub(super) machine: u64,
    /// Bytes of memory that the server may have.
    pub(super) limit: u64,
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
    pub(super) fn passed(self, held: u64, outside: u64, cache: u64) -> Option<Passed> {
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

    /// As [`MemoryBounds::passed`], once those have given up theirs that hold more than the query and wait for their clients:
    /// it is not ended for what others keep.
    pub(super) fn passed_beside(
        self,
        holders: &Holders,
        held: u64,
        outside: u64,
        cache: u64,
    ) -> Option<Passed> {
        let passed = self.passed(held, outside, cache)?;
        let Passed::All { bytes: all, .. } = passed else { return Some(passed) };
        let over = outside.saturating_sub(all);
        let mut room = holders.leaving();
        if room < over {
            room += holders.make_room(over - room, held);
        }
        self.passed(held, outside.saturating_sub(room), cache)
    }

    /// Bytes that a query has taken since it was last looked at, after which it is looked at again.
    pub(super) fn look_bytes(self) -> u64 {
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
    /// That of what all queries and streams hold while they wait.
    Held(u64),
    /// That of long documents that are read at the same time.
    Documents(u64),
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
            Passed::Documents(bytes) => format!(
                "Long documents that are read together take more than {} of the {} MB of `--memory-limit` of the server.",
                megabytes(bytes),
                megabytes(bytes.saturating_mul(limits::LONG_READS_MACHINE_PART))
            ),
            Passed::Held(bytes) => format!(
                "Queries and streams that wait together hold more than {} of the {} MB of `--memory-limit` of the server.",
                megabytes(bytes),
                megabytes(bytes.saturating_mul(limits::HELD_MACHINE_PART))
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

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
        let texts = [Passed::One(100 * MB), ALL, Passed::Held(100 * MB)].map(Passed::message);
        assert_eq!(
            texts,
            [
                "The query takes more than 100 MB of memory. `--query-memory` of the server bounds that.",
                "All queries together take more than 300 of the 570 MB of `--memory-limit` of the server: its cache and others have the rest.",
                "Queries and streams that wait together hold more than 100 of the 400 MB of `--memory-limit` of the server.",
            ]
        );
    }

    #[test]
    fn what_a_scan_brought_into_the_cache_is_not_the_querys() {
        assert_eq!(BOUNDS.passed(5_000 * MB, 20 * MB, CACHE), None);
    }

    #[test]
    fn who_keeps_more_gives_it_up_before_a_query_is_ended() {
        let holders = Arc::new(Holders::default());
        let ended = Arc::new(AtomicUsize::default());
        let hold = |address: &str, megabytes: u64| {
            let owner = holders.owner("admin".into(), address.parse().unwrap());
            let ended = ended.clone();
            let evict = move |_| {
                ended.fetch_add(1, Ordering::Relaxed);
            };
            owner.enter((megabytes * MB) as usize, Box::new(evict))
        };
        let many: Vec<_> = (0..60).map(|_| hold("192.0.2.1", 2)).collect();
        let little = hold("192.0.2.2", 10);
        let passed = |held, outside| BOUNDS.passed_beside(&holders, held * MB, outside * MB, CACHE);
        assert_eq!((passed(20, 330), ended.load(Ordering::Relaxed)), (None, 15));
        // That is going, but the process has it still.
        assert_eq!((passed(20, 330), ended.load(Ordering::Relaxed)), (None, 15));
        // Who keeps less than the query keeps it.
        assert_eq!(passed(40, 500), Some(ALL));
        assert_eq!(ended.load(Ordering::Relaxed), 40);
        assert_eq!(passed(101, 400), Some(Passed::One(100 * MB)));
        drop((many, little));
    }
}
