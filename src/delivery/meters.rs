//! The metrics of one destination.

use std::sync::{Mutex, PoisonError};
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

impl DestinationName {
    /// The destination as metrics name it: all subscriptions of a channel together, since clients make as
    /// many as they like and each series costs its reader memory for ever.
    #[must_use]
    pub fn series(&self) -> &str {
        self.destination.split_once('/').map_or(&self.destination, |(family, _)| family)
    }
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
    /// What this one added to the gauges, which others may share.
    shown: Mutex<[f64; 6]>,
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
        let series = name.series().to_owned();
        let is_shared = series != name.destination;
        let labels = [("channel", name.channel.clone()), ("destination", series)];
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
            // Ages of several do not add up to anything.
            oldest: match is_shared {
                true => Gauge::noop(),
                false => gauge!(names::QUEUE_OLDEST_SECONDS, &labels),
            },
            seconds: histogram!(names::DELIVERY_SECONDS, &labels),
            shown: Mutex::default(),
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

    /// Gauges grow by what this one has more than before: several may stand on one.
    fn put(&self, counts: [f64; 6]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for ((gauge, count), before) in self.states.iter().zip(counts).zip(shown.iter_mut()) {
            gauge.increment(count - *before);
            *before = count;
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
        self.put(counts.map(|count| f64::from(u32::try_from(count).unwrap_or(u32::MAX))));
        self.oldest.set(status.oldest.unwrap_or(Duration::ZERO).as_secs_f64());
    }
}

impl Drop for Meters {
    fn drop(&mut self) {
        self.put([0.0; 6]);
    }
}

#[cfg(test)]
mod tests {
    use super::DestinationName;

    #[test]
    fn subscriptions_of_a_channel_are_one_series() {
        let of = |destination: &str| DestinationName {
            channel: "gateway".to_owned(),
            destination: destination.to_owned(),
        };
        assert_eq!(of("Subscription/0198c").series(), "Subscription");
        assert_eq!(of("lab").series(), "lab");
    }
}
