//! The total order of values: by type name first, then by value, with minval and maxval outside.
//!
//! Types order as RethinkDB orders them, by the name messages use: ARRAY < BOOL < NULL < NUMBER < OBJECT <
//! PTYPE<..> by name < STRING. Strings and binary compare by bytes, arrays and objects element by element, times by
//! their instant alone.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Datum, GEOMETRY, Object, TIME, pairs, work};

impl Ord for Datum {
    fn cmp(&self, other: &Self) -> Ordering {
        work::step();
        match (self, other) {
            (Datum::Null, Datum::Null) => Ordering::Equal,
            (Datum::MinVal, Datum::MinVal) | (Datum::MaxVal, Datum::MaxVal) => Ordering::Equal,
            (Datum::MinVal, _) | (_, Datum::MaxVal) => Ordering::Less,
            (Datum::MaxVal, _) | (_, Datum::MinVal) => Ordering::Greater,
            (Datum::Bool(a), Datum::Bool(b)) => a.cmp(b),
            (Datum::Number(a), Datum::Number(b)) => compare_numbers(*a, *b),
            (Datum::String(a), Datum::String(b)) => compare_bytes(a.as_bytes(), b.as_bytes()),
            (Datum::Binary(a), Datum::Binary(b)) => compare_bytes(a, b),
            (Datum::Array(a), Datum::Array(b)) if Arc::ptr_eq(a, b) => Ordering::Equal,
            (Datum::Object(a), Datum::Object(b)) if a.is_same(b) => Ordering::Equal,
            (Datum::Array(_), Datum::Array(_)) | (Datum::Object(_), Datum::Object(_)) => {
                match self.shared_address().zip(other.shared_address()) {
                    Some(pair) => pairs::compare(pair, || compare_parts(self, other)),
                    None => compare_parts(self, other),
                }
            }
            _ => self
                .type_rank()
                .cmp(&other.type_rank())
                .then_with(|| self.pseudo_type().cmp(&other.pseudo_type())),
        }
    }
}

impl Datum {
    /// How `lt` and its like compare: as the total order, but a shape and a plain object field by field. RethinkDB does
    /// so everywhere; its order then has circles, which no sorted collection could bear.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Datum::Object(a), Datum::Object(b)) => match (a.pseudo_type(), b.pseudo_type()) {
                (Some(GEOMETRY), None) | (None, Some(GEOMETRY)) => compare_fields(a, b),
                _ => self.cmp(other),
            },
            _ => self.cmp(other),
        }
    }
}

/// Two arrays, or two objects.
fn compare_parts(one: &Datum, other: &Datum) -> Ordering {
    match (one, other) {
        (Datum::Array(a), Datum::Array(b)) => compare_elements(a, b),
        (Datum::Object(a), Datum::Object(b)) => match (a.pseudo_type(), b.pseudo_type()) {
            (Some(TIME), Some(TIME)) => compare_instants(a.get("epoch_time"), b.get("epoch_time")),
            (None, None) => compare_fields(a, b),
            (Some(x), Some(y)) => x.cmp(y).then_with(|| compare_fields(a, b)),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
        },
        _ => Ordering::Equal,
    }
}

/// Element by element; an array that the other one continues is less. A plain loop: values may be nested deeply, and
/// adaptors would take several frames a level.
fn compare_elements(a: &[Datum], b: &[Datum]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
        let ordering = x.cmp(y);
        if ordering.is_ne() {
            return ordering;
        }
    }
    a.len().cmp(&b.len())
}

/// Field by field, in the order of their names, each by its name and then by its value.
fn compare_fields(a: &Object, b: &Object) -> Ordering {
    for ((a_name, a_value), (b_name, b_value)) in a.iter().zip(b.iter()) {
        let ordering = a_name.cmp(b_name).then_with(|| a_value.cmp(b_value));
        if ordering.is_ne() {
            return ordering;
        }
    }
    a.len().cmp(&b.len())
}

fn compare_bytes(a: &[u8], b: &[u8]) -> Ordering {
    work::byte_steps(a.len().min(b.len()));
    a.cmp(b)
}

/// Equal and opposite zeros are one number; values are never NaN.
fn compare_numbers(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

fn compare_instants(a: Option<&Datum>, b: Option<&Datum>) -> Ordering {
    a.cmp(&b)
}

impl Datum {
    /// The place of the type among the type names. Pseudo types share one place and order by name within it.
    fn type_rank(&self) -> u8 {
        match self {
            Datum::MinVal => 0,
            Datum::Array(_) => 1,
            Datum::Bool(_) => 2,
            Datum::Null => 3,
            Datum::Number(_) => 4,
            Datum::Object(object) if object.pseudo_type().is_none() => 5,
            Datum::Object(_) | Datum::Binary(_) => 6,
            Datum::String(_) => 7,
            Datum::MaxVal => 8,
        }
    }
}

impl PartialOrd for Datum {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Datum {
    fn eq(&self, other: &Self) -> bool {
        let equal = match (self, other) {
            (Datum::Object(a), Datum::Object(b)) => a.equals(b),
            _ => None,
        };
        equal.unwrap_or_else(|| self.cmp(other) == Ordering::Equal)
    }
}

impl Eq for Datum {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_order_by_name_and_bounds_lie_outside() {
        let time = Datum::object([
            ("$reql_type$", "TIME".into()),
            ("epoch_time", Datum::Number(1.0)),
            ("timezone", "Z".into()),
        ]);
        let ordered = [
            Datum::MinVal,
            Datum::array(vec![Datum::MaxVal]),
            Datum::Bool(false),
            Datum::Bool(true),
            Datum::Null,
            Datum::Number(-1.0),
            Datum::Number(7.0),
            Datum::object([("a", Datum::Null)]),
            Datum::Binary([1u8, 2].as_slice().into()),
            time,
            Datum::string(""),
            Datum::string("z"),
            Datum::MaxVal,
        ];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a:?} against {b:?}");
            }
        }
    }

    #[test]
    fn shapes_compare_with_plain_objects_field_by_field() {
        let shape = Datum::object([("$reql_type$", "GEOMETRY".into())]);
        let object = Datum::object([("a", Datum::Null)]);
        assert_eq!(shape.compare(&object), Ordering::Less);
        assert_eq!(shape.cmp(&object), Ordering::Greater);
    }

    #[test]
    fn zeros_are_equal_and_times_compare_by_instant() {
        assert_eq!(Datum::Number(0.0), Datum::Number(-0.0));
        let at = |zone: &str| {
            Datum::object([
                ("$reql_type$", "TIME".into()),
                ("epoch_time", Datum::Number(5.0)),
                ("timezone", zone.into()),
            ])
        };
        assert_eq!(at("Z"), at("+07:00"));
    }
}
