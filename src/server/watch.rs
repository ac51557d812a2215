//! The watch over the disk and the data: tells the log what is wrong that nobody else tells it, and whoever listens to
//! `current_issues` that its rows may be others. Knows what is wrong; not how that is found.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::limits;
use crate::reql::Context;
use crate::reql::system::{Trouble, TroubleKind, troubles};
use crate::session::Service;
use crate::shutdown::Shutdown;

/// What the log has been told.
#[derive(Debug, Default)]
struct Watch {
    /// What was wrong when somebody looked last.
    known: BTreeSet<String>,
    is_nearly_full: bool,
}

/// Looks until the server stops.
pub(super) async fn watch(service: Arc<Service>, shutdown: Shutdown) {
    let mut ticks = interval(limits::WATCH_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.begun() => return,
        }
        // It may have to read, for which no thread waits that serves clients.
        let context = service.context.clone();
        let looked = tokio::task::spawn_blocking(move || {
            watch.look(&context);
            watch
        });
        match looked.await {
            Ok(back) => watch = back,
            // The panic has been told.
            Err(_) => return,
        }
    }
}

impl Watch {
    fn look(&mut self, context: &Context) {
        let now = troubles(context);
        for trouble in &now {
            if !self.known.contains(&trouble.id) {
                self.tell(trouble);
            }
        }
        if self.is_nearly_full
            && let Some(room) = context.catalog.engine().disk_room()
            && room.has_enough()
        {
            self.is_nearly_full = false;
            info!("The disk of {} has enough room again", room.place);
        }
        let ids = now.into_iter().map(|trouble| trouble.id).collect();
        if self.known != ids {
            self.known = ids;
            context.catalog.changed().ring();
        }
    }

    fn tell(&mut self, trouble: &Trouble) {
        match trouble.kind {
            // The engine has told of these in the moment when they came.
            TroubleKind::DiskFull | TroubleKind::WritingStopped => {}
            TroubleKind::DiskNearlyFull => {
                if !std::mem::replace(&mut self.is_nearly_full, true) {
                    warn!("{}", trouble.description);
                }
            }
            TroubleKind::DamagedData => error!("{}", trouble.description),
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::log_lines::{Keep, LogLines};
    use crate::storage::disk::FaultyDisk;
    use crate::storage::store::{SlabEngine, SlabOptions};
    use crate::storage::{Damage, Lost, TreeId};

    #[test]
    fn the_log_has_a_line_for_each_trouble_as_it_comes() {
        let disk = FaultyDisk::new(1);
        let options = SlabOptions { flush_interval: None, ..SlabOptions::new([7; 16], 8 << 20) };
        let engine = Arc::new(SlabEngine::open(Arc::new(disk.clone()), options).unwrap());
        let context = Context::open(engine, "test").unwrap();
        let lines = Arc::new(LogLines::default());
        let subscriber = tracing_subscriber::registry().with(Keep(lines.clone()));
        let mut watch = Watch::default();
        tracing::subscriber::with_default(subscriber, || {
            watch.look(&context);
            disk.tell_room();
            let mut has_room = |bytes: usize| {
                disk.set_capacity(disk.used() + bytes);
                watch.look(&context);
                watch.look(&context);
            };
            // About the limit it is told once.
            [1 << 20, (1 << 30) + 1, 1 << 20, 2 << 30, 1 << 20].into_iter().for_each(&mut has_room);
            context.catalog.engine().note_damage(Damage {
                tree: TreeId(1),
                place: "slab.data at 7".to_owned(),
                problem: "a test".to_owned(),
                lost: Lost::Unknown,
            });
            has_room(1 << 20);
        });
        let told: Vec<String> = lines.all().iter().map(|line| line.message.clone()).collect();
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].contains("has 1 MB left") && told[2].contains("has 1 MB left"), "{told:?}");
        assert!(told[1].contains("has enough room again"), "{told:?}");
        assert!(told[3].starts_with("Damaged data in ") && told[3].contains("slab.data at 7"));
    }
}
