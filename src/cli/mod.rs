//! The command line: subcommands, and what the process says and returns. Knows settings and the server's start; nothing
//! of what it serves.

mod logging;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::ServeArgs;

/// PhotonDB: a database server for RethinkDB drivers.
#[derive(Debug, Parser)]
#[command(name = "photondb", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients. The default when no command is given.
    Serve(ServeArgs),
}

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start();
    let args = match cli.command {
        Some(Command::Serve(args)) => args,
        None => cli.serve,
    };
    serve::run(args)
}
