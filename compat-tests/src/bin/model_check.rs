//! `model-check`: random queries against a server and against a model of it; the first answer that differs is shown,
//! with the command that repeats it. Only arguments and the report.
#![expect(clippy::print_stdout, reason = "a command that reports to the person who runs it")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use compat_tests::harness::release_binary;
use compat_tests::model::{ModelError, Plan, run};

/// Compares the answers of a server with those of a model.
#[derive(Parser)]
struct Arguments {
    /// The server to start, when not that of the release build.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Repeats a run.
    #[arg(long)]
    seed: Option<u64>,
    /// How many clients there are, each with a table; every fourth is several who share one.
    #[arg(long, default_value_t = 4)]
    clients: u64,
    /// Only the client of this number.
    #[arg(long)]
    client: Option<u64>,
    /// Steps of all clients together.
    #[arg(long, default_value_t = 100_000)]
    steps: u64,
    /// Seconds after which no more steps are taken.
    #[arg(long)]
    seconds: Option<u64>,
    /// Kill the server now and then.
    #[arg(long)]
    kills: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let folder = match tempfile::Builder::new().prefix("model-check-").tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            println!("model-check: a folder for the data: {error}");
            return ExitCode::FAILURE;
        }
    };
    let clients = match arguments.client {
        Some(client) => vec![client],
        None => (0..arguments.clients.max(1)).collect::<Vec<_>>(),
    };
    let plan = Plan {
        binary: arguments.server.unwrap_or_else(release_binary),
        folder: folder.path().to_owned(),
        seed: arguments.seed.unwrap_or_else(seed_of_the_clock),
        steps: arguments.steps.div_ceil(clients.len() as u64),
        clients,
        time: arguments.seconds.map(Duration::from_secs),
        kills: arguments.kills,
    };
    println!("seed {}", plan.seed);
    let began = Instant::now();
    let error = match run(&plan) {
        Ok(tally) => {
            println!(
                "{} steps in {:.0} s, killed {} times, verified {} times; every answer is the model's",
                tally.steps,
                began.elapsed().as_secs_f64(),
                tally.kills,
                tally.verified
            );
            println!("1 passed, 0 failed");
            return ExitCode::SUCCESS;
        }
        Err(error) => error,
    };
    println!("FAILED: {error}\nthe data is in {}", folder.keep().display());
    if let ModelError::Differs { client, step, .. } = error {
        println!("to repeat it: scripts/model-check.sh {}", repeats(&plan, client, step));
    }
    println!("0 passed, 1 failed");
    ExitCode::FAILURE
}

/// The arguments that lead to the same step again. Kills come when they come.
fn repeats(plan: &Plan, client: u64, step: u64) -> String {
    if plan.kills {
        let (clients, steps) = (plan.clients.len() as u64, plan.steps);
        return format!(
            "--seed {} --clients {clients} --steps {} --kills",
            plan.seed,
            steps * clients
        );
    }
    format!("--seed {} --client {client} --steps {step}", plan.seed)
}

fn seed_of_the_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos())
}
