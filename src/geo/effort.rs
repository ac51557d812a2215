//! Work that can be called off: shapes of many thousand edges may take long to compare.
//!
//! Knows nothing of who calls it off, and why.

use std::cell::Cell;

use thiserror::Error;

use crate::datum::DatumError;

/// Whether to go on is asked once in so many steps; a step takes some ten nanoseconds.
const STEPS_BETWEEN_CHECKS: usize = 10_000;

/// Why there is no answer about shapes.
#[derive(Clone, Debug, Error)]
pub enum GeoError {
    /// They are no shapes, or not of the right type.
    #[error(transparent)]
    Shape(#[from] DatumError),
    /// The work was called off.
    #[error("the comparison of shapes was stopped")]
    Stopped,
}

/// Work under way. Once it is over, what loops answer means nothing: they only come to an end. Whoever began the work
/// asks [`Effort::done`] before the answer is used.
pub struct Effort<'a> {
    go_on: &'a dyn Fn() -> bool,
    steps: Cell<usize>,
    over: Cell<bool>,
}

impl<'a> Effort<'a> {
    /// Work that goes on as long as `go_on` says so.
    pub fn new(go_on: &'a dyn Fn() -> bool) -> Effort<'a> {
        Effort { go_on, steps: Cell::new(0), over: Cell::new(false) }
    }

    /// Counts steps, and says whether the work is over.
    pub(super) fn spend(&self, steps: usize) -> bool {
        let sum = self.steps.get() + steps;
        if sum < STEPS_BETWEEN_CHECKS {
            self.steps.set(sum);
        } else {
            self.steps.set(0);
            self.over.set(self.over.get() || !(self.go_on)());
        }
        self.over.get()
    }

    /// The answer, unless the work was called off.
    pub(super) fn done<T>(&self, answer: T) -> Result<T, GeoError> {
        if self.over.get() { Err(GeoError::Stopped) } else { Ok(answer) }
    }
}

/// Work that nobody calls off.
#[cfg(test)]
pub(super) fn unbounded() -> Effort<'static> {
    Effort::new(&|| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_when_it_is_called_off() {
        let asked = Cell::new(0);
        let go_on = || asked.replace(asked.get() + 1) < 1;
        let effort = Effort::new(&go_on);
        assert!(!effort.spend(STEPS_BETWEEN_CHECKS - 1));
        assert_eq!(asked.get(), 0);
        assert!(!effort.spend(1) && effort.done(1).is_ok());
        assert!(effort.spend(STEPS_BETWEEN_CHECKS));
        assert!(matches!(effort.done(1), Err(GeoError::Stopped)));
        assert!(effort.spend(1), "over is over");
    }
}
