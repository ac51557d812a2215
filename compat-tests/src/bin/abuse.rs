//! `abuse`: starts a server, attacks it in every way of `compat_tests::abuse`, and prints what it took.
//! Only arguments and the report.
#![expect(clippy::print_stdout, reason = "a command that reports to the person who runs it")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use compat_tests::abuse::{self, ATTACKS, Ground, Measured, Memory, Probers};
use compat_tests::harness::{HarnessError, Server, release_binary};
use regex::Regex;

/// The first answer must come this soon after the start.
const START: Duration = Duration::from_millis(50);
/// Memory of a server that has answered one query, in bytes.
const IDLE: u64 = 20 << 20;
/// Megabytes that a query of the server may take: the least there can be, so that attacks on it are brief.
const QUERY_MEMORY: &str = "128";
/// Starts of which the quickest counts, after the first.
const STARTS: usize = 2;

/// Attacks a server of its own with noise and load, and measures what that does to it.
#[derive(Parser)]
struct Arguments {
    /// The server to start, when not that of the release build.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Ten million bytes and a million frames, not a slice of them.
    #[arg(long)]
    full: bool,
    /// Only attacks whose name matches this pattern.
    #[arg(long)]
    only: Option<Regex>,
    /// Repeats a run that found something.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints, after the rest, the rows of the table in docs/robustness.md.
    #[arg(long)]
    table: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("abuse: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, HarnessError> {
    let binary = arguments.server.clone().unwrap_or_else(release_binary);
    let (mut passed, mut failed) = (0, 0);
    let (mut server, quickest) = quickest_start(&binary)?;
    let idle = server.process().resident()?;
    let good = quickest <= START && idle <= IDLE;
    if good {
        passed += 1
    } else {
        failed += 1
    }
    println!(
        "{}first answer {quickest:?} after the start, idle at {:.1} MB",
        if good { "" } else { "FAILED: " },
        megabytes(idle)
    );
    let ground = Ground {
        address: server.address(),
        http: server.http_address(),
        process: server.process(),
        extent: if arguments.full { abuse::FULL } else { abuse::SLICE },
        seed: arguments.seed.unwrap_or_else(seed_of_the_clock),
    };
    println!("seed {}", ground.seed);
    if let Err(error) = Probers::prepare(ground.address) {
        println!("FAILED: {error}");
        return Ok(false);
    }
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| only.is_match(name));
    let mut rows = Vec::new();
    for attack in ATTACKS.into_iter().filter(|(name, _)| wanted(name)) {
        let began = Instant::now();
        let outcome = abuse::run(&ground, attack);
        let memory = outcome.memory;
        let [before, peak, after] = [memory.before, memory.peak, memory.after].map(megabytes);
        println!(
            "{:<28} {:>6.1} s, memory {before:.1} MB, at most {peak:.1} MB, then {after:.1} MB",
            attack.0,
            began.elapsed().as_secs_f64()
        );
        println!("    others: {}", outcome.others.iter().map(waits).collect::<Vec<_>>().join(", "));
        rows.push(row(attack.0, memory, &outcome.others));
        match outcome.result {
            Ok(story) => {
                passed += 1;
                println!("    {story}");
            }
            Err(error) => {
                failed += 1;
                println!("    FAILED: {error}\n    the server's log ends:\n{}", server.log_tail());
            }
        }
    }
    match server.stop()? {
        Some((status, took)) if status.success() => {
            passed += 1;
            println!("{:<28} {:>6.1} s", "stops when asked", took.as_secs_f64());
        }
        other => {
            failed += 1;
            println!("stops when asked\n    FAILED: {other:?}");
        }
    }
    if arguments.table {
        println!("{}", rows.join("\n"));
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

/// The server of the last of a few starts, and the shortest time from start to first answer: what else the machine
/// does at the moment counts less that way.
fn quickest_start(binary: &Path) -> Result<(Server, Duration), HarnessError> {
    let limit = abuse::MEMORY_LIMIT.to_string();
    let arguments = ["--memory-limit", &limit, "--query-memory", QUERY_MEMORY];
    let mut server = Server::start_with(binary, &arguments)?;
    let mut quickest = server.started_in();
    for _ in 0..STARTS {
        drop(server);
        server = Server::start_with(binary, &arguments)?;
        quickest = quickest.min(server.started_in());
    }
    Ok((server, quickest))
}

/// What one kind of question met, in a few words: half of them, 99 of 100 and all were answered within so long.
fn waits(measured: &Measured) -> String {
    let Measured { kind, answered, median, p99, longest, .. } = measured;
    let [median, p99, longest] =
        [median, p99, longest].map(|wait| format!("{:.1}", wait.as_secs_f64() * 1e3));
    format!("{kind} {median}/{p99}/{longest} ms of {answered}")
}

/// A row of a table: the attack, the memory at most and afterwards, and for each kind of question p99 and the longest wait.
fn row(attack: &str, memory: Memory, others: &[Measured]) -> String {
    let [peak, after] = [memory.peak, memory.after].map(megabytes);
    let waits = others.iter().map(|measured| {
        let [p99, longest] = [measured.p99, measured.longest].map(|wait| wait.as_secs_f64() * 1e3);
        format!("{p99:.0}, {longest:.0}")
    });
    format!("| {attack} | {peak:.0}, {after:.0} | {} |", waits.collect::<Vec<_>>().join(" | "))
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn seed_of_the_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::from(now.subsec_nanos())
}
