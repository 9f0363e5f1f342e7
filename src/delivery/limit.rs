//! At most so many deliveries a second: a token bucket in whole numbers.

use crate::message::time::Timestamp;

const TOKEN: u64 = 1_000_000;

/// The bucket of one destination. Its times are steady ones.
#[derive(Debug, Clone)]
pub struct Bucket {
    per_second: Option<u32>,
    millionths: u64,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket: one second's worth may go at once. Without a rate nothing is limited.
    #[must_use]
    pub fn new(per_second: Option<u32>, now: Timestamp) -> Self {
        let millionths = u64::from(per_second.unwrap_or(0).max(1)) * TOKEN;
        Self { per_second, millionths, at: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// The moment when there will be one.
    pub fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let Some(rate) = self.per_second else { return Ok(()) };
        let rate = u64::from(rate.max(1));
        let passed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        self.at = self.at.max(now);
        self.millionths =
            self.millionths.saturating_add(passed.saturating_mul(rate)).min(rate * TOKEN);
        if let Some(left) = self.millionths.checked_sub(TOKEN) {
            self.millionths = left;
            return Ok(());
        }
        let missing = (TOKEN - self.millionths).div_ceil(rate);
        Err(Timestamp(self.at.0.saturating_add(i64::try_from(missing).unwrap_or(i64::MAX))))
    }

    /// Gives back a token that was not used.
    pub const fn give_back(&mut self) {
        self.millionths = self.millionths.saturating_add(TOKEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gives_its_worth_and_no_more() {
        let mut bucket = Bucket::new(Some(7), Timestamp(0));
        let mut now = Timestamp(0);
        let mut taken_at = Vec::new();
        while now < Timestamp(10_000_000) {
            match bucket.take(now) {
                Ok(()) => taken_at.push(now),
                Err(next) => {
                    assert!(next > now);
                    now = next;
                }
            }
        }
        assert!((76..=77).contains(&taken_at.len()), "{}", taken_at.len());
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let mut bucket = Bucket::new(Some(2), Timestamp(0));
        let later = Timestamp(3_600_000_000);
        assert!(bucket.take(later).is_ok());
        assert!(bucket.take(later).is_ok());
        assert_eq!(bucket.take(later), Err(Timestamp(later.0 + 500_000)));
    }

    #[test]
    fn a_clock_that_steps_back_does_not_stop_it() {
        let mut bucket = Bucket::new(Some(1), Timestamp(1_000_000));
        assert!(bucket.take(Timestamp(0)).is_ok());
        assert_eq!(bucket.take(Timestamp(0)), Err(Timestamp(2_000_000)));
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut bucket = Bucket::new(None, Timestamp(0));
        assert!((0..1000).all(|_| bucket.take(Timestamp(0)).is_ok()));
    }
}
