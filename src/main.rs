//! The `photondb` binary: hands over to the command line.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Gives memory back soon after a burst, whichever thread took it: docs/decisions/0006-an-allocator-that-gives-back.md
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    photondb::cli::main()
}
