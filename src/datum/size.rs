//! How large a value is, about, when it is written as JSON: what batches of rows are measured by. And whether it is
//! deeper than a bound, or has more parts.

use super::{Datum, work};
use crate::limits::JSON_BYTES;

impl Datum {
    /// About so many bytes of JSON. Strings count as they are, numbers as if of middle length. Of a value longer than
    /// [`JSON_BYTES`] it is only known that it is longer.
    pub fn approximate_size(&self) -> usize {
        self.size_up_to(JSON_BYTES)
    }

    /// As [`Datum::approximate_size`], but looks no further when it has become more than `bound`.
    pub fn size_up_to(&self, bound: usize) -> usize {
        let mut size = 0;
        self.add_size(&mut size, bound);
        size
    }

    fn add_size(&self, size: &mut usize, bound: usize) {
        const NUMBER: usize = 8;
        work::step();
        *size += match self {
            Datum::Null | Datum::Bool(_) | Datum::MinVal | Datum::MaxVal => 5,
            Datum::Number(_) => NUMBER,
            Datum::String(text) => text.len() + 2,
            // Four characters of base64 stand for three bytes, within an object that names the type.
            Datum::Binary(bytes) => bytes.len() / 3 * 4 + 40,
            Datum::Array(_) => 2,
            Datum::Object(object) => object.stored().map_or(2, |stored| stored.json().len()),
        };
        match self {
            Datum::Array(values) => {
                for value in values.iter() {
                    if *size > bound {
                        return;
                    }
                    *size += 1;
                    value.add_size(size, bound);
                }
            }
            Datum::Object(object) if object.stored().is_none() => {
                for (name, value) in object.iter() {
                    if *size > bound {
                        return;
                    }
                    *size += name.len() + 4;
                    value.add_size(size, bound);
                }
            }
            _ => {}
        }
    }

    /// Whether it has at most so many levels of arrays and objects, and so many parts, each counted as often as it
    /// occurs. Looks no further than that.
    pub fn fits(&self, levels: usize, parts: usize) -> Result<(), Misfit> {
        let mut left = parts;
        self.take_parts(levels, &mut left)
    }

    fn take_parts(&self, levels: usize, left: &mut usize) -> Result<(), Misfit> {
        work::step();
        let below = || levels.checked_sub(1).ok_or(Misfit::TooDeep);
        *left = left.checked_sub(1).ok_or(Misfit::TooLarge)?;
        match self {
            Datum::Array(values) => {
                let below = below()?;
                values.iter().try_for_each(|value| value.take_parts(below, left))
            }
            Datum::Object(object) => {
                let below = below()?;
                object.iter().try_for_each(|(_, value)| value.take_parts(below, left))
            }
            _ => Ok(()),
        }
    }
}

/// Which bound a value is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// That of levels.
    TooDeep,
    /// That of parts.
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datum::write_json_within;

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
    fn levels_and_parts_are_known_up_to_a_bound() {
        let one = Datum::array(vec![Datum::Null, Datum::Number(1.0)]);
        let two = Datum::object([("a", Datum::Null), ("b", one.clone())]);
        let deeper = |value: &Datum, levels| value.fits(levels, 100) == Err(Misfit::TooDeep);
        assert!(!deeper(&Datum::Null, 0));
        assert!(deeper(&one, 0) && !deeper(&one, 1));
        assert!(deeper(&two, 1) && !deeper(&two, 2));
        assert!(deeper(&Datum::array(Vec::new()), 0));
        assert_eq!((one.fits(9, 3), one.fits(9, 2)), (Ok(()), Err(Misfit::TooLarge)));
    }

    #[test]
    fn a_value_that_holds_itself_many_times_is_not_walked_to_its_end() {
        let doubled = (0..100).fold(Datum::Null, |part, _| Datum::array(vec![part.clone(), part]));
        assert_eq!(doubled.fits(200, 1_000), Err(Misfit::TooLarge));
        assert!(doubled.size_up_to(1_000) > 1_000);
        let mut text = Vec::new();
        write_json_within(&doubled, &mut text, 1_000);
        assert!((1_001..2_000).contains(&text.len()), "{}", text.len());
    }
}
