//! Stops sending to a destination that nobody gets through to, and finds out when that ends.
//!
//! ```text
//! closed ──n failures in a row──▶ open ──wait over──▶ probing ──success──▶ closed
//!                                  ▲                     │
//!                                  └──failure, longer────┘
//! ```
//! Failures of one message (the receiver answered) do not count: they are its lane's affair.

use std::time::Duration;

use crate::delivery::retry::RetryPolicy;
use crate::message::time::Timestamp;

/// Options of the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures in a row, of whichever deliveries, that open it.
    pub failures: u32,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { failures: 3 }
    }
}

/// Whether a delivery may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Free,
    /// Yes, this one alone.
    Probe,
    /// Not before this moment.
    Until(Timestamp),
    /// Not before the probe ended.
    Probing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Timestamp },
    Probing,
}

/// The breaker of one destination. Its times are steady ones.
#[derive(Debug, Clone)]
pub struct Breaker {
    options: BreakerOptions,
    state: State,
    failures: u32,
    trips: u32,
    answers: u64,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub const fn new(options: BreakerOptions) -> Self {
        Self { options, state: State::Closed, failures: 0, trips: 0, answers: 0 }
    }

    /// Whether something may be sent now. Changes nothing; see [`Self::probe`].
    #[must_use]
    pub fn gate(&self, now: Timestamp) -> Gate {
        match self.state {
            State::Closed => Gate::Free,
            State::Open { until } if now >= until => Gate::Probe,
            State::Open { until } => Gate::Until(until),
            State::Probing => Gate::Probing,
        }
    }

    /// A probe is on its way.
    pub const fn probe(&mut self) {
        self.state = State::Probing;
    }

    /// The probe ended before it told anything (it could not be rendered, or was taken back).
    pub fn unprobe(&mut self, now: Timestamp) {
        if self.state == State::Probing {
            self.state = State::Open { until: now };
        }
    }

    /// The receiver answered something. Returns whether this closed the breaker.
    pub fn answered(&mut self) -> bool {
        self.answers += 1;
        self.failures = 0;
        self.trips = 0;
        let was_open = self.state != State::Closed;
        self.state = State::Closed;
        was_open
    }

    /// Nobody got through. Returns whether this opened the breaker. Late failures of what was sent
    /// before it opened change nothing.
    pub fn failed(
        &mut self,
        probe: bool,
        now: Timestamp,
        retry: &RetryPolicy,
        retry_after: Option<Duration>,
        seed: u64,
    ) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.state {
            State::Closed => self.failures >= self.options.failures.max(1),
            State::Probing => probe,
            State::Open { .. } => false,
        };
        if opens {
            self.trips = self.trips.saturating_add(1);
            let wait = retry.wait(self.trips, retry_after, seed);
            self.state = State::Open { until: now.after(wait) };
        }
        opens
    }

    /// The next probe may go now: a person said so.
    pub const fn hurry(&mut self, now: Timestamp) {
        if let State::Open { until } = &mut self.state {
            *until = now;
        }
    }

    /// Forgets all failures: the destination was changed or a person said to go on.
    pub const fn reset(&mut self) {
        self.state = State::Closed;
        self.failures = 0;
        self.trips = 0;
    }

    /// Takes new options.
    pub const fn replace(&mut self, options: BreakerOptions) {
        self.options = options;
        self.reset();
    }

    /// How often the receiver answered so far.
    #[must_use]
    pub const fn answers(&self) -> u64 {
        self.answers
    }

    /// Whether deliveries flow.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The state in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self.state {
            State::Closed if self.failures == 0 => "closed".to_owned(),
            State::Closed => format!("closed, {} failures in a row", self.failures),
            State::Open { .. } => {
                format!("open after {} failures in a row, waits for its next probe", self.failures)
            }
            State::Probing => format!("probing after {} failures in a row", self.failures),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> RetryPolicy {
        RetryPolicy { jitter: 0.0, ..RetryPolicy::default() }
    }

    fn fail(breaker: &mut Breaker, probe: bool, now: Timestamp) -> bool {
        breaker.failed(probe, now, &retry(), None, 0)
    }

    #[test]
    fn opens_after_failures_in_a_row_and_probes_with_growing_waits() {
        let mut breaker = Breaker::new(BreakerOptions { failures: 3 });
        let mut now = Timestamp(0);
        assert!(!fail(&mut breaker, false, now));
        assert!(!breaker.answered());
        for expected in [false, false, true] {
            assert_eq!(fail(&mut breaker, false, now), expected);
        }
        for seconds in [2, 4, 8, 16] {
            let due = now.after(Duration::from_secs(seconds));
            assert_eq!(breaker.gate(now), Gate::Until(due));
            now = due;
            assert_eq!(breaker.gate(now), Gate::Probe);
            breaker.probe();
            assert_eq!(breaker.gate(now), Gate::Probing);
            assert!(fail(&mut breaker, true, now));
        }
        now = now.after(Duration::from_secs(32));
        breaker.probe();
        assert!(breaker.answered());
        assert_eq!(breaker.gate(now), Gate::Free);
        for expected in [false, false, true] {
            assert_eq!(fail(&mut breaker, false, now), expected);
        }
        assert_eq!(breaker.gate(now), Gate::Until(now.after(Duration::from_secs(2))));
    }

    #[test]
    fn late_failures_do_not_lengthen_the_wait() {
        let mut breaker = Breaker::new(BreakerOptions { failures: 1 });
        assert!(fail(&mut breaker, false, Timestamp(0)));
        let gate = breaker.gate(Timestamp(0));
        assert!(!fail(&mut breaker, false, Timestamp(5)));
        assert_eq!(breaker.gate(Timestamp(0)), gate);
        breaker.probe();
        assert!(!fail(&mut breaker, false, Timestamp(6)));
        assert_eq!(breaker.gate(Timestamp(6)), Gate::Probing);
    }

    #[test]
    fn a_probe_that_told_nothing_is_given_to_the_next() {
        let mut breaker = Breaker::new(BreakerOptions { failures: 1 });
        fail(&mut breaker, false, Timestamp(0));
        breaker.probe();
        breaker.unprobe(Timestamp(9));
        assert_eq!(breaker.gate(Timestamp(9)), Gate::Probe);
    }

    #[test]
    fn the_receivers_wish_counts() {
        let mut breaker = Breaker::new(BreakerOptions { failures: 1 });
        breaker.failed(false, Timestamp(0), &retry(), Some(Duration::from_secs(60)), 0);
        assert_eq!(breaker.gate(Timestamp(0)), Gate::Until(Timestamp(60_000_000)));
    }
}
