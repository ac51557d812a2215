//! The time that `r.now()` stands for, as a value. Knows nothing of queries.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::datum::{Datum, REQL_TYPE, TIME};

/// Gives the current time as a datum. Keeps the last one: many queries come within the same millisecond.
#[derive(Debug)]
pub struct Clock {
    milliseconds: u64,
    now: Datum,
}

impl Clock {
    /// A clock that has not been read.
    pub fn new() -> Self {
        Clock { milliseconds: 0, now: time(0) }
    }

    /// The time, to the millisecond, in UTC.
    pub fn now(&mut self) -> &Datum {
        // A clock set before 1970 reads as 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        if milliseconds != self.milliseconds {
            *self = Clock { milliseconds, now: time(milliseconds) };
        }
        &self.now
    }
}

fn time(milliseconds: u64) -> Datum {
    Datum::object([
        (REQL_TYPE, Datum::from(TIME)),
        ("epoch_time", Datum::Number(milliseconds as f64 / 1e3)),
        ("timezone", Datum::from("+00:00")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_milliseconds_and_a_zone() {
        let text = time(1_700_000_000_250).to_json();
        assert_eq!(
            text,
            r#"{"$reql_type$":"TIME","epoch_time":1700000000.25,"timezone":"+00:00"}"#
        );
    }

    #[test]
    fn it_moves_on() {
        let mut clock = Clock::new();
        let first = clock.now().to_json();
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert_ne!(first, clock.now().to_json());
    }
}
