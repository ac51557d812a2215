//! Clocks, percentiles, sizes of directories, memory of this process. Must not know engines or workloads.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};

use crate::Error;
use crate::data::Checksum;

/// Rounds of a measurement of which the median counts: one that was disturbed does not.
const ROUNDS: usize = 3;

/// Bytes of the blocks that `st_blocks` counts.
const BLOCK_BYTES: u64 = 512;

/// The median time of a few rounds, and the checksum of one, which is the same for all.
pub fn median(
    mut round: impl FnMut() -> Result<Checksum, Error>,
) -> Result<(Duration, Checksum), Error> {
    let mut times = Vec::new();
    let mut sums = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        sums.push(round()?);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let first = sums.first().copied().unwrap_or_default();
    if sums.iter().any(|sum| *sum != first) {
        return Err("two rounds over the same data read different bytes".into());
    }
    Ok((times.get(ROUNDS / 2).copied().unwrap_or_default(), first))
}

/// How long each of many things took.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds those of another.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The mean, in microseconds.
    pub fn mean(&self) -> f64 {
        let sum: Duration = self.0.iter().sum();
        sum.as_secs_f64() * 1e6 / self.0.len().max(1) as f64
    }

    /// The time that `part` of all stay below, in microseconds; 1.0 is the longest.
    pub fn percentile(&mut self, part: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let at = (part * last as f64).round() as usize;
        self.0.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    }
}

/// What the files of a directory take.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sizes {
    /// Bytes of blocks that belong to them.
    pub disk: u64,
    /// The sum of their lengths.
    pub length: u64,
}

/// Sizes of all files of a directory and those below it, whose names begin with `prefix`. A file that goes while this
/// looks counts nothing.
pub fn sizes(directory: &Path, prefix: &str) -> Result<Sizes, Error> {
    let mut sizes = Sizes::default();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            let below = self::sizes(&entry.path(), prefix)?;
            sizes.disk += below.disk;
            sizes.length += below.length;
        } else if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            sizes.disk += metadata.blocks() * BLOCK_BYTES;
            sizes.length += metadata.len();
        }
    }
    Ok(sizes)
}

/// Lets the operating system forget what it has in memory of the files of a directory.
pub fn forget(directory: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(directory)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// Reads the files of a directory, so that the operating system has them in memory.
pub fn warm(directory: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            warm(&path)?;
        } else {
            std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
        }
    }
    Ok(())
}

/// What all threads of this process together have had of the processors, in steps of ten milliseconds.
pub fn cpu_time() -> Result<Duration, Error> {
    /// What `/proc` counts in on every Linux.
    const TICK: Duration = Duration::from_millis(10);
    /// Fields between the program's name, which may have spaces, and the time in user mode.
    const BETWEEN: usize = 11;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let times = fields.split_whitespace().skip(BETWEEN).take(2).map(str::parse::<u32>);
    let ticks = times.sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}

/// A field of `/proc/self/status` in bytes: `VmRSS`, `RssAnon`.
pub fn memory(field: &str) -> Result<u64, Error> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    let kilobytes: u64 = number.ok_or("no such field in /proc/self/status")?.parse()?;
    Ok(kilobytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let mut times = Times::default();
        (1..=101).rev().for_each(|micros| times.push(Duration::from_micros(micros)));
        assert_eq!(times.percentile(0.5), 51.0);
        assert_eq!(times.percentile(1.0), 101.0);
        assert_eq!(times.mean().round(), 51.0);
    }

    #[test]
    fn sizes_count_blocks_and_lengths() {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(directory.path().join("a.sparse")).unwrap();
        file.set_len(1 << 20).unwrap();
        fs::write(directory.path().join("b"), [1; 5_000]).unwrap();
        file.sync_all().unwrap();
        assert_eq!(sizes(directory.path(), "").unwrap().length, (1 << 20) + 5_000);
        assert_eq!(sizes(directory.path(), "a.").unwrap().length, 1 << 20);
        assert!(sizes(directory.path(), "a.").unwrap().disk < 1 << 20);
        forget(directory.path()).unwrap();
        fs::create_dir(directory.path().join("c")).unwrap();
        warm(directory.path()).unwrap();
    }

    #[test]
    fn time_of_the_processors_grows() {
        let before = cpu_time().unwrap();
        let start = Instant::now();
        while cpu_time().unwrap() == before {
            assert!(start.elapsed() < Duration::from_secs(60));
        }
        assert!(cpu_time().unwrap() - before <= start.elapsed() + Duration::from_millis(20));
    }

    #[test]
    fn memory_is_read() {
        assert!(memory("VmRSS").unwrap() > 1 << 20);
        assert!(memory("NoSuchField").is_err());
    }
}
