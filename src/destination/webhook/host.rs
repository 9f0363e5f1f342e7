//! What all subscribers of one host and port share: places for calls, and what is known of a host that nobody
//! reaches, so that two hundred subscribers of a dead host do not each find out for themselves.
//!
//! ```text
//! reached ──5 calls in a row without a connection──▶ suspect: one call at a time
//!    ▲                                                  │  │
//!    └──────────────────── connected ───────────────────┘  └─ not: for a moment that holds for all others too
//! ```
//! The moment is short beside the waits of the schedule: what a subscriber is told in it is what he would have
//! found. An answer, whatever it is, and a receiver that hangs are its own affair.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{MutexGuard, Semaphore, SemaphorePermit};

use crate::clock::Clock;
use crate::destination::webhook::answer::Ending;
use crate::message::time::Timestamp;

/// Calls in a row without a connection that make a host suspect.
const FAILURES: u32 = 5;

#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
    /// The last failure: when, and its code.
    last: Option<(Timestamp, &'static str)>,
}

/// One host and port.
#[derive(Debug)]
pub struct Host {
    places: Semaphore,
    trouble: Mutex<Trouble>,
    probe: tokio::sync::Mutex<()>,
    clock: Clock,
}

/// Leave to make one call.
pub struct Leave<'a> {
    _place: Option<SemaphorePermit<'a>>,
    _probe: Option<MutexGuard<'a, ()>>,
}

impl Host {
    /// A host that takes so many calls at the same time.
    #[must_use]
    pub fn new(calls: usize, clock: Clock) -> Self {
        Self {
            places: Semaphore::new(calls),
            trouble: Mutex::default(),
            probe: tokio::sync::Mutex::default(),
            clock,
        }
    }

    /// Waits for leave to call.
    ///
    /// # Errors
    /// When another call did not reach the host less than `moment` ago, as several before it: its code.
    pub async fn leave(&self, moment: Duration) -> Result<Leave<'_>, &'static str> {
        self.known(moment)?;
        let probe = match self.is_suspect() {
            true => Some(self.probe.lock().await),
            false => None,
        };
        // What the one before found out.
        self.known(moment)?;
        let probe = probe.filter(|_| self.is_suspect());
        // It fails only when it is closed, which nobody does.
        Ok(Leave { _place: self.places.acquire().await.ok(), _probe: probe })
    }

    /// A call ended.
    pub fn ended(&self, ending: &Ending) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match ending {
            Ending::NotSent { code, .. } if matches!(*code, "refused" | "unreachable" | "tls") => {
                trouble.failures = trouble.failures.saturating_add(1);
                trouble.last = Some((self.clock.now(), code));
            }
            Ending::Answered { .. } | Ending::Unanswered { .. } => *trouble = Trouble::default(),
            _ => {}
        }
    }

    fn is_suspect(&self) -> bool {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).failures >= FAILURES
    }

    fn known(&self, moment: Duration) -> Result<(), &'static str> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble.last {
            Some((at, code))
                if trouble.failures >= FAILURES && self.clock.now().since(at) < moment =>
            {
                Err(code)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Ending {
        Ending::NotSent { code: "refused", text: String::new() }
    }

    #[tokio::test]
    async fn a_host_that_nobody_reaches_is_tried_by_one_for_all() {
        let clock = Clock::manual(Timestamp(1));
        let host = Host::new(4, clock.clone());
        let moment = Duration::from_secs(2);
        let later = || {
            if let Clock::Manual(at) = &clock {
                at.fetch_add(2_000_000, std::sync::atomic::Ordering::AcqRel);
            }
        };
        for _ in 0..FAILURES {
            assert!(host.leave(moment).await.is_ok());
            host.ended(&refused());
        }
        assert_eq!(host.leave(moment).await.err(), Some("refused"));
        later();
        let probe = host.leave(moment).await.ok();
        assert!(probe.is_some());
        // A second waits for what the first finds out.
        let mut second = Box::pin(host.leave(moment));
        assert!(futures_util::poll!(&mut second).is_pending());
        host.ended(&refused());
        drop(probe);
        assert_eq!(second.await.err(), Some("refused"));
        later();
        let probe = host.leave(moment).await.ok();
        host.ended(&Ending::Unanswered { code: "timeout", text: String::new() });
        drop(probe);
        // Somebody is there: calls are made side by side again.
        let all = [host.leave(moment).await.ok(), host.leave(moment).await.ok()];
        assert!(all.iter().all(Option::is_some));
    }
}
