//! Keeps a destination's delivery alive: a runner that crashes is followed by another, which begins from
//! what the store says.
//!
//! ```text
//! running ──crash──▶ waiting (1 s, twice as long each time, at most 1 min) ──restored──▶ running
//!    └──stop──▶ ended ◀──stop──┘
//! ```
//! Nothing is lost by a crash: what was not recorded is beyond the cursor or in its row still. What was on
//! the wire is sent again with the same id, as after a crash of the process.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::delivery::dispatch::{Dispatch, FEEDS_MAX};
use crate::delivery::marker::Marker;
use crate::delivery::render::Render;
use crate::delivery::restore;
use crate::delivery::runner::{RunEnd, Runner};
use crate::delivery::shared::Shared;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::DELIVERY_CRASHES;

/// The wait before the first new start, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Whose task a destination's delivery is.
pub(super) struct Supervisor {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Arc<dyn Store>,
    pub(super) render: Arc<dyn Render>,
    pub(super) marker: Arc<Marker>,
    pub(super) dispatch: Arc<Dispatch>,
}

impl Supervisor {
    /// A runner that is told of every message from now on, and reads those before from the log.
    pub(super) fn runner(&self) -> Runner {
        let (sender, feed) = mpsc::channel(FEEDS_MAX);
        let head = || self.store.status().head;
        self.dispatch.add(Arc::clone(&self.shared), sender, head);
        let (render, marker) = (Arc::clone(&self.render), Arc::clone(&self.marker));
        Runner::new(Arc::clone(&self.shared), Arc::clone(&self.store), render, marker, feed)
    }

    /// Runs one runner after the other until the destination is stopped.
    pub(super) async fn run(self, first: Runner) {
        let shared = &self.shared;
        info!(destination = %shared.name, "delivery started");
        let mut wait = FIRST_WAIT;
        let mut next = Some(first);
        while let Some(runner) = next.take() {
            let began = Instant::now();
            if runner.run().await == RunEnd::Stopped {
                break;
            }
            // What ran for long before it crashed starts again as quickly as the first time.
            if began.elapsed() > LONGEST_WAIT {
                wait = FIRST_WAIT;
            }
            self.dispatch.remove(shared.id);
            shared.crashed();
            let labels = [
                ("channel", shared.name.channel.clone()),
                ("destination", shared.name.series().to_owned()),
            ];
            counter!(DELIVERY_CRASHES, &labels).increment(1);
            let seconds = wait.as_secs();
            error!(destination = %shared.name, seconds, "delivery crashed and starts again; nothing is lost; please report the lines above");
            next = self.revived(&mut wait).await;
        }
        self.dispatch.remove(shared.id);
        shared.abandon_waiters();
        info!(destination = %shared.name, "delivery stopped");
        shared.ended.cancel();
    }

    /// The next runner, after its wait; `None` when the destination was stopped meanwhile.
    async fn revived(&self, wait: &mut Duration) -> Option<Runner> {
        let shared = &self.shared;
        loop {
            tokio::select! {
                () = shared.stop.cancelled() => return None,
                () = tokio::time::sleep(*wait) => {}
            }
            *wait = (*wait * 2).min(LONGEST_WAIT);
            match restore(self.store.as_ref(), shared.id).await {
                Ok(restored) => {
                    shared.restart(restored);
                    return Some(self.runner());
                }
                Err(StoreError::Closed) => return None,
                Err(error) => {
                    warn!(destination = %shared.name, %error, "delivery cannot start again yet");
                }
            }
        }
    }
}
