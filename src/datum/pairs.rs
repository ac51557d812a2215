//! Pairs of shared values that one comparison has found to be equal.
//!
//! A value may hold one part many times over. Two such values that are equal, but were made apart, would be compared part
//! by part as often as each occurs: 2^40 times for forty arrays of twins. Only parts that compare equal are ever met again,
//! since a comparison ends with the first difference. So pairs of parts that are shared on both sides are remembered once a
//! comparison has become long, and looked at once. Knows addresses; not how values are compared.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashSet;

use crate::limits::SHARED_PAIRS;

/// Comparisons of shared parts after which pairs are remembered: short ones cost no memory.
const SHORT: u32 = 64;

thread_local! {
    static COMPARISON: RefCell<Comparison> = RefCell::default();
}

/// The addresses of two shared parts.
pub(super) type Pair = (usize, usize);

/// What is known while a comparison of shared parts goes on on this thread.
#[derive(Default)]
struct Comparison {
    /// How many are under way within each other.
    depth: u32,
    compared: u32,
    /// The parts live as long as the outermost comparison, which holds the values that they are in.
    equal: HashSet<Pair>,
}

impl Comparison {
    fn is_known(&self, pair: Pair) -> bool {
        !self.equal.is_empty() && self.equal.contains(&pair)
    }
}

/// Ends a comparison, also when it is unwound.
struct Under;

impl Under {
    fn begin() -> Under {
        COMPARISON.with_borrow_mut(|comparison| {
            comparison.depth += 1;
            comparison.compared = comparison.compared.saturating_add(1);
        });
        Under
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        COMPARISON.with_borrow_mut(|comparison| {
            comparison.depth -= 1;
            if comparison.depth == 0 {
                comparison.compared = 0;
                if !comparison.equal.is_empty() {
                    comparison.equal = HashSet::new();
                }
            }
        });
    }
}

/// Compares two parts that are both shared, unless they are known to be equal.
pub(super) fn compare(pair: Pair, compare: impl FnOnce() -> Ordering) -> Ordering {
    if COMPARISON.with_borrow(|comparison| comparison.is_known(pair)) {
        return Ordering::Equal;
    }
    let under = Under::begin();
    let ordering = compare();
    if ordering.is_eq() {
        COMPARISON.with_borrow_mut(|comparison| {
            if comparison.compared > SHORT && comparison.equal.len() < SHARED_PAIRS {
                comparison.equal.insert(pair);
            }
        });
    }
    drop(under);
    ordering
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::*;
    use crate::datum::{Datum, work};

    /// Objects and arrays that hold the same part twice, so many levels deep.
    fn doubled(levels: u32, innermost: Datum) -> Datum {
        (0..levels).fold(innermost, |part, _| {
            let twins = Datum::array(vec![part.clone(), part.clone()]);
            Datum::object([("a", part), ("b", twins)])
        })
    }

    #[test]
    fn values_that_share_their_parts_are_compared_part_by_part_once() {
        work::observe_with(Some(|_| resume_unwind(Box::new("the comparison is too long"))));
        let (one, other) = (doubled(40, Datum::Null), doubled(40, Datum::Null));
        assert_eq!(one, other);
        assert_eq!(one.cmp(&other), Ordering::Equal);
        let greater = doubled(40, Datum::Number(1.0));
        assert_eq!(one.cmp(&greater), Ordering::Less);
        // The difference is found behind what is equal.
        let with = |value: &Datum, last: f64| {
            Datum::array(vec![value.clone(), value.clone(), Datum::Number(last)])
        };
        assert_eq!(with(&one, 1.0).cmp(&with(&other, 2.0)), Ordering::Less);
        work::observe_with(None);
    }

    #[test]
    fn nothing_is_remembered_beyond_a_comparison() {
        let (one, other) = (doubled(20, Datum::Null), doubled(20, Datum::Null));
        let (one_twin, other_twin) = (one.clone(), other.clone());
        assert_eq!(one, other);
        // Nor when it is ended.
        let chain = |last: f64| {
            (0..60_000).map(|at| Datum::array(vec![Datum::Number(f64::from(at) + last)])).collect()
        };
        let (long, alike) = (Datum::array(chain(0.0)), Datum::array(chain(0.0)));
        let (long, alike) = (vec![long.clone(), long], vec![alike.clone(), alike]);
        work::observe_with(Some(|_| resume_unwind(Box::new(()))));
        let ended = catch_unwind(AssertUnwindSafe(|| long == alike));
        work::observe_with(None);
        assert!(ended.is_err());
        COMPARISON.with_borrow(|comparison| {
            assert_eq!((comparison.depth, comparison.compared), (0, 0));
            assert!(comparison.equal.is_empty());
        });
        drop((one_twin, other_twin));
    }
}
