//! The metrics of one destination.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::delivery::queue::{Conclusion, RunnerStatus};
use crate::telemetry::metrics as names;

/// Who a destination is, in metrics and logs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DestinationName {
    /// Its channel.
    pub channel: String,
    /// Its name there.
    pub destination: String,
}

impl std::fmt::Display for DestinationName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.channel, self.destination)
    }
}

const OUTCOMES: [&str; 6] = ["accepted", "failed", "rejected", "uncertain", "render", "poison"];
const STATES: [&str; 6] = ["pending", "in_flight", "retry", "held", "behind", "dead"];

/// Handles, looked up once.
pub struct Meters {
    outcomes: [Counter; 6],
    states: [Gauge; 6],
    oldest: Gauge,
    seconds: Histogram,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}

impl Meters {
    /// The meters of one destination.
    #[must_use]
    pub fn new(name: &DestinationName) -> Self {
        let labels = [("channel", name.channel.clone()), ("destination", name.destination.clone())];
        Self {
            outcomes: OUTCOMES.map(|outcome| {
                let [channel, destination] = labels.clone();
                let labels = [channel, destination, ("outcome", outcome.to_owned())];
                counter!(names::DELIVERY_ATTEMPTS, &labels)
            }),
            states: STATES.map(|state| {
                let [channel, destination] = labels.clone();
                let labels = [channel, destination, ("state", state.to_owned())];
                gauge!(names::QUEUE_MESSAGES, &labels)
            }),
            oldest: gauge!(names::QUEUE_OLDEST_SECONDS, &labels),
            seconds: histogram!(names::DELIVERY_SECONDS, &labels),
        }
    }

    /// An attempt ended.
    pub fn attempted(&self, conclusion: &Conclusion) {
        let name = match conclusion {
            Conclusion::Sent { outcome, duration, .. } => {
                self.seconds.record(duration.as_secs_f64());
                outcome.name()
            }
            Conclusion::RenderHeld(_) | Conclusion::RenderFailed(_) => "render",
            Conclusion::Panicked => "poison",
            Conclusion::Stopped => return,
        };
        if let Some((_, counter)) =
            OUTCOMES.iter().zip(&self.outcomes).find(|(outcome, _)| **outcome == name)
        {
            counter.increment(1);
        }
    }

    /// Shows where the queue stands.
    pub fn show(&self, status: &RunnerStatus) {
        let counts = [
            status.pending,
            status.in_flight,
            status.retry,
            status.held,
            status.behind,
            status.dead,
        ];
        for (gauge, count) in self.states.iter().zip(counts) {
            gauge.set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        }
        self.oldest.set(status.oldest.unwrap_or(Duration::ZERO).as_secs_f64());
    }
}
