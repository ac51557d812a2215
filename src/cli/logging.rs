//! Where the log goes: to the standard error output, as much as `RUST_LOG` asks for, and its last lines to memory.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::log_lines::{Keep, LogLines};

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT: &str = "info";

/// Starts logging. Called once, before anything else. Gives the place where the last lines are kept.
pub fn start() -> Arc<LogLines> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = Arc::new(LogLines::default());
    let console =
        fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).with_target(false);
    tracing_subscriber::registry().with(filter).with(console).with(Keep(lines.clone())).init();
    lines
}
