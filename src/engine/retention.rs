//! Takes away what is old enough, in small steps between other work.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::channel_file::ChannelRetention;
use crate::engine::Engine;
use crate::store::{Ages, Retention, Store, StoreError};

/// Between two steps when there is: other commits go first.
const BREATH: Duration = Duration::from_millis(20);

/// How long things are kept: as `engine.yaml` says, and as the channels in force say of their own.
#[derive(Debug)]
pub(crate) struct Kept {
    retention: ArcSwap<Retention>,
}

impl Kept {
    /// As the engine says.
    pub(crate) fn new(retention: Retention) -> Arc<Self> {
        Arc::new(Self { retention: ArcSwap::from_pointee(retention) })
    }

    /// How long things are kept from now on.
    pub(crate) fn now(&self) -> Arc<Retention> {
        self.retention.load_full()
    }

    /// A channel is in force: what its file leaves open is as the engine says.
    pub(crate) fn put(&self, channel: &Arc<str>, own: ChannelRetention) {
        self.retention.rcu(|retention| {
            let mut retention = Retention::clone(retention);
            let ages = Ages {
                bodies: own.bodies.unwrap_or(retention.bodies),
                messages: own.messages.unwrap_or(retention.messages),
            };
            retention.channels.insert(Arc::clone(channel), ages);
            retention
        });
    }

    /// A channel is withdrawn: what it received is kept as the engine says.
    pub(crate) fn remove(&self, channel: &str) {
        self.retention.rcu(|retention| {
            let mut retention = Retention::clone(retention);
            retention.channels.remove(channel);
            retention
        });
    }
}

impl Engine {
    /// Takes away now what is older than it may be, for so long at most; answers how much went, and whether that was
    /// all.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn prune_now(&self, within: Duration) -> Result<(u64, bool), StoreError> {
        let end = tokio::time::Instant::now() + within;
        let stop = self.stopping_token();
        let mut all = 0_u64;
        while tokio::time::Instant::now() < end && !stop.is_cancelled() {
            match self.store.prune(&self.kept.now(), self.clock.now()).await? {
                0 => return Ok((all, true)),
                touched => all = all.saturating_add(touched),
            }
        }
        Ok((all, false))
    }
}

/// Prunes until `stop`, looking every `every` when there is nothing to do.
pub(crate) async fn keep_pruning(
    store: Arc<dyn Store>,
    kept: Arc<Kept>,
    every: Duration,
    clock: Clock,
    stop: CancellationToken,
) {
    let mut wait = every;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = match store.prune(&kept.now(), clock.now()).await {
            Ok(0) => every,
            Ok(touched) => {
                tracing::debug!(touched, "old messages pruned");
                BREATH
            }
            Err(error) => {
                tracing::warn!(%error, "pruning failed, tried again later");
                every
            }
        };
    }
}
