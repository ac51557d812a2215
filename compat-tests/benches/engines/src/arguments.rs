//! The command line: which workloads on which engines, and how large. A child is given the same arguments, and what
//! it has to do. Must not know how anything is measured.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

use crate::data::Kind;
use crate::stores::Engine;

/// Runs the same workloads on the storage engine of PhotonDB and on its peers, each in a process and a directory of
/// its own, and prints a line for every figure: workload, engine, bytes of a value, metric, figure, unit.
#[derive(Debug, Clone, Parser)]
#[command(name = "engines")]
pub struct Arguments {
    /// Workloads, or groups of them.
    #[arg(value_enum, default_value = "compare")]
    pub workloads: Vec<Workload>,
    /// Engines to compare; all that were built in unless given.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub engines: Vec<Engine>,
    /// Entries of the compared workloads.
    #[arg(long, default_value_t = 1_000_000)]
    pub keys: u64,
    /// Bytes of a value; the compared workloads are run with each.
    #[arg(long, value_delimiter = ',', default_value = "256,1200")]
    pub value_bytes: Vec<usize>,
    /// What values are made of.
    #[arg(long, value_enum, default_value = "random")]
    pub values: Kind,
    /// Cache of an engine when everything is to be in it, in MB.
    #[arg(long, default_value_t = 4_096)]
    pub cache: usize,
    /// How long workloads without an end of their own run, in seconds.
    #[arg(long, default_value_t = 4.0)]
    pub seconds: f64,
    /// Threads that put; the workload is run with each number.
    #[arg(long, value_delimiter = ',', default_value = "1,64")]
    pub threads: Vec<usize>,
    /// `beyond`: the cache of which the data is ten times the size, in MB.
    #[arg(long, default_value_t = 128)]
    pub beyond_cache: usize,
    /// `count`: entries.
    #[arg(long, default_value_t = 10_000_000)]
    pub count_keys: u64,
    /// `recover`: log to be read again, in MB.
    #[arg(long, default_value_t = 64)]
    pub recover_log: u64,
    /// `open`: size of the store, in MB.
    #[arg(long, default_value_t = 10_240)]
    pub open_size: u64,
    /// `reclaim`: how long to watch what happens to the files, in seconds.
    #[arg(long, default_value_t = 60.0)]
    pub reclaim_seconds: f64,
    /// `stall`: changes that the checkpoint has to write, in MB.
    #[arg(long, default_value_t = 1_024)]
    pub stall_size: u64,
    /// Small sizes: tells within seconds whether everything works, but nothing of how fast it is.
    #[arg(long)]
    pub smoke: bool,
    /// Fails when a figure misses what it has to reach.
    #[arg(long)]
    pub strict: bool,
    /// Where the stores are made, each in a directory that is removed afterwards.
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// What a child does.
    #[arg(long, value_enum, hide = true)]
    pub role: Option<Role>,
    /// The directory of a child's store.
    #[arg(long, hide = true)]
    pub store: Option<PathBuf>,
}

/// A workload, or a group of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Workload {
    /// Load of sorted entries, and the size of the files after it.
    Load,
    /// Reads of single values, all in the cache.
    Read,
    /// Scans of everything, all in the cache.
    Scan,
    /// Transactions of a thousand entries in random order, each durable.
    RandomLoad,
    /// Single durable puts.
    Put,
    /// Reads and scans of ten times as much as the cache holds, and the memory that takes.
    Beyond,
    /// Counts and ranks in a large tree; ours only.
    Count,
    /// A start after a kill; ours only.
    Recover,
    /// A start of a large store that was closed; ours only.
    Open,
    /// What becomes of the files when most is deleted; ours only.
    Reclaim,
    /// Commits while a large checkpoint is being written; ours only.
    Stall,
    /// Those that all engines have.
    Compare,
    /// Those that are ours only.
    Own,
    /// Everything.
    All,
}

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    Load,
    Read,
    Scan,
    RandomLoad,
    Put,
    Beyond,
    Count,
    RecoverWrite,
    RecoverOpen,
    Open,
    Reclaim,
    Stall,
}

impl Workload {
    const COMPARED: [Self; 6] =
        [Self::Load, Self::Read, Self::Scan, Self::RandomLoad, Self::Put, Self::Beyond];
    const OWN: [Self; 5] = [Self::Count, Self::Recover, Self::Open, Self::Reclaim, Self::Stall];
}

impl Arguments {
    /// The workloads that were asked for, groups taken apart.
    pub fn wanted(&self) -> Vec<Workload> {
        let mut wanted = Vec::new();
        for workload in &self.workloads {
            match workload {
                Workload::Compare => wanted.extend(Workload::COMPARED),
                Workload::Own => wanted.extend(Workload::OWN),
                Workload::All => wanted.extend(Workload::COMPARED.into_iter().chain(Workload::OWN)),
                single => wanted.push(*single),
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// With the small sizes, if those were asked for.
    pub fn scaled(mut self) -> Self {
        if self.engines.is_empty() {
            self.engines = Engine::built();
        }
        if self.smoke {
            self.keys = self.keys.min(5_000);
            self.cache = self.cache.min(64);
            self.seconds = self.seconds.min(0.2);
            self.threads = vec![4];
            self.beyond_cache = self.beyond_cache.min(4);
            self.count_keys = self.count_keys.min(20_000);
            self.recover_log = self.recover_log.min(2);
            self.open_size = self.open_size.min(16);
            self.reclaim_seconds = self.reclaim_seconds.min(1.0);
            self.stall_size = self.stall_size.min(8);
        }
        self
    }

    /// The same for a child that plays `role` with one engine.
    pub fn for_child(&self, role: Role, engine: Engine, store: &Path) -> Self {
        let mut child = self.clone();
        child.role = Some(role);
        child.engines = vec![engine];
        child.store = Some(store.to_owned());
        child
    }

    /// As words of a command line, for those that a child reads.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut add = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let list =
            |values: &[usize]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        if let Some(role) = self.role {
            add("role", name(role.to_possible_value()));
        }
        if let Some(store) = &self.store {
            add("store", store.display().to_string());
        }
        add("engines", self.engines.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        add("values", name(self.values.to_possible_value()));
        add("value-bytes", list(&self.value_bytes));
        add("threads", list(&self.threads));
        add("keys", self.keys.to_string());
        add("cache", self.cache.to_string());
        add("seconds", self.seconds.to_string());
        add("beyond-cache", self.beyond_cache.to_string());
        add("count-keys", self.count_keys.to_string());
        add("recover-log", self.recover_log.to_string());
        add("open-size", self.open_size.to_string());
        add("reclaim-seconds", self.reclaim_seconds.to_string());
        add("stall-size", self.stall_size.to_string());
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_reads_what_its_parent_wrote() {
        let arguments = Arguments::parse_from(["engines", "all", "--smoke"]).scaled();
        assert_eq!(arguments.wanted().len(), 11);
        let child = arguments.for_child(Role::RandomLoad, Engine::Slab, Path::new("somewhere"));
        let words = [vec!["engines".to_owned()], child.words()].concat();
        let read = Arguments::parse_from(words);
        assert_eq!(read.role, Some(Role::RandomLoad));
        assert_eq!(read.engines, [Engine::Slab]);
        assert_eq!(read.words(), child.words());
    }
}
