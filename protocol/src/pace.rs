//! Lets whoever reads a long query look up from it. Reading cannot be told to stop, so it calls an observer once in
//! [`VALUES`] values, which may unwind to end it. Knows nothing of why a query is not read to its end.

use std::cell::Cell;

thread_local! {
    static OBSERVER: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// Values between two calls of the observer: some ten microseconds.
pub const VALUES: usize = 1024;

/// Sets the observer of what this thread reads, and gives the one it had.
pub fn observe_with(observer: Option<fn()>) -> Option<fn()> {
    OBSERVER.replace(observer)
}

/// To be called for each value, with their number so far.
#[inline]
pub(crate) fn count(values: usize) {
    if values.is_multiple_of(VALUES) {
        look();
    }
}

#[cold]
fn look() {
    if let Some(observer) = OBSERVER.get() {
        observer();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{catch_unwind, resume_unwind};

    use super::*;
    use crate::query::parse;

    #[test]
    fn reading_a_long_query_can_be_ended() {
        let deep = |inner: &str| format!("[1,{}{inner}{}]", "[2,[".repeat(100), "]]".repeat(100));
        let numbers = format!("[2,[{}]]", vec!["1"; 2 * VALUES].join(","));
        for body in [format!("[1,{numbers}]"), deep(&numbers)] {
            assert!(parse(body.as_bytes()).is_ok());
            observe_with(Some(|| resume_unwind(Box::new("enough"))));
            let ended = catch_unwind(|| parse(body.as_bytes()).is_ok());
            observe_with(None);
            assert!(ended.is_err());
        }
    }
}
