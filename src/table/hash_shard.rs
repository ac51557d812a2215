//! The hash shard that RethinkDB would keep a document in, which decides the order in which it gives the rows of a small
//! table when nothing orders them. Knows the form of primary keys (`key.rs`) and RethinkDB's form of them; nothing else
//! depends on it. Why: docs/decisions/0009-the-order-of-unordered-rows.md
//!
//! RethinkDB cuts each table into eight parts by a hash of 63 bits of the key: the uppermost three are the part's number.

use std::fmt::Write;

use super::PrimaryKey;
use crate::datum::number_to_text;

/// How many parts RethinkDB cuts a table into.
pub const HASH_SHARDS: usize = 8;

/// Bits of the hash below the shard's number.
const LOWER_BITS: u32 = 60;

impl PrimaryKey {
    /// The number of the shard, from 0 to 7.
    pub fn hash_shard(&self) -> usize {
        let mut hash = Hash::default();
        hash.value(&mut self.as_bytes().iter().copied().peekable());
        ((hash.0 & (u64::MAX >> 1)) >> LOWER_BITS) as usize
    }
}

/// Which bits of a byte that is turned round come where in the hash.
const SPREAD: [(u64, u32); 6] =
    [(0x10, 23), (0x31, 31), (0x73, 39), (0xf7, 47), (0xff, 55), (0x01, 63)];

type Bytes<'a> = std::iter::Peekable<std::iter::Copied<std::slice::Iter<'a, u8>>>;

struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Hash(0x47a5_9e38_1fb2_dc06)
    }
}

impl Hash {
    fn byte(&mut self, byte: u8) {
        // The byte, turned round, comes in six places, in some of them not all its bits.
        let turned = u64::from(byte.reverse_bits());
        let spread =
            SPREAD.iter().fold(0, |spread, (bits, place)| spread | (turned & bits) << place);
        self.0 = self.0.wrapping_add(spread);
        self.0 ^= (self.0 >> 11) ^ (self.0 << 21);
    }

    /// One value, in RethinkDB's form: that of `key.rs`, but for numbers.
    fn value(&mut self, key: &mut Bytes<'_>) {
        let Some(letter) = key.next() else { return };
        self.byte(letter);
        match letter {
            b'N' => self.number(key),
            b'A' => {
                // Each element is followed by a zero, and begins with a letter.
                while key.peek().is_some_and(|byte| *byte != 0) {
                    self.value(key);
                    key.next();
                    self.byte(0);
                }
            }
            b'P' => self.pseudo_type(key),
            b'B' => {
                if let Some(value) = key.next() {
                    self.byte(value);
                }
            }
            _ => self.rest(key),
        }
    }

    /// Up to the end of the value.
    fn rest(&mut self, key: &mut Bytes<'_>) {
        while let Some(byte) = key.next_if(|byte| *byte != 0) {
            self.byte(byte);
        }
    }

    fn pseudo_type(&mut self, key: &mut Bytes<'_>) {
        let is_time = key.peek() == Some(&b'T');
        while let Some(byte) = key.next_if(|byte| *byte != 0) {
            self.byte(byte);
            if is_time && byte == b':' {
                self.byte(b'N');
                return self.number(key);
            }
        }
    }

    /// A double: sixteen digits that sort like it, and then its decimal form.
    fn number(&mut self, key: &mut Bytes<'_>) {
        let mut ordered = 0_u64;
        for byte in key.take(size_of::<u64>()) {
            ordered = (ordered << 8) | u64::from(byte);
        }
        let sign = 1 << 63;
        let bits = if ordered & sign == 0 { !ordered } else { ordered ^ sign };
        let number = f64::from_bits(bits);
        // Writing into a hash does not fail.
        let _ = write!(self, "{ordered:016x}#");
        let _ = match number as i64 {
            // Most numbers that are keys are integers, and quickly written.
            integer if integer as f64 == number && integer.unsigned_abs() < 1 << 53 => {
                write!(self, "{integer}")
            }
            _ => self.write_str(&number_to_text(number)),
        };
    }
}

impl Write for Hash {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        text.bytes().for_each(|byte| self.byte(byte));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datum::Datum;

    fn shard(value: &Datum) -> usize {
        PrimaryKey::encode(value).unwrap().hash_shard()
    }

    #[test]
    fn numbers_and_texts_are_in_the_shards_that_were_recorded() {
        // What RethinkDB 2.4.4 answers to a table with the keys 0 to 29 is these, one behind the other.
        let shards: [&[u8]; 8] = [
            &[20],
            &[4, 25, 26, 27],
            &[5, 10, 11, 12, 16, 18, 28],
            &[3, 9, 14],
            &[0, 2, 15, 17, 29],
            &[1, 8, 13, 19, 21],
            &[],
            &[6, 7, 22, 23, 24],
        ];
        for (number, keys) in shards.iter().enumerate() {
            for key in *keys {
                assert_eq!(shard(&Datum::Number(f64::from(*key))), number, "{key}");
            }
        }
        let texts: Vec<usize> = (0..9).map(|n| shard(&Datum::string(&format!("o{n}")))).collect();
        assert_eq!(texts, [0, 4, 6, 2, 1, 5, 7, 3, 0]);
    }

    /// The shard of a key in RethinkDB's form.
    fn of_bytes(form: &[u8]) -> usize {
        let mut hash = Hash::default();
        form.iter().for_each(|byte| hash.byte(*byte));
        ((hash.0 & (u64::MAX >> 1)) >> LOWER_BITS) as usize
    }

    #[test]
    fn every_type_is_hashed_in_rethinkdbs_form() {
        let number = |form: &str| format!("N{form}").into_bytes();
        let time = Datum::object([
            ("$reql_type$", "TIME".into()),
            ("epoch_time", Datum::Number(1.5)),
            ("timezone", "+01:00".into()),
        ]);
        let of_1 = b"Nbff0000000000000#1";
        let array = [b"A", &of_1[..], b"\0ASa\0\0Bt\0"].concat();
        let nested = Datum::array(vec![
            Datum::Number(1.0),
            Datum::array(vec!["a".into()]),
            Datum::Bool(true),
        ]);
        for (value, form) in [
            (Datum::Number(-2.0), number("3fffffffffffffff#-2")),
            (Datum::Number(0.1), number("bfb999999999999a#0.10000000000000000555")),
            (Datum::Number(-0.0), number("8000000000000000#0")),
            (Datum::Number(1e20), number("c415af1d78b58c40#1e+20")),
            (Datum::Bool(false), b"Bf".to_vec()),
            ("".into(), b"S".to_vec()),
            (Datum::Binary(vec![0, 1, 2].into()), b"PBINARY:\x01\x01\x01\x02\x02".to_vec()),
            (time, b"PTIME:Nbff8000000000000#1.5".to_vec()),
            (Datum::array(vec![]), b"A".to_vec()),
            (nested, array),
        ] {
            assert_eq!(shard(&value), of_bytes(&form), "{value:?}");
        }
    }

    #[test]
    fn shards_fill_alike() {
        let mut sizes = [0; 8];
        for number in 0..8_000 {
            sizes[shard(&Datum::Number(f64::from(number)))] += 1;
        }
        assert!(sizes.iter().all(|size| (800..1_200).contains(size)), "{sizes:?}");
    }
}
