//! What feeds lose because what waits for them is too much: counted, and told in lines that come seldom. Their readers are told
//! each for itself; this is for who watches over the server. Knows counts and tables; no queues.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::warn;

use crate::seldom::Seldom;
use crate::table::TableId;

/// Lost changes of all feeds.
#[derive(Debug, Default)]
pub(super) struct Lost {
    all: AtomicU64,
    slow: Seldom,
    together: Seldom,
}

impl Lost {
    /// How many there were.
    pub(super) fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    /// So many were lost by feeds of a table whose readers are too far behind.
    pub(super) fn by_slow_readers(&self, table: TableId, lost: u64) {
        if lost == 0 {
            return;
        }
        self.all.fetch_add(lost, Ordering::Relaxed);
        self.slow.tell(move |count| {
            warn!(
                count,
                "feeds have lost changes, the last time {lost} of table {}: as much waited for one feed as may \
                 (changefeed_queue_size, or a quarter of what all feeds may have of --memory-limit)",
                table.0
            );
        });
    }

    /// So many were lost since all feeds together had too much.
    pub(super) fn by_all_together(&self, lost: u64) {
        if lost == 0 {
            return;
        }
        self.all.fetch_add(lost, Ordering::Relaxed);
        self.together.tell(move |count| {
            warn!(
                count,
                "feeds have lost changes, the last time {lost}: as much waited for all feeds together as may \
                 (a sixteenth of --memory-limit)"
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn lost_changes_are_counted_whatever_they_were_lost_for() {
        let lost = Lost::default();
        lost.by_slow_readers(TableId(Uuid::nil()), 3);
        lost.by_all_together(4);
        lost.by_all_together(0);
        assert_eq!(lost.all(), 7);
    }
}
