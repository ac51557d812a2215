//! Lines of the log that others can cause as often as they like: one in some seconds, with how often it happened. Knows
//! moments and counts; not what happened.

use std::time::Instant;

use parking_lot::Mutex;

use crate::limits;

/// What is told seldom.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// It happened. When it is to be told, gives how often it has happened since it was told last.
    pub fn happened(&self) -> Option<u64> {
        self.happened_at(Instant::now())
    }

    fn happened_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        state.untold += 1;
        let told = state
            .told
            .is_some_and(|told| now.saturating_duration_since(told) < limits::LOG_REPEAT_INTERVAL);
        if told {
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_told_seldom_and_with_a_count() {
        let (seldom, began) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.happened_at(began), Some(1));
        let told = (0..1_000).filter_map(|_| seldom.happened_at(began)).count();
        assert_eq!(told, 0);
        let later = began + limits::LOG_REPEAT_INTERVAL;
        assert_eq!(seldom.happened_at(later), Some(1_001));
        assert_eq!(seldom.happened_at(later), None);
    }
}
