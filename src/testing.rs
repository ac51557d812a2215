//! What tests of several modules share: a seeded source of randomness. Only compiled for tests.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator (splitmix64) that prints its seed, so that a failing run can be repeated.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded from `PHOTONDB_TEST_SEED`, or from the clock.
    pub(crate) fn from_environment() -> Self {
        Self(Self::seed_from_environment())
    }

    /// The seed that [`Random::from_environment`] takes, printed.
    pub(crate) fn seed_from_environment() -> u64 {
        let clock = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            now.as_nanos() as u64
        };
        let set = std::env::var("PHOTONDB_TEST_SEED").ok();
        let seed = set.map_or_else(clock, |seed| seed.parse().expect("a seed is a number"));
        println!("PHOTONDB_TEST_SEED={seed}");
        seed
    }

    /// From a seed that is known, or was drawn from another generator.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Bytes, up to `limit` of them.
    pub(crate) fn bytes(&mut self, limit: u64) -> Vec<u8> {
        (0..self.below(limit + 1)).map(|_| self.next() as u8).collect()
    }
}
