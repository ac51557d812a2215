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
