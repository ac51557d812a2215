//! The numbers of the storage engine, among those of the server. Asks the engine when somebody reads them, so that
//! counting costs nothing in between. Knows names; not what the numbers come from.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

use crate::storage::store::{SlabEngine, StoreNumbers};

/// A number: its name, what it is, whether it only grows, where it is found.
struct Row {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    number: fn(&StoreNumbers) -> f64,
}

const fn total(name: &'static str, help: &'static str, number: fn(&StoreNumbers) -> f64) -> Row {
    Row { name, help, kind: MetricType::COUNTER, number }
}

const fn gauge(name: &'static str, help: &'static str, number: fn(&StoreNumbers) -> f64) -> Row {
    Row { name, help, kind: MetricType::GAUGE, number }
}

const ROWS: [Row; 24] = [
    total("photondb_storage_commits_total", "Commits since the store was made.", |numbers| {
        numbers.commits as f64
    }),
    total(
        "photondb_storage_durable_commits_total",
        "Commits since the store was made that are on the disk.",
        |numbers| numbers.durable_commits as f64,
    ),
    total(
        "photondb_storage_log_syncs_total",
        "Syncs of the log since the start; each serves all who wait.",
        |numbers| numbers.log_syncs as f64,
    ),
    total(
        "photondb_storage_log_written_bytes_total",
        "Bytes written to the log since the start.",
        |numbers| numbers.log_written_bytes as f64,
    ),
    total(
        "photondb_storage_data_written_bytes_total",
        "Bytes written to the data file since the start: by checkpoints and by the building of indexes.",
        |numbers| numbers.data_written_bytes as f64,
    ),
    total(
        "photondb_storage_checkpoints_total",
        "Checkpoints written since the start.",
        |numbers| numbers.checkpoints as f64,
    ),
    gauge(
        "photondb_storage_checkpoint_age_seconds",
        "Time since the last checkpoint was done, or since the start.",
        |numbers| numbers.since_checkpoint.as_secs_f64(),
    ),
    gauge(
        "photondb_storage_checkpoint_duration_seconds",
        "How long the last checkpoint took; 0 before the first.",
        |numbers| numbers.checkpoint_took.as_secs_f64(),
    ),
    gauge(
        "photondb_storage_checkpoint_running_seconds",
        "How long the checkpoint has been going on that is being written; 0 when there is none.",
        |numbers| numbers.checkpoint_running.as_secs_f64(),
    ),
    total(
        "photondb_storage_leaks_total",
        "Damaged long values that were deleted since the start without finding their room.",
        |numbers| numbers.leaks as f64,
    ),
    total(
        "photondb_storage_damaged_reads_total",
        "Reads since the start that have met damage; the same place may have been met often.",
        |numbers| numbers.damaged_reads as f64,
    ),
    gauge(
        "photondb_storage_disk_full",
        "1 while writes are refused because the disk is full.",
        |numbers| numbers.disk_full as f64,
    ),
    gauge(
        "photondb_storage_disk_available_bytes",
        "Bytes that can be written before the file system of the directory is full.",
        |numbers| numbers.disk_available_bytes as f64,
    ),
    gauge(
        "photondb_storage_poisoned",
        "1 when nothing is written any more, after an error.",
        |numbers| numbers.poisoned as f64,
    ),
    gauge("photondb_storage_log_bytes", "Length of the log's files.", |numbers| {
        numbers.log_bytes as f64
    }),
    gauge(
        "photondb_storage_data_file_bytes",
        "Length of the data file, free extents included, which take no room on the disk.",
        |numbers| numbers.data_file_bytes as f64,
    ),
    gauge(
        "photondb_storage_data_bytes",
        "Bytes of the extents of the data file that are in use: the sum of what `stats` has for each table, and what the server keeps of its own.",
        |numbers| numbers.data_bytes as f64,
    ),
    gauge(
        "photondb_storage_data_allocated_bytes",
        "Bytes that the data file takes of the disk, as the file system sees it.",
        |numbers| numbers.data_allocated_bytes as f64,
    ),
    gauge(
        "photondb_storage_cache_bytes",
        "Memory that pages of the data file take which were read or written lately.",
        |numbers| numbers.cache_bytes as f64,
    ),
    gauge(
        "photondb_storage_dirty_bytes",
        "Memory that changes take until a checkpoint has written them.",
        |numbers| numbers.dirty_bytes as f64,
    ),
    gauge(
        "photondb_storage_retained_bytes",
        "Memory of earlier changes that only snapshots keep.",
        |numbers| numbers.retained_bytes as f64,
    ),
    gauge(
        "photondb_storage_oldest_snapshot_seconds",
        "Time since the first checkpoint was done that a snapshot has outlived which is older; 0 when there is none.",
        |numbers| numbers.oldest_snapshot.as_secs_f64(),
    ),
    gauge("photondb_storage_map_bytes", "Memory that the maps of the data file take.", |numbers| {
        numbers.map_bytes as f64
    }),
    gauge(
        "photondb_storage_cache_limit_bytes",
        "Memory that pages, changes, retained changes and maps together may take: --cache-size.",
        |numbers| numbers.cache_limit_bytes as f64,
    ),
];

/// The numbers of one engine.
pub struct StorageMetrics {
    engine: Arc<SlabEngine>,
    descriptions: Vec<Desc>,
}

impl StorageMetrics {
    /// Those of this engine.
    pub fn new(engine: Arc<SlabEngine>) -> Result<StorageMetrics, prometheus::Error> {
        let describe = |row: &Row| {
            Desc::new(row.name.to_owned(), row.help.to_owned(), Vec::new(), HashMap::new())
        };
        let descriptions = ROWS.iter().map(describe).collect::<Result<_, _>>()?;
        Ok(StorageMetrics { engine, descriptions })
    }
}

impl Collector for StorageMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let numbers = self.engine.numbers();
        ROWS.iter().map(|row| family(row, &numbers)).collect()
    }
}

fn family(row: &Row, numbers: &StoreNumbers) -> MetricFamily {
    let value = (row.number)(numbers);
    let mut metric = Metric::default();
    if row.kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    let mut family = MetricFamily::default();
    family.set_name(row.name.to_owned());
    family.set_help(row.help.to_owned());
    family.set_field_type(row.kind);
    family.set_metric(vec![metric]);
    family
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::storage::disk::MemoryDisk;
    use crate::storage::store::SlabOptions;
    use crate::storage::{Durability, Engine, TreeId, WriteBatch};

    #[test]
    fn commits_syncs_and_bytes_are_told() {
        let options = SlabOptions::new([1; 16], 8 << 20);
        let engine = SlabEngine::open(Arc::new(MemoryDisk::new()), options).unwrap();
        let engine = Arc::new(engine);
        let metrics = Metrics::new().unwrap();
        metrics.add(Box::new(StorageMetrics::new(engine.clone()).unwrap())).unwrap();
        let value = |name: &str| -> f64 {
            let text = String::from_utf8(metrics.text().unwrap()).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
        };
        assert_eq!(value("photondb_storage_commits_total"), 0.0);
        let mut batch = WriteBatch::new(Durability::Hard);
        batch.create_tree(TreeId(64));
        batch.put(TreeId(64), b"key".to_vec(), vec![7; 1_000]);
        let commit = engine.apply(batch).unwrap();
        engine.wait_durable(commit.sequence).unwrap();
        assert_eq!(value("photondb_storage_commits_total"), 1.0);
        assert_eq!(value("photondb_storage_durable_commits_total"), 1.0);
        assert_eq!(value("photondb_storage_log_syncs_total"), 1.0);
        let written = value("photondb_storage_log_written_bytes_total");
        assert!(written >= 1_000.0, "{written}");
        assert_eq!(value("photondb_storage_log_bytes"), 4_096.0 + written);
        assert!(value("photondb_storage_dirty_bytes") >= 1_000.0);
        assert_eq!(value("photondb_storage_cache_limit_bytes"), f64::from(8 << 20));
        assert_eq!(value("photondb_storage_checkpoints_total"), 0.0);
        assert_eq!(value("photondb_storage_checkpoint_duration_seconds"), 0.0);
        let written_before = value("photondb_storage_data_written_bytes_total");
        let before_the_checkpoint = engine.snapshot().unwrap();
        engine.close().unwrap();
        assert_eq!(value("photondb_storage_checkpoints_total"), 1.0);
        assert_eq!(value("photondb_storage_dirty_bytes"), 0.0);
        assert!(value("photondb_storage_cache_bytes") >= 1_000.0);
        assert!(value("photondb_storage_data_file_bytes") >= 2.0 * 262_144.0);
        // A leaf, and the meta tree.
        assert_eq!(value("photondb_storage_data_bytes"), 2.0 * 262_144.0);
        let written = value("photondb_storage_data_written_bytes_total") - written_before;
        assert!(written >= 1_000.0 + 8_192.0, "{written}");
        assert!(value("photondb_storage_checkpoint_duration_seconds") > 0.0);
        assert_eq!(value("photondb_storage_checkpoint_running_seconds"), 0.0);
        assert!(value("photondb_storage_oldest_snapshot_seconds") > 0.0);
        drop(before_the_checkpoint);
        assert_eq!(value("photondb_storage_oldest_snapshot_seconds"), 0.0);
    }
}
