//! What the process has of memory, among the numbers of the server. Looks when somebody reads them, so that nothing is
//! counted in between. Knows names; not what the memory is needed for.

use std::sync::Arc;

use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::account::Account;
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
