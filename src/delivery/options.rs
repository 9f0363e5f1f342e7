//! The options of a destination's delivery. Every one has a default.

use std::time::Duration;

use crate::delivery::breaker::BreakerOptions;
use crate::delivery::policy::AckPolicy;
use crate::delivery::retry::RetryPolicy;

/// Outcomes of one destination that wait for the disk, at most. As many deliveries, and those being sent, may be
/// made again after a crash. While a batch is being written the next one gathers, so that a commit has half of
/// them: enough for 17,000 a second where a commit takes 30 ms.
pub const UNRECORDED_MAX: usize = 1024;

/// How deliveries to one destination are made.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryOptions {
    /// Sends at the same time, each of another lane.
    pub parallel: u32,
    /// Deliveries of the strict lane that go out in one call.
    pub together: usize,
    /// Deliveries kept in memory, waiting or being sent.
    pub window: usize,
    /// Bytes of messages kept in memory. One message always has room.
    pub window_bytes: usize,
    /// Outcomes that wait for the disk. When it does not take them, sending stops here.
    pub unrecorded_max: usize,
    /// Deliveries in retry or held. Beyond it nothing more is taken from the log until a person, or the
    /// receiver, clears some.
    pub exceptions_max: usize,
    /// Deliveries behind one of these. Each costs about 200 bytes of memory. Far more than of the others, so
    /// that one lane that stands still for days stops no other.
    pub behind_max: usize,
    /// What each answer means.
    pub policy: AckPolicy,
    /// When a failed delivery is tried again.
    pub retry: RetryPolicy,
    /// When a destination that nobody gets through to is left alone.
    pub breaker: BreakerOptions,
    /// Deliveries a second; without it, as many as it takes.
    pub per_second: Option<u32>,
    /// How long a stop waits for what is being sent.
    pub drain: Duration,
}

impl Default for DeliveryOptions {
    fn default() -> Self {
        Self {
            parallel: 16,
            together: 1,
            window: 1024,
            window_bytes: 16 << 20,
            unrecorded_max: UNRECORDED_MAX,
            exceptions_max: 10_000,
            behind_max: 250_000,
            policy: AckPolicy::default(),
            retry: RetryPolicy::default(),
            breaker: BreakerOptions::default(),
            per_second: None,
            drain: Duration::from_secs(10),
        }
    }
}
