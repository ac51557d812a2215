//! The bounds in force, in one line of the log at the start: what was asked for may have come from a file or the
//! environment, and what was not is made from the machine. Knows numbers and options; not what keeps them.

use std::fmt::Write;
use std::time::Duration;

use tracing::info;

use crate::reql::MemoryBounds;

use super::open_files::ConnectionBounds;

/// What bounds the server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of memory that it may have, if that is known.
    pub memory: Option<u64>,
    /// Bytes of the cache; none where all data is in memory.
    pub cache: Option<u64>,
    /// What queries may take of memory.
    pub queries: MemoryBounds,
    /// Connections at once.
    pub connections: ConnectionBounds,
    /// Connections of one address.
    pub of_one_address: Option<usize>,
    /// The time of an evaluation.
    pub timeout: Option<Duration>,
    /// What takes longer is told.
    pub slow: Option<Duration>,
}

impl Bounds {
    /// Tells the log.
    pub fn tell(&self) {
        info!("{}", self.line());
    }

    fn line(&self) -> String {
        let megabytes = |bytes: u64| format!("{} MB", bytes / (1024 * 1024));
        let number = |most: usize| most.to_string();
        let milliseconds = |time: Duration| format!("{} ms", time.as_millis());
        let none = || "none".to_owned();
        let ConnectionBounds { drivers, http } = self.connections;
        let mut line = "Bounds in force: ".to_owned();
        for (option, value) in [
            ("--memory-limit", self.memory.map_or_else(none, megabytes)),
            ("--cache-size", self.cache.map_or_else(none, megabytes)),
            ("--query-memory", self.memory.map_or_else(none, |_| megabytes(self.queries.one))),
            ("connections of drivers", number(drivers)),
            ("of HTTP clients", number(http)),
            ("--max-connections-per-address", self.of_one_address.map_or_else(none, number)),
            ("--query-timeout", self.timeout.map_or_else(none, milliseconds)),
        ] {
            // A String takes whatever is written to it.
            let _ = write!(line, "{option} {value}, ");
        }
        line + "--slow-query-ms "
            + &self.slow.map_or_else(none, |time| time.as_millis().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_tells_every_bound_by_the_option_that_sets_it() {
        let memory = Some(1 << 30);
        let bounds = Bounds {
            memory,
            cache: Some(256 << 20),
            queries: MemoryBounds::of(1 << 30, Some(200 << 20)),
            connections: ConnectionBounds { drivers: 700, http: 90 },
            of_one_address: Some(20),
            timeout: Some(Duration::from_millis(2_500)),
            slow: Some(Duration::from_millis(100)),
        };
        assert_eq!(
            bounds.line(),
            "Bounds in force: --memory-limit 1024 MB, --cache-size 256 MB, --query-memory 200 MB, connections of drivers 700, \
             of HTTP clients 90, --max-connections-per-address 20, --query-timeout 2500 ms, --slow-query-ms 100"
        );
        let none = Bounds {
            memory: None,
            cache: None,
            of_one_address: None,
            timeout: None,
            slow: None,
            ..bounds
        };
        assert_eq!(
            none.line(),
            "Bounds in force: --memory-limit none, --cache-size none, --query-memory none, connections of drivers 700, \
             of HTTP clients 90, --max-connections-per-address none, --query-timeout none, --slow-query-ms none"
        );
    }
}
