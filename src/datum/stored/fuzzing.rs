//! What must hold of any bytes that are read as a stored document: for the fuzz targets.
//! Must not know where bytes come from.

use std::sync::Arc;

use bytes::Bytes;

use super::StoredObject;
use crate::datum::{Datum, write_json};

/// Reads bytes as a stored document, the whole and field by field, and changes it. A sound one is the same when it is
/// written again.
pub fn check_document(data: &[u8]) -> Result<(), String> {
    let Ok(stored) = StoredObject::from_stored(Bytes::copy_from_slice(data)) else { return Ok(()) };
    let whole = stored.decode();
    let is_sound = stored.check().is_ok();
    if is_sound && whole.is_err() {
        return Err("a document is sound that cannot be read".to_owned());
    }
    let names = match &whole {
        Ok(Datum::Object(object)) => object.iter().map(|(name, _)| Arc::clone(name)).collect(),
        _ => vec![Arc::from("id"), Arc::from("")],
    };
    for name in names.iter().take(20) {
        let field = stored.field(name);
        let contains = stored.contains(name);
        if is_sound && (contains != Ok(true) || !matches!(field, Ok(Some(_)))) {
            return Err(format!("the field {name:?} is missing"));
        }
        // Whatever comes of it.
        drop(stored.compare_field(name, &Datum::string("a")));
        drop(stored.merged(&[(Arc::clone(name), None)]));
        drop(stored.merged(&[(Arc::clone(name), Some(Datum::Null))]));
    }
    drop(stored.has_reql_type());
    drop(stored.merged(&[(Arc::from("another"), Some(Datum::Bool(true)))]));
    if stored.equals(&stored) == Ok(false) {
        return Err("it is not equal to itself".to_owned());
    }
    match whole {
        Ok(whole) if is_sound => check_again(&stored, &whole),
        _ => Ok(()),
    }
}

/// Stored documents of every kind.
pub fn document_seeds() -> Vec<Vec<u8>> {
    let inner = Datum::object([("b", Datum::Number(1.5)), ("a", Datum::array(Vec::new()))]);
    let time = Datum::object([
        ("$reql_type$", "TIME".into()),
        ("epoch_time", Datum::Number(1.25)),
        ("timezone", "+02:00".into()),
    ]);
    let deep = (0..50).fold(Datum::Null, |deep, _| Datum::array(vec![deep]));
    let values = [
        Datum::object([("id", Datum::Number(7.0))]),
        Datum::object([("id", "text".into()), ("more", "\"\\/\n\u{1f600}".into())]),
        Datum::object([("id", Datum::Number(-0.0)), ("in", inner), ("time", time), ("deep", deep)]),
        Datum::object([
            ("a\"b", Datum::Bool(true)),
            ("binary", Datum::Binary(vec![1, 2, 3].into())),
        ]),
        Datum::object([("long", Datum::string(&"x".repeat(70_000)))]),
    ];
    let stored = values.iter().filter_map(|value| StoredObject::encode(value).ok());
    stored.map(|stored| stored.as_bytes().to_vec()).collect()
}

fn check_again(stored: &StoredObject, whole: &Datum) -> Result<(), String> {
    let Ok(again) = StoredObject::encode(whole) else {
        return Err("it cannot be written again".to_owned());
    };
    let read = again.decode().map_err(|error| error.to_string())?;
    let mut json = Vec::new();
    write_json(whole, &mut json);
    if read != *whole || json != again.json() {
        return Err("it is another document when it is written again".to_owned());
    }
    let equal = again.equals(stored).map_err(|error| error.to_string())?;
    let has_types = again.has_reql_type();
    if !equal && has_types == Ok(false) && stored.has_reql_type() == Ok(false) {
        return Err("it is not equal to what was written again".to_owned());
    }
    Ok(())
}
