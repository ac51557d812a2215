//! How long a query may be evaluated, and on whose behalf. Knows durations and texts; not what is evaluated.
//!
//! The operator may bound all queries, and each query itself. The time begins anew with each batch of rows that a client
//! asks for, when it does, so that waiting for a thread is part of it: it bounds what the server does at a time, not how long a client keeps a stream or a feed open.

use std::time::{Duration, Instant};

use super::error::{Error, ErrorKind};
use crate::cancel::CancelFlag;
use crate::datum::{Datum, number_to_json};
use crate::{limits, turns};

/// When an evaluation must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
    why: Why,
}

/// A bound on the time of each evaluation of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeout {
    after: Duration,
    why: Why,
}

/// Whose bound it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Of the server, for queries over HTTP: nobody else sets a moment himself.
    Http,
    /// The option of the query.
    Query(Duration),
    /// The option of the server.
    Server(Duration),
}

impl Timeout {
    /// That of the option `timeout_ms` of the query.
    pub(super) fn of_query(after: Duration) -> Timeout {
        Timeout { after, why: Why::Query(after) }
    }

    /// As that, from what the query says.
    pub(super) fn read(milliseconds: &Datum) -> Result<Timeout, Error> {
        let most = limits::OPTION_TIME_MAX.as_millis();
        let given = match milliseconds {
            Datum::Number(number) => {
                let whole = milliseconds.as_integer().ok();
                let after = whole.and_then(|whole| u64::try_from(whole).ok());
                let allowed = |after: &u64| (1..=most).contains(&u128::from(*after));
                if let Some(after) = after.filter(allowed) {
                    return Ok(Timeout::of_query(Duration::from_millis(after)));
                }
                let mut text = Vec::new();
                number_to_json(*number, &mut text);
                String::from_utf8_lossy(&text).into_owned()
            }
            other => other.type_name().to_string(),
        };
        Err(Error::logic(format!(
            "`timeout_ms` must be a whole number of milliseconds from 1 to {most} (got {given})."
        )))
    }

    /// That of the option `--query-timeout` of the server.
    pub(super) fn of_server(after: Duration) -> Timeout {
        Timeout { after, why: Why::Server(after) }
    }

    /// The shorter of two.
    pub(super) fn shorter(self, other: Option<Timeout>) -> Timeout {
        other.filter(|other| other.after < self.after).unwrap_or(self)
    }

    /// When an evaluation must have ended that was asked for then. A time beyond what the clock can tell is none.
    pub(super) fn starting_at(self, asked: Instant) -> Option<Deadline> {
        let at = asked.checked_add(self.after)?;
        Some(Deadline { at, why: self.why })
    }
}

impl Deadline {
    /// That of a query over HTTP.
    pub fn over_http(at: Instant) -> Deadline {
        Deadline { at, why: Why::Http }
    }

    /// The earlier of two.
    pub(super) fn earlier(one: Option<Deadline>, other: Option<Deadline>) -> Option<Deadline> {
        [one, other].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    /// The moment.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Fails when it has passed.
    pub(super) fn check(&self) -> Result<(), Error> {
        if Instant::now() < self.at {
            return Ok(());
        }
        let message = match self.why {
            Why::Http => format!(
                "The query ran longer than the server allows over HTTP, {} s.",
                limits::HTTP_QUERY_SECONDS
            ),
            Why::Query(after) => format!(
                "Query terminated by its option `timeout_ms` after {} ms.",
                after.as_millis()
            ),
            Why::Server(after) => format!(
                "Query terminated by the option `--query-timeout` of the server after {} s.",
                after.as_secs_f64()
            ),
        };
        Err(Error::new(ErrorKind::TimedOut, message))
    }
}

/// Fails when a query was asked to stop, or its time is over. Where others want to go on, it waits for its turn first.
pub(super) fn interrupted(cancel: &CancelFlag, deadline: Option<Deadline>) -> Result<(), Error> {
    turns::look(cancel, deadline.map(|deadline| deadline.at()));
    if cancel.is_cancelled() {
        return Err(Error::new(
            ErrorKind::Cancelled,
            "Query interrupted.  Did you shut down the server?",
        ));
    }
    deadline.map_or(Ok(()), |deadline| deadline.check())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_none_is_refused_by_the_name_of_the_option() {
        for (given, shown) in [
            (Datum::Number(0.0), "0"),
            (Datum::Number(-5.0), "-5"),
            (Datum::Number(1.5), "1.5"),
            (Datum::Number(31_622_400_001.0), "31622400001"),
            (Datum::Number(1e300), "1e300"),
            (Datum::from("5"), "STRING"),
            (Datum::Null, "NULL"),
        ] {
            let text = format!(
                "`timeout_ms` must be a whole number of milliseconds from 1 to 31622400000 (got {shown})."
            );
            assert_eq!(Timeout::read(&given).unwrap_err().message(), text);
        }
        let after = Duration::from_millis(7);
        assert_eq!(Timeout::read(&Datum::Number(7.0)).unwrap(), Timeout::of_query(after));
    }

    #[test]
    fn the_shorter_time_counts_and_is_told_with_its_number() {
        let (short, long) = (Duration::ZERO, Duration::from_secs(600));
        let server = Timeout::of_server(long);
        let both = Timeout::of_query(short).shorter(Some(server));
        let error = both.starting_at(Instant::now()).unwrap().check().unwrap_err();
        assert_eq!(error.message(), "Query terminated by its option `timeout_ms` after 0 ms.");
        assert_eq!(server.shorter(Some(Timeout::of_query(short))), both);
        server.starting_at(Instant::now()).unwrap().check().unwrap();
        let caller = Deadline::over_http(Instant::now());
        assert_eq!(
            Deadline::earlier(server.starting_at(Instant::now()), Some(caller)),
            Some(caller)
        );
        assert_eq!(
            caller.check().unwrap_err().message(),
            "The query ran longer than the server allows over HTTP, 60 s."
        );
        assert_eq!(Deadline::earlier(None, None), None);
        assert_eq!(Timeout::of_query(Duration::MAX).starting_at(Instant::now()), None);
    }
}
