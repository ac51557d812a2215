//! `with-server COMMAND..`: runs a command beside a server of its own, whose driver port is in `PHOTONDB_PORT` and
//! HTTP port in `PHOTONDB_HTTP_PORT`; ends with the command's exit status. Only processes, no protocol.
#![expect(clippy::print_stderr, reason = "a command that reports to the person who runs it")]

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;
use compat_tests::harness::{Server, release_binary};

/// Runs a command beside a server of its own; PHOTONDB_PORT says where it listens.
#[derive(Parser)]
struct Arguments {
    /// The server to start, when not that of the release build.
    #[arg(long)]
    server: Option<PathBuf>,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("with-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<u8, Box<dyn Error>> {
    let (program, rest) = arguments.command.split_first().ok_or("no command")?;
    let server = Server::start(&arguments.server.clone().unwrap_or_else(release_binary))?;
    let status = Command::new(program)
        .args(rest)
        .env("PHOTONDB_PORT", server.address().port().to_string())
        .env("PHOTONDB_HTTP_PORT", server.http_address().port().to_string())
        .status()
        .map_err(|error| format!("{program}: {error}"))?;
    if !status.success() {
        eprintln!("the server's log ends:\n{}", server.log_tail());
    }
    // a command that was killed has no code
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
