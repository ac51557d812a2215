//! What has really happened in a simulation: how often each fault came, to which files, and in the middle of what.
//! Must not know what a fault means.

use std::collections::BTreeMap;
use std::fmt;

/// Counts of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// By event and kind of file, then by what the engine was about.
    counts: BTreeMap<(&'static str, String), BTreeMap<&'static str, u64>>,
}

impl Tally {
    pub(crate) fn add(&mut self, event: &'static str, file: &str, phase: &'static str, times: u64) {
        if times > 0 {
            let phases = self.counts.entry((event, file.to_owned())).or_default();
            *phases.entry(phase).or_default() += times;
        }
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for ((event, file), phases) in &other.counts {
            for (phase, times) in phases {
                self.add(event, file, phase, *times);
            }
        }
    }

    /// How often an event came, to any file that is named so, in any phase that is named so.
    pub(crate) fn count(&self, event: &str, file: Option<&str>, phase: Option<&str>) -> u64 {
        let is_meant = |(name, of): &(&'static str, String)| {
            *name == event && file.is_none_or(|file| of == file)
        };
        let phases = self.counts.iter().filter(|(key, _)| is_meant(key)).flat_map(|(_, at)| at);
        phases
            .filter(|(at, _)| phase.is_none_or(|phase| **at == phase))
            .map(|(_, times)| times)
            .sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((event, file), phases) in &self.counts {
            let total: u64 = phases.values().sum();
            let phases: Vec<_> = phases.iter().map(|(at, times)| format!("{at} {times}")).collect();
            writeln!(formatter, "{total:>10}  {event:<26} {file:<13} {}", phases.join(", "))?;
        }
        Ok(())
    }
}

/// The kind of a file: its name without a number.
pub(super) fn kind(name: &str) -> String {
    let is_number = |part: &&str| part.len() < 16;
    name.split('.').take_while(is_number).collect::<Vec<_>>().join(".")
}
