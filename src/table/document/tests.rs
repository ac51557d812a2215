//! Tests of the stored form: round trips of random documents, and hostile bytes.

use super::*;
use crate::testing::Random;

fn random_text(random: &mut Random) -> String {
    const CHARACTERS: [char; 12] =
        ['a', 'b', 'Z', '"', '\\', '/', '\n', '\0', '\u{1f}', '\u{7f}', '\u{e9}', '\u{1f600}'];
    (0..random.below(9)).map(|_| CHARACTERS[random.below(12) as usize]).collect()
}

fn random_value(random: &mut Random, depth: u64) -> Datum {
    match random.below(if depth == 0 { 6 } else { 8 }) {
        0 => Datum::Null,
        1 => Datum::Bool(random.once_in(2)),
        2 => Datum::Number(random.below(2_000) as f64 - 1_000.0),
        3 => {
            let number = f64::from_bits(random.next());
            Datum::Number(if number.is_finite() { number } else { -0.0 })
        }
        4 => Datum::string(&random_text(random)),
        5 => Datum::Binary(random.bytes(20).into()),
        6 => Datum::array((0..random.below(5)).map(|_| random_value(random, depth - 1)).collect()),
        _ => random_object(random, depth - 1, 5),
    }
}

fn random_object(random: &mut Random, depth: u64, limit: u64) -> Datum {
    let fields: Vec<_> = (0..random.below(limit))
        .map(|_| (random_text(random), random_value(random, depth)))
        .collect();
    Datum::object(fields.iter().map(|(name, value)| (name.as_str(), value.clone())))
}

/// Equality of values does not tell 0 from -0; the text does.
fn assert_same(a: &Datum, b: &Datum) {
    assert_eq!(a, b);
    assert_eq!(a.to_json(), b.to_json());
}

#[test]
fn documents_come_back_as_they_were() {
    let mut random = Random::from_environment();
    for _ in 0..3_000 {
        let value = random_object(&mut random, 3, 12);
        let document = Document::encode(&value).unwrap();
        let stored = Document::from_stored(document.as_bytes().clone()).unwrap();
        assert_eq!(stored, document);
        assert_same(&stored.decode().unwrap(), &value);
        let mut json = b"before".to_vec();
        stored.write_json(&mut json);
        assert_eq!(String::from_utf8(json).unwrap(), format!("before{}", value.to_json()));
        let Datum::Object(object) = &value else { panic!("not an object") };
        for (name, value) in object.iter() {
            assert_same(&stored.field(name).unwrap().unwrap(), value);
        }
        let absent = random_text(&mut random);
        if !object.contains(&absent) {
            assert_eq!(stored.field(&absent), Ok(None));
        }
    }
}

#[test]
fn a_long_document_has_wide_offsets() {
    let names: Vec<_> = (0..5_000).map(|number| format!("field number {number}")).collect();
    let value = Datum::object(names.iter().map(|name| (name.as_str(), Datum::string(name))));
    let document = Document::encode(&value).unwrap();
    assert!(document.json().len() > usize::from(u16::MAX));
    for name in [&names[0], &names[1_234], &names[4_999]] {
        assert_same(&document.field(name).unwrap().unwrap(), &Datum::string(name));
    }
    assert_eq!(document.field("field number"), Ok(None));
    assert_same(&document.decode().unwrap(), &value);
}

#[test]
fn numbers_keep_every_bit() {
    for number in
        [0.0, -0.0, 1e-320, f64::MAX, f64::MIN_POSITIVE, 0.1 + 0.2, 9_007_199_254_740_993.0]
    {
        let document = Document::encode(&Datum::object([("n", Datum::Number(number))])).unwrap();
        let Some(Datum::Number(back)) = document.field("n").unwrap() else { panic!("no number") };
        assert_eq!(back.to_bits(), number.to_bits(), "{number}");
    }
}

#[test]
fn what_cannot_be_stored_is_refused() {
    assert_eq!(Document::encode(&Datum::Null), Err(DocumentError::NotAnObject));
    let extreme = Datum::object([("a", Datum::array(vec![Datum::MaxVal]))]);
    assert_eq!(Document::encode(&extreme), Err(DocumentError::Extreme));
    let nested =
        |levels| (1..levels).fold(Datum::object([]), |inner, _| Datum::object([("a", inner)]));
    let deepest = nested(DOCUMENT_DEPTH);
    assert_same(&Document::encode(&deepest).unwrap().decode().unwrap(), &deepest);
    let deeper = Document::encode(&nested(DOCUMENT_DEPTH + 1));
    assert_eq!(deeper, Err(DocumentError::TooDeep { limit: DOCUMENT_DEPTH }));
}

#[test]
fn hostile_bytes_are_errors() {
    let mut random = Random::from_environment();
    let value = random_object(&mut random, 3, 12);
    let good = Document::encode(&value).unwrap().as_bytes().to_vec();
    let read_all = |bytes: Vec<u8>| {
        let document = Document::from_stored(bytes.into())?;
        document.field("a")?;
        document.field("\"")?;
        document.decode().map(drop)
    };
    let mut refused = 0;
    for _ in 0..30_000 {
        let mut bytes = good.clone();
        match random.below(3) {
            0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
            1 => bytes = random.bytes(60),
            _ => {
                for _ in 0..=random.below(3) {
                    let at = random.below(bytes.len() as u64) as usize;
                    bytes[at] = random.next() as u8;
                }
            }
        }
        refused += usize::from(read_all(bytes).is_err());
    }
    assert!(refused > 15_000, "{refused}");
    // A table that claims to be longer than memory, and a text that only opens.
    assert!(read_all(vec![1, 1, 0xff, 0xff, 0xff, 0xff, b'{', b'}']).is_err());
    let mut opening = vec![1, 0, 0, 0, 0, 0, b'{'];
    opening.extend(b"\"a\":[".repeat(100_000));
    opening.push(b'}');
    assert!(read_all(opening).is_err());
}
