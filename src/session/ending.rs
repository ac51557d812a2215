//! How queries end, and the log of those that the server ends by itself because a bound is passed: each is counted, and told in
//! a line that comes seldom. Knows outcomes and their words; not how a query is evaluated or answered.

use tracing::warn;

use crate::metrics::{self, Bound};
use crate::reql::running::Client;
use crate::reql::{ErrorKind, Failure, Passed};
use crate::seldom::Seldom;

use super::service::Service;

/// How a query ended, or an evaluation for it.
#[derive(Debug)]
pub(super) enum Ending {
    /// With a value or with rows.
    Answered,
    /// With an error.
    Failed,
    /// Somebody wanted it no more: its client, the table of jobs, or who stops the server.
    Stopped,
    /// The server ended it: with the bound that was passed, and what its client is told.
    Bounded(Bound, Box<str>),
    /// As that, of one that held much while others needed the memory: with what all may hold, in bytes.
    Evicted(u64),
}

impl Ending {
    /// With this failure.
    pub(super) fn of(failure: &Failure) -> Ending {
        let bounded = |bound| Ending::Bounded(bound, failure.message.as_str().into());
        match failure.kind {
            ErrorKind::Cancelled => Ending::Stopped,
            ErrorKind::TimedOut => bounded(Bound::Time),
            ErrorKind::OutOfMemory => bounded(Bound::Memory),
            _ => Ending::Failed,
        }
    }

    /// How the server's numbers call it.
    pub(super) fn counted(&self) -> metrics::Outcome {
        match self {
            Ending::Answered => metrics::Outcome::Success,
            Ending::Failed => metrics::Outcome::RuntimeError,
            Ending::Stopped | Ending::Bounded(..) | Ending::Evicted(_) => metrics::Outcome::Stopped,
        }
    }

    /// How the log calls it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Ending::Answered => "answered",
            Ending::Failed => "failed",
            Ending::Stopped => "stopped",
            Ending::Bounded(Bound::Time, _) => "out of time",
            Ending::Bounded(Bound::Memory, _) | Ending::Evicted(_) => "out of memory",
        }
    }
}

/// The queries that the server ended by itself, by bound.
#[derive(Debug, Default)]
pub struct Ended {
    memory: Seldom,
    time: Seldom,
}

/// Counts and tells of a query that ended so, if the server ended it.
pub(super) fn tell(service: &Service, client: &Client, ending: &Ending) {
    match ending {
        Ending::Bounded(bound, message) => tell_of(service, client, *bound, message),
        Ending::Evicted(most) => {
            tell_of(service, client, Bound::Memory, &Passed::Held(*most).message());
        }
        Ending::Answered | Ending::Failed | Ending::Stopped => {}
    }
}

fn tell_of(service: &Service, client: &Client, bound: Bound, message: &str) {
    service.metrics.ended(bound);
    let seldom = match bound {
        Bound::Memory => &service.ended.memory,
        Bound::Time => &service.ended.time,
    };
    let (user, address) = (short(&client.user).to_owned(), client.address);
    let message = message.to_owned();
    seldom.tell(move |count| {
        warn!(
            count,
            "queries were ended by the server, the last one of user {user:?} from {address}: {message}"
        );
    });
}

/// A name may be long.
pub(super) fn short(user: &str) -> &str {
    const NAME_BYTES: usize = 64;
    user.get(..user.floor_char_boundary(NAME_BYTES)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::jobs_tests;
    use super::super::testing::service;
    use crate::log_lines::{Keep, LogLines};

    #[tokio::test]
    async fn queries_that_the_server_ends_are_counted_and_told_seldom() {
        let lines = Arc::new(LogLines::default());
        let subscriber = tracing_subscriber::registry().with(Keep(lines.clone()));
        let _guard = tracing::subscriber::set_default(subscriber);
        let service = service();
        let mut client = jobs_tests::Client::new(&service);
        let endless = json!([
            43,
            [[39, [[173, [9_000_000_000_000_000u64]], [69, [[2, [1]], [17, [[10, [1]], -1]]]]]]]
        ]);
        for token in 1..=3 {
            client.send(token, &json!([1, endless, { "timeout_ms": 5 }]));
            assert_eq!(client.answer().await.1["t"], 18);
        }
        // Who wants a query no more is not told of.
        client.send(4, &json!([1, endless]));
        client.send(4, &json!([3]));
        let answers = [client.answer().await.0, client.answer().await.0];
        assert_eq!(answers, [4, 4], "the query and what stopped it");
        // Two that hold more than all may: the larger one is ended.
        service.holders.account().set_most(1 << 20);
        let holds = |bytes: usize| json!([1, [2, ["x".repeat(bytes), endless]]]);
        client.send(5, &holds(700_000));
        client.send(6, &holds(800_000));
        assert_eq!(client.answer().await.0, 6);
        drop(client);
        let text = String::from_utf8(service.metrics.text().unwrap()).unwrap();
        assert!(text.contains("photondb_queries_ended_total{bound=\"time\"} 3"), "{text}");
        assert!(text.contains("photondb_queries_ended_total{bound=\"memory\"} 1"), "{text}");
        let told: Vec<String> = lines.all().iter().map(|line| line.message.clone()).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        let by_whom = "the last one of user \"admin\" from 127.0.0.1:1: ";
        for (line, option) in told.iter().zip(["`timeout_ms`", "`--memory-limit`"]) {
            assert!(line.contains(by_whom) && line.contains(option), "{line}");
        }
    }
}
