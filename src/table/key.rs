//! Primary keys: bytes that sort like the value they stand for. The only place that knows their form.
//! Knows values; must not know trees, documents or terms.
//!
//! ```text
//! minval  '@'
//! array   'A'  each element in this form, each followed by 00
//! bool    'B'  'f' or 't'
//! number  'N'  eight bytes: the double, big-endian, all bits inverted if negative, else the sign bit alone
//! binary  'P'  "BINARY:", then the bytes with 00 as 01 01 and 01 as 01 02
//! time    'P'  "TIME:", then the seconds as a number without its letter
//! string  'S'  its bytes, which hold no 00
//! maxval  '['
//! ```
//!
//! The letters order the types as ReQL orders them; nothing else can be a key. Far behind in the arrays of a secondary
//! index, where RethinkDB does not look any more, null is 'C', and the form ends with 'O' where something else comes. A
//! string in such an array may hold 00, written as 00 FF: what comes behind the 00 after an element is always less. What
//! a key may be, how long it may be and what is said when it is not are RethinkDB's, whose numbers take more room: lengths
//! are counted as it counts.

use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

use crate::datum::time::time_datum;
use crate::datum::{
    Datum, DatumError, DatumErrorKind, GEOMETRY, TIME, number_to_text, safe_integer, work,
};
use crate::limits::{PRIMARY_KEY_BYTES, PRIMARY_KEY_EXAMINED_BYTES};
use crate::storage::KeyRange;

const MINVAL: u8 = b'@';
const MAXVAL: u8 = b'[';
/// RethinkDB writes a number as a letter, sixteen digits, a sign and then its decimal form.
const NUMBER_BYTES: usize = 18;

/// An encoded primary key. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrimaryKey(Bytes);

impl PrimaryKey {
    /// Encodes a value, or says why it cannot be a primary key.
    pub fn encode(value: &Datum) -> Result<Self, DatumError> {
        let mut key = Encoder::new(PRIMARY_KEY_EXAMINED_BYTES);
        key.value(value, Place::Primary)?;
        if key.length() > PRIMARY_KEY_BYTES + 1 {
            return Err(DatumError::logic(format!(
                "Primary key too long (max {PRIMARY_KEY_BYTES} characters): {}",
                value.print()
            )));
        }
        Ok(Self(key.bytes.into()))
    }

    /// The key as it stands in the primary tree.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The text it stands for, if it stands for one.
    pub fn as_text(&self) -> Option<&str> {
        let (first, text) = self.0.split_first()?;
        (*first == b'S').then(|| std::str::from_utf8(text).ok()).flatten()
    }

    /// The value it stands for. A time is told in UTC: keys do not hold the zone. `None` when the key is none that
    /// [`PrimaryKey::encode`] makes.
    pub fn value(&self) -> Option<Datum> {
        let mut rest = &*self.0;
        let value = decoded(&mut rest)?;
        rest.is_empty().then_some(value)
    }

    /// A key that was read from a primary tree.
    pub fn from_stored(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

/// The value, where that is a text or a number, and otherwise the bytes: for messages.
impl fmt::Display for PrimaryKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = match self.0.split_first() {
            Some((b'N', bits)) => <[u8; 8]>::try_from(bits).ok().map(u64::from_be_bytes),
            _ => None,
        };
        match (self.as_text(), number) {
            (Some(text), _) => write!(formatter, "{text:?}"),
            (None, Some(bits)) => {
                let sign = 1 << 63;
                let bits = if bits & sign == 0 { !bits } else { bits ^ sign };
                write!(formatter, "{}", f64::from_bits(bits))
            }
            (None, None) => write!(formatter, "{:?}", self.0),
        }
    }
}

/// The keys of the values between two bounds. Minval and maxval are below and above every key.
pub fn key_range(left: Bound<&Datum>, right: Bound<&Datum>) -> Result<KeyRange, DatumError> {
    Ok(KeyRange::new(bound(left)?, bound(right)?))
}

fn bound(value: Bound<&Datum>) -> Result<Bound<Bytes>, DatumError> {
    let encode = |value| PrimaryKey::encode(value).map(|key| key.0);
    Ok(match value {
        Bound::Included(value) => Bound::Included(encode(value)?),
        Bound::Excluded(value) => Bound::Excluded(encode(value)?),
        Bound::Unbounded => Bound::Unbounded,
    })
}

/// The first bytes of a value's form, and whether there would be more than `most`; or why it can be no key of an index.
/// Elements of arrays so far behind that RethinkDB does not look at them may be anything.
pub(super) fn encode_secondary(value: &Datum, most: usize) -> Result<Secondary, DatumError> {
    let mut key = Encoder::new(most + 1);
    key.place = Place::Secondary;
    key.value(value, Place::Secondary)?;
    let is_cut = key.ends_early || key.bytes.len() > most;
    key.bytes.truncate(most);
    Ok(Secondary { bytes: key.bytes, is_cut, has_ends: key.has_ends })
}

/// The form of a value in a secondary index.
pub(super) struct Secondary {
    /// Its first bytes.
    pub(super) bytes: Vec<u8>,
    /// Whether there would be more.
    pub(super) is_cut: bool,
    /// Whether minval or maxval is in it: it may bound a range then, but no document has it.
    pub(super) has_ends: bool,
}

/// Takes a value's form from the beginning of some bytes.
fn decoded(rest: &mut &[u8]) -> Option<Datum> {
    match take(rest, 1)? {
        [b'B'] => match take(rest, 1)? {
            [b't'] => Some(Datum::Bool(true)),
            [b'f'] => Some(Datum::Bool(false)),
            _ => None,
        },
        [b'N'] => decoded_number(rest).map(Datum::Number),
        [b'S'] => std::str::from_utf8(take_to_end(rest)).ok().map(Datum::string),
        [b'P'] => match rest.strip_prefix(b"TIME:") {
            Some(after) => {
                *rest = after;
                time_datum(decoded_number(rest)?, "+00:00").ok()
            }
            None => {
                *rest = rest.strip_prefix(b"BINARY:")?;
                let mut bytes = take_to_end(rest).iter();
                let mut binary = Vec::new();
                while let Some(byte) = bytes.next() {
                    binary.push(if *byte == 1 { bytes.next()?.checked_sub(1)? } else { *byte });
                }
                Some(Datum::Binary(binary.into()))
            }
        },
        [b'A'] => {
            let mut elements = Vec::new();
            // What contains the array ends it with 00, which no element begins with.
            while rest.first().is_some_and(|next| *next != 0) {
                elements.push(decoded(rest)?);
                take(rest, 1)?;
            }
            Some(Datum::array(elements))
        }
        _ => None,
    }
}

fn decoded_number(rest: &mut &[u8]) -> Option<f64> {
    let bits = u64::from_be_bytes(take(rest, size_of::<u64>())?.try_into().ok()?);
    let sign = 1 << 63;
    Some(f64::from_bits(if bits & sign == 0 { !bits } else { bits ^ sign }))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

/// Takes what is before the next 00, or everything.
fn take_to_end<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    take(rest, end).unwrap_or_default()
}

/// Where a value stands that is to be a key, or a part of one.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Primary,
    Secondary,
    Element,
}

struct Encoder {
    bytes: Vec<u8>,
    /// How much longer RethinkDB's form is.
    extra: usize,
    /// Bytes after which nothing matters any more.
    most: usize,
    /// Something came that has no form.
    ends_early: bool,
    /// Minval or maxval came.
    has_ends: bool,
    /// What all of it is to be.
    place: Place,
}

impl Encoder {
    fn new(most: usize) -> Self {
        let bytes = Vec::with_capacity(16);
        Self { bytes, extra: 0, most, ends_early: false, has_ends: false, place: Place::Primary }
    }

    fn length(&self) -> usize {
        self.bytes.len() + self.extra
    }

    fn value(&mut self, value: &Datum, place: Place) -> Result<(), DatumError> {
        work::step();
        match value {
            Datum::MinVal | Datum::MaxVal => {
                self.has_ends = true;
                self.bytes.push(if *value == Datum::MinVal { MINVAL } else { MAXVAL });
            }
            Datum::Bool(value) => {
                self.bytes.extend_from_slice(if *value { b"Bt" } else { b"Bf" });
            }
            Datum::Number(number) => {
                self.bytes.push(b'N');
                self.number(*number);
            }
            Datum::Binary(binary) => self.binary(binary),
            Datum::String(text) => self.string(text, place)?,
            Datum::Array(elements) => {
                self.bytes.push(b'A');
                for element in elements.iter() {
                    // What is too long for any key is refused whole, unseen; this also bounds the depth.
                    if self.length() >= self.most || self.ends_early {
                        break;
                    }
                    if self.length() < PRIMARY_KEY_EXAMINED_BYTES {
                        self.value(element, Place::Element)?;
                    } else if matches!(element, Datum::Null) {
                        self.bytes.push(b'C');
                    } else if self.value(element, Place::Element).is_err() {
                        self.bytes.push(b'O');
                        self.ends_early = true;
                        break;
                    }
                    self.bytes.push(0);
                }
            }
            Datum::Object(_) if value.is_pseudo_type(TIME) => {
                self.bytes.extend_from_slice(b"PTIME:");
                self.extra += 1;
                self.number(value.get("epoch_time").map_or(Ok(0.0), Datum::as_number)?);
            }
            Datum::Object(_) | Datum::Null => return Err(not_a_key(value, place)),
        }
        Ok(())
    }

    fn number(&mut self, number: f64) {
        let number = if number == 0.0 { 0.0 } else { number };
        let bits = number.to_bits();
        let sign = 1_u64 << 63;
        let ordered = if bits & sign == 0 { bits | sign } else { !bits };
        self.bytes.extend_from_slice(&ordered.to_be_bytes());
        self.extra += NUMBER_BYTES - 1 - size_of::<u64>() + text_length(number);
    }

    fn binary(&mut self, binary: &[u8]) {
        self.bytes.extend_from_slice(b"PBINARY:");
        for byte in binary.iter().take(self.most) {
            match byte {
                0 => self.bytes.extend_from_slice(&[1, 1]),
                1 => self.bytes.extend_from_slice(&[1, 2]),
                other => self.bytes.push(*other),
            }
        }
    }

    fn string(&mut self, text: &str, place: Place) -> Result<(), DatumError> {
        if let Some(at) = text.bytes().position(|byte| byte == 0) {
            if self.place == Place::Secondary && place == Place::Element {
                self.string_with_nulls(text);
                return Ok(());
            }
            return Err(DatumError::logic(format!(
                "String {} (truncated) contains NULL byte at offset {at} in index key.",
                quoted(text)
            )));
        }
        self.bytes.push(b'S');
        self.bytes.extend(text.bytes().take(self.most));
        Ok(())
    }

    fn string_with_nulls(&mut self, text: &str) {
        self.bytes.push(b'S');
        for byte in text.bytes().take(self.most) {
            self.bytes.push(byte);
            if byte == 0 {
                self.bytes.push(0xff);
            }
        }
    }
}

/// Bytes of a number's form in messages.
fn text_length(number: f64) -> usize {
    match safe_integer(number) {
        // That many digits, and a minus. Zero has a digit too.
        Some(integer) => {
            let digits = integer.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
            digits + usize::from(integer < 0)
        }
        None => number_to_text(number).len(),
    }
}

fn not_a_key(value: &Datum, place: Place) -> DatumError {
    if value.is_pseudo_type(GEOMETRY) {
        return DatumError::logic(
            "Cannot use a geometry value as a key value in a primary or non-geospatial secondary index.",
        );
    }
    if value.pseudo_type().is_some() {
        return DatumError::logic(format!(
            "Cannot use pseudotype {} as a primary or secondary key value .",
            value.type_name()
        ));
    }
    let message = match place {
        Place::Primary => format!(
            "Primary keys must be either a number, string, bool, pseudotype or array (got type {}):\n{}",
            value.type_name(),
            value.truncated_print()
        ),
        Place::Secondary => format!(
            "Secondary keys must be a number, string, bool, pseudotype, or array (got {} of type {}).",
            value.print(),
            value.type_name()
        ),
        Place::Element => format!(
            "Array keys can only contain numbers, strings, bools,  pseudotypes, or arrays (got {} of type {}).",
            value.print(),
            value.type_name()
        ),
    };
    match value {
        Datum::Null => DatumError { kind: DatumErrorKind::NonExistence, message },
        _ => DatumError::logic(message),
    }
}

/// The first bytes of a text as RethinkDB quotes them in messages.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes().take(20) {
        match byte {
            b'"' => quoted.push_str("\\\""),
            b'\\' => quoted.push_str("\\\\"),
            b'\n' => quoted.push_str("\\n"),
            b'\t' => quoted.push_str("\\t"),
            b'\r' => quoted.push_str("\\r"),
            b' '..=b'~' => quoted.push(char::from(byte)),
            other => quoted.push_str(&format!("\\x{other:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn time(seconds: f64, zone: &str) -> Datum {
        Datum::object([
            ("$reql_type$", Datum::string("TIME")),
            ("epoch_time", Datum::Number(seconds)),
            ("timezone", Datum::string(zone)),
        ])
    }

    fn random_key(random: &mut Random, depth: u64) -> Datum {
        match random.below(if depth == 0 { 6 } else { 8 }) {
            0 => Datum::Bool(random.once_in(2)),
            1 => Datum::Number(random.below(5) as f64 - 2.0),
            2 => {
                let number = f64::from_bits(random.next());
                Datum::Number(if number.is_finite() { number } else { -0.0 })
            }
            3 => Datum::Binary((0..random.below(4)).map(|_| random.below(3) as u8).collect()),
            4 => time(random.below(4) as f64 - 1.5, if random.once_in(2) { "Z" } else { "+01:00" }),
            5 => Datum::string(
                &(0..random.below(4))
                    .map(|_| ['\u{1}', 'a', 'b', '\u{e9}'][random.below(4) as usize])
                    .collect::<String>(),
            ),
            _ => {
                Datum::array((0..random.below(3)).map(|_| random_key(random, depth - 1)).collect())
            }
        }
    }

    #[test]
    fn keys_sort_like_the_values() {
        let mut random = Random::from_environment();
        let mut compared = 0;
        for _ in 0..20_000 {
            let (a, b) = (random_key(&mut random, 2), random_key(&mut random, 2));
            let (Ok(key_a), Ok(key_b)) = (PrimaryKey::encode(&a), PrimaryKey::encode(&b)) else {
                continue;
            };
            assert_eq!(key_a.cmp(&key_b), a.cmp(&b), "{a:?} against {b:?}");
            compared += 1;
        }
        assert!(compared > 15_000);
    }

    #[test]
    fn values_come_back() {
        let mut random = Random::from_environment();
        for _ in 0..20_000 {
            let value = random_key(&mut random, 3);
            let Ok(key) = PrimaryKey::encode(&value) else { continue };
            assert_eq!(key.value(), Some(value));
        }
        for broken in [&b""[..], b"N1234567", b"X", b"Bx", b"A\0", b"AS", b"PTIME:1", b"\xff"] {
            let key = PrimaryKey::from_stored(broken);
            assert_eq!(key.value(), None, "{broken:?}");
        }
    }

    #[test]
    fn strings_with_nulls_in_arrays_sort_like_the_values_in_an_index() {
        let array = |texts: &[&str]| {
            let array = Datum::array(texts.iter().map(|text| Datum::string(text)).collect());
            encode_secondary(&array, 100).unwrap().bytes
        };
        let sorted = [
            array(&["a"]),
            array(&["a", "b"]),
            array(&["a\0"]),
            array(&["a\0", "b"]),
            array(&["a\0\0"]),
            array(&["a\0b"]),
            array(&["a\u{1}"]),
            array(&["ab"]),
        ];
        assert!(sorted.is_sorted_by(|one, other| one < other));
        let bare = encode_secondary(&Datum::string("a\0"), 100);
        assert!(bare.is_err_and(|error| error.message.contains("NULL byte at offset 1")));
    }

    #[test]
    fn minval_and_maxval_enclose_every_key() {
        let mut random = Random::from_environment();
        let everything =
            key_range(Bound::Included(&Datum::MinVal), Bound::Included(&Datum::MaxVal)).unwrap();
        for _ in 0..1_000 {
            if let Ok(key) = PrimaryKey::encode(&random_key(&mut random, 2)) {
                assert!(everything.contains(key.as_bytes()));
            }
        }
    }

    fn error(value: &Datum) -> DatumError {
        PrimaryKey::encode(value).unwrap_err()
    }

    #[test]
    fn lengths_are_counted_as_rethinkdb_counts() {
        assert!(PrimaryKey::encode(&Datum::string(&"k".repeat(127))).is_ok());
        let long = Datum::string(&"k".repeat(128));
        let text = format!("Primary key too long (max 127 characters): \"{}\"", "k".repeat(128));
        assert_eq!(error(&long).message, text);
        // A letter, then 20 bytes for each one-digit number.
        assert!(PrimaryKey::encode(&Datum::array(vec![Datum::Number(1.0); 6])).is_ok());
        let numbers = Datum::array(vec![Datum::Number(1.0); 7]);
        assert!(
            error(&numbers).message.starts_with("Primary key too long (max 127 characters): [")
        );
    }

    #[test]
    fn the_length_of_a_number_is_that_of_its_text() {
        let mut random = Random::from_environment();
        let wholes = (0..54).flat_map(|bits| [1_u64 << bits, (1 << bits) - 1]);
        let wholes = wholes.chain((0..200).map(|_| random.next() >> 11));
        let numbers = wholes.flat_map(|whole| [whole as f64, -(whole as f64), whole as f64 + 0.5]);
        for number in numbers.chain([1e16, 1e17, -1e300, 1e-7]) {
            let number = if number == 0.0 { 0.0 } else { number };
            assert_eq!(text_length(number), number_to_text(number).len(), "{number}");
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_told_in_rethinkdbs_words() {
        let null = error(&Datum::Null);
        assert_eq!(null.kind, DatumErrorKind::NonExistence);
        assert_eq!(
            null.message,
            "Primary keys must be either a number, string, bool, pseudotype or array (got type NULL):\nnull"
        );
        let object = error(&Datum::object([]));
        assert_eq!(object.kind, DatumErrorKind::Logic);
        assert_eq!(
            object.message,
            "Primary keys must be either a number, string, bool, pseudotype or array (got type OBJECT):\n{}"
        );
        assert_eq!(
            error(&Datum::array(vec![Datum::object([])])).message,
            "Array keys can only contain numbers, strings, bools,  pseudotypes, or arrays (got {} of type OBJECT)."
        );
        assert_eq!(
            error(&Datum::string("a\0")).message,
            "String \"a\\x00\" (truncated) contains NULL byte at offset 1 in index key."
        );
        let point = Datum::object([("$reql_type$", Datum::string("GEOMETRY"))]);
        assert_eq!(
            error(&point).message,
            "Cannot use a geometry value as a key value in a primary or non-geospatial secondary index."
        );
    }
}
