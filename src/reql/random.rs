//! Random numbers for `random` and `sample`: quick and well spread, not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    /// The generator's state, begun by the operating system's randomness through the standard library's hasher.
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0u8));
}

/// Any 64 bits (splitmix64).
pub fn bits() -> u64 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number below `limit`; 0 when the limit is 0. Each is as likely as the others to within 2^-64 of the limit.
pub fn below(limit: u64) -> u64 {
    // The high half of the product spreads the bits evenly without a division; it is below the limit.
    ((u128::from(bits()) * u128::from(limit)) >> 64) as u64
}

/// A number from 0 up to, not including, 1.
pub fn unit() -> f64 {
    // 53 bits are what a double holds.
    (bits() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_range_and_differ() {
        for _ in 0..1000 {
            assert!(below(7) < 7);
            assert!((0.0..1.0).contains(&unit()));
        }
        assert_eq!(below(0), 0);
        assert_ne!(bits(), bits());
    }
}
