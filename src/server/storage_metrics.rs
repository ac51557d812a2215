//! The numbers of the storage engine, among those of the server. Asks the engine when somebody reads them, so that
//! counting costs nothing in between. Knows names; not what the numbers come from.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

use crate::storage::store::{SlabEngine, StoreNumbers};

/// A number: its name, what it is, whether it only grows, where it is found.
type Row = (&'static str, &'static str, MetricType, fn(&StoreNumbers) -> u64);

const ROWS: [Row; 15] = [
    (
        "photondb_storage_commits_total",
        "Commits since the store was made.",
        MetricType::COUNTER,
        |numbers| numbers.commits,
    ),
    (
        "photondb_storage_durable_commits_total",
        "Commits since the store was made that are on the disk.",
        MetricType::COUNTER,
        |numbers| numbers.durable_commits,
    ),
    (
        "photondb_storage_log_syncs_total",
        "Syncs of the log since the start; each serves all who wait.",
        MetricType::COUNTER,
        |numbers| numbers.log_syncs,
    ),
    (
        "photondb_storage_log_written_bytes_total",
        "Bytes written to the log since the start.",
        MetricType::COUNTER,
        |numbers| numbers.log_written_bytes,
    ),
    (
        "photondb_storage_checkpoints_total",
        "Checkpoints written since the start.",
        MetricType::COUNTER,
        |numbers| numbers.checkpoints,
    ),
    (
        "photondb_storage_leaks_total",
        "Damaged long values that were deleted since the start without finding their room.",
        MetricType::COUNTER,
        |numbers| numbers.leaks,
    ),
    (
        "photondb_storage_disk_full",
        "1 while writes are refused because the disk is full.",
        MetricType::GAUGE,
        |numbers| numbers.disk_full,
    ),
    (
        "photondb_storage_poisoned",
        "1 when nothing is written any more, after an error.",
        MetricType::GAUGE,
        |numbers| numbers.poisoned,
    ),
    ("photondb_storage_log_bytes", "Length of the log's files.", MetricType::GAUGE, |numbers| {
        numbers.log_bytes
    }),
    (
        "photondb_storage_data_file_bytes",
        "Length of the data file, free extents included.",
        MetricType::GAUGE,
        |numbers| numbers.data_file_bytes,
    ),
    ("photondb_storage_cache_bytes", "Memory that pages take.", MetricType::GAUGE, |numbers| {
        numbers.cache_bytes
    }),
    (
        "photondb_storage_dirty_bytes",
        "Memory that changes take until a checkpoint has written them.",
        MetricType::GAUGE,
        |numbers| numbers.dirty_bytes,
    ),
    (
        "photondb_storage_retained_bytes",
        "Memory of earlier changes that only snapshots keep.",
        MetricType::GAUGE,
        |numbers| numbers.retained_bytes,
    ),
    (
        "photondb_storage_map_bytes",
        "Memory that the maps of the data file take.",
        MetricType::GAUGE,
        |numbers| numbers.map_bytes,
    ),
    (
        "photondb_storage_cache_limit_bytes",
        "Memory that all of these together may take.",
        MetricType::GAUGE,
        |numbers| numbers.cache_limit_bytes,
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
        let describe = |(name, help, ..): &Row| {
            Desc::new((*name).to_owned(), (*help).to_owned(), Vec::new(), HashMap::new())
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
    let (name, help, kind, number) = row;
    let value = number(numbers) as f64;
    let mut metric = Metric::default();
    if *kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    let mut family = MetricFamily::default();
    family.set_name((*name).to_owned());
    family.set_help((*help).to_owned());
    family.set_field_type(*kind);
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
        engine.close().unwrap();
        assert_eq!(value("photondb_storage_checkpoints_total"), 1.0);
        assert_eq!(value("photondb_storage_dirty_bytes"), 0.0);
        assert!(value("photondb_storage_cache_bytes") >= 1_000.0);
        assert!(value("photondb_storage_data_file_bytes") >= 2.0 * 262_144.0);
    }
}
