//! The entries that every engine is given: made from a number, so that nobody needs to keep them.
//! Must not know engines.

/// Bytes of a key.
pub const KEY_BYTES: usize = 16;

/// Bytes that values are cut from: few enough to stay in the processor's cache, so that making them costs little, and
/// many more than any compression of blocks looks back.
const POOL_BYTES: usize = 4 << 20;

/// A key.
pub type Key = [u8; KEY_BYTES];

/// What values are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Noise, which nothing can compress.
    Random,
    /// Text of documents, which everything can compress.
    Json,
}

/// Makes the entries of a run.
pub struct Data {
    pool: Vec<u8>,
    value_bytes: usize,
}

impl Data {
    /// Entries with values of `value_bytes` bytes, at most half of the pool.
    pub fn new(kind: Kind, value_bytes: usize) -> Self {
        let pool = match kind {
            Kind::Random => noise(),
            Kind::Json => documents(),
        };
        Self { pool, value_bytes: value_bytes.min(POOL_BYTES / 2) }
    }

    /// Bytes of a value.
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// The value of entry `index`.
    pub fn value(&self, index: u64) -> &[u8] {
        let most = (self.pool.len() - self.value_bytes) as u64;
        let start = (mix(index ^ 0x5bd1_e995) % most) as usize;
        self.pool.get(start..start + self.value_bytes).unwrap_or_default()
    }

    /// The entries below `count`, ascending by key.
    pub fn sorted(count: u64) -> Vec<(Key, u64)> {
        let mut entries: Vec<_> = (0..count).map(|index| (key(index), index)).collect();
        entries.sort_unstable();
        entries
    }
}

/// The key of entry `index`: 16 bytes without any order or common beginning.
pub fn key(index: u64) -> Key {
    let mut key = [0; KEY_BYTES];
    let (first, second) = key.split_at_mut(KEY_BYTES / 2);
    first.copy_from_slice(&mix(index).to_be_bytes());
    second.copy_from_slice(&mix(!index).to_be_bytes());
    key
}

/// Numbers without visible order, the same ones for the same seed.
pub struct Numbers(u64);

impl Numbers {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// The next number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// A checksum of all bytes that were read, in the order they were read in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Checksum(pub u64);

impl Checksum {
    /// Adds bytes. Every one of them is looked at.
    pub fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut sum = bytes.len() as u64;
        for word in words {
            sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
        for byte in rest {
            sum = sum.wrapping_mul(257).wrapping_add(u64::from(*byte));
        }
        self.0 = self.0.rotate_left(1) ^ sum;
    }
}

/// A bijection without visible order: two numbers never have the same result.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn noise() -> Vec<u8> {
    (0..POOL_BYTES as u64 / 8).flat_map(|word| mix(word ^ 0xa5a5_a5a5).to_le_bytes()).collect()
}

fn documents() -> Vec<u8> {
    const NAMES: [&str; 8] = ["Ada", "Alan", "Barbara", "Edgar", "Grace", "Jim", "Leslie", "Pat"];
    const STATES: [&str; 4] = ["active", "invited", "blocked", "deleted"];
    let mut numbers = Numbers::new(7);
    let mut text = String::new();
    while text.len() < POOL_BYTES {
        let name = NAMES.get(numbers.below(8) as usize).copied().unwrap_or_default();
        let state = STATES.get(numbers.below(4) as usize).copied().unwrap_or_default();
        let (score, visits) = (numbers.below(100_000) as f64 / 100.0, numbers.below(5_000));
        let id = numbers.next();
        text.push_str(&format!(
            "{{\"id\":\"{id:016x}\",\"name\":\"{name}\",\"state\":\"{state}\",\"score\":{score},\
             \"visits\":{visits},\"tags\":[\"{state}\",\"member\"],\"email\":\"{name}@example.org\"}}"
        ));
    }
    text.truncate(POOL_BYTES);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_values_have_their_length() {
        let sorted = Data::sorted(10_000);
        assert!(sorted.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for kind in [Kind::Random, Kind::Json] {
            let data = Data::new(kind, 1_200);
            assert!((0..1_000).all(|index| data.value(index).len() == 1_200));
            assert_ne!(data.value(1), data.value(2));
        }
    }

    #[test]
    fn a_checksum_tells_order_and_every_byte() {
        let sum = |parts: &[&[u8]]| {
            let mut sum = Checksum::default();
            parts.iter().for_each(|part| sum.add(part));
            sum
        };
        assert_ne!(sum(&[b"one", b"two"]), sum(&[b"two", b"one"]));
        assert_ne!(sum(&[b"0123456789"]), sum(&[b"0123456788"]));
        assert_ne!(sum(&[b"0123456789"]), sum(&[b"1123456789"]));
        assert_ne!(sum(&[b"\0"]), sum(&[b"\0\0"]));
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut numbers = Numbers::new(1);
        assert!((0..1_000).all(|_| numbers.below(7) < 7));
    }
}
