//! Destinations that no channel in force has any more. What waits there is never forgotten: it is counted, it
//! can be skipped, cancelled or set aside, and it goes on when a channel has the destination again.
//!
//! ```text
//! configured ──removed or renamed──▶ removed ──nothing waits, nothing dead──▶ gone
//!      ▲─────────configured again───────┘
//! ```

use std::collections::BTreeSet;
use std::sync::{PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::delivery::meters::DestinationName as RunnerName;
use crate::delivery::queue::RunnerStatus;
use crate::engine::Engine;
use crate::engine::subscriptions::PREFIX;
use crate::message::id::DestinationId;

/// How often removed destinations are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

impl Engine {
    /// Ends sending to destinations the channel no longer has; what waits there stays.
    pub(super) fn retire_missing(&self, channel: &str, wanted: &[DestinationId]) {
        for (id, name, status) in self.deliveries.statuses() {
            // Runners of subscriptions come and go with the Subscriptions, not with the channel's file.
            let is_subscriber = name.destination.starts_with(PREFIX);
            if name.channel != channel || wanted.contains(&id) || is_subscriber || status.removed {
                continue;
            }
            if self.deliveries.retire(id).is_ok() && has_something(&status) {
                let (waiting, dead) = (status.waiting(), status.dead);
                warn!(destination = %name, waiting, dead, "a removed destination still has deliveries; nothing is sent: skip or cancel them, or configure it again");
            }
            self.transports.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
    }

    /// Removed destinations with something left.
    #[must_use]
    pub fn removed_destinations(&self) -> Vec<DestinationId> {
        let statuses = self.deliveries.statuses().into_iter();
        let removed = statuses.filter(|(_, _, status)| status.removed && has_something(status));
        removed.map(|(id, ..)| id).collect()
    }

    /// What waits at removed destinations, for the report of a reload.
    pub(super) fn stranded(&self) -> Vec<Value> {
        let statuses = self.deliveries.statuses();
        let stranded = statuses.iter().filter(|(_, _, status)| status.removed);
        let stranded = stranded.filter(|(_, _, status)| has_something(status));
        let list = stranded.map(|(_, name, status)| {
            json!({
                "destination": name.to_string(),
                "waiting": status.waiting(),
                "held": status.held,
                "dead": status.dead,
            })
        });
        list.collect()
    }

    /// After a start: looks for what waits at destinations that no channel has any more.
    pub(super) async fn watch_removed(&self) {
        let _one_at_a_time = self.reload_lock.lock().await;
        let known = match self.store.destinations().await {
            Ok(known) => known,
            Err(error) => {
                warn!(%error, "removed destinations are not known; what waits there is not shown");
                return;
            }
        };
        let registry = self.registry.channels();
        let wanted: BTreeSet<DestinationId> =
            registry.iter().flat_map(|live| live.destinations.iter().copied()).collect();
        for (id, channel, destination) in known {
            if wanted.contains(&id) || destination.starts_with(PREFIX) {
                continue;
            }
            let name =
                RunnerName { channel: channel.to_string(), destination: destination.to_string() };
            if let Err(error) = self.deliveries.start_removed(id, name).await {
                warn!(%channel, %destination, %error, "what waits at a removed destination is not shown");
            }
        }
    }

    /// Forgets removed destinations with nothing left.
    async fn sweep_removed(&self) {
        let _one_at_a_time = self.reload_lock.lock().await;
        for (id, _, status) in self.deliveries.statuses() {
            if status.removed && !status.lagging && !has_something(&status) {
                // It is not being sent anything: this takes no time.
                drop(self.deliveries.stop(id).await);
            }
        }
    }
}

/// Whether anything is left at a destination that a person may want to see.
const fn has_something(status: &RunnerStatus) -> bool {
    status.waiting() > 0 || status.dead > 0
}

/// Looks after removed destinations until the engine stops.
pub(super) async fn keep_sweeping(engine: Weak<Engine>, stop: CancellationToken) {
    if let Some(engine) = engine.upgrade() {
        engine.watch_removed().await;
    }
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let Some(engine) = engine.upgrade() else { return };
        engine.sweep_removed().await;
    }
}
