//! The numbers of `rethinkdb.stats`: where they come from, and the task that computes rates. Knows what counts; not how
//! it is shown.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::{MissedTickBehavior, interval};

use crate::limits;
use crate::metrics::Metrics;
use crate::reql::ServerNumbers;
use crate::session::Service;
use crate::shutdown::Shutdown;

/// What is counted of queries and connections.
#[derive(Debug)]
pub(super) struct Counted(pub(super) Arc<Metrics>);

impl ServerNumbers for Counted {
    fn client_connections(&self) -> u64 {
        self.0.driver_connections()
    }

    fn queries_total(&self) -> u64 {
        self.0.queries_total()
    }

    fn queries_per_sec(&self) -> f64 {
        self.0.queries_per_second()
    }
}

/// Computes rates until the server stops.
pub(super) async fn tick(service: Arc<Service>, shutdown: Shutdown) {
    let mut ticks = interval(limits::METER_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.begun() => return,
        }
        let elapsed = last.elapsed();
        last = Instant::now();
        service.metrics.tick(elapsed);
        for database in service.context.catalog.state().databases() {
            for table in database.tables() {
                let counts = table.table.counts();
                counts.read.tick(elapsed);
                counts.written.tick(elapsed);
            }
        }
    }
}
