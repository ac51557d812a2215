//! How large a value is, about, when it is written as JSON: what batches of rows are measured by. And whether it is
//! deeper than a bound.

use super::Datum;

impl Datum {
    /// About so many bytes of JSON. Looks at every part once; strings count as they are, numbers as if of middle length.
    pub fn approximate_size(&self) -> usize {
        const NUMBER: usize = 8;
        match self {
            Datum::Null | Datum::Bool(_) | Datum::MinVal | Datum::MaxVal => 5,
            Datum::Number(_) => NUMBER,
            Datum::String(text) => text.len() + 2,
            // Four characters of base64 stand for three bytes, within an object that names the type.
            Datum::Binary(bytes) => bytes.len() / 3 * 4 + 40,
            Datum::Array(values) => {
                2 + values.iter().map(|value| value.approximate_size() + 1).sum::<usize>()
            }
            Datum::Object(object) => {
                if let Some(stored) = object.stored() {
                    return stored.json().len();
                }
                let field = |(name, value): (&std::sync::Arc<str>, &Datum)| {
                    name.len() + 4 + value.approximate_size()
                };
                2 + object.iter().map(field).sum::<usize>()
            }
        }
    }

    /// Whether it has more than `levels` of arrays and objects. Looks no deeper than that.
    pub fn is_deeper_than(&self, levels: usize) -> bool {
        match self {
            Datum::Array(_) | Datum::Object(_) if levels == 0 => true,
            Datum::Array(values) => values.iter().any(|value| value.is_deeper_than(levels - 1)),
            Datum::Object(object) => {
                object.iter().any(|(_, value)| value.is_deeper_than(levels - 1))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_near_the_truth() {
        let document = Datum::object([
            ("id", Datum::string("0123456789abcdef0123456789abcdef")),
            ("tags", Datum::array(vec!["x".into(), "y".into(), Datum::Null])),
            ("n", Datum::Number(1234567.0)),
        ]);
        let (estimate, truth) = (document.approximate_size(), document.to_json().len());
        assert!(estimate.abs_diff(truth) < truth / 4, "{estimate} against {truth}");
    }
    #[test]
    fn depth_is_known_up_to_a_bound() {
        let one = Datum::array(vec![Datum::Null, Datum::Number(1.0)]);
        let two = Datum::object([("a", Datum::Null), ("b", one.clone())]);
        assert!(!Datum::Null.is_deeper_than(0));
        assert!(one.is_deeper_than(0) && !one.is_deeper_than(1));
        assert!(two.is_deeper_than(1) && !two.is_deeper_than(2));
        assert!(Datum::array(Vec::new()).is_deeper_than(0));
    }
}
