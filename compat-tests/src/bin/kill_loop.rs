//! `kill-loop`: kills a server in the midst of writes, many times over, and says whether anything was lost.
//! Only arguments and the report.
#![expect(clippy::print_stdout, reason = "a command that reports to the person who runs it")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use compat_tests::harness::release_binary;
use compat_tests::kill_loop::{Plan, Tally, run};

/// Kills a server with hard commits in flight, starts it again, and checks what is left.
#[derive(Parser)]
struct Arguments {
    /// The server to start, when not that of the release build.
    #[arg(long)]
    server: Option<PathBuf>,
    /// How many times it is killed.
    #[arg(long, default_value_t = 1_000)]
    cycles: u64,
    /// Repeats the choices of a run. What was in flight at a kill depends on the machine all the same.
    #[arg(long)]
    seed: Option<u64>,
    /// Keep what the data was before the last start, too.
    #[arg(long)]
    keep_before: bool,
    /// The folder in which the data is kept while it runs, and left when something is wrong.
    #[arg(long)]
    within: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let within = arguments.within.unwrap_or_else(std::env::temp_dir);
    let folder = match tempfile::Builder::new().prefix("kill-loop-").tempdir_in(within) {
        Ok(folder) => folder,
        Err(error) => {
            println!("kill-loop: a folder for the data: {error}");
            return ExitCode::FAILURE;
        }
    };
    let plan = Plan {
        binary: arguments.server.unwrap_or_else(release_binary),
        folder: folder.path().to_owned(),
        cycles: arguments.cycles,
        keeps_before: arguments.keep_before,
        seed: arguments.seed.unwrap_or_else(seed_of_the_clock),
    };
    println!("seed {}", plan.seed);
    let began = Instant::now();
    let mut told = |cycle: u64, tally: &Tally| {
        println!("{cycle} cycles, {:.0} s: {}", began.elapsed().as_secs_f64(), summary(tally));
    };
    match run(&plan, &mut told) {
        Ok(tally) => {
            told(plan.cycles, &tally);
            println!("0 lost, 0 partial");
            println!("1 passed, 0 failed");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!(
                "FAILED: {error}\nseed {}; the data is in {}",
                plan.seed,
                folder.keep().display()
            );
            println!("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

fn summary(tally: &Tally) -> String {
    format!(
        "killed writing {}, starting {}, stopping {}, stopped {}, verified {}; {} operations, {} had to last and did, \
         {} more lasted; slowest start {:.0} ms",
        tally.killed_writing,
        tally.killed_starting,
        tally.killed_stopping,
        tally.stopped,
        tally.verified,
        tally.operations,
        tally.certain,
        tally.lasted,
        tally.slowest_start.as_secs_f64() * 1e3,
    )
}

fn seed_of_the_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos())
}
