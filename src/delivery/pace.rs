//! Two times at once: the wall clock for records, and one that never steps for waits (P14).

use std::time::Instant;

use crate::clock::Clock;
use crate::delivery::queue::Now;
use crate::message::time::Timestamp;

/// Tells both. Steady time starts as the wall clock and then only rises; a manual clock is both.
#[derive(Debug, Clone)]
pub struct Pace {
    clock: Clock,
    start: Timestamp,
    since: Instant,
}

impl Pace {
    /// Starts now.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let start = clock.now();
        Self { clock, start, since: Instant::now() }
    }

    /// The moment.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall = self.clock.now();
        let steady = match self.clock {
            Clock::System => self.start.after(self.since.elapsed()),
            Clock::Manual(_) => wall,
        };
        Now { wall, steady }
    }

    /// When to wake for a steady moment; `None` when only a moved clock can bring it.
    #[must_use]
    pub fn wake(&self, at: Option<Timestamp>) -> Option<tokio::time::Instant> {
        match self.clock {
            Clock::System => at.map(|at| (self.since + at.since(self.start)).into()),
            Clock::Manual(_) => None,
        }
    }
}
