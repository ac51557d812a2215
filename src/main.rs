//! The `photondb` binary: hands over to the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    photondb::cli::main()
}
