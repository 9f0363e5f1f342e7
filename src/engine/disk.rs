//! Stops intake before the disk is full: what was accepted must still be delivered, and its outcomes
//! written (P13).

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::engine::as_gauge;
use crate::source::intake::Intake;
use crate::telemetry::metrics::DISK_FREE_BYTES;

/// Between two looks. A disk fills by megabytes a second, and the reserve is many of them.
const EVERY: Duration = Duration::from_secs(1);

/// Looks at the free space under the data directory.
pub(crate) struct DiskWatch {
    pub(crate) data: PathBuf,
    /// Below this nothing new is taken.
    pub(crate) free_min: u64,
    pub(crate) intake: Intake,
}

impl DiskWatch {
    /// Looks until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => self.look().await,
            }
        }
    }

    /// Looks once. A disk that does not say how full it is stops nobody.
    pub(crate) async fn look(&self) {
        let data = self.data.clone();
        let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&data)).await;
        let Ok(Ok(disk)) = asked else { return };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        metrics::gauge!(DISK_FREE_BYTES).set(as_gauge(free));
        let (is_low, free_min) = (free < self.free_min, self.free_min);
        if self.intake.set_disk_low(is_low) == is_low {
            return;
        }
        if is_low {
            warn!(
                free,
                free_min,
                "intake refuses: the disk is nearly full; free space, or lower limits.disk_free"
            );
        } else {
            info!(free, "the disk has room again: intake takes messages");
        }
    }
}
