//! Tells the simulation that a bound of `limits.rs` was met, so that none stays untried. Outside of tests it does nothing.
//! Must not know what a bound means.

/// A bound was met: what lies beyond it is refused, cut, or done in another way.
#[cfg(not(test))]
pub(super) fn crossed(_bound: &'static str) {}

#[cfg(test)]
pub(super) use in_tests::{crossed, take};

#[cfg(test)]
mod in_tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        /// A simulated store does everything on the thread of its life.
        static CROSSED: RefCell<BTreeMap<&'static str, u64>> = RefCell::default();
    }

    pub(in crate::storage) fn crossed(bound: &'static str) {
        CROSSED.with_borrow_mut(|bounds| *bounds.entry(bound).or_default() += 1);
    }

    /// How often each was met on this thread since this was asked before.
    pub(in crate::storage) fn take() -> BTreeMap<&'static str, u64> {
        CROSSED.take()
    }
}
