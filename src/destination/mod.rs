//! Sends once and tells the outcome. One file per protocol. Knows no store and never retries.

pub mod fhir;
pub mod file;
pub mod mllp;
pub mod pool;
pub mod resources;
pub mod subscriber;
pub mod topic;
pub mod webhook;

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::message::outcome::{Answer, Outbound, Outcome, Scope};

/// A connected system. Safe to call from many deliveries at once: each implementation bounds and
/// pools its own connections.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Sends once. Never panics, never retries, always ends: every wait on the peer has a limit. When
    /// `stop` is cancelled before anything was written, answers `Failed`; after the first byte it
    /// waits for the answer within its limits.
    async fn send(&self, outbound: &Outbound, stop: &CancellationToken) -> Outcome;

    /// Endpoint states in words, for people: (endpoint, connected, in flight, last error).
    fn endpoints(&self) -> Vec<EndpointView>;
}

/// One endpoint of a destination, for people.
#[derive(Debug, Clone)]
pub struct EndpointView {
    /// Host and port, URL without query, or directory.
    pub endpoint: String,
    /// Whether it takes deliveries now.
    pub healthy: bool,
    /// Deliveries in flight.
    pub in_flight: u32,
    /// The last error in words.
    pub last_error: Option<String>,
}

/// Which destination this is, in metrics and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationName {
    /// The channel it belongs to.
    pub channel: Arc<str>,
    /// Its name there.
    pub destination: Arc<str>,
}

impl DestinationName {
    /// A name of its parts.
    #[must_use]
    pub fn new(channel: &str, destination: &str) -> Self {
        Self { channel: channel.into(), destination: destination.into() }
    }

    /// The labels of its metrics.
    fn labels(&self) -> Vec<metrics::Label> {
        vec![
            metrics::Label::new("channel", self.channel.to_string()),
            metrics::Label::new("destination", self.destination.to_string()),
        ]
    }
}

/// The outcome of a message that was not begun, because the engine is stopping.
fn stopped() -> Outcome {
    Outcome::Failed {
        answer: Answer::new("stopped", "the engine is stopping"),
        scope: Scope::Endpoint,
        retry_after: None,
    }
}
