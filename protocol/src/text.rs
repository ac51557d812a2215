//! The one fact that reading and writing JSON strings share: which bytes need no escape.
//! Knows neither JSON values nor queries.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// How many bytes at the start of `bytes` may stand in a JSON string as they are: everything before the first
/// quote, backslash or control character.
pub(crate) fn plain_prefix(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let stops = stop_bits(u64::from_le_bytes(*word));
        if stops != 0 {
            return index * 8 + (stops.trailing_zeros() / 8) as usize;
        }
    }
    let tail = rest.iter().position(|&byte| is_stop(byte)).unwrap_or(rest.len());
    words.len() * 8 + tail
}

fn is_stop(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The high bit of every byte that is a stop. A borrow may also mark bytes above the lowest stop, so only the
/// lowest set bit means anything.
fn stop_bits(word: u64) -> u64 {
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let zero_bytes = |x: u64| x.wrapping_sub(ONES) & !x;
    (controls | zero_bytes(quotes) | zero_bytes(backslashes)) & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_judged_alike() {
        for length in 0..24 {
            for place in 0..length {
                for byte in 0..=255u8 {
                    let mut bytes = vec![b'x'; length];
                    bytes[place] = byte;
                    let expected = if is_stop(byte) { place } else { length };
                    assert_eq!(
                        plain_prefix(&bytes),
                        expected,
                        "byte {byte} at {place} of {length}"
                    );
                }
            }
        }
    }

    #[test]
    fn bytes_after_the_first_stop_do_not_matter() {
        assert_eq!(plain_prefix(b"abc\"\\\0\x1f!!!!!!!"), 3);
        assert_eq!(plain_prefix("\u{e9}\u{1f600}\u{7f} \u{e9}".as_bytes()), 10);
    }
}
