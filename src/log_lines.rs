//! The last lines of the server's log, kept in memory for whoever asks for them. Knows lines; not who wrote them, nor
//! who reads them.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::bell::Bell;
use crate::limits;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Nanoseconds since 1970. No two lines have the same.
    pub nanoseconds: u64,
    /// How long the server had been running.
    pub uptime: Duration,
    /// RethinkDB's name of the level.
    pub level: &'static str,
    /// The text, cut when it is very long.
    pub message: String,
}

/// The last lines, bounded in number.
#[derive(Debug)]
pub struct LogLines {
    started: Instant,
    added: Bell,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of their times.
    lines: VecDeque<LogLine>,
    last: u64,
}

impl Default for LogLines {
    fn default() -> Self {
        LogLines { started: Instant::now(), added: Bell::default(), state: Mutex::default() }
    }
}

impl LogLines {
    /// The lines there are, the oldest first.
    pub fn all(&self) -> Vec<LogLine> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines.iter().cloned().collect()
    }

    /// Rung after every new line.
    pub fn added(&self) -> &Bell {
        &self.added
    }

    /// Adds a line; the oldest goes when there are too many.
    pub fn add(&self, level: Level, mut message: String) {
        if message.len() > limits::LOG_LINE_BYTES {
            message.truncate(message.floor_char_boundary(limits::LOG_LINE_BYTES));
        }
        let level = name_of(level);
        let uptime = self.started.elapsed();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The time is the line's identity: a clock that stands still or goes back must not repeat one.
        let nanoseconds = now.max(state.last.saturating_add(1));
        state.last = nanoseconds;
        if state.lines.len() >= limits::LOG_LINES {
            state.lines.pop_front();
        }
        state.lines.push_back(LogLine { nanoseconds, uptime, level, message });
        drop(state);
        self.added.ring();
    }
}

/// The target of events that go to the console alone, because they hold a secret.
pub const SECRET: &str = "secret";

/// What the server tells on its console is a notice to RethinkDB.
fn name_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "notice",
        _ => "debug",
    }
}

/// Takes lines down as they are logged.
pub struct Keep(pub Arc<LogLines>);

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if event.metadata().target() == SECRET {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        self.0.add(*event.metadata().level(), text.message + &text.fields);
    }
}

/// The message of an event, and its other fields behind it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn lines_are_kept_in_order_and_the_oldest_go() {
        let lines = LogLines::default();
        for number in 0..=limits::LOG_LINES {
            lines.add(Level::WARN, format!("line {number}"));
        }
        let all = lines.all();
        assert_eq!(all.len(), limits::LOG_LINES);
        assert_eq!(all[0].message, "line 1");
        assert!(all.is_sorted_by(|a, b| a.nanoseconds < b.nanoseconds));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let lines = LogLines::default();
        lines.add(Level::ERROR, "ä".repeat(limits::LOG_LINE_BYTES));
        let all = lines.all();
        assert!(all[0].message.len() <= limits::LOG_LINE_BYTES);
        assert!(all[0].message.ends_with('ä'));
    }

    #[test]
    fn events_become_lines() {
        let lines = Arc::new(LogLines::default());
        let subscriber = tracing_subscriber::registry().with(Keep(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: SECRET, "a password");
            tracing::info!(port = 7, "Listening");
        });
        let all = lines.all();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].level, all[0].message.as_str()), ("notice", "Listening port=7"));
    }
}
