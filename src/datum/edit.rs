//! Edits of values: one value made of another and of what shall change in it.

use super::{Datum, DatumError, LITERAL, LITERAL_VALUE, Object};

/// `left` with the fields of `right` merged into it, objects within objects likewise. What is no object, or a literal,
/// replaces; a literal without a value removes the field.
pub fn merge(left: &Datum, right: &Datum) -> Result<Datum, DatumError> {
    let (Datum::Object(base), Datum::Object(changes)) = (left, right) else {
        return Ok(right.clone());
    };
    if right.is_pseudo_type(LITERAL) {
        return Ok(changes.get(LITERAL_VALUE).cloned().unwrap_or(Datum::Null));
    }
    let mut merged = base.clone();
    for (name, change) in changes.iter() {
        merged = match literal(change) {
            Some(Some(value)) => merged.with(name.clone(), value.clone()),
            Some(None) => merged.without(name),
            None => {
                let empty = Datum::Object(Object::empty());
                let old = merged.get(name).unwrap_or(&empty);
                let value = merge(old, change)?;
                merged.with(name.clone(), value)
            }
        };
    }
    Ok(Datum::Object(merged))
}

/// Of a literal its value, if it has one.
fn literal(datum: &Datum) -> Option<Option<&Datum>> {
    datum.is_pseudo_type(LITERAL).then(|| datum.get(LITERAL_VALUE))
}
