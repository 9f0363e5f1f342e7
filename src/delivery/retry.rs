//! When a delivery is tried again, and when that ends. Pure: the jitter comes from a seed.

use std::time::Duration;

use crate::message::id::Seq;
use crate::message::time::Timestamp;

/// What becomes of a delivery that was tried long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exhausted {
    /// Set aside; its lane goes on.
    DeadLetter,
    /// Held; its lane waits for a person.
    Hold,
}

/// The retry rule of a destination: `{first: 2s, factor: 2, max: 5m, jitter: 10%, for: 24h, then: dead_letter}`.
///
/// It ends only deliveries that are refused for themselves. A destination that nobody gets through to
/// keeps its deliveries waiting for as long as that takes.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// The first wait.
    pub first: Duration,
    /// Each wait is the one before times this.
    pub factor: f64,
    /// The longest wait.
    pub max: Duration,
    /// Waits named one by one, instead of `first`, `factor` and `max`; the last one repeats. Empty: none.
    pub steps: Vec<Duration>,
    /// Waits are spread by this share to both sides, 0 to 1.
    pub jitter: f64,
    /// How long after the first failure it is tried (`for`); without it, for ever.
    pub age_max: Option<Duration>,
    /// How often it is tried; without it, any number of times.
    pub attempts_max: Option<u32>,
    /// What happens then.
    pub then: Exhausted,
    /// The longest wait a receiver may ask for (`Retry-After`).
    pub retry_after_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(2),
            factor: 2.0,
            max: Duration::from_secs(300),
            steps: Vec::new(),
            jitter: 0.1,
            age_max: Some(Duration::from_secs(24 * 3600)),
            attempts_max: None,
            then: Exhausted::DeadLetter,
            retry_after_max: Duration::from_secs(3600),
        }
    }
}

/// What comes after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is tried again at this moment.
    At(Timestamp),
    /// It was tried long enough.
    GiveUp,
}

/// What the rule needs to know of a failed attempt.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// Attempts made so far, this one included.
    pub attempts: u32,
    /// How long ago the first attempt failed.
    pub age: Duration,
    /// The receiver's own wish.
    pub retry_after: Option<Duration>,
    /// See [`seed`].
    pub seed: u64,
}

/// The seed of the jitter: the same message and attempt always wait equally long.
#[must_use]
pub fn seed(seq: Seq, attempt: u32) -> u64 {
    let mut bytes = [0_u8; 12];
    for (to, from) in
        bytes.iter_mut().zip(seq.0.to_le_bytes().into_iter().chain(attempt.to_le_bytes()))
    {
        *to = from;
    }
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

impl RetryPolicy {
    /// When to try again after `failure`, or that it is enough. The last wait is cut so that the last
    /// attempt falls on the end of `age_max`.
    #[must_use]
    pub fn after(&self, failure: Failure, now: Timestamp) -> Next {
        if self.attempts_max.is_some_and(|max| failure.attempts >= max) {
            return Next::GiveUp;
        }
        let mut wait = self.wait(failure.attempts, failure.retry_after, failure.seed);
        if let Some(age_max) = self.age_max {
            if failure.age >= age_max {
                return Next::GiveUp;
            }
            wait = wait.min(age_max.saturating_sub(failure.age));
        }
        Next::At(now.after(wait))
    }

    /// The wait after this many failures in a row (1 for the first), without an end.
    #[must_use]
    pub fn wait(&self, failures: u32, retry_after: Option<Duration>, seed: u64) -> Duration {
        let power = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.first.as_secs_f64() * self.factor.max(1.0).powi(power);
        let place = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        let seconds = match self.steps.get(place).or(self.steps.last()) {
            Some(step) => step.as_secs_f64(),
            None => grown.min(self.max.as_secs_f64()),
        };
        let high = u32::try_from(seed >> 32).unwrap_or(0);
        let share = f64::from(high) / f64::from(u32::MAX);
        let jitter = self.jitter.clamp(0.0, 1.0);
        let spread = seconds * (2.0 * jitter).mul_add(share, 1.0 - jitter);
        let own = Duration::try_from_secs_f64(spread).unwrap_or(self.max);
        let asked = retry_after.unwrap_or_default().min(self.retry_after_max);
        own.max(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy { jitter: 0.0, ..RetryPolicy::default() }
    }

    fn failure(attempts: u32) -> Failure {
        Failure { attempts, age: Duration::ZERO, retry_after: None, seed: 7 }
    }

    #[test]
    fn waits_grow_to_the_longest() {
        let waits: Vec<u64> =
            (1..=10).map(|failures| policy().wait(failures, None, 0).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(policy().wait(u32::MAX, None, 0).as_secs(), 300);
    }

    #[test]
    fn named_waits_come_one_after_the_other() {
        let steps = [5, 300, 1800].map(Duration::from_secs).to_vec();
        let policy = RetryPolicy { steps, ..policy() };
        let waits: Vec<u64> =
            (1..=4).map(|failures| policy.wait(failures, None, 0).as_secs()).collect();
        assert_eq!(waits, [5, 300, 1800, 1800]);
    }

    #[test]
    fn jitter_is_bounded_and_repeatable() {
        let policy = RetryPolicy { jitter: 0.25, ..policy() };
        let mut seen = std::collections::BTreeSet::new();
        for seq in 0..1000 {
            let wait = policy.wait(1, None, seed(Seq(seq), 1));
            assert!((1.5..=2.5).contains(&wait.as_secs_f64()), "{wait:?}");
            assert_eq!(wait, policy.wait(1, None, seed(Seq(seq), 1)));
            seen.insert(wait);
        }
        assert!(seen.len() > 900, "{}", seen.len());
    }

    #[test]
    fn ends_by_attempts_and_by_age() {
        let now = Timestamp(0);
        let by_attempts = RetryPolicy { attempts_max: Some(3), age_max: None, ..policy() };
        assert!(matches!(by_attempts.after(failure(2), now), Next::At(_)));
        assert_eq!(by_attempts.after(failure(3), now), Next::GiveUp);
        let by_age = RetryPolicy { age_max: Some(Duration::from_secs(10)), ..policy() };
        let old = |seconds| Failure { age: Duration::from_secs(seconds), ..failure(5) };
        assert_eq!(by_age.after(old(7), now), Next::At(Timestamp(3_000_000)));
        assert_eq!(by_age.after(old(10), now), Next::GiveUp);
    }

    #[test]
    fn the_receivers_wish_is_honoured_within_reason() {
        let wish = |seconds| policy().wait(1, Some(Duration::from_secs(seconds)), 0).as_secs();
        assert_eq!(wish(1), 2);
        assert_eq!(wish(900), 900);
        assert_eq!(wish(1_000_000), 3600);
    }

    #[test]
    fn odd_options_do_not_break_it() {
        let odd = RetryPolicy { factor: f64::INFINITY, jitter: 9.0, ..policy() };
        assert!(odd.wait(5, None, u64::MAX) <= Duration::from_secs(600));
        let odd = RetryPolicy { factor: f64::NAN, max: Duration::MAX, ..policy() };
        assert!(odd.wait(5, None, 1) > Duration::ZERO);
    }
}
