//! Counts what happens, and tells how often it did lately. Knows numbers, not what they are of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often something happened in a second: between the last two ticks.
#[derive(Debug, Default)]
pub struct Rate {
    at_last_tick: AtomicU64,
    /// The bits of a double.
    per_second: AtomicU64,
}

impl Rate {
    /// The rate; nothing before the first tick.
    pub fn per_second(&self) -> f64 {
        f64::from_bits(self.per_second.load(Ordering::Relaxed))
    }

    /// So often it has happened since the start, and so much time has passed since the last tick. One task calls it,
    /// and no other.
    pub fn tick(&self, total: u64, elapsed: Duration) {
        let before = self.at_last_tick.swap(total, Ordering::Relaxed);
        let seconds = elapsed.as_secs_f64();
        if seconds > 0.0 {
            let rate = total.saturating_sub(before) as f64 / seconds;
            self.per_second.store(rate.to_bits(), Ordering::Relaxed);
        }
    }
}

/// Counts one kind of event, which is one addition, and knows its rate.
#[derive(Debug, Default)]
pub struct Meter {
    total: AtomicU64,
    rate: Rate,
}

impl Meter {
    /// It happened so many times.
    pub fn add(&self, times: u64) {
        self.total.fetch_add(times, Ordering::Relaxed);
    }

    /// How often it has happened since the start.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// How often it happened in a second lately.
    pub fn per_second(&self) -> f64 {
        self.rate.per_second()
    }

    /// As [`Rate::tick`].
    pub fn tick(&self, elapsed: Duration) {
        self.rate.tick(self.total(), elapsed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_interval() {
        let meter = Meter::default();
        meter.add(30);
        assert_eq!((meter.total(), meter.per_second()), (30, 0.0));
        meter.tick(Duration::from_secs(2));
        assert_eq!(meter.per_second(), 15.0);
        meter.tick(Duration::ZERO);
        assert_eq!(meter.per_second(), 15.0);
        meter.add(1);
        meter.tick(Duration::from_millis(500));
        assert_eq!((meter.total(), meter.per_second()), (31, 2.0));
        meter.tick(Duration::from_secs(1));
        assert_eq!(meter.per_second(), 0.0);
    }
}
