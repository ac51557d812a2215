//! `photondb serve`: settings, threads, the server, until it is told to stop.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tracing::{error, warn};

use crate::config::{self, ConfigError, RawOptions, Settings};
use crate::limits;
use crate::log_lines::LogLines;
use crate::server;

/// Serves until a signal says to stop.
pub fn run(raw: RawOptions, lines: Arc<LogLines>) -> ExitCode {
    let settings = match settings(raw) {
        Ok(settings) => settings,
        Err(error) => {
            error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (control, workers) = match threads(&settings) {
        Ok(threads) => threads,
        Err(error) => {
            error!("the threads of the server cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let served = control.block_on(server::run(settings, lines, workers.handle().clone()));
    // What still evaluates has been told to stop and has had its time; the process ends with it.
    workers.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The main thread's runtime, and that of the threads which serve. The main thread starts the server and waits for the
/// signal that ends it, and hears it even while every other thread is busy.
fn threads(settings: &Settings) -> io::Result<(Runtime, Runtime)> {
    let control = Builder::new_current_thread().enable_all().build()?;
    let mut workers = Builder::new_multi_thread();
    if let Some(cores) = settings.cores {
        workers.worker_threads(cores);
    }
    let workers = workers
        .enable_all()
        .thread_name("photondb")
        .thread_stack_size(limits::THREAD_STACK_BYTES)
        .max_blocking_threads(limits::POOL_LANE_THREADS + limits::OTHER_BLOCKING_THREADS)
        .build()?;
    Ok((control, workers))
}

fn settings(mut raw: RawOptions) -> Result<Settings, ConfigError> {
    raw.environment(|name| std::env::var(name).ok())?;
    raw.config_file()?;
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = config::unknown_variables(names);
    if !unknown.is_empty() {
        warn!(
            "no option has these environment variables, which change nothing: {}",
            unknown.join(", ")
        );
    }
    Settings::check(&raw)
}
