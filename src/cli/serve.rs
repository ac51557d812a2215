//! `photondb serve`: settings, threads, the server, until it is told to stop.

use std::process::ExitCode;

use tokio::runtime::Builder;
use tracing::error;

use crate::config::{ConfigError, RawOptions, Settings};
use crate::limits;
use crate::server;

/// Serves until a signal says to stop.
pub fn run(raw: RawOptions) -> ExitCode {
    let settings = match settings(raw) {
        Ok(settings) => settings,
        Err(error) => {
            error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut builder = Builder::new_multi_thread();
    if let Some(cores) = settings.cores {
        builder.worker_threads(cores);
    }
    let runtime = builder
        .enable_all()
        .thread_name("photondb")
        .thread_stack_size(limits::THREAD_STACK_BYTES)
        .max_blocking_threads(limits::POOL_THREADS + limits::OTHER_BLOCKING_THREADS)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            error!("the threads of the server cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let served = runtime.block_on(server::run(settings));
    // What still evaluates has been told to stop and has had its time; the process ends with it.
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn settings(mut raw: RawOptions) -> Result<Settings, ConfigError> {
    raw.environment(|name| std::env::var(name).ok())?;
    raw.config_file()?;
    Settings::check(&raw)
}
