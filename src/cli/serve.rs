//! `photondb serve`: settings, threads, the server, until it is told to stop.

use std::process::ExitCode;

use tokio::runtime::Builder;
use tracing::error;

use crate::config::{ServeArgs, Settings};
use crate::limits;
use crate::server;

/// Serves until a signal says to stop.
pub fn run(args: ServeArgs) -> ExitCode {
    let settings = match Settings::check(args) {
        Ok(settings) => settings,
        Err(error) => {
            error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = Builder::new_multi_thread()
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
