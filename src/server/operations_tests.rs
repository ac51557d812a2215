//! Whether `docs/operations.md` tells of every number that the server has, and of no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{process_metrics, store};
use crate::config::{CacheSize, SlabSettings, StorageSettings};
use crate::limits::CACHE_BYTES_MIN;

#[test]
fn the_table_of_metrics_has_all_of_them_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = process_metrics().unwrap();
    let cache = Some(CacheSize::Bytes(CACHE_BYTES_MIN));
    let flush_interval = Duration::from_secs(1);
    let settings = StorageSettings::Slab(SlabSettings { cache, flush_interval });
    let engine = store::open(&settings, None, folder.path(), &metrics).unwrap();
    let text = String::from_utf8(metrics.text().unwrap()).unwrap();
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
    let told: BTreeSet<&str> = helps.filter_map(|line| line.split(' ').next()).collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `photondb_"));
    let rows: Vec<String> =
        rows.filter_map(|row| Some(format!("photondb_{}", row.split('`').next()?))).collect();
    let listed: BTreeSet<&str> = rows.iter().map(String::as_str).collect();
    assert_eq!(listed, told);
    assert_eq!(rows.len(), listed.len(), "one is there twice");
    engine.close().unwrap();
}
