//! What the server counts, in Prometheus' form. Knows numbers and their names, not where they come from.
//!
//! Queries are counted where they are evaluated, a million a second if need be: each session has a [`Recorder`] of its
//! own and adds it to the server's numbers once in a while, so that processors do not fight over them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::local::LocalHistogram;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::limits;
use crate::meter::Rate;

/// The upper bounds of the buckets for the time that queries take, in seconds.
const SECONDS: [f64; 15] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 1e-1, 5e-1, 2.5, 10.0,
];

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A driver over TCP.
    Tcp,
    /// A driver over a stream of a QUIC connection.
    Quic,
    /// An HTTP client.
    Http,
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All places are taken.
    Full,
    /// Its address has as many as one may have.
    Address,
}

/// A bound of the server's that a query has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// What it may take of memory, or all queries together.
    Memory,
    /// How long it may be evaluated.
    Time,
}

/// Why the server closed a connection by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Its client did not read its answers while others needed the memory.
    Unread,
    /// Its client did not go on with a large query while others waited for its place.
    Stalled,
}

/// How a query ended, or began to stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a value, or the first rows.
    Success,
    /// It was no query.
    ClientError,
    /// It cannot be run.
    CompileError,
    /// It failed while it ran.
    RuntimeError,
    /// It was stopped, by its client, the table of jobs, or a bound of the server's.
    Stopped,
}

const TRANSPORTS: [(Transport, &str); 3] =
    [(Transport::Tcp, "tcp"), (Transport::Quic, "quic"), (Transport::Http, "http")];

const REFUSALS: [(Refusal, &str); 2] = [(Refusal::Full, "full"), (Refusal::Address, "address")];

const BOUNDS: [(Bound, &str); 2] = [(Bound::Memory, "memory"), (Bound::Time, "time")];

const CLOSED: [(Closed, &str); 2] = [(Closed::Unread, "unread"), (Closed::Stalled, "stalled")];

const OUTCOMES: [(Outcome, &str); 5] = [
    (Outcome::Success, "success"),
    (Outcome::ClientError, "client_error"),
    (Outcome::CompileError, "compile_error"),
    (Outcome::RuntimeError, "runtime_error"),
    (Outcome::Stopped, "stopped"),
];

/// The server's numbers.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    connections: [IntGauge; 3],
    connections_total: [IntCounter; 3],
    refused: [IntCounter; 2],
    closed: [IntCounter; 2],
    queries: [IntCounter; 5],
    ended: [IntCounter; 2],
    rate: Rate,
    seconds: Histogram,
    /// The text that was made last, and when.
    recent: Mutex<Option<(Instant, Bytes)>>,
}

impl Metrics {
    /// All numbers at zero.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let labels = ["transport"];
        let open = Opts::new("photondb_connections", "Open connections, by transport.");
        let open = IntGaugeVec::new(open, &labels)?;
        registry.register(Box::new(open.clone()))?;
        let total = "Connections since the start, by transport.";
        let total = IntCounterVec::new(Opts::new("photondb_connections_total", total), &labels)?;
        registry.register(Box::new(total.clone()))?;
        let counted = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let help = "Connections that were refused since the start, by why.";
        let refused = counted("photondb_connections_refused_total", help, "reason")?;
        let help = "Connections that the server closed by itself since the start, by why.";
        let closed = counted("photondb_connections_closed_total", help, "reason")?;
        let help = "Queries since the start, by how they ended or began to stream.";
        let queries = counted("photondb_queries_total", help, "outcome")?;
        let help = "Queries that the server ended since the start, by the bound that they passed.";
        let ended = counted("photondb_queries_ended_total", help, "bound")?;
        let seconds = "Time from reading a query to having its first answer.";
        let seconds = HistogramOpts::new("photondb_query_seconds", seconds);
        let seconds = Histogram::with_opts(seconds.buckets(SECONDS.to_vec()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Metrics {
            connections: TRANSPORTS.map(|(_, name)| open.with_label_values(&[name])),
            connections_total: TRANSPORTS.map(|(_, name)| total.with_label_values(&[name])),
            refused: REFUSALS.map(|(_, name)| refused.with_label_values(&[name])),
            closed: CLOSED.map(|(_, name)| closed.with_label_values(&[name])),
            queries: OUTCOMES.map(|(_, name)| queries.with_label_values(&[name])),
            ended: BOUNDS.map(|(_, name)| ended.with_label_values(&[name])),
            rate: Rate::default(),
            registry,
            seconds,
            recent: Mutex::default(),
        })
    }

    /// Adds numbers that are kept elsewhere and asked for when somebody wants to read them.
    pub fn add(&self, numbers: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        self.registry.register(numbers)
    }

    /// Counts a connection for as long as the result lives.
    pub fn connected(&self, transport: Transport) -> Connected {
        let index = transport as usize;
        if let Some(total) = self.connections_total.get(index) {
            total.inc();
        }
        let open = self.connections.get(index).cloned();
        if let Some(open) = &open {
            open.inc();
        }
        Connected(open)
    }

    /// Counts a connection that was refused.
    pub fn refused(&self, why: Refusal) {
        if let Some(total) = self.refused.get(why as usize) {
            total.inc();
        }
    }

    /// Counts a connection that the server closed by itself.
    pub fn closed(&self, why: Closed) {
        if let Some(total) = self.closed.get(why as usize) {
            total.inc();
        }
    }

    /// Counts a query that the server ended by itself.
    pub fn ended(&self, bound: Bound) {
        if let Some(total) = self.ended.get(bound as usize) {
            total.inc();
        }
    }

    /// Counts the queries of one session.
    pub fn recorder(&self) -> Recorder {
        Recorder {
            queries: self.queries.clone(),
            counted: [0; 5],
            seconds: self.seconds.local(),
            any: false,
        }
    }

    /// Open connections of drivers.
    pub fn driver_connections(&self) -> u64 {
        let drivers = [Transport::Tcp, Transport::Quic];
        let open = drivers.iter().filter_map(|transport| self.connections.get(*transport as usize));
        open.map(|open| u64::try_from(open.get()).unwrap_or(0)).sum()
    }

    /// Queries since the start, however they ended.
    pub fn queries_total(&self) -> u64 {
        self.queries.iter().map(IntCounter::get).sum()
    }

    /// Queries in a second, lately.
    pub fn queries_per_second(&self) -> f64 {
        self.rate.per_second()
    }

    /// So much time has passed since the last tick. One task calls it, and no other.
    pub fn tick(&self, elapsed: Duration) {
        self.rate.tick(self.queries_total(), elapsed);
    }

    /// All numbers as Prometheus reads them.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// As [`Metrics::text`], or as it was a moment ago: whoever asks again and again makes nobody look at every table and at
    /// the system each time.
    pub fn recent_text(&self) -> Result<Bytes, prometheus::Error> {
        self.recent_text_at(Instant::now())
    }

    fn recent_text_at(&self, now: Instant) -> Result<Bytes, prometheus::Error> {
        let mut recent = self.recent.lock();
        if let Some((made, text)) = &*recent
            && now.saturating_duration_since(*made) < limits::METRICS_AGE
        {
            return Ok(text.clone());
        }
        let text = Bytes::from(self.text()?);
        *recent = Some((now, text.clone()));
        Ok(text)
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Connected(Option<IntGauge>);

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(open) = &self.0 {
            open.dec();
        }
    }
}

/// Counts the queries of one session, and hands the counts on when told to or dropped.
#[derive(Debug)]
pub struct Recorder {
    queries: [IntCounter; 5],
    counted: [u64; 5],
    seconds: LocalHistogram,
    any: bool,
}

impl Recorder {
    /// Counts a query that took so long.
    pub fn record(&mut self, outcome: Outcome, took: Duration) {
        if let Some(counted) = self.counted.get_mut(outcome as usize) {
            *counted += 1;
        }
        self.seconds.observe(took.as_secs_f64());
        self.any = true;
    }

    /// Adds what was counted to the server's numbers.
    pub fn flush(&mut self) {
        if !self.any {
            return;
        }
        self.any = false;
        self.seconds.flush();
        for (total, counted) in self.queries.iter().zip(&mut self.counted) {
            if *counted > 0 {
                total.inc_by(std::mem::take(counted));
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.text().unwrap()).unwrap()
    }

    #[test]
    fn labels_stand_where_their_numbers_are() {
        for (index, (transport, _)) in TRANSPORTS.iter().enumerate() {
            assert_eq!(*transport as usize, index);
        }
        for (index, (outcome, _)) in OUTCOMES.iter().enumerate() {
            assert_eq!(*outcome as usize, index);
        }
        assert_eq!(REFUSALS.map(|(refusal, _)| refusal as usize), [0, 1]);
        assert_eq!(CLOSED.map(|(closed, _)| closed as usize), [0, 1]);
        assert_eq!(BOUNDS.map(|(bound, _)| bound as usize), [0, 1]);
    }

    #[test]
    fn who_asks_again_at_once_is_answered_with_what_was_made() {
        let (metrics, now) = (Metrics::new().unwrap(), Instant::now());
        let first = metrics.recent_text_at(now).unwrap();
        let _connected = metrics.connected(Transport::Tcp);
        for _ in 0..1_000 {
            let again = metrics.recent_text_at(now + limits::METRICS_AGE / 2).unwrap();
            assert_eq!(again.as_ptr(), first.as_ptr());
        }
        let later = metrics.recent_text_at(now + limits::METRICS_AGE).unwrap();
        assert!(later != first);
    }

    #[test]
    fn connections_are_counted_while_they_live() {
        let metrics = Metrics::new().unwrap();
        let first = metrics.connected(Transport::Tcp);
        drop(metrics.connected(Transport::Tcp));
        let text_now = text(&metrics);
        assert!(text_now.contains("photondb_connections{transport=\"tcp\"} 1"), "{text_now}");
        assert!(text_now.contains("photondb_connections_total{transport=\"tcp\"} 2"), "{text_now}");
        drop(first);
        assert!(text(&metrics).contains("photondb_connections{transport=\"tcp\"} 0"));
    }

    #[test]
    fn queries_are_counted_by_outcome_and_time() {
        let metrics = Metrics::new().unwrap();
        let mut recorder = metrics.recorder();
        recorder.record(Outcome::Success, Duration::from_micros(20));
        recorder.record(Outcome::Success, Duration::from_secs(20));
        recorder.record(Outcome::RuntimeError, Duration::from_micros(20));
        assert!(text(&metrics).contains("photondb_queries_total{outcome=\"success\"} 0"));
        drop(recorder);
        let text = text(&metrics);
        assert!(text.contains("photondb_queries_total{outcome=\"success\"} 2"), "{text}");
        assert!(text.contains("photondb_queries_total{outcome=\"runtime_error\"} 1"), "{text}");
        assert!(text.contains("photondb_query_seconds_bucket{le=\"0.000025\"} 2"), "{text}");
        assert!(text.contains("photondb_query_seconds_count 3"), "{text}");
    }
}
