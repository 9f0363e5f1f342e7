//! Takes away what is old enough, in small steps between other work.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::store::{Retention, Store};

/// Between two steps when there is: other commits go first.
const BREATH: Duration = Duration::from_millis(20);

/// Prunes until `stop`, looking every `every` when there is nothing to do.
pub(crate) async fn keep_pruning(
    store: Arc<dyn Store>,
    retention: Retention,
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
        wait = match store.prune(&retention, clock.now()).await {
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
