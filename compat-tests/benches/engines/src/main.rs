//! `engines`: the same workloads on the storage engine of PhotonDB and on its peers, in one run, with equal durability.
//! Only arguments and the report; `docs/storage.md` has the figures.

mod arguments;
mod data;
mod line;
mod measure;
mod parent;
mod report;
mod stores;
mod workloads;

use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

use crate::arguments::Arguments;
use crate::report::Report;
use crate::workloads::Task;

/// That of the server.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Whatever went wrong: it is printed, and ends the run.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.role {
        Some(role) => Task::new(&arguments).and_then(|task| task.run(role)).map(|()| true),
        None => run(&arguments.scaled()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("engines: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, reports, and says whether all is well.
fn run(arguments: &Arguments) -> Result<bool, Error> {
    let lines = parent::run(arguments)?;
    let report = Report::new(&lines);
    println!("\n{}\n", report.table);
    // Small sizes say nothing of how fast anything is.
    let verdicts = if arguments.smoke { &[] } else { &*report.verdicts };
    for verdict in verdicts {
        println!("{} {}", if verdict.holds { "pass" } else { "MISS" }, verdict.text);
    }
    for difference in &report.differences {
        println!("WRONG {difference}");
    }
    let misses = verdicts.iter().filter(|verdict| !verdict.holds).count();
    Ok(report.differences.is_empty() && !(arguments.strict && misses > 0))
}
