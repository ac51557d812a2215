//! The bounds in force and what is switched off, in one line of the log at the start: what was asked for may have come from a file or the
//! environment, and what was not is made from the machine. Knows numbers and options; not what keeps them.

use std::fmt::Write;
use std::time::Duration;

use tracing::info;

use crate::limits;
use crate::reql::MemoryBounds;
use crate::reql::http_client::Policy;

use super::open_files::ConnectionBounds;

/// What bounds the server, and what is switched off.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Bytes of memory that it may have, if that is known.
    pub memory: Option<u64>,
    /// Bytes of the cache; none where all data is in memory.
    pub cache: Option<u64>,
    /// What queries may take of memory.
    pub queries: MemoryBounds,
    /// What waits and is held for clients.
    pub shares: Shares,
    /// Connections at once.
    pub connections: ConnectionBounds,
    /// Connections of one address.
    pub of_one_address: Option<usize>,
    /// The time of an evaluation.
    pub timeout: Option<Duration>,
    /// What takes longer is told.
    pub slow: Option<Duration>,
    /// Whether scripts run.
    pub scripts: bool,
    /// What requests queries may make.
    pub requests: Policy,
}

/// Parts of the memory of the server, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// Of the queries and streams that wait.
    pub held: u64,
    /// Of large queries that are arriving.
    pub arriving: u64,
    /// Of answers that clients have not read.
    pub unread: u64,
    /// Of changes that wait for feeds.
    pub feeds: u64,
    /// Of those that wait for one feed.
    pub one_feed: u64,
}

impl Bounds {
    /// Tells the log.
    pub fn tell(&self) {
        info!("{}", self.line());
    }

    fn line(&self) -> String {
        let number = |most: usize| most.to_string();
        let ConnectionBounds { drivers, http } = self.connections;
        let mut line = "Bounds in force: ".to_owned();
        for (option, value) in self.memory().into_iter().chain([
            ("connections of drivers", number(drivers)),
            ("of HTTP clients", number(http)),
            ("--max-connections-per-address", self.of_one_address.map_or_else(none, number)),
            ("--query-timeout", self.timeout.map_or_else(none, seconds)),
            ("queries over HTTP", seconds(Duration::from_secs(limits::HTTP_QUERY_SECONDS))),
            ("--slow-query-ms", self.slow.map_or_else(none, |time| time.as_millis().to_string())),
            ("scripts", if self.scripts { "on" } else { "off (--no-scripts)" }.to_owned()),
        ]) {
            // A String takes whatever is written to it.
            let _ = write!(line, "{option} {value}, ");
        }
        line + "HTTP requests " + &self.requests()
    }

    fn memory(&self) -> [(&'static str, String); 8] {
        let part = |bytes: u64| self.memory.map_or_else(none, |_| megabytes(bytes));
        let Shares { held, arriving, unread, feeds, one_feed } = self.shares;
        [
            ("--memory-limit", self.memory.map_or_else(none, megabytes)),
            ("--cache-size", self.cache.map_or_else(none, megabytes)),
            ("--query-memory", part(self.queries.one)),
            ("queries and streams that wait", part(held)),
            ("large queries that arrive", part(arriving)),
            ("unread answers", part(unread)),
            ("changes that wait for feeds", part(feeds)),
            ("for one feed", megabytes(one_feed)),
        ]
    }

    fn requests(&self) -> String {
        let Policy { allowed, denied, .. } = &self.requests;
        match denied.as_slice() {
            _ if !allowed => "off (--no-http-requests)".to_owned(),
            [] => "on, --http-deny none".to_owned(),
            denied => {
                let denied: Vec<String> = denied.iter().map(ToString::to_string).collect();
                format!("on but to {} (--http-deny)", denied.join(", "))
            }
        }
    }
}

fn none() -> String {
    "none".to_owned()
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes / (1024 * 1024))
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// What the operator is told whose `--memory-limit` is more than the machine or its container has.
pub fn lowered(asked: Option<u64>, there_is: Option<u64>) -> Option<String> {
    let (asked, there_is) = asked.zip(there_is).filter(|(asked, there_is)| asked > there_is)?;
    Some(format!(
        "--memory-limit {} MB is more than this machine or its container has: it becomes {}",
        asked / (1024 * 1024),
        megabytes(there_is)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_tells_every_bound_by_the_option_that_sets_it() {
        let memory = Some(1 << 30);
        let [held, arriving, unread, feeds, one_feed] = [256, 250, 64, 60, 15].map(|mb| mb << 20);
        let bounds = Bounds {
            memory,
            cache: Some(256 << 20),
            queries: MemoryBounds::of(1 << 30, Some(200 << 20)),
            shares: Shares { held, arriving, unread, feeds, one_feed },
            connections: ConnectionBounds { drivers: 700, http: 90 },
            of_one_address: Some(20),
            timeout: Some(Duration::from_millis(2_500)),
            slow: Some(Duration::from_millis(100)),
            scripts: true,
            requests: Policy::default(),
        };
        assert_eq!(
            bounds.line(),
            "Bounds in force: --memory-limit 1024 MB, --cache-size 256 MB, --query-memory 200 MB, queries and streams that wait \
             256 MB, large queries that arrive 250 MB, unread answers 64 MB, changes that wait for feeds 60 MB, for one feed \
             15 MB, connections of drivers 700, of HTTP clients 90, --max-connections-per-address 20, --query-timeout 2.5 s, \
             queries over HTTP 60 s, --slow-query-ms 100, scripts on, HTTP requests on but to 169.254.0.0/16, fe80::/10, \
             fd00:ec2::254/128, 100.100.100.200/32 (--http-deny)"
        );
        let none = Bounds {
            memory: None,
            cache: None,
            of_one_address: None,
            timeout: None,
            slow: None,
            scripts: false,
            requests: Policy { denied: Vec::new(), ..Policy::default() },
            ..bounds
        };
        assert_eq!(
            none.line(),
            "Bounds in force: --memory-limit none, --cache-size none, --query-memory none, queries and streams that wait none, \
             large queries that arrive none, unread answers none, changes that wait for feeds none, for one feed 15 MB, \
             connections of drivers 700, of HTTP clients 90, --max-connections-per-address none, --query-timeout none, \
             queries over HTTP 60 s, --slow-query-ms none, scripts off (--no-scripts), HTTP requests on, --http-deny none"
        );
        let off = Bounds { requests: Policy { allowed: false, ..Policy::default() }, ..none };
        assert!(off.line().ends_with("HTTP requests off (--no-http-requests)"));
    }

    #[test]
    fn a_limit_that_the_machine_does_not_have_is_told_with_what_it_becomes() {
        assert_eq!(lowered(Some(400 << 20), Some(400 << 20)), None);
        assert_eq!([lowered(None, Some(1 << 30)), lowered(Some(1 << 30), None)], [None, None]);
        assert_eq!(
            lowered(Some(2 << 30), Some(1 << 30)).unwrap(),
            "--memory-limit 2048 MB is more than this machine or its container has: it becomes 1024 MB"
        );
    }
}
