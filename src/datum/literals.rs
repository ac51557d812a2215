//! Finds the literals in a value and puts what they stand for in their place.
//!
//! A value may hold one part many times over. Parts that are shared are looked at once: what was found of each is
//! remembered once a search has become long, so that a short one costs no memory.

use std::collections::HashMap;

use super::{Datum, LITERAL, LITERAL_VALUE, work};

/// Steps of a search after which shared parts are remembered.
const SHORT_SEARCH: u32 = 256;

/// A search for literals, in the values of one merge. Those must live as long as the search does: parts are known by their
/// addresses.
#[derive(Default)]
pub(super) struct Literals {
    steps: u32,
    /// Whether a shared part holds a literal.
    holds: HashMap<usize, bool>,
    /// What a shared part that holds a literal is without it.
    resolved: HashMap<usize, Option<Datum>>,
}

impl Literals {
    /// The value with each literal in it replaced by what it stands for; `None` when it is a literal that removes.
    pub(super) fn resolve(&mut self, value: &Datum) -> Option<Datum> {
        if let Datum::Object(object) = value
            && object.pseudo_type() == Some(LITERAL)
        {
            return object.get(LITERAL_VALUE).cloned();
        }
        if !self.are_in(value) {
            return Some(value.clone());
        }
        let part = self.shared_part(value);
        if let Some(known) = part.and_then(|part| self.resolved.get(&part)) {
            return known.clone();
        }
        let resolved = match value {
            Datum::Object(object) => {
                let fields = object.iter();
                let kept =
                    fields.filter_map(|(name, value)| Some((name.clone(), self.resolve(value)?)));
                Datum::Object(kept.collect())
            }
            Datum::Array(values) => {
                Datum::array(values.iter().filter_map(|value| self.resolve(value)).collect())
            }
            other => other.clone(),
        };
        if let Some(part) = part {
            self.resolved.insert(part, Some(resolved.clone()));
        }
        Some(resolved)
    }

    fn are_in(&mut self, value: &Datum) -> bool {
        self.step();
        let part = self.shared_part(value);
        if let Some(known) = part.and_then(|part| self.holds.get(&part)) {
            return *known;
        }
        let found = match value {
            Datum::Object(object) => {
                object.pseudo_type() == Some(LITERAL)
                    || object.iter().any(|(_, value)| self.are_in(value))
            }
            Datum::Array(values) => values.iter().any(|value| self.are_in(value)),
            _ => false,
        };
        if let Some(part) = part {
            self.holds.insert(part, found);
        }
        found
    }

    /// What a part is known by that may occur elsewhere too, once the search is long.
    fn shared_part(&self, value: &Datum) -> Option<usize> {
        if self.is_long() { value.shared_address() } else { None }
    }

    /// Whether it is time to remember what is shared.
    pub(super) fn is_long(&self) -> bool {
        self.steps >= SHORT_SEARCH
    }

    /// Counts a step of the merge that the search is part of.
    pub(super) fn step(&mut self) {
        work::step();
        self.steps = self.steps.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use super::super::edit::literal;
    use super::super::merge;
    use super::*;

    /// An array and an object of two of the same part, that part alike, and so on: 2^80 parts.
    fn doubled(innermost: Datum) -> Datum {
        (0..40).fold(innermost, |part, _| {
            let part = Datum::array(vec![part.clone(), part]);
            Datum::object([("a", part.clone()), ("b", part)])
        })
    }

    #[test]
    fn a_shared_part_is_looked_at_once() {
        work::observe_with(Some(|_| resume_unwind(Box::new("the search is too long"))));
        let old = Datum::object([("id", Datum::Number(1.0))]);
        let plain = doubled(Datum::Null);
        let merged = merge(&old, &Datum::object([("x", plain.clone())])).unwrap();
        let literals = doubled(literal(Some(Datum::Null)));
        let resolved = merge(&old, &Datum::object([("x", literals)])).unwrap();
        work::observe_with(None);
        let mut part = (merged.get("x").unwrap(), resolved.get("x").unwrap());
        assert_eq!(part.0, &plain);
        for _ in 0..40 {
            part = (
                &part.0.get("b").unwrap().as_array().unwrap()[1],
                &part.1.get("b").unwrap().as_array().unwrap()[1],
            );
        }
        assert_eq!(part, (&Datum::Null, &Datum::Null));
    }
}
