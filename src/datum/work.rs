//! The meter of walks through values. A value may hold one part many times over, so walking it can take far longer than
//! the value is large. Every walk therefore counts its steps here, and after [`WALK_STEPS`] of them the meter calls the
//! observer that the thread's query has set.
//!
//! Comparing and printing cannot fail, so an observer ends a walk by unwinding, as a damaged document does
//! ([`super::DamagedDocument`]). Whoever sets the observer catches what it unwinds with. Knows nothing of queries, and
//! nothing of why a walk is ended.

use std::cell::Cell;

use crate::limits::WALK_STEPS;

thread_local! {
    static METER: Meter =
        const { Meter { left: Cell::new(WALK_STEPS), observer: Cell::new(None) } };
}

struct Meter {
    /// Steps until the observer is called again.
    left: Cell<u32>,
    observer: Cell<Option<Observer>>,
}

/// Called once in [`WALK_STEPS`] steps, on the thread that walks, and told for how many times so many steps. May unwind to
/// end the walk.
pub type Observer = fn(u32);

/// Counts a step of a walk: one value that is visited.
#[inline]
pub fn step() {
    steps(1);
}

/// Counts so many steps at once. Bytes of texts are counted by [`byte_steps`].
#[inline]
pub fn steps(count: usize) {
    METER.with(|meter| match (meter.left.get() as usize).checked_sub(count) {
        Some(left) => meter.left.set(left as u32),
        None => meter.observe(1 + count / WALK_STEPS as usize),
    });
}

/// Calls the observer now: for those who wait instead of walking.
pub fn look() {
    METER.with(|meter| meter.observe(1));
}

/// Counts the steps that so many bytes of text are worth, to be compared, copied, searched or written. To be called before
/// that is done.
#[inline]
pub fn byte_steps(bytes: usize) {
    const BYTES_PER_STEP: usize = 64;
    if bytes >= BYTES_PER_STEP {
        steps(bytes / BYTES_PER_STEP);
    }
}

/// Sets the thread's observer and gives the one it had.
pub fn observe_with(observer: Option<Observer>) -> Option<Observer> {
    METER.with(|meter| {
        meter.left.set(WALK_STEPS);
        meter.observer.replace(observer)
    })
}

impl Meter {
    #[cold]
    fn observe(&self, looks: usize) {
        self.left.set(WALK_STEPS);
        if let Some(observer) = self.observer.get() {
            observer(u32::try_from(looks).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{catch_unwind, resume_unwind};

    use super::*;
    use crate::datum::Datum;

    thread_local! {
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }

    #[derive(Debug, PartialEq)]
    struct Ended;

    /// An array of two of the same part, that part alike, and so on.
    fn doubled(levels: u32, innermost: Datum) -> Datum {
        (0..levels).fold(innermost, |part, _| Datum::array(vec![part.clone(), part]))
    }

    /// What a walk comes to when it is ended at the observer's first call.
    #[track_caller]
    fn check_ends<T>(walk: impl FnOnce() -> T) {
        observe_with(Some(|_| resume_unwind(Box::new(Ended))));
        let ended = catch_unwind(std::panic::AssertUnwindSafe(walk));
        observe_with(None);
        assert_eq!(ended.err().and_then(|cause| cause.downcast().ok()), Some(Box::new(Ended)));
    }

    #[test]
    fn the_observer_is_called_once_in_so_many_steps() {
        observe_with(Some(|looks| CALLS.set(CALLS.get() + looks)));
        (0..=WALK_STEPS).for_each(|_| step());
        assert_eq!(CALLS.get(), 1);
        steps(WALK_STEPS as usize);
        assert_eq!(CALLS.get(), 1);
        byte_steps(64);
        assert_eq!(CALLS.get(), 2);
        byte_steps(64 * 5 * WALK_STEPS as usize);
        assert_eq!(CALLS.get(), 8);
        observe_with(None);
        steps(usize::MAX);
        assert_eq!(CALLS.get(), 8);
    }

    #[test]
    fn every_walk_of_a_value_that_holds_itself_many_times_can_be_ended() {
        let (one, other) = (doubled(60, Datum::Null), doubled(60, Datum::Null));
        let object = |value: &Datum| Datum::object([("a", value.clone())]);
        let paths = || crate::datum::edit::Paths::parse(&object(&object(&Datum::Bool(true))));
        let paths = paths().unwrap();
        let holder = object(&one);
        let holder = holder.as_object().unwrap();
        let long = |last: i32| {
            let chain = (0..200_000).map(|at| Datum::array(vec![Datum::Number(f64::from(at))]));
            Datum::array(chain.chain([Datum::Number(f64::from(last))]).collect())
        };
        check_ends(|| long(1) == long(2));
        check_ends(|| object(&long(1)) == object(&long(1)));
        check_ends(|| long(1).compare(&long(1)));
        // Pairs of shared parts are compared once.
        assert_eq!(one, other);
        check_ends(|| one.print());
        check_ends(|| one.to_json());
        check_ends(|| one.check_json());
        check_ends(|| one.clone().detached());
        check_ends(|| one.size_up_to(usize::MAX));
        check_ends(|| one.fits(100, usize::MAX));
        // So many paths are refused.
        check_ends(|| crate::datum::edit::Paths::parse(&doubled(60, "a".into())));
        // Literals are looked for once in each shared part.
        assert!(crate::datum::merge(&Datum::Null, &one).is_ok());
        // A path enters one array below a field, so it is bounded by itself.
        assert!(paths.without(holder).is_ok());
    }

    #[test]
    fn equal_pointers_are_equal_without_a_walk() {
        let value = doubled(60, Datum::Null);
        assert_eq!(value, value.clone());
        let object = Datum::object([("a", value)]);
        assert_eq!(object, object.clone());
        assert_eq!(object.compare(&object.clone()), std::cmp::Ordering::Equal);
    }

    #[test]
    fn a_message_shows_the_beginning_of_a_value_without_walking_all_of_it() {
        observe_with(Some(|_| panic!("a message walked too far")));
        let text = doubled(60, Datum::Null).truncated_print();
        observe_with(None);
        assert_eq!(text.len(), 300);
    }
}
