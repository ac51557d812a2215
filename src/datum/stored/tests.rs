//! Tests of the stored form: round trips of random documents, changes of them, and hostile bytes.

use std::sync::Arc;

use super::*;
use crate::datum::edit::Paths;
use crate::datum::merge;
use crate::testing::Random;

fn random_text(random: &mut Random) -> String {
    const CHARACTERS: [char; 12] =
        ['a', 'b', 'Z', '"', '\\', '/', '\n', '\0', '\u{1f}', '\u{7f}', '\u{e9}', '\u{1f600}'];
    (0..random.below(9)).map(|_| CHARACTERS[random.below(12) as usize]).collect()
}

fn random_value(random: &mut Random, depth: u64) -> Datum {
    match random.below(if depth == 0 { 6 } else { 9 }) {
        0 => Datum::Null,
        1 => Datum::Bool(random.once_in(2)),
        2 => Datum::Number(random.below(2_000) as f64 - 1_000.0),
        3 => {
            let number = f64::from_bits(random.next());
            Datum::Number(if number.is_finite() { number } else { -0.0 })
        }
        4 => Datum::string(&random_text(random)),
        5 => Datum::Binary(random.bytes(20).into()),
        6 => random_pseudo_type(random),
        7 => Datum::array((0..random.below(5)).map(|_| random_value(random, depth - 1)).collect()),
        _ => random_object(random, depth - 1, 5),
    }
}

fn random_pseudo_type(random: &mut Random) -> Datum {
    let number = |random: &mut Random| Datum::Number(random.below(90) as f64 / 4.0);
    if random.once_in(2) {
        let epoch_time = Datum::Number(random.below(1 << 40) as f64 / 1_000.0);
        let fields =
            [(REQL_TYPE, "TIME".into()), ("epoch_time", epoch_time), ("timezone", "+02:00".into())];
        return Datum::object(fields);
    }
    let place = Datum::array(vec![number(random), number(random)]);
    Datum::object([
        (REQL_TYPE, "GEOMETRY".into()),
        ("coordinates", place),
        ("type", "Point".into()),
    ])
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
fn a_name_longer_than_the_document_is_not_gone_through() {
    let document = StoredObject::encode(&Datum::object([("a", Datum::Number(1.0))])).unwrap();
    let name = "long".repeat(10 << 20);
    let began = std::time::Instant::now();
    // 400 GB otherwise.
    for _ in 0..10_000 {
        assert_eq!(document.field(&name).unwrap(), None);
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn documents_come_back_as_they_were() {
    let mut random = Random::from_environment();
    for _ in 0..3_000 {
        let value = random_object(&mut random, 3, 12);
        let document = StoredObject::encode(&value).unwrap();
        let stored = StoredObject::from_stored(document.as_bytes().clone()).unwrap();
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

/// What a table hands out of a value.
fn stored(value: &Datum) -> Datum {
    StoredObject::from_stored(StoredObject::encode(value).unwrap().bytes).unwrap().value()
}

/// What was never stored and is the same.
fn plain(value: &Datum) -> Datum {
    match value {
        Datum::Object(object) => Datum::Object(
            object.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        ),
        other => other.clone(),
    }
}

#[test]
fn a_stored_value_is_as_any_other() {
    let mut random = Random::from_environment();
    for _ in 0..2_000 {
        let value = random_object(&mut random, 3, 12);
        let (Datum::Object(object), Datum::Object(lazy)) = (&value, stored(&value)) else {
            panic!("not an object")
        };
        assert_eq!((lazy.len(), lazy.is_empty()), (object.len(), object.is_empty()));
        assert_eq!(lazy.pseudo_type(), object.pseudo_type());
        let absent = random_text(&mut random);
        for name in object.iter().map(|(name, _)| &**name).chain([absent.as_str()]) {
            assert_eq!(lazy.contains(name), object.contains(name));
            assert_eq!(lazy.field(name), object.get(name).cloned());
            let other = random_value(&mut random, 1);
            let others = object.iter().map(|(_, value)| value).chain([&other]);
            for other in others {
                let expected = object.get(name).map(|value| value.compare(other));
                assert_eq!(lazy.compare_field(name, other), expected);
            }
        }
        // Not decoded by any of that; from here on it is.
        assert_same(&Datum::Object(lazy.clone()), &value);
        assert_eq!(lazy.field(&absent), object.field(&absent));
        assert!(lazy.iter().eq(object.iter()));
        assert_same(&Datum::Object(lazy), &value);
    }
}

#[test]
fn changes_of_a_stored_value_are_those_of_any_other() {
    let mut random = Random::from_environment();
    for round in 0..3_000 {
        let value = random_object(&mut random, 2, 10);
        let Datum::Object(object) = &value else { panic!("not an object") };
        // New names, names that are there, and objects below them.
        let mut change = random_object(&mut random, 2, 5).as_object().unwrap().clone();
        for (name, _) in object.iter().filter(|_| round % 3 > 0) {
            if random.once_in(3) {
                change = change.with(name.clone(), random_value(&mut random, 2));
            }
        }
        let change = Datum::Object(change);
        let (of_stored, of_plain) = (merge(&stored(&value), &change), merge(&value, &change));
        let (of_stored, of_plain) = match (of_stored, of_plain) {
            (Ok(of_stored), Ok(of_plain)) => (of_stored, of_plain),
            // A time and a shape do not go together.
            (of_stored, of_plain) => {
                assert_eq!(of_stored.unwrap_err().message, of_plain.unwrap_err().message);
                continue;
            }
        };
        assert_same(&of_stored, &of_plain);
        assert_same(&plain(&of_stored), &of_plain);
        let again = StoredObject::encode(&of_stored).unwrap();
        assert_eq!(again, StoredObject::encode(&of_plain).unwrap());
        let names = object.iter().map(|(name, _)| Datum::String(name.clone()));
        let paths = Paths::parse(&Datum::array(names.filter(|_| random.once_in(2)).collect()));
        let (paths, lazy) = (paths.unwrap(), stored(&value).as_object().unwrap().clone());
        assert_same(&paths.pluck(&lazy).unwrap(), &paths.pluck(object).unwrap());
        assert_same(&paths.without(&lazy).unwrap(), &paths.without(object).unwrap());
        assert_eq!(paths.are_in(&lazy), paths.are_in(object));
    }
}

#[test]
fn stored_values_are_equal_as_others_are() {
    let mut random = Random::from_environment();
    let few = |random: &mut Random| {
        let numbers = [0.0, -0.0, 1.0].map(Datum::Number);
        let names = ["a", "b", "\""].into_iter().take(2 + random.below(2) as usize);
        Datum::object(names.map(|name| (name, numbers[random.below(3) as usize].clone())))
    };
    for _ in 0..2_000 {
        let (left, right) = (few(&mut random), few(&mut random));
        assert_eq!(stored(&left) == stored(&right), left == right, "{left:?} {right:?}");
        assert_eq!(stored(&left).cmp(&right), left.cmp(&right));
    }
    let time = |zone: &str| {
        let zone = zone.into();
        Datum::object([(
            "t",
            Datum::object([
                (REQL_TYPE, "TIME".into()),
                ("epoch_time", Datum::Number(1.5)),
                ("timezone", zone),
            ]),
        )])
    };
    assert_eq!(stored(&time("+00:00")), stored(&time("+01:00")));
}

#[test]
fn what_cannot_be_stored_can_be_merged() {
    let value = Datum::object([("a", Datum::Number(1.0)), ("b", Datum::Null)]);
    let bound = Datum::object([("b", Datum::MaxVal)]);
    let merged = merge(&stored(&value), &bound).unwrap();
    assert_same(&merged, &merge(&value, &bound).unwrap());
    assert_eq!(merged.as_object().unwrap().stored(), None);
    let deep = (0..DOCUMENT_DEPTH).fold(Datum::Null, |inner, _| Datum::array(vec![inner]));
    let merged = merge(&stored(&value), &Datum::object([("b", deep)])).unwrap();
    assert!(matches!(StoredObject::encode(&merged), Err(StoredError::TooDeep { .. })));
    // A field that makes the table wide.
    let name: Arc<str> = "long".into();
    let long = Datum::String("x".repeat(70_000).into());
    let merged = merge(&stored(&value), &Datum::object([(&*name, long.clone())])).unwrap();
    let merged = merged.as_object().unwrap();
    assert_eq!(merged.stored().unwrap().field("long"), Ok(Some(long)));
    assert_same(&Datum::Object(merged.clone().without("long")), &value);
}

#[test]
fn a_long_document_has_wide_offsets() {
    let names: Vec<_> = (0..5_000).map(|number| format!("field number {number}")).collect();
    let value = Datum::object(names.iter().map(|name| (name.as_str(), Datum::string(name))));
    let document = StoredObject::encode(&value).unwrap();
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
        let document =
            StoredObject::encode(&Datum::object([("n", Datum::Number(number))])).unwrap();
        let Some(Datum::Number(back)) = document.field("n").unwrap() else { panic!("no number") };
        assert_eq!(back.to_bits(), number.to_bits(), "{number}");
    }
}

#[test]
fn what_cannot_be_stored_is_refused() {
    assert_eq!(StoredObject::encode(&Datum::Null), Err(StoredError::NotAnObject));
    let extreme = Datum::object([("a", Datum::array(vec![Datum::MaxVal]))]);
    assert_eq!(StoredObject::encode(&extreme), Err(StoredError::Extreme));
    let nested =
        |levels| (1..levels).fold(Datum::object([]), |inner, _| Datum::object([("a", inner)]));
    let deepest = nested(DOCUMENT_DEPTH);
    assert_same(&StoredObject::encode(&deepest).unwrap().decode().unwrap(), &deepest);
    let deeper = StoredObject::encode(&nested(DOCUMENT_DEPTH + 1));
    assert_eq!(deeper, Err(StoredError::TooDeep { limit: DOCUMENT_DEPTH }));
}

#[test]
fn hostile_bytes_are_errors() {
    let mut random = Random::from_environment();
    let value = random_object(&mut random, 3, 12);
    let good = StoredObject::encode(&value).unwrap().as_bytes().to_vec();
    let read_all = |bytes: Vec<u8>| {
        let document = StoredObject::from_stored(bytes.into())?;
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

#[test]
fn arrays_are_bounded_whatever_queries_may_hold() {
    let array = |len| Datum::array(vec![Datum::Null; len]);
    let document = |len| Datum::object([("a", Datum::object([("b", array(len))]))]);
    let stored = StoredObject::encode(&document(STORED_ARRAY_LEN)).unwrap();
    let refused = StoredObject::encode(&document(STORED_ARRAY_LEN + 1)).unwrap_err();
    assert_eq!(refused, StoredError::ArrayTooLong);
    let text = "Array too large for disk writes (limit 100,000 elements).";
    assert_eq!(refused.to_string(), text);
    let longer = [(Arc::from("a"), Some(array(STORED_ARRAY_LEN + 1)))];
    assert_eq!(stored.merged(&longer), Err(StoredError::ArrayTooLong));
}

/// Comparing two documents field by field relies on it.
#[test]
fn fields_in_another_order_are_damage() {
    // Escaped, so that fields are looked for one after another.
    let value = Datum::object([("a\"", Datum::Null), ("b", Datum::Null), ("c", Datum::Null)]);
    let document = StoredObject::encode(&value).unwrap();
    document.check().unwrap();
    let mut bytes = document.as_bytes().to_vec();
    let at = bytes.iter().position(|byte| *byte == b'b').unwrap();
    bytes[at] = b'd';
    let damaged = StoredObject::from_stored(bytes.into()).unwrap();
    assert!(matches!(damaged.check(), Err(StoredError::Damaged { .. })));
}

#[test]
fn a_long_document_is_kept_without_a_copy() {
    let stored = |length: usize| {
        let object = Datum::object([("s", Datum::string(&"x".repeat(length)))]);
        let stored = StoredObject::encode(&object).unwrap();
        StoredObject::from_stored(stored.as_bytes().clone()).unwrap()
    };
    let is_copied =
        |stored: StoredObject| stored.detached().as_bytes().as_ptr() != stored.as_bytes().as_ptr();
    assert!(is_copied(stored(1_000)));
    assert!(!is_copied(stored(crate::limits::LONG_READ_BYTES as usize)));
}
