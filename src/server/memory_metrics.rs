//! What the process has of memory, among the numbers of the server. Looks when somebody reads them, so that nothing is
//! counted in between. Knows names; not what the memory is needed for.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, MetricFamily};
use prometheus::{IntCounter, IntGauge};

use crate::account::Account;
use crate::changefeed::Hub;
use crate::memory;

/// The memory of the process.
pub struct MemoryMetrics {
    allocated: IntGauge,
    resident: IntGauge,
}

impl MemoryMetrics {
    /// Those of this process.
    pub fn new() -> Result<MemoryMetrics, prometheus::Error> {
        let allocated = "Memory that the allocator has given and not got back.";
        let resident = "Memory of the machine that the process has.";
        Ok(MemoryMetrics {
            allocated: IntGauge::new("photondb_memory_allocated_bytes", allocated)?,
            resident: IntGauge::new("photondb_memory_resident_bytes", resident)?,
        })
    }
}

impl Collector for MemoryMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.allocated.desc().into_iter().chain(self.resident.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.allocated.set(gauge(memory::allocated()));
        self.resident.set(gauge(memory::resident().unwrap_or(0)));
        self.allocated.collect().into_iter().chain(self.resident.collect()).collect()
    }
}

/// What an account holds.
pub struct AccountMetric {
    held: IntGauge,
    account: Arc<Account>,
}

impl AccountMetric {
    /// Of this account, under this name.
    pub fn new(name: &str, help: &str, account: Arc<Account>) -> Result<Self, prometheus::Error> {
        Ok(AccountMetric { held: IntGauge::new(name, help)?, account })
    }
}

impl Collector for AccountMetric {
    fn desc(&self) -> Vec<&Desc> {
        self.held.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.held.set(i64::try_from(self.account.held()).unwrap_or(i64::MAX));
        self.held.collect()
    }
}

/// The changes that feeds have lost, which the hub counts.
pub struct LostMetric {
    /// What it is called. It counts nothing itself.
    name: IntCounter,
    hub: Arc<Hub>,
}

impl LostMetric {
    /// Those of this hub.
    pub fn new(hub: Arc<Hub>) -> Result<Self, prometheus::Error> {
        let help = "Changes that feeds have lost since the start because too much waited for them.";
        Ok(LostMetric { name: IntCounter::new("photondb_feeds_lost_changes_total", help)?, hub })
    }
}

impl Collector for LostMetric {
    fn desc(&self) -> Vec<&Desc> {
        self.name.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.name.collect();
        for metric in families.iter_mut().flat_map(|family| family.mut_metric()) {
            let mut counter = Counter::default();
            counter.set_value(self.hub.lost() as f64);
            metric.set_counter(counter);
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn the_memory_of_the_process_is_told() {
        let metrics = Metrics::new().unwrap();
        metrics.add(Box::new(MemoryMetrics::new().unwrap())).unwrap();
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        let told = |name: &str| text.lines().any(|line| line.starts_with(&format!("{name} ")));
        assert!(told("photondb_memory_allocated_bytes") && told("photondb_memory_resident_bytes"));
    }

    #[test]
    fn what_an_account_holds_is_told() {
        let (metrics, account) = (Metrics::new().unwrap(), Arc::new(Account::default()));
        metrics
            .add(Box::new(AccountMetric::new("held", "Bytes.", account.clone()).unwrap()))
            .unwrap();
        let _charge = account.charge(77);
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        assert!(text.contains("\nheld 77\n"), "{text}");
    }
}
