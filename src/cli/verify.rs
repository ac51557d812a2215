//! `photondb verify`: walks through the data of a server that does not run, and says whether all of it is sound.
//! Changes nothing. Knows what the report says, not how it is found.
#![expect(clippy::print_stdout, reason = "the report is what the command is for")]

use std::process::ExitCode;

use tracing::error;

use crate::config::{RawOptions, directory};
use crate::server::{self, Findings, Verified, VerifyError};

/// Prints what was found. Fails with what is wrong, each with its place, and when there is nothing to look at.
pub fn run(mut raw: RawOptions) -> ExitCode {
    let directory = match raw.environment(|name| std::env::var(name).ok()) {
        Ok(()) => directory(&raw),
        Err(error) => {
            error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let Verified { storage: report, data } = match server::verify(&directory) {
        Ok(verified) => verified,
        Err(VerifyError::Broken(Findings { listed, others })) => {
            listed.iter().for_each(|finding| error!("{}: {finding}", directory.display()));
            if others > 0 {
                error!("{}: {others} others are not listed", directory.display());
            }
            return ExitCode::FAILURE;
        }
        Err(error) => {
            error!("{}: {error}", directory.display());
            return ExitCode::FAILURE;
        }
    };
    println!("{} is sound.", directory.display());
    println!(
        "checkpoint {}: commits up to {}, {} trees, {} entries, {} nodes, {} long values",
        report.checkpoint,
        report.checkpoint_sequence,
        report.trees,
        report.entries,
        report.nodes,
        report.long_values,
    );
    println!(
        "data file: {} slots of {} bytes in {} extents, {} extents free",
        report.slots, report.slot_bytes, report.extents, report.free_extents,
    );
    if report.lost_slots > 0 {
        println!("{} of the slots are lost room, of damaged values deleted", report.lost_slots);
    }
    println!(
        "log: commits up to {}, {} of them in {} groups of {} bytes in {} segments",
        report.last_sequence,
        report.log_commits,
        report.log_groups,
        report.log_bytes,
        report.log_segments,
    );
    println!(
        "tables: {} with {} documents, {} indexes of them with {} entries",
        data.tables, data.documents, data.indexes, data.entries,
    );
    ExitCode::SUCCESS
}
