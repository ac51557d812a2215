//! The store behind the server: opens the engine that the settings ask for, in the server's folder.
//! Knows engines and their options; not what is kept in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};
use uuid::Uuid;

use super::machine;
use super::storage_metrics::StorageMetrics;
use crate::catalog::{Catalog, CatalogError};
use crate::config::{self, CacheSize, SlabSettings, StorageSettings};
use crate::metrics::Metrics;
use crate::reql::MemoryBounds;
use crate::storage::disk::FileDisk;
use crate::storage::memory::MemoryEngine;
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{Engine, StorageError};

/// Why the data cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the files.
    #[error("the data in {0} is in use by another process")]
    InUse(PathBuf),
    /// The engine refuses what is there, or the system refuses the engine.
    #[error("cannot open the data in {path}: {source}")]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the engine said.
        source: StorageError,
    },
    /// The cache that was set before, or is asked for in a machine with less than the limit, does not fit.
    #[error(
        "a cache of {set} MB is set, and --memory-limit leaves {most} MB for it: raise the limit, or start with --cache-size \
         auto or {most} at most"
    )]
    CacheTooLarge {
        /// Megabytes that are set.
        set: u64,
        /// Megabytes that there can be.
        most: u64,
    },
    /// What is set cannot be written.
    #[error("cannot write the data: {0}")]
    Settings(#[from] CatalogError),
    /// The numbers of the engine have names that do not go together with others.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Opens the engine, makes its files when there are none, and tells the log what was found.
pub fn open(
    settings: &StorageSettings,
    memory: Option<u64>,
    directory: &Path,
    metrics: &Metrics,
) -> Result<Arc<dyn Engine>, StoreError> {
    match settings {
        StorageSettings::Memory => {
            warn!(
                "Data is kept in memory (--storage-engine memory): it is gone when the server stops"
            );
            Ok(Arc::new(MemoryEngine::new()))
        }
        StorageSettings::Slab(settings) => {
            let engine = Arc::new(open_slab(settings, memory, directory)?);
            metrics.add(Box::new(StorageMetrics::new(engine.clone())?))?;
            Ok(engine)
        }
    }
}

/// Whether a store was made in the folder before.
pub fn has_data(directory: &Path) -> bool {
    let disk = FileDisk::new(directory);
    // Who cannot look says nothing here; the engine will, when it opens the store.
    crate::storage::store::exists(&disk).unwrap_or(false)
}

fn open_slab(
    settings: &SlabSettings,
    memory: Option<u64>,
    directory: &Path,
) -> Result<SlabEngine, StoreError> {
    let cache_bytes = match settings.cache {
        Some(CacheSize::Bytes(bytes)) => bytes,
        // What was set before is in there: it counts once the store is open.
        Some(CacheSize::Auto) | None => automatic_cache_bytes(memory),
    };
    let cache_bytes = usize::try_from(cache_bytes).unwrap_or(usize::MAX);
    let mut options = SlabOptions::new(Uuid::new_v4().into_bytes(), cache_bytes);
    options.flush_interval = Some(settings.flush_interval);
    let began = Instant::now();
    let opened = SlabEngine::open(Arc::new(FileDisk::new(directory)), options);
    let engine = opened.map_err(|error| refusal(directory, error))?;
    tell_recovery(engine.recovered_commits(), began.elapsed());
    Ok(engine)
}

/// Gives the engine the memory that is asked for, which is then the one that is set, or that was set before. Tells the
/// log. It is `most` at most, if there is a bound.
pub fn settle_cache(
    asked: Option<CacheSize>,
    memory: Option<u64>,
    most: Option<u64>,
    catalog: &Catalog,
) -> Result<(), StoreError> {
    let megabytes = |bytes: u64| bytes / (1024 * 1024);
    let before = catalog.state().settings().cache_bytes;
    let wanted = match asked {
        None => before,
        Some(CacheSize::Auto) => None,
        Some(CacheSize::Bytes(bytes)) => Some(bytes),
    };
    if let Some((set, most)) = wanted.zip(most).filter(|(set, most)| set > most) {
        let [set, most] = [set, most].map(megabytes);
        return Err(StoreError::CacheTooLarge { set, most });
    }
    if wanted != before {
        catalog.change_settings(|settings| settings.cache_bytes = wanted)?;
    }
    let bytes = wanted.unwrap_or_else(|| automatic_cache_bytes(memory));
    match wanted {
        None => info!("Automatically using cache size of {} MB", megabytes(bytes)),
        Some(bytes) => info!("Cache size is set to {} MB", megabytes(bytes)),
    }
    if let Some(machine) = memory.filter(|machine| bytes > machine / 4 * 3) {
        warn!(
            "Cache size does not leave much memory for server and query overhead \
             (available memory: {} MB)",
            megabytes(machine)
        );
    }
    catalog.engine().set_memory_bytes(bytes);
    Ok(())
}

/// Bytes that the server may have: what the operator allows, as far as the machine or its container has it. `None` when
/// neither is known.
pub fn memory(allowed: Option<u64>) -> Option<u64> {
    machine::memory().into_iter().chain(allowed).min()
}

/// A part of what the server may have, in bytes. All that there could be where it is not known how much that is.
pub fn part(allowed: Option<u64>, part: u64) -> u64 {
    memory(allowed).map_or(u64::MAX, |bytes| bytes / part)
}

/// What queries may take of so much memory.
pub fn memory_bounds(memory: Option<u64>, query_memory: Option<u64>) -> MemoryBounds {
    MemoryBounds::of(memory.unwrap_or(u64::MAX), query_memory)
}

/// The memory of an engine that is told nothing else: a part of what there is. A system that does not tell how much there
/// is gets by with the least.
pub fn automatic_cache_bytes(memory: Option<u64>) -> u64 {
    config::automatic_cache_bytes(memory.unwrap_or(0))
}

/// The largest cache that leaves room for a query in what the operator allows; `None` where the operator has not said how much
/// that is.
pub fn cache_bytes_most(allowed: Option<u64>, query_memory: Option<u64>) -> Option<u64> {
    let memory = memory(Some(allowed?))?;
    Some(config::cache_bytes_most(memory, query_memory))
}

fn tell_recovery(commits: u64, took: Duration) {
    if commits > 0 {
        info!("Recovered {commits} commits from the log in {} ms", took.as_millis());
    }
}

fn refusal(directory: &Path, error: StorageError) -> StoreError {
    let path = directory.to_owned();
    match &error {
        StorageError::InUse { .. } => StoreError::InUse(path),
        _ => StoreError::Open { path, source: error },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::limits;

    fn settings() -> StorageSettings {
        let cache = Some(CacheSize::Bytes(limits::CACHE_BYTES_MIN));
        let flush_interval = limits::FLUSH_INTERVAL;
        StorageSettings::Slab(SlabSettings { cache, flush_interval })
    }

    fn opened(directory: &Path) -> Result<Arc<dyn Engine>, StoreError> {
        open(&settings(), None, directory, &Metrics::new().unwrap())
    }

    fn complaint(directory: &Path) -> String {
        match opened(directory) {
            Ok(_) => panic!("it was opened"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn automatic_is_a_quarter_and_no_less_than_the_least() {
        assert_eq!(automatic_cache_bytes(Some(1 << 30)), 256 << 20);
        assert_eq!(automatic_cache_bytes(Some(20 << 20)), limits::CACHE_BYTES_MIN);
        assert_eq!(automatic_cache_bytes(None), limits::CACHE_BYTES_MIN);
    }

    #[test]
    fn a_second_engine_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let first = opened(folder.path()).unwrap();
        let expected = format!("the data in {} is in use", folder.path().display());
        assert!(complaint(folder.path()).starts_with(&expected));
        first.close().unwrap();
        drop(first);
        opened(folder.path()).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("slab.data");
        let foreign = vec![b'x'; 300_000];
        fs::write(&file, &foreign).unwrap();
        let text = complaint(folder.path());
        let place = format!("cannot open the data in {}", folder.path().display());
        assert!(text.starts_with(&place) && text.contains("slab.data"), "{text}");
        assert_eq!(fs::read(&file).unwrap(), foreign);
    }

    #[test]
    fn a_folder_has_data_once_an_engine_was_opened_in_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_data(folder.path()) && !has_data(&folder.path().join("none")));
        opened(folder.path()).unwrap().close().unwrap();
        assert!(has_data(folder.path()));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let text = complaint(&folder.path().join("none"));
        assert!(text.contains("cannot open the data in"), "{text}");
    }
}
